"""What helps an execution that rests: the exact calls, for a model or a person to make."""

import math
from collections.abc import Iterator

from engine_mcp.core.admission import spent, used_by
from engine_mcp.core.budget import Limits, Resource, Usage
from engine_mcp.core.execution import Execution, ExecutionStatus, StepStatus
from engine_mcp.core.period import Room, Standing
from engine_mcp.server.remedies import BUDGET, RESUME
from engine_mcp.server.results import Action
from engine_mcp.server.times import utc

_FIELDS = {
    Resource.TOKENS: "max_tokens",
    Resource.COST: "max_cost_usd",
    Resource.SECONDS: "max_seconds",
    Resource.REQUESTS: "max_requests",
}
_CENTS = 100
_WAITED_FOR = {
    "quota": "Go on once the quota has begun anew{at}.",
    "billing": "Add credit or raise the limit at the provider, then go on.",
    "auth": "Log the runtime in or set its key, then go on.",
    "storage": "Free space or mend the directory, then go on.",
}
_UNPRICED = (
    "Go on with another model: name in `model` one that has a price; or give this one a price in the price"
    " file first."
)
NO_ROOM = Room()


def next_actions(execution: Execution, most: int, room: Room = NO_ROOM) -> list[Action]:
    """The calls that help now, naming at most `most` steps each; none where nothing is missing.

    `room` are the limits that all executions share and the operator's on each. Where there are several
    calls that resume, each is another way to go on.
    """
    match execution.status:
        case ExecutionStatus.INTERRUPTED:
            return [_resume(execution, "Go on where it stopped; completed steps are not run again.")]
        case ExecutionStatus.FAILED:
            return list(_failed(execution))
        case ExecutionStatus.PAUSED:
            return [*_approval(execution, most), *_paused(execution, room)] or [_resume(execution, "Go on.")]
        case _:
            return []


def _resume(execution: Execution, why: str, **changes: object) -> Action:
    return Action(why=why, tool=RESUME, arguments={"execution_id": execution.id, **changes})


def denied(execution: Execution) -> list[str]:
    """The steps that failed because somebody refused them: only asking for them anew brings them back."""
    failures = ((name, step.failure) for name, step in execution.steps.items())
    return [name for name, why in failures if why is not None and why.code == "approval_denied"]


def _failed(execution: Execution) -> Iterator[Action]:
    failed = [name for name, step in execution.steps.items() if step.status is StepStatus.FAILED]
    refused = denied(execution)
    if not refused or len(refused) < len(failed):
        why = "Try the failed steps again, or give `steps` to replace those that are not completed."
        yield _resume(execution, why)
        yield from _elsewhere(execution)
    if refused:
        why = "Ask for the step that was denied once more, with all that depend on it; then approve it."
        yield _resume(execution, why, from_step=refused[0])
    elif failed:
        why = "Run the failed step anew, in a new session, with all that depend on it."
        yield _resume(execution, why, from_step=failed[0])


def _elsewhere(execution: Execution) -> Iterator[Action]:
    """On the runtime that could take the place of the one in use; none where the caller forced one."""
    for step in execution.steps.values():
        choice = step.choice
        if choice is None or choice.forced or step.status is StepStatus.COMPLETED:
            continue
        others = [route.runtime for route in choice.others if route.runtime != choice.runtime]
        if others:
            yield _resume(
                execution, f"Go on with {others[0]} in place of {choice.runtime}.", runtime=others[0]
            )
            return


def _approval(execution: Execution, most: int) -> list[Action]:
    waiting = [name for name, step in execution.steps.items() if step.status is StepStatus.AWAITING_APPROVAL][
        :most
    ]
    if not waiting:
        return []
    return [
        _resume(execution, "Approve the steps that wait for it; name others under `deny`.", approve=waiting)
    ]


def _paused(execution: Execution, room: Room) -> Iterator[Action]:
    """What brings that for which the execution waits."""
    match execution.reason:
        case "budget":
            yield from _budget(execution, room)
        case "unpriced":
            yield _resume(execution, _UNPRICED)
            yield _resume(execution, "Go on at limits with a warning.", budget={"on_exceed": "warn"})
        case ("quota" | "billing" | "auth" | "storage") as reason:
            at = "" if execution.until is None else f", at {utc(execution.until)}"
            yield _resume(execution, _WAITED_FOR[reason].format(at=at))
            yield from _elsewhere(execution) if reason != "storage" else ()
        case _:
            pass


def _budget(execution: Execution, room: Room) -> Iterator[Action]:
    """Twice the limit that is reached; the caller may well choose another."""
    used = spent(execution, execution.updated_at)
    limits, of_steps = _doubled(execution.budget, used), _of_steps(execution)
    changes = {name: value for name, value in (("budget", limits), ("step_budgets", of_steps)) if value}
    if changes:
        yield _resume(execution, "Raise the limit that was reached and go on.", **changes)
    shared = list(_shared(execution, room, used))
    yield from shared
    if shared or not changes:
        yield _resume(execution, _then(execution, shared=bool(shared)))


def _then(execution: Execution, *, shared: bool) -> str:
    if shared:
        return "Go on once there is room."
    if execution.until is not None:
        return "A shared limit is reached: go on once it has begun anew."
    return "A step used up its share: what is left is shared anew, or raise limits in `step_budgets`."


def _of_steps(execution: Execution) -> dict[str, dict[str, float]]:
    """Twice the limits of their own that steps have reached, by step."""
    steps = ((name, step) for name, step in execution.steps.items() if not step.settled)
    found = {name: _doubled(step.spec.budget, used_by(step)) for name, step in steps}
    return {name: limits for name, limits in found.items() if limits}


def _shared(execution: Execution, room: Room, used: Usage) -> Iterator[Action]:
    """What can be done about limits that are not the execution's own."""
    for standing in room.standings:
        mine = standing.period is None
        limits = _doubled(standing.limits, used if mine else standing.spent)
        if not limits:
            continue
        scope = (
            {"execution_id": execution.id} if standing.period is None else {"scope": standing.period.value}
        )
        if standing.cap:
            why = f"Only the operator's settings can raise {', '.join(limits)}{_anew(standing)}; see it here."
            yield Action(why=why, tool=BUDGET, arguments=scope)
        else:
            why = f"Raise the limit that all executions of this {standing.period} share."
            yield Action(why=why, tool=BUDGET, arguments={**scope, "budget": limits})


def _anew(standing: Standing) -> str:
    return "" if standing.period is None else f"; it begins anew with the next {standing.period}"


def _doubled(limits: Limits, used: Usage) -> dict[str, float]:
    """Twice each limit that is reached, or twice what is used already."""
    return {
        _FIELDS[kind]: _raised(limit, used.of(kind), kind)
        for kind in Resource
        if (limit := limits.of(kind)) is not None and used.of(kind) >= limit
    }


def _raised(limit: float, used: float, kind: Resource) -> float:
    twice = max(1, 2 * limit)
    if used < twice:
        return twice
    return math.ceil(2 * used * _CENTS) / _CENTS if kind is Resource.COST else math.ceil(2 * used)
