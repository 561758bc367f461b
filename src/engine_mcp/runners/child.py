"""Children: a CLI under its guard, with bounded streams, that never outlives its block or its engine."""

import math
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager, suppress
from signal import SIGINT, Signals

import anyio
import anyio.lowlevel

from engine_mcp.core.execution import Failure
from engine_mcp.runners.control import Control
from engine_mcp.runners.launch import Program, Streams, launch
from engine_mcp.runners.lines import Line, Lines, Stalled
from engine_mcp.runners.orphans import sweep_mark
from engine_mcp.runners.scratch import scratch
from engine_mcp.runners.secrecy import Secrets, secrets_of
from engine_mcp.runners.use import Use
from engine_mcp.runners.watch import Caps, Exceeded, Watch

__all__ = ["Caps", "Child", "Exceeded", "Line", "Program", "Stalled", "Use", "overspent", "started"]

ERRORS_KEPT = 16 << 10
CHUNK = 64 << 10
READS_AT_ONCE = 16


class Child:
    """A running CLI; `pid` is its own, not the guard's. What is read of it is without its `secrets`."""

    def __init__(self, control: Control, streams: Streams, secrets: Secrets, caps: Caps) -> None:
        self.secrets = secrets
        self._control = control
        self._watch = Watch(control.guard, caps)
        self._stdin, self._stderr = streams.stdin, streams.stderr
        self._lines = Lines(streams.stdout)
        self._errors = bytearray()
        self._to_write, self._written = anyio.create_memory_object_stream[bytes](math.inf)

    @property
    def pid(self) -> int:
        """The process id of the CLI."""
        return self._control.pid

    @property
    def errors(self) -> str:
        """The end of what it wrote to stderr so far, 16 KiB at most; all of it is there after `wait`."""
        return self.secrets.hide(self._errors.decode(errors="replace"))

    @property
    def use(self) -> Use:
        """The most memory that it and all it started were seen to use, and their processor time.

        A second old at most while it runs; after `wait` it is that of the whole run.
        """
        return self._watch.use

    @property
    def exceeded(self) -> Exceeded | None:
        """The cap for which everything was ended, if it was; known for certain after `wait`."""
        return self._watch.exceeded or self._watch.signalled(self._control.code)

    async def send(self, data: bytes) -> None:
        """Have `data` written to its stdin; what it no longer reads is dropped."""
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            await self._to_write.send(data)

    async def end_input(self) -> None:
        """Have its stdin closed once everything is written."""
        await self._to_write.aclose()

    async def lines(self, stall_s: float) -> AsyncGenerator[Line]:
        """The lines of its stdout to the end; raises Stalled after `stall_s` seconds without output.

        Can be asked again after a wait that was cancelled: no line is lost.
        """
        while (line := await self._lines.next(stall_s)) is not None:
            text = self.secrets.hide_in(line.text)
            yield line if text is line.text else Line(text, line.cut)

    async def interrupt(self, number: Signals = SIGINT) -> None:
        """Send a signal to the CLI itself and to none of its children."""
        self._control.order(number)
        await anyio.lowlevel.checkpoint()

    async def wait(self) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        await self._control.exited.wait()
        await self._watch.settled.wait()
        self._drain()
        return self._control.code

    async def attend(self, mark: str) -> None:
        """Serve its streams and listen to its guard; without a guard, end what has the mark."""
        async with self._to_write, anyio.create_task_group() as tasks:
            tasks.start_soon(self._feed)
            tasks.start_soon(self._read_errors)
            tasks.start_soon(self._notice_exit)
            tasks.start_soon(self._hold_to_caps)
            await self._control.listen()
            if not self._control.gone:
                await sweep_mark(mark)
            self._control.exited.set()

    async def _notice_exit(self) -> None:
        await self._control.exited.wait()
        self._lines.writer_ended()

    async def _hold_to_caps(self) -> None:
        await self._watch.follow(self._control.exited)
        with anyio.CancelScope(shield=True):
            await self._control.end()

    async def _feed(self) -> None:
        async with self._written:
            async for data in self._written:
                left = memoryview(data)
                while left:
                    left = left[await self._write(left) :]
        self._stdin.close()

    async def _write(self, data: memoryview) -> int:
        await anyio.wait_writable(self._stdin)
        try:
            return self._stdin.write(data) or 0
        except OSError:  # it does not read any more
            return len(data)

    async def _read_errors(self) -> None:
        while True:
            await anyio.wait_readable(self._stderr)
            if not self._drain():
                return

    def _drain(self) -> bool:
        """Read what stderr has now; whether more may come."""
        for _ in range(READS_AT_ONCE):
            chunk = self._stderr.read(CHUNK)
            if not chunk:
                return chunk is None
            self._errors += chunk
            del self._errors[:-ERRORS_KEPT]
        return True


def overspent(child: Child) -> Failure | None:
    """The failure of an attempt whose program was ended because of a cap."""
    return child.exceeded.failure if child.exceeded is not None else None


@asynccontextmanager
async def started(program: Program) -> AsyncGenerator[Child]:
    """Run a program for as long as the block lasts; then nothing that it started is left.

    Raises OSError where it cannot be started. The end takes a few seconds at most, and nothing cancels it.
    """
    raised: Exception | None = None
    attending = anyio.CancelScope(shield=True)
    async with scratch(program.scratch, program.env) as folder:
        with ExitStack() as open_ends:
            control, streams = await launch(program, folder, open_ends)
            child = Child(control, streams, secrets_of(program.env), program.caps)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_attend, child, program.mark, attending)
                try:
                    await control.start()
                    yield child
                except Exception as error:  # noqa: BLE001 - raised again where no task group wraps it
                    raised = error
                finally:
                    with anyio.CancelScope(shield=True):
                        if not await control.end():
                            await sweep_mark(program.mark)
                    attending.cancel()
    if raised is not None:
        raise raised


async def _attend(child: Child, mark: str, scope: anyio.CancelScope) -> None:
    with scope:
        await child.attend(mark)
