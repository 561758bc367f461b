"""Approvals: a step that waits for one, and what becomes of it with the answer or without any."""

from collections.abc import Iterable

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.change import changed
from engine_mcp.core.execution import Asking, Failure, Step, StepStatus
from engine_mcp.core.plan import Unanswered
from engine_mcp.core.transitions import STEP, change

TIMEOUT = "timeout"
"""Who answers when nobody did in time."""


def asked(step: Step, now: float) -> Asking:
    """What the step waits for from now on."""
    limit = step.spec.approval_timeout_s
    return Asking(since=now, until=None if limit is None else now + limit)


def answered(step: Step, answer: Unanswered, by: str = "") -> Step:
    """The step once its approval was given, refused or given up; else raises IllegalTransition."""
    asking, code = step.asking, "approval_timeout" if by == TIMEOUT else "approval_denied"
    if answer is Unanswered.APPROVE:
        status = change(STEP, step.status, StepStatus.PENDING)
        if asking is not None and asking.digest:
            return changed(step, status=status, asking=None, granted=step.granted | {asking.digest})
        return changed(step, status=status, asking=None, approved=True)
    what = f"The call of {asking.call} in the step" if asking is not None and asking.call else "The step"
    how = "was not approved in time" if by == TIMEOUT else "was not approved"
    failure = Failure(code, f"{what} {step.spec.id!r} {how}.", CATALOGUE[code].remedy)
    to = StepStatus.SKIPPED if answer is Unanswered.SKIP else StepStatus.FAILED
    return changed(step, status=change(STEP, step.status, to), asking=None, failure=failure)


def overdue(steps: Iterable[Step], now: float) -> tuple[Step, ...]:
    """The steps among those that wait whose time is up."""
    return tuple(step for step in steps if (until := _until(step)) is not None and until <= now)


def first_until(steps: Iterable[Step]) -> float | None:
    """When the time of the first of the steps that wait is up, in Unix seconds; None if never."""
    return min((until for step in steps if (until := _until(step)) is not None), default=None)


def _until(step: Step) -> float | None:
    return step.asking.until if step.asking is not None else None
