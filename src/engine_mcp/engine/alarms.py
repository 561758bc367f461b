"""Alarms: executions that wait for a time are woken when it has come."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio

from engine_mcp.core.approval import first_until
from engine_mcp.core.execution import Execution, ExecutionStatus, StepStatus
from engine_mcp.core.listing import Query
from engine_mcp.errors import Busy, EngineError
from engine_mcp.ports import Clock, Store

_log = logging.getLogger(__name__)
PAGE = 200
AGAIN_S = 60.0
"""How soon it is tried again to wake an execution that could not go on."""
SOONEST_S = 5.0
"""How soon an execution is woken again at the earliest."""

Wake = Callable[[str], Awaitable[None]]


def wakes_at(execution: Execution) -> float | None:
    """When an execution goes on by itself, in Unix seconds; None if it does not.

    An approval that was asked for with a time limit is given up then; a quota or a new day is only waited
    for where the plan says so. What somebody stopped while it waited goes on once somebody resumes it.
    """
    if execution.status is not ExecutionStatus.PAUSED or execution.stopping is not None:
        return None
    asking = [step for step in execution.steps.values() if step.status is StepStatus.AWAITING_APPROVAL]
    waits = execution.until if execution.plan.auto_resume and execution.reason != "approval" else None
    return min((at for at in (first_until(asking), waits) if at is not None), default=None)


class Alarms:
    """Calls `wake` with the id of each execution at its time, one after the other."""

    def __init__(self, clock: Clock, wake: Wake) -> None:
        self._clock, self._wake = clock, wake
        self._times: dict[str, float] = {}
        self._woken: dict[str, float] = {}
        self._changed = anyio.Event()

    def set(self, execution: Execution) -> None:
        """Wake the execution when it is time, if it is to be woken at all."""
        at = wakes_at(execution)
        if at is None:
            self._times.pop(execution.id, None)
        else:
            self._times[execution.id] = max(at, self._woken.get(execution.id, 0.0) + SOONEST_S)
        self._changed.set()

    async def set_all(self, store: Store) -> None:
        """Wake the paused executions of earlier engines too, when it is time."""
        query = Query(status=ExecutionStatus.PAUSED, limit=PAGE)
        while rows := (await store.list(query)).rows:
            for row in rows:
                try:
                    self.set(await store.read(row.id))
                except EngineError as error:
                    _log.warning("%s is left as it is: %s", row.id, error)
            query = replace(query, after=rows[-1].id)

    async def run(self) -> None:
        """Wake executions for ever."""
        while True:
            self._changed = anyio.Event()
            if not self._times:
                await self._changed.wait()
                continue
            name, at = min(self._times.items(), key=lambda item: item[1])
            if self._clock.now() >= at:
                del self._times[name]
                self._woken[name] = self._clock.now()
                try:
                    await self._wake(name)
                except Busy as full:
                    _log.info("%s waits on: %s", name, full.message)
                    self._times[name] = self._clock.now() + (full.retry_after_s or AGAIN_S)
                except Exception:  # noqa: BLE001 - whatever it is must not end the executions that run
                    _log.exception("%s does not go on by itself yet", name)
                    self._times[name] = self._clock.now() + AGAIN_S
                continue
            async with anyio.create_task_group() as race:
                race.start_soon(self._until, at, race.cancel_scope)
                await self._changed.wait()
                race.cancel_scope.cancel()

    async def _until(self, at: float, race: anyio.CancelScope) -> None:
        await self._clock.sleep_until(at)
        race.cancel()
