"""Control: the engine's end of the talk with a guard."""

import logging
import os
import socket
import subprocess

import anyio

from engine_mcp.runners import guard

START_S = 20.0
END_S = 3.0
KILL_S = 5.0
KILLED = -9
_LOG = logging.getLogger(__name__)


class Control:
    """A guard's process and what it has told; `started`, `exited` and `closed` are set once each is so.

    `pid` is the CLI's; `code` its exit code, negative for a signal; `gone`: nothing of it is left.
    """

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self._process = process
        self._channel = channel
        self._held = b""
        self._refused: OSError | None = None
        self.started, self.exited, self.closed = anyio.Event(), anyio.Event(), anyio.Event()
        self.pid = 0
        self.code = KILLED
        self.gone = False

    @property
    def guard(self) -> int:
        """The process id of the guard."""
        return self._process.pid

    async def listen(self) -> None:
        """Take what the guard tells until it ends."""
        while not self.closed.is_set():
            await anyio.wait_readable(self._channel)
            self._take()

    async def start(self) -> None:
        """Wait until the CLI runs; raises OSError where it cannot be started. Needs `listen` beside it."""
        with anyio.move_on_after(START_S):
            await self.started.wait()
        if self._refused is not None:
            raise self._refused
        if not self.pid:
            raise ChildProcessError("The guard of the program did not start.")

    def order(self, number: int) -> None:
        """Have the CLI get a signal, or with `guard.END` have everything ended."""
        try:
            self._channel.send(bytes([number]))
        except OSError:  # the guard is gone or hangs: the end shows it
            return

    async def end(self) -> bool:
        """Have everything ended and take the guard away; False where somebody else must look what is left."""
        self.order(guard.END)
        with anyio.move_on_after(END_S):
            await self.closed.wait()
        if not self.closed.is_set():
            self._process.kill()
        if not await anyio.to_thread.run_sync(self._ended):
            _LOG.warning("the guard %d cannot be ended", self._process.pid)
        return self.gone

    def _ended(self) -> bool:
        """Whether the guard's process ends soon; one that the kernel holds is left to it."""
        try:
            self._process.wait(KILL_S)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _take(self) -> None:
        try:
            received = self._channel.recv(4096)
        except BlockingIOError:  # woken for nothing
            return
        except OSError:
            received = b""
        *lines, self._held = (self._held + received).split(b"\n")
        for line in lines:
            self._take_line(line.decode())
        if not received:
            self.started.set()
            self.closed.set()

    def _take_line(self, line: str) -> None:
        kind, _, number = line.partition(" ")
        match kind:
            case "P":
                self.pid = int(number)
                self.started.set()
            case "E":
                self._refused = OSError(int(number), os.strerror(int(number)))
                self.gone = True
            case "X":
                self.code = int(number)
                self.exited.set()
            case _:
                self.gone = True
