"""The engine: the door to all executions of a project. Executions belong to it, never to a request."""

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup
from uuid_utils import uuid7

from engine_mcp.core.budget import Limits
from engine_mcp.core.event import BudgetSet, Event, ExecutionCreated, StopRequested
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution, ExecutionStatus, StopMode
from engine_mcp.core.listing import Page, Query
from engine_mcp.core.load import Load
from engine_mcp.core.plan import Draft, Plan
from engine_mcp.core.request import Resume
from engine_mcp.core.strategy import plan
from engine_mcp.core.tool import Health
from engine_mcp.engine import control
from engine_mcp.engine.alarms import Alarms, wakes_at
from engine_mcp.engine.checks import asking, check_needs, check_project
from engine_mcp.engine.choosing import Chosen, choices, rechosen
from engine_mcp.engine.crowd import Crowd
from engine_mcp.engine.driver import ACTIVE, Driver
from engine_mcp.engine.examining import examined
from engine_mcp.engine.mending import whole
from engine_mcp.engine.parts import EngineOptions, Parts
from engine_mcp.engine.pricing import check_prices
from engine_mcp.engine.recovery import answers, lost, resumed
from engine_mcp.engine.routing import routes_of
from engine_mcp.engine.shared import shared_by
from engine_mcp.engine.treasury import Treasury
from engine_mcp.errors import (
    EngineError,
    ExecutionFinished,
    ExecutionOwned,
    ExecutionRunning,
    IdempotencyConflict,
)
from engine_mcp.ports import ExecutionLog

_log = logging.getLogger(__name__)
_FINISHED = frozenset({ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED})
SHUTDOWN = "server stopped"
PAGE = 200


class Engine:
    """Starts, drives, stops and shows executions; an async context manager.

    Leaving it interrupts what runs and waits, within bounds, until that is on record.
    """

    def __init__(self, parts: Parts, options: EngineOptions) -> None:
        self.parts, self._options = parts, options
        self._drivers: dict[str, Driver] = {}
        self._unrecorded: dict[str, Execution] = {}
        self._shared = shared_by(parts, options)
        self.treasury = Treasury(parts, self._shared)
        self._mender = self._shared.mender
        self._alarms = Alarms(parts.clock, self._wake)
        self._crowd = Crowd(options)
        self._tasks: TaskGroup | None = None
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._options.recover:
            await self._mender.recover()
        async with AsyncExitStack() as stack:
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            self._tasks.start_soon(self._alarms.run)
            if self._options.wakes:
                await self._alarms.set_all(self.parts.store)
            if self._options.owner:
                await self._tasks.start(control.listen, self._options.owner, self)
            self._exit = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.move_on_after(self._options.grace_s + 1, shield=True):
            await self.interrupt_all(SHUTDOWN)
        for driver in self._drivers.values():
            driver.scope.cancel()
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()
        # Not the error of the body: a group would wrap it.
        await self._exit.__aexit__(None, None, None)

    # --- what changes executions

    async def execute(self, draft: Draft) -> Execution:
        """Plan, record and start a draft; returns at once with the execution under its new id."""
        wanted = asking(plan(draft), self.parts.ask)
        check_project(wanted.path)
        check_needs(wanted.steps, self.parts)
        if (known := await self._known(wanted)) is not None:
            return known
        chosen = await choices(wanted, wanted.steps, self.parts)
        await check_prices(
            wanted.steps, chosen.choices, self._options.budget.merged(wanted.budget), self._shared
        )
        try:
            return await self._begin(wanted, chosen)
        except IdempotencyConflict:
            # Somebody claimed the key since it was looked up: their execution is the one.
            if (known := await self._known(wanted)) is not None:
                return known
            raise

    async def _begin(self, wanted: Plan, chosen: Chosen) -> Execution:
        event = ExecutionCreated(
            at=self.parts.clock.now(),
            execution_id=str(uuid7()),
            plan=wanted,
            budget=self._options.budget.merged(wanted.budget),
            choices=chosen.choices,
            missing=chosen.missing,
        )
        with self._crowd.coming(self.load()):
            return self._drive(*await whole(self.parts.store.create(event)))

    async def _known(self, wanted: Plan) -> Execution | None:
        if wanted.idempotency_key is None:
            return None
        found = await self.parts.store.claimed(wanted.idempotency_key)
        if found is None:
            return None
        execution = await self.show(found)
        if execution.plan != wanted:
            text = f"The key {wanted.idempotency_key!r} belongs to {found}, which is another request."
            raise IdempotencyConflict(text, field="idempotency_key")
        return execution

    async def resume(self, execution_id: str, request: Resume) -> Execution:
        """Go on with an execution that rests, or whose process is gone; answer one that runs and asks."""
        if (driver := self._drivers.get(execution_id)) is not None:
            if driver.execution.status in ACTIVE:
                return await self._answer(driver, request)
            with anyio.move_on_after(self._options.grace_s + 1):
                await driver.rested.wait()
        check_needs(request.steps, self.parts)
        try:
            return await whole(self._resume(execution_id, request))
        except ExecutionOwned:
            if not request.only_answers:
                raise
            return await self._ask_owner(control.answering(execution_id, request))

    async def _answer(self, driver: Driver, request: Resume) -> Execution:
        """Tell what was answered and asked for while steps run."""
        execution = driver.execution
        if not request.only_answers:
            raise ExecutionRunning(f"The execution {execution.id} is running.", field="execution_id")
        now = self.parts.clock.now()
        for event in answers(execution, request, now):
            await driver.say(event)
        return driver.execution

    async def _resume(self, execution_id: str, request: Resume) -> Execution:
        execution, log = await self.parts.store.open(execution_id)
        try:
            with self._crowd.coming(self.load()):
                after = await self._reopen(execution, log, request)
                self._unrecorded.pop(execution_id, None)
                return self._drive(after, log)
        except BaseException:
            await log.close()
            raise

    async def _reopen(self, execution: Execution, log: ExecutionLog, request: Resume) -> Execution:
        check_project(execution.plan.path)
        now = self.parts.clock.now()
        gone = await self._mender.settle_lost(execution, now)
        wish = resumed(fold(execution, gone), request, now)
        after = fold(execution, (*gone, wish))
        check_needs((step.spec for step in after.steps.values() if not step.settled), self.parts)
        chosen = await rechosen(after, request, self.parts)
        events = (*gone, replace(wish, choices=chosen.choices, missing=chosen.missing))
        after = fold(execution, events)
        specs = (after.steps[name].spec for name in chosen.choices)
        await check_prices(specs, chosen.choices, after.budget, self._shared)
        if not request.by_itself:
            await self._shared.circuits.look()
            await self._shared.circuits.reset(routes_of(after))
        await log.append(events, after)
        return after

    async def interrupt(self, execution_id: str, mode: StopMode, reason: str) -> Execution:
        """Stop an execution, wherever it is driven.

        `now` and `cancel` return once it has stopped, or after the grace period; `after_step` once the
        wish is on record. What is interrupted or paused already stays as it is, except for `cancel`; but it
        goes on by itself no more.
        """
        if (driver := self._drivers.get(execution_id)) is not None:
            try:
                return await self._stop(driver, mode, reason)
            except ExecutionFinished:
                await driver.rested.wait()
        execution = await self.parts.store.read(execution_id)
        if execution.status in _FINISHED:
            text = f"The execution {execution_id} is {execution.status} already."
            raise ExecutionFinished(text, field="execution_id")
        event = StopRequested(at=self.parts.clock.now(), mode=mode, reason=reason)
        try:
            wanted = mode is StopMode.CANCEL or wakes_at(execution) is not None
            return await whole(self._mender.amend(execution_id, event if wanted else None))
        except ExecutionOwned:
            wish = control.Wish(execution_id=execution_id, stop=mode, reason=reason)
            return await self._ask_owner(wish)

    async def set_budget(self, execution_id: str, budget: Limits, *, reset: bool = False) -> Execution:
        """Change the limits given, or with `reset` go back to those of the plan first; kept on record."""
        execution = await self.show(execution_id)
        if execution.status in _FINISHED:
            text = f"The execution {execution_id} is {execution.status} already."
            raise ExecutionFinished(text, field="execution_id")
        if reset:
            budget = self._options.budget.merged(execution.plan.budget).merged(budget)
        event = BudgetSet(at=self.parts.clock.now(), budget=budget, replaces=reset)
        if (driver := self._drivers.get(execution_id)) is not None:
            try:
                await driver.say(event)
            except ExecutionFinished:
                await driver.rested.wait()
                return await self.set_budget(execution_id, budget, reset=reset)
            return driver.execution
        try:
            return await whole(self._mender.amend(execution_id, event))
        except ExecutionOwned:
            return await self._ask_owner(control.Wish(execution_id=execution_id, budget=budget, reset=reset))

    async def interrupt_all(self, reason: str) -> None:
        """Stop everything this engine drives and wait until it rests."""
        async with anyio.create_task_group() as stops:
            for driver in tuple(self._drivers.values()):
                stops.start_soon(self._leave, driver, reason)

    # --- what shows them

    async def show(self, execution_id: str) -> Execution:
        """The execution as it counts now."""
        if (driver := self._drivers.get(execution_id)) is not None:
            return driver.execution
        execution = await self.parts.store.read(execution_id)
        if execution.status in ACTIVE and await self.parts.store.owner(execution_id) is None:
            return self._unrecorded.get(execution_id) or self._as_lost(execution)
        return execution

    def _as_lost(self, execution: Execution) -> Execution:
        seen = fold(execution, lost(execution, self.parts.clock.now()))
        # Only shown: the events get their numbers when somebody takes the lease and records them.
        return replace(seen, revision=execution.revision)

    async def events(self, execution_id: str, after: int, limit: int) -> tuple[tuple[int, Event], ...]:
        """Up to `limit` events numbered above `after`, with their numbers."""
        if (driver := self._drivers.get(execution_id)) is not None:
            found = driver.feed.since(after, limit)
            if found is not None:
                return found
        return await self.parts.store.events(execution_id, after, limit)

    async def wait(self, execution_id: str, seconds: float, after: int | None = None) -> Execution:
        """Wait up to `seconds` until the execution rests, or with `after` until a later event counts."""
        driver = self._drivers.get(execution_id)
        if driver is None:
            return await self.show(execution_id)
        with anyio.move_on_after(seconds):
            while not driver.rested.is_set() and (after is None or driver.execution.revision <= after):
                await driver.feed.changed.wait()
        gone = driver.rested.is_set() and driver.execution.status in ACTIVE
        return await self.show(execution_id) if gone else driver.execution

    async def follow(self, execution_id: str, after: int = 0) -> AsyncGenerator[tuple[int, Event], None]:
        """The events numbered above `after` as they come, until the execution rests."""
        while True:
            driver = self._drivers.get(execution_id)
            changed = driver.feed.changed if driver is not None else None
            found = await self.events(execution_id, after, PAGE)
            for after, event in found:  # noqa: PLR1704 - the next page begins where this one ended
                yield after, event
            if not found:
                if changed is None:
                    return
                await changed.wait()

    async def list(self, query: Query) -> Page:
        """A page of the executions on record, newest first."""
        return await self.parts.store.list(query)

    async def artifact(self, execution_id: str, digest: str) -> bytes:
        """The content of an artifact."""
        return await self.parts.store.artifact(execution_id, digest)

    async def health(self) -> Mapping[str, Mapping[str, Health]]:
        """Whether each runtime and each tool can be used."""
        return await examined(self.parts)

    def load(self) -> Load:
        """How busy the engine is."""
        running = sum(d.execution.status is ExecutionStatus.RUNNING for d in self._drivers.values())
        return Load(
            running=running,
            pending=len(self._drivers) - running,
            executions=self._options.executions,
            steps_running=self._shared.steps.borrowed,
            steps=self._options.steps,
        )

    def place(self, execution_id: str) -> str:
        """Where a person finds the snapshot."""
        return self.parts.store.place(execution_id)

    # --- how

    def _drive(self, execution: Execution, log: ExecutionLog) -> Execution:
        if self._tasks is None:
            raise EngineError("The engine is not open.")
        driver = self._drivers[execution.id] = Driver(execution, log, self.parts, self._shared)
        self._tasks.start_soon(self._run, driver)
        return execution

    async def _run(self, driver: Driver) -> None:
        name = driver.execution.id
        try:
            # A cancelled host comes to __aexit__, where what runs is interrupted on record.
            with driver.scope:
                await driver.run(self._options.owner)
        except Exception:  # noqa: BLE001 - one execution's defect must not end the others
            _log.exception("the driver of %s failed; its record can be resumed", name)
        finally:
            if self._drivers.get(name) is driver:
                del self._drivers[name]
            if driver.unrecorded:
                self._unrecorded[name] = driver.execution
            self._rested(driver.execution)

    def _rested(self, execution: Execution) -> None:
        self._alarms.set(execution)
        if execution.status in _FINISHED:
            self._crowd.ended(execution.active_s)

    async def _wake(self, execution_id: str) -> None:
        """Go on with an execution whose time has come, unless somebody else has done so."""
        execution = await self.show(execution_id)
        at = wakes_at(execution)
        if at is not None and at > self.parts.clock.now():
            self._alarms.set(execution)
        elif at is not None:
            await self.resume(execution_id, Resume(by_itself=True))

    async def _stop(self, driver: Driver, mode: StopMode, reason: str) -> Execution:
        await driver.say(StopRequested(at=self.parts.clock.now(), mode=mode, reason=reason))
        if mode is not StopMode.AFTER_STEP:
            with anyio.move_on_after(self._options.grace_s):
                await driver.rested.wait()
        return driver.execution

    async def _leave(self, driver: Driver, reason: str) -> None:
        try:
            await self._stop(driver, StopMode.NOW, reason)
        except EngineError as error:
            _log.info("%s comes to rest without being told: %s", driver.execution.id, error)
            with anyio.move_on_after(self._options.grace_s):
                await driver.rested.wait()

    async def _ask_owner(self, wish: control.Wish) -> Execution:
        address = await self.parts.store.owner(wish.execution_id)
        if address == "":
            text = f"The process that drives {wish.execution_id} takes no requests."
            raise ExecutionOwned(text, field="execution_id")
        if address is not None:
            await control.ask(address, wish)
        return await self.show(wish.execution_id)

    async def fulfil(self, wish: control.Wish) -> None:
        """Do what another process asks for one of the executions driven here."""
        if wish.stop is not None:
            await self.interrupt(wish.execution_id, wish.stop, wish.reason)
        elif wish.answers.only_answers:
            await self.resume(wish.execution_id, wish.answers)
        else:
            await self.set_budget(wish.execution_id, wish.budget, reset=wish.reset)
