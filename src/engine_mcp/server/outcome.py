"""What a call really did, in a sentence."""

from engine_mcp.core.budget import Limits
from engine_mcp.core.execution import Execution, ExecutionStatus, StepStatus
from engine_mcp.core.period import Period
from engine_mcp.errors import ExecutionFinished
from engine_mcp.server.amounts import shown_limits
from engine_mcp.server.fitting import cut

_NAMES_BYTES = 200
_FOR_GOOD = "What it did can be read with `engine_status`; for more start another execution."


def interrupted(before: Execution, after: Execution) -> str:
    """What an interrupt did, by the execution as it was before and as it is after."""
    done = sum(step.status is StepStatus.COMPLETED for step in after.steps.values())
    kept = f"{done} of {len(after.steps)} steps are completed and kept"
    match after.status:
        case ExecutionStatus.COMPLETED | ExecutionStatus.FAILED:
            return f"It had {after.status} before it could be stopped; {kept}."
        case ExecutionStatus.PENDING | ExecutionStatus.RUNNING:
            return f"It is stopping and waits for {_running(after)}; {kept}."
        case _ if before.stopping is None and after.stopping is not None:
            return f"It stays {after.status} and does not go on by itself any more; {kept}."
        case _ if before.status is after.status:
            return f"It was {after.status} already; nothing changed; {kept}."
        case _:
            return f"It is {after.status}; {_stopped(before)} {kept}."


def final(execution: Execution, error: ExecutionFinished) -> ExecutionFinished:
    """The same error, with a hint that fits where no part of the execution can run again."""
    if execution.status is not ExecutionStatus.CANCELLED:
        return error
    return ExecutionFinished(error.message, field=error.field, hint=_FOR_GOOD)


def budget_changed(limits: Limits, *, reset: bool) -> str:
    """What a change of a budget did."""
    return _sentence("The limits are those of the plan again" if reset else "", limits)


def period_changed(period: Period, before: Limits, limits: Limits, *, reset: bool) -> str:
    """What a change of the limits of a period did, which were `before`."""
    gone = f"The limits of this {period} that were set are taken away: {_named(before) or 'there were none'}"
    return _sentence(f"{gone}; what is spent still counts" if reset else "", limits)


def _sentence(reset: str, limits: Limits) -> str:
    named = _named(limits)
    return f"{'; '.join(part for part in (reset, f'set: {named}' if named else '') if part)}."


def _named(limits: Limits) -> str:
    return ", ".join(f"{name} = {value}" for name, value in shown_limits(limits).dumped().items())


def _running(execution: Execution) -> str:
    names = ", ".join(step.spec.id for step in execution.running)
    return cut(names, _NAMES_BYTES) or "its process"


def _stopped(before: Execution) -> str:
    count = len(before.running)
    return f"{count} running steps were stopped ({_running(before)});" if count else "nothing was running;"
