"""One execution carried as far as it goes, watched, and saved whenever the terminal asks to stop."""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import anyio

from engine_mcp.app import App, running
from engine_mcp.cli.voice import note
from engine_mcp.cli.words import until
from engine_mcp.core.event import Event
from engine_mcp.core.execution import Execution, ExecutionStatus, StopMode
from engine_mcp.core.outlook import CLEAR, Outlook
from engine_mcp.core.request import Resume
from engine_mcp.engine.alarms import wakes_at
from engine_mcp.engine.driver import ACTIVE
from engine_mcp.engine.engine import Engine
from engine_mcp.errors import EngineError, ExecutionOwned, ExecutionRunning, StorageError
from engine_mcp.server.contexts import UNKNOWN, Contexts, contexts
from engine_mcp.settings import Settings

TICK_S = 0.1
LOOK_S = 0.5
LATE_S = 60.0
"""How long after its time an execution is expected to go on by itself."""
SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "the terminal was closed"}

_OPEN = ACTIVE | {ExecutionStatus.PAUSED}

Begin = Callable[[App], Awaitable[Execution]]
Stays = Callable[[Execution], bool]
"""Whether a paused execution is waited for until it can go on."""
Result = TypeVar("Result")


class Watch(Protocol):
    """Who shows an execution while it runs."""

    def begin(self, execution: Execution, snapshot: str) -> None:
        """It starts, or goes on."""
        ...

    def saw(self, event: Event, execution: Execution) -> None:
        """Something happened; `execution` is the state at least after it."""
        ...

    def tick(self, execution: Execution, now: float) -> None:
        """Time passed; called several times a second."""
        ...

    def stopping(self, reason: str, *, again: bool) -> None:
        """It is being interrupted, because of `reason`; `again` if somebody is impatient."""
        ...

    def end(self) -> None:
        """Nothing more will come."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """An execution as it was left: the path of its snapshot, the time, and whether a signal stopped it.

    `outlook` is what it waits for, where it is paused; `contexts` is what is known of its conversations.
    """

    execution: Execution
    snapshot: str
    now: float
    stopped: bool = False
    outlook: Outlook = CLEAR
    contexts: Contexts = UNKNOWN


async def at_rest(app: App, execution: Execution, *, stopped: bool = False) -> Rest:
    """The execution as it is now."""
    engine = app.engine
    return Rest(
        execution=execution,
        snapshot=engine.place(execution.id),
        now=engine.parts.clock.now(),
        stopped=stopped,
        outlook=await _outlook(engine) if execution.status in _OPEN else CLEAR,
        contexts=await contexts(engine, execution),
    )


async def _outlook(engine: Engine) -> Outlook:
    treasury = engine.treasury
    try:
        return Outlook(room=await treasury.room(), caps=treasury.caps, breakers=await treasury.breakers())
    except StorageError as error:
        note(error.message)
        return Outlook(caps=treasury.caps)


def inside(settings: Settings, action: Callable[[App], Awaitable[Result]], *, work: bool = False) -> Result:
    """Carry out something short with the engine of a project; raises the EngineError that ended it."""

    async def opened() -> Result | EngineError:
        async with running(settings, work=work) as app:
            try:
                return await action(app)
            except EngineError as error:
                return error  # as a value: the engine's task group would wrap it

    ended = anyio.run(opened)
    if isinstance(ended, EngineError):
        raise ended
    return ended


def carried(
    settings: Settings, begin: Begin, watch: Watch, report: Callable[[Rest], None], stays: Stays
) -> Rest:
    """Begin an execution, follow it until it rests, and report it; a signal interrupts it.

    While it is paused it is waited for where it `stays`; a signal then leaves it paused. Raises the
    EngineError with which it cannot begin, KeyboardInterrupt if it is stopped before that.
    """
    ended = anyio.run(_Session(settings, watch, stays).run, begin, report)
    if isinstance(ended, EngineError):
        raise ended
    if ended is None:
        raise KeyboardInterrupt
    return ended


def _elsewhere(engine: Engine, execution: Execution) -> bool:
    """Whether another process drives the execution: this one drives none."""
    load = engine.load()
    return execution.status in ACTIVE and load.running + load.pending == 0


class _Session:
    """An execution in the making, its watch, and the wish to stop it."""

    def __init__(self, settings: Settings, watch: Watch, stays: Stays) -> None:
        self._settings, self._watch, self._stays = settings, watch, stays
        self._reason = ""

    async def run(self, begin: Begin, report: Callable[[Rest], None]) -> Rest | EngineError | None:
        self._asked = anyio.Event()
        ended: Rest | EngineError | None = None
        # Not those that whoever started this process wants it to ignore, as `nohup` and `&` do.
        before = {
            number: taker for number in SIGNALS if (taker := signal.getsignal(number)) != signal.SIG_IGN
        }
        # Open to the very end: a second Ctrl-C must find somebody who takes it.
        with anyio.open_signal_receiver(*before) as signals:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen, signals)
                ended = await self._opened(begin)
                tasks.cancel_scope.cancel()
            if isinstance(ended, Rest):
                report(ended)
        for number, taker in before.items():
            # All is saved and said: if it was to stop, one more signal must not change the exit code.
            signal.signal(number, signal.SIG_IGN if self._asked.is_set() else taker)
        return ended

    async def _listen(self, signals: AsyncIterator[signal.Signals]) -> None:
        self._reason = SIGNALS[await anext(signals)]
        self._watch.stopping(self._reason, again=False)
        self._asked.set()
        await anext(signals)
        self._watch.stopping(self._reason, again=True)

    async def _opened(self, begin: Begin) -> Rest | EngineError | None:
        async with running(self._settings) as app:
            if self._asked.is_set():
                return None
            try:
                execution = await begin(app)
            except EngineError as error:
                return error  # as a value: the engine's task group would wrap it
            if not _elsewhere(app.engine, execution):
                execution = await self._followed(app.engine, execution)
            while self._waits(execution):
                execution = await self._waited(app.engine, execution)
                if execution.status is not ExecutionStatus.PAUSED:
                    execution = await self._followed(app.engine, execution)
            execution = await self._left(app.engine, execution)
            return await at_rest(app, execution, stopped=self._asked.is_set())

    def _waits(self, execution: Execution) -> bool:
        paused = execution.status is ExecutionStatus.PAUSED and execution.until is not None
        free = execution.stopping is None and not self._asked.is_set()
        return paused and free and self._stays(execution)

    async def _waited(self, engine: Engine, execution: Execution) -> Execution:
        """The execution once it goes on, waits for something else, or is not waited for any more."""
        at, now = execution.until or 0.0, engine.parts.clock.now()
        note(f"Waiting ({execution.reason}) {until(at, now)}; Ctrl-C leaves it paused.")
        while self._waits(execution) and execution.until == at:
            with anyio.move_on_after(LOOK_S):
                await self._asked.wait()
            if engine.parts.clock.now() >= at:
                await self._go_on(engine, execution)
            execution = await engine.show(execution.id)
        return execution

    async def _left(self, engine: Engine, execution: Execution) -> Execution:
        """The execution as it stays: one that somebody stopped while it waited goes on by itself no more."""
        if not self._asked.is_set() or wakes_at(execution) is None:
            return execution
        try:
            return await engine.interrupt(execution.id, StopMode.NOW, self._reason)
        except EngineError as error:
            note(error.message)
            return await engine.show(execution.id)

    async def _go_on(self, engine: Engine, execution: Execution) -> None:
        """Go on with an execution whose time has come, unless the engine does so by itself."""
        at = wakes_at(execution)
        if at is not None and engine.parts.clock.now() < at + LATE_S:
            return
        try:
            await engine.resume(execution.id, Resume(by_itself=True))
        except (ExecutionOwned, ExecutionRunning) as error:
            note(error.message)

    async def _followed(self, engine: Engine, execution: Execution) -> Execution:
        snapshot = engine.place(execution.id)
        self._watch.begin(execution, snapshot)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tick, engine, execution.id)
                tasks.start_soon(self._stop, engine, execution.id, tasks.cancel_scope)
                async for _, event in engine.follow(execution.id, execution.revision):
                    self._watch.saw(event, await engine.show(execution.id))
                tasks.cancel_scope.cancel()
            execution = await engine.show(execution.id)
            self._watch.tick(execution, engine.parts.clock.now())
        finally:
            self._watch.end()
        return execution

    async def _tick(self, engine: Engine, execution_id: str) -> None:
        while True:
            self._watch.tick(await engine.show(execution_id), engine.parts.clock.now())
            await anyio.sleep(TICK_S)

    async def _stop(self, engine: Engine, execution_id: str, following: anyio.CancelScope) -> None:
        await self._asked.wait()
        execution = await engine.interrupt(execution_id, StopMode.NOW, self._reason)
        if execution.status in ACTIVE:
            # Its attempts outlast the grace period; they end with the engine.
            following.cancel()
