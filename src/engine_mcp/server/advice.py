"""What helps an execution that rests: the exact calls, for a model or a person to make."""

from engine_mcp.core.admission import spent
from engine_mcp.core.budget import Limits, Resource
from engine_mcp.core.execution import Execution, ExecutionStatus, StepStatus
from engine_mcp.server.results import Action

_FIELDS = {
    Resource.TOKENS: "max_tokens",
    Resource.COST: "max_cost_usd",
    Resource.SECONDS: "max_seconds",
    Resource.REQUESTS: "max_requests",
}


def next_actions(execution: Execution, most: int) -> list[Action]:
    """The calls that help now, naming at most `most` steps each; none where nothing is missing."""
    match execution.status:
        case ExecutionStatus.INTERRUPTED:
            return [_resume(execution, "Go on where it stopped; completed steps are not run again.")]
        case ExecutionStatus.FAILED:
            why = "Try the failed steps again, or give `steps` to replace those that are not completed."
            return [_resume(execution, why)]
        case ExecutionStatus.PAUSED:
            return [*_approval(execution, most), *_budget(execution)] or [_resume(execution, "Go on.")]
        case _:
            return []


def _resume(execution: Execution, why: str, **changes: object) -> Action:
    return Action(why=why, tool="engine_resume", arguments={"execution_id": execution.id, **changes})


def _approval(execution: Execution, most: int) -> list[Action]:
    waiting = [name for name, step in execution.steps.items() if step.status is StepStatus.AWAITING_APPROVAL][
        :most
    ]
    if not waiting:
        return []
    return [
        _resume(execution, "Approve the steps that wait for it; name others under `deny`.", approve=waiting)
    ]


def _budget(execution: Execution) -> list[Action]:
    """Twice the limit that is reached; the caller may well choose another."""
    if execution.reason != "budget":
        return []
    used = spent(execution, execution.updated_at)
    limits = {
        _FIELDS[kind]: _raised(execution.budget, kind)
        for kind in Resource
        if (limit := execution.budget.of(kind)) is not None and used.of(kind) >= limit
    }
    if not limits:
        why = "A step used up its share or its own limit: what is left is shared anew, or give `steps`."
        return [_resume(execution, why)]
    return [_resume(execution, "Raise the limit that was reached and go on.", budget=limits)]


def _raised(limits: Limits, kind: Resource) -> float:
    return max(1, 2 * (limits.of(kind) or 0))
