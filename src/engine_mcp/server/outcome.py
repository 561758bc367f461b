"""What a call really did, in a sentence."""

from engine_mcp.core.budget import Limits
from engine_mcp.core.execution import Execution, ExecutionStatus, StepStatus
from engine_mcp.server.fitting import cut
from engine_mcp.server.view import shown_limits

_NAMES_BYTES = 200


def interrupted(before: Execution, after: Execution) -> str:
    """What an interrupt did, by the execution as it was before and as it is after."""
    done = sum(step.status is StepStatus.COMPLETED for step in after.steps.values())
    kept = f"{done} of {len(after.steps)} steps are completed and kept"
    match after.status:
        case ExecutionStatus.COMPLETED | ExecutionStatus.FAILED:
            return f"It had {after.status} before it could be stopped; {kept}."
        case ExecutionStatus.PENDING | ExecutionStatus.RUNNING:
            return f"It is stopping and waits for {_running(after)}; {kept}."
        case _ if before.status is after.status:
            return f"It was {after.status} already; nothing changed; {kept}."
        case _:
            return f"It is {after.status}; {_stopped(before)} {kept}."


def budget_changed(limits: Limits, *, reset: bool) -> str:
    """What a change of a budget did."""
    set_ = ", ".join(f"{name} = {value}" for name, value in shown_limits(limits).dumped().items())
    parts = ["The limits are those of the plan again" if reset else "", f"set: {set_}" if set_ else ""]
    return f"{'; '.join(part for part in parts if part)}."


def _running(execution: Execution) -> str:
    names = ", ".join(step.spec.id for step in execution.running)
    return cut(names, _NAMES_BYTES) or "its process"


def _stopped(before: Execution) -> str:
    count = len(before.running)
    return f"{count} running steps were stopped ({_running(before)});" if count else "nothing was running;"
