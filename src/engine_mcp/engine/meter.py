"""The meter: requests that were let through and are not on record yet."""

import anyio

from engine_mcp.core.admission import left_of, pauses, reserved, stops
from engine_mcp.core.budget import Limits
from engine_mcp.core.event import (
    AttemptFailed,
    AttemptInterrupted,
    AttemptSucceeded,
    CallRecorded,
    Event,
    StopRequested,
)
from engine_mcp.core.execution import Execution, Step, StopMode
from engine_mcp.core.plan import StepKind
from engine_mcp.engine.attempt import Running
from engine_mcp.engine.desk import Desk

_ENDS = (AttemptSucceeded, AttemptFailed, AttemptInterrupted)


class Meter:
    """Counts the requests under way of one execution, so that none starts beyond a limit that pauses.

    What attempts reserved when they started is not among them.
    """

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._drawn: dict[str, int] = {}
        self.changed = anyio.Event()

    @property
    def idle(self) -> bool:
        """Whether no request is under way that somebody could wait for."""
        return not any(count > 0 for counts in (self._open, self._drawn) for count in counts.values())

    def calls(self, step: str) -> bool:
        """Whether requests of a step's calls are under way."""
        return self._open.get(step, 0) > 0 or self._drawn.get(step, 0) > 0

    def take(self, desk: Desk, step_id: str, count: int, *, reserved: int = 0) -> bool:
        """Let `count` more requests of a step through, unless a limit forbids it.

        `reserved` of them the step's attempt has reserved already.
        """
        execution = desk.execution
        step, more = execution.steps[step_id], count - reserved
        if count and not reserved and self._draw(step, count):
            return True
        if more and not (self._within_cap(desk, more) and _is_free(desk)):
            return False
        if count and not (self._within(execution, more) and self._within_step(execution, step, count)):
            return False
        self._open[step_id] = self._open.get(step_id, 0) + more
        return True

    def _draw(self, step: Step, count: int) -> bool:
        """Take a call of an agent out of the share of its attempt, if that holds so much."""
        name = step.spec.id
        drawn = self._drawn.get(name, 0)
        if step.spec.kind is StepKind.TOOL or left_of(step).requests - drawn < count:
            return False
        self._drawn[name] = drawn + count
        return True

    def _within(self, execution: Execution, count: int) -> bool:
        limit = execution.budget.max_requests
        if limit is None or not pauses(execution.budget):
            return True
        held = reserved(execution.running).requests + sum(self._open.values())
        return execution.usage.requests + held + count <= limit

    def _within_cap(self, desk: Desk, count: int) -> bool:
        """Whether the operator's cap on each execution leaves room for more."""
        cap, execution = desk.outlook.caps.max_requests, desk.execution
        held = reserved(execution.running).requests + sum(self._open.values())
        return cap is None or execution.usage.requests + held + count <= cap

    def _within_step(self, execution: Execution, step: Step, count: int) -> bool:
        limits: Limits = execution.budget.merged(step.spec.budget)
        limit = step.spec.budget.max_requests
        if limit is None or not pauses(limits):
            return True
        used = step.requests + step.used.requests + sum(attempt.usage.requests for attempt in step.attempts)
        return used + self._open.get(step.spec.id, 0) + count <= limit

    def settle(self, event: Event) -> None:
        """Count what is on record no longer as under way, and wake who waits for it."""
        if isinstance(event, CallRecorded):
            counts = self._drawn if self._drawn.get(event.step, 0) >= event.requests > 0 else self._open
            counts[event.step] = counts.get(event.step, 0) - event.requests
        elif isinstance(event, _ENDS):
            self._open.pop(event.step, None)
            self._drawn.pop(event.step, None)
        self.changed.set()
        self.changed = anyio.Event()


def _held_elsewhere(execution: Execution, step_id: str) -> bool:
    """Whether other attempts hold requests that they may not need."""
    return any(left_of(step).requests > 0 for step in execution.running if step.spec.id != step_id)


def _is_free(desk: Desk) -> bool:
    """Whether no limit on the requests of a period stops the execution: those come out of a share only."""
    budget = desk.execution.budget
    standings = desk.outlook.room.standings
    return not any(stops(one, budget) and one.limits.max_requests is not None for one in standings)


async def admit(attempt: Running, meter: Meter, requests: int, *, reserved: int = 0) -> None:
    """Return once an attempt may make so many requests; at a limit, have the execution pause instead.

    It pauses once the calls under way have ended, since they are paid for, and nothing is held that may
    come back: shares are held by attempts that never wait here. `reserved` of the requests
    the attempt reserved when it started.
    """
    step = attempt.started.step
    while not meter.take(attempt.desk, step, requests, reserved=reserved):
        if meter.idle and not _held_elsewhere(attempt.desk.execution, step):
            now = attempt.parts.clock.now()
            attempt.desk.post(StopRequested(at=now, mode=StopMode.PAUSE, reason="budget"))
            await anyio.sleep_forever()
        await meter.changed.wait()
