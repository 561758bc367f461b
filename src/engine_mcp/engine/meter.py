"""The meter: requests of scripts that were let through and are not on record yet."""

from engine_mcp.core.admission import pauses, reserved
from engine_mcp.core.budget import Limits
from engine_mcp.core.event import AttemptFailed, AttemptInterrupted, AttemptSucceeded, CallRecorded, Event
from engine_mcp.core.execution import Execution, Step
from engine_mcp.core.plan import StepKind

_ENDS = (AttemptSucceeded, AttemptFailed, AttemptInterrupted)


class Meter:
    """Counts the requests under way of one execution, so that none starts beyond a limit that pauses."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def take(self, execution: Execution, step_id: str, count: int) -> bool:
        """Let `count` more requests of a step through, unless a limit forbids it."""
        step = execution.steps[step_id]
        if count and not (self._within(execution, count) and self._within_step(execution, step, count)):
            return False
        self._open[step_id] = self._open.get(step_id, 0) + count
        return True

    def _within(self, execution: Execution, count: int) -> bool:
        limit = execution.budget.max_requests
        if limit is None or not pauses(execution.budget):
            return True
        held = reserved(execution.running).requests + sum(self._open.values())
        return execution.usage.requests + held + count <= limit

    def _within_step(self, execution: Execution, step: Step, count: int) -> bool:
        limits: Limits = execution.budget.merged(step.spec.budget)
        limit = step.spec.budget.max_requests
        if limit is None or not pauses(limits):
            return True
        used = step.requests + sum(attempt.usage.requests for attempt in step.attempts)
        return used + self._open.get(step.spec.id, 0) + count <= limit

    def settle(self, execution: Execution, event: Event) -> None:
        """Count what is on record no longer as under way."""
        if isinstance(event, CallRecorded):
            self._open[event.step] = self._open.get(event.step, 0) - event.requests
        elif isinstance(event, _ENDS) and execution.steps[event.step].spec.kind is StepKind.CODE:
            self._open.pop(event.step, None)
