"""The driver: takes one execution from event to event until it rests. The only writer of its record."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import anyio
from anyio.abc import TaskGroup

from engine_mcp.core.decide import settle
from engine_mcp.core.effect import Effect, Halt, Start, WakeAt
from engine_mcp.core.event import (
    AttemptInterrupted,
    Event,
    ExecutionInterrupted,
    ExecutionPaused,
    ExecutionStarted,
)
from engine_mcp.core.evolve import evolve, fold
from engine_mcp.core.execution import Artifact, Execution, ExecutionStatus, Failure, Step
from engine_mcp.core.outlook import Outlook
from engine_mcp.core.spending import cost_of, step_of
from engine_mcp.engine.attempt import Running
from engine_mcp.engine.feed import Feed
from engine_mcp.engine.meter import Meter
from engine_mcp.engine.parts import Parts
from engine_mcp.engine.perform import interrupted, perform, spent_up
from engine_mcp.engine.permits import Permits
from engine_mcp.engine.shared import Shared
from engine_mcp.errors import EngineError, ExecutionFinished, IllegalTransition, StorageError
from engine_mcp.ports import ExecutionLog

_log = logging.getLogger(__name__)

ACTIVE = frozenset({ExecutionStatus.PENDING, ExecutionStatus.RUNNING})
CLOSE_S = 5.0


@dataclass(slots=True)
class _Told:
    """An event on its way to the record, and whether somebody waits until it counts."""

    event: Event
    done: anyio.Event | None = None
    error: EngineError | None = None
    kept: bool = False

    def settle(self, error: EngineError | None = None) -> None:
        """Let go who waits, with the error that kept the event from the record."""
        self.error = self.error or error
        if self.done is not None:
            self.done.set()


@dataclass(slots=True)
class _Inbox:
    """What was told and is not on record yet, in order."""

    told: list[_Told] = field(default_factory=list[_Told])
    news: anyio.Event = field(default_factory=anyio.Event)
    closed: bool = False

    def put(self, told: _Told) -> None:
        self.told.append(told)
        self.news.set()

    def take(self) -> list[_Told]:
        taken, self.told, self.news = self.told, [], anyio.Event()
        return taken


class Driver:
    """Drives one execution under its lease; fulfils `desk.Desk` for its attempts."""

    def __init__(self, execution: Execution, log: ExecutionLog, parts: Parts, shared: Shared) -> None:
        self.feed = Feed(execution)
        self.scope = anyio.CancelScope(shield=True)
        self.rested = anyio.Event()
        self.unrecorded = False
        self.inlined = 0
        self._log, self._parts, self._shared = log, parts, shared
        self.permits = Permits(execution, shared, parts.clock)
        self._inbox = _Inbox()
        self._meter = Meter()
        self._attempts: dict[str, Running] = {}
        self._unwritten: list[_Told] = []
        self._wake_at: float | None = None
        self._short = anyio.Event()
        self._trouble: StorageError | None = None

    @property
    def execution(self) -> Execution:
        """The state that counts now."""
        return self.feed.execution

    def post(self, event: Event) -> None:
        """Leave an event to be recorded soon, in the order of posting."""
        self._inbox.put(_Told(event))

    async def say(self, event: Event) -> None:
        """Leave an event and return once it is durable; raises the error that prevents it."""
        told = _Told(event, anyio.Event())
        if self._inbox.closed:
            raise self._resting()
        self._inbox.put(told)
        if told.done is not None:
            await told.done.wait()
        if told.error is not None:
            raise told.error

    async def keep(self, content: bytes, *, name: str | None, media_type: str) -> Artifact:
        """Keep content as an artifact of the execution, durably."""
        try:
            return await self._log.keep(content, name=name, media_type=media_type)
        except StorageError as error:
            # Not the attempt's failure: the execution pauses, and this attempt is cancelled with it.
            self._give_up(error)
            await anyio.sleep_forever()
            raise

    async def artifact(self, digest: str) -> bytes:
        """The content of an artifact of the execution."""
        return await self._parts.store.artifact(self.execution.id, digest)

    async def run(self, owner: str) -> None:
        """Drive the execution until it rests; gives the lease back in any case."""
        sound = True
        try:
            await self._drive(owner)
            if self._trouble is not None:
                await self._pause_for_storage(self._trouble)
            await self._save()
        except Exception:
            sound = False
            raise
        finally:
            self._inbox.closed = True
            for told in self._inbox.take():
                told.settle(self._resting())
            with anyio.move_on_after(CLOSE_S, shield=True):
                await self._balance()
            with anyio.move_on_after(CLOSE_S, shield=True):
                await self._log.close()
            if not sound:
                with anyio.move_on_after(CLOSE_S, shield=True):
                    await self._recover()
            self.rested.set()
            self.feed.show(self.execution)

    def _resting(self) -> ExecutionFinished:
        return ExecutionFinished(f"The execution {self.execution.id} has come to rest meanwhile.")

    async def _drive(self, owner: str) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._take_place, owner)
            tasks.start_soon(self._watch)
            tasks.start_soon(self._make_room)
            try:
                await self._loop(tasks)
            except StorageError as error:
                self._give_up(error)
            tasks.cancel_scope.cancel()

    def _give_up(self, error: StorageError) -> None:
        self._trouble = self._trouble or error
        self._inbox.news.set()

    async def _take_place(self, owner: str) -> None:
        async with self._shared.executions:
            self.post(ExecutionStarted(at=self._parts.clock.now(), epoch=self._log.epoch, owner=owner))
            await anyio.sleep_forever()

    async def _watch(self) -> None:
        """Decide again whenever it shows that something is broken, or whole again."""
        circuits = self._shared.circuits
        while True:
            await circuits.changed.wait()
            self._inbox.news.set()

    async def _make_room(self) -> None:
        """Look for what dead processes hold while a step waits for room."""
        while True:
            await self._short.wait()
            self._short = anyio.Event()
            await self._shared.left.give_back()

    async def _loop(self, tasks: TaskGroup) -> None:
        while self.execution.status in ACTIVE:
            await self._news()
            if self._trouble is not None:
                return
            effects = await self._record(self._inbox.take())
            self._carry_out(effects, tasks)

    async def _news(self) -> None:
        if self._wake_at is None:
            await self._inbox.news.wait()
            return
        async with anyio.create_task_group() as race:
            race.start_soon(self._alarm, self._wake_at, race)
            await self._inbox.news.wait()
            race.cancel_scope.cancel()

    async def _alarm(self, at: float, race: TaskGroup) -> None:
        await self._parts.clock.sleep_until(at)
        race.cancel_scope.cancel()

    async def _record(self, told: list[_Told]) -> Iterable[Effect]:
        """Fold what happened and what follows from it, make it durable, and only then let it count."""
        try:
            return await self._recorded(told)
        except BaseException as error:
            self._unwritten = [item for item in told if not item.kept]
            for item in self._unwritten:
                item.settle(error if isinstance(error, StorageError) else self._resting())
            raise

    async def _recorded(self, told: list[_Told]) -> Iterable[Effect]:
        events, after = self._folded(told)
        if await self.permits.look():
            await self._append(events, after, told)
            await self.permits.released(events, after)
            settled = await self.permits.settled(after)
            await self._append([*settled.events], settled.execution, [])
        else:
            settled = settle(after, self._parts.clock.now(), self.permits.outlook)
            await self._append([*events, *settled.events], settled.execution, told)
        return settled.effects

    async def _append(self, events: list[Event], after: Execution, told: list[_Told]) -> None:
        if events:
            await self._log.append(events, after)
            if self.permits.account is not None:
                self.permits.account.note(events, after)
            self.feed.publish(events, after)
        for item in told:
            item.kept = True
            self._meter.settle(item.event)
            item.settle()

    @property
    def outlook(self) -> Outlook:
        """What is known of the world outside this execution."""
        return self.permits.outlook

    async def failed(self, step: Step, failure: Failure) -> None:
        """Note what an attempt at a step says is broken."""
        await self.permits.failed(step, failure)

    async def succeeded(self, step: Step, began: float) -> None:
        """Note that the route of a step carried an attempt to its end that began at `began`."""
        await self.permits.succeeded(step, began)

    def _folded(self, told: list[_Told]) -> tuple[list[Event], Execution]:
        events: list[Event] = []
        after = self.execution
        for item in told:
            try:
                after = evolve(after, item.event)
            except IllegalTransition as error:
                _log.warning("%s: %s", after.id, error)
                item.error = error
            else:
                events.append(item.event)
        return events, after

    def _carry_out(self, effects: Iterable[Effect], tasks: TaskGroup) -> None:
        self._wake_at = None
        for effect in effects:
            match effect:
                case Start(event):
                    step = self.execution.steps[event.step]
                    attempt = Running(started=event, step=step, desk=self, parts=self._parts, tasks=tasks)
                    self._attempts[event.step] = attempt
                    self.permits.began[event.step] = None
                    tasks.start_soon(self._attempt, attempt)
                case Halt(name, spent) if name in self._attempts:
                    self._attempts[name].spent = spent
                    self._attempts[name].scope.cancel()
                case WakeAt(at, for_room):
                    self._wake_at = at
                    if for_room:
                        self._short.set()
                case _:
                    pass

    async def _attempt(self, attempt: Running) -> None:
        ended: Event | None = None
        try:
            with attempt.scope:
                async with self._shared.steps.place(self.execution.id):
                    self._begin(attempt)
                    ended = await perform(attempt, self._meter)
        except StorageError as error:
            self._give_up(error)
            return
        name = attempt.started.step
        if ended is None:
            try:
                await self.permits.stopped(name)
            except StorageError as error:
                _log.warning("%s: a trial is not given back: %s", self.execution.id, error)
        del self._attempts[name]
        self.post(ended or (spent_up(attempt) if attempt.spent else interrupted(attempt)))

    def _begin(self, attempt: Running) -> None:
        """Count the time of an attempt from here, where it has a place."""
        started = attempt.started
        attempt.began = self.permits.began[started.step] = self._parts.clock.now()
        if started.reserved.seconds or attempt.step.spec.budget.max_seconds is not None:
            self._inbox.news.set()

    async def _pause_for_storage(self, trouble: StorageError) -> None:
        """Record what happened since the last write and the pause, or only the pause, or nothing at all."""
        _log.error("%s: %s", self.execution.id, trouble)
        told = [*self._unwritten, *self._inbox.take()]
        for item in told:
            item.settle(trouble)
        after = self.execution
        for chosen in ([item for item in told if item.done is None], []):
            events, after = self._paused(chosen, told, trouble)
            try:
                await self._append(events, after, [])
            except StorageError:
                continue
            return
        # Shown without being on record: who looks next finds an execution that nobody drives.
        self.unrecorded = True
        self.feed.show(after)

    def _paused(
        self, chosen: list[_Told], told: list[_Told], trouble: StorageError
    ) -> tuple[list[Event], Execution]:
        events, after = self._folded(chosen)
        unsaid = [] if chosen else [item.event for item in told]
        now = self._parts.clock.now()
        for step in after.running:
            name, number = step.spec.id, step.attempts[-1].number
            attempt = self._attempts.get(name)
            event = AttemptInterrupted(at=now, step=name, number=number)
            event = interrupted(attempt) if attempt is not None else event
            paid = sum((cost_of(news) for news in unsaid if step_of(news) == name), start=event.usage)
            events.append(replace(event, usage=paid))
        if after.status is ExecutionStatus.RUNNING:
            events.append(ExecutionPaused(at=now, reason="storage", why=f"{trouble.message} {trouble.hint}"))
        else:
            events.append(ExecutionInterrupted(at=now, reason="storage"))
        return events, fold(self.execution, events)

    async def _balance(self) -> None:
        try:
            await self.permits.balance(self.execution)
        except Exception:  # noqa: BLE001 - the record has it all, and the next engine tells it
            _log.exception("%s: the ledger was not told what it cost", self.execution.id)

    async def _recover(self) -> None:
        """Make of the record what is made of a dead process's, so that nothing stays held; after a defect."""
        try:
            await self._shared.mender.amend(self.execution.id, None)
        except Exception:  # noqa: BLE001 - the next engine does it
            _log.exception("%s: what its driver left is not settled", self.execution.id)

    async def _save(self) -> None:
        try:
            await self._log.save(self.execution)
        except StorageError as error:
            _log.warning("%s: the snapshot was not written: %s", self.execution.id, error)
