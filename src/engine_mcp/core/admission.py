"""Admission: whether the budget lets an attempt start, and what it reserves while it runs."""

from collections.abc import Iterable
from dataclasses import replace
from enum import Enum, auto

from engine_mcp.core.budget import MICROS, Limits, OnExceed, Resource, Usage
from engine_mcp.core.execution import Execution, Step, StepStatus
from engine_mcp.core.plan import StepKind

_SPENDS = {
    StepKind.CODE: (Resource.SECONDS,),
    StepKind.TOOL: (Resource.SECONDS, Resource.REQUESTS),
    StepKind.AGENT: tuple(Resource),
}
_ONE = Usage(requests=1)
_NOTHING = Usage()


class Admission(Enum):
    """Start; wait for what running attempts have reserved; or there is nothing left to spend."""

    START = auto()
    WAIT = auto()
    EXHAUSTED = auto()


def pauses(limits: Limits) -> bool:
    """Whether reaching a limit stops the execution; where nobody said, it does."""
    return limits.on_exceed is not OnExceed.WARN


def spent(execution: Execution, now: float) -> Usage:
    """What the execution has used; its seconds are those it has been running, not those of its steps."""
    return replace(execution.usage, seconds=execution.active_seconds(now))


def reserved(running: Iterable[Step]) -> Usage:
    """What the running attempts may still use beyond what they already used."""
    return sum(
        (_beyond(step.attempt.reserved, step.used) for step in running if step.attempt), start=_NOTHING
    )


def _beyond(share: Usage, used: Usage) -> Usage:
    """What is left of the share of an attempt that has said what it used."""
    return Usage(
        requests=max(0, share.requests - used.requests),
        tokens_out=max(0, int(share.of(Resource.TOKENS) - used.of(Resource.TOKENS))),
        cost_micros=max(0, share.cost_micros - used.cost_micros),
    )


def need(execution: Execution, step: Step, held: Usage, *, places: int, now: float) -> Usage:
    """What an attempt of the step reserves when it starts.

    An agent's attempt reserves its share of the money and the tokens that are left and not `held`,
    where so many `places` are to be filled; an amount of 0 sets no bound.
    """
    if step.spec.kind is StepKind.CODE:
        return _NOTHING
    if step.spec.kind is StepKind.TOOL or not (execution.budget.limited or step.spec.budget.limited):
        return _ONE
    used = spent(execution, now) + held
    cost = _share(execution, step, used, Resource.COST, places)
    tokens = _share(execution, step, used, Resource.TOKENS, places)
    return replace(_ONE, cost_micros=cost, tokens_out=tokens)


def _share(execution: Execution, step: Step, used: Usage, kind: Resource, places: int) -> int:
    """What an attempt may use of a resource at most, in micro-dollars or tokens; 0 without a limit."""
    shares: list[int] = []
    if pauses(execution.budget) and (left := _left(execution.budget, used, kind)) is not None:
        shares.append(left // places)
    own = step.spec.budget
    if pauses(execution.budget.merged(own)) and (left := _left(own, _used(step), kind)) is not None:
        shares.append(left)
    return max(1, min(shares)) if shares else 0


def _left(limits: Limits, used: Usage, kind: Resource) -> int | None:
    limit, scale = limits.of(kind), MICROS if kind is Resource.COST else 1
    return None if limit is None else round(limit * scale) - round(used.of(kind) * scale)


def admit(execution: Execution, step: Step, held: Usage, now: float) -> Admission:
    """Whether an attempt of the step may start under the limits of the execution and its own.

    `held` is what the attempts under way have reserved.
    """
    kinds, own = _SPENDS[step.spec.kind], step.spec.budget
    if own.limited and pauses(execution.budget.merged(own)):
        verdict = _lacking(own, _used(step), _NOTHING, kinds)
        if verdict is not Admission.START:
            return verdict
    if not execution.budget.limited or not pauses(execution.budget):
        return Admission.START
    return _lacking(execution.budget, spent(execution, now), held, kinds)


def _used(step: Step) -> Usage:
    return sum((attempt.usage for attempt in step.attempts), start=_NOTHING)


def _lacking(limits: Limits, used: Usage, held: Usage, kinds: tuple[Resource, ...]) -> Admission:
    verdict = Admission.START
    for kind in kinds:
        limit = limits.of(kind)
        if limit is None:
            continue
        if used.of(kind) >= limit:
            return Admission.EXHAUSTED
        if used.of(kind) + held.of(kind) >= limit:
            verdict = Admission.WAIT
    return verdict


def deadline(execution: Execution, running: Iterable[Step], now: float) -> float | None:
    """When a limit of seconds that pauses is reached first, in Unix seconds: the execution's or a step's.

    The seconds of a step are those of its attempts; one that is about to run starts now. None without
    such a limit.
    """
    times: list[float] = []
    limit, since = execution.budget.max_seconds, execution.running_since
    if limit is not None and since is not None and pauses(execution.budget):
        times.append(since + max(0.0, limit - execution.active_s))
    for step in running:
        own = step.spec.budget
        if own.max_seconds is not None and pauses(execution.budget.merged(own)):
            since = step.attempts[-1].started_at if step.status is StepStatus.RUNNING else now
            times.append(since + max(0.0, own.max_seconds - _used(step).seconds))
    return min(times, default=None)


def passed(execution: Execution, now: float) -> tuple[Resource, ...]:
    """The resources whose limit is passed and that no warning has named yet."""
    if not execution.budget.limited:
        return ()
    used = spent(execution, now)
    return tuple(
        kind
        for kind in Resource
        if kind not in execution.warned
        and (limit := execution.budget.of(kind)) is not None
        and used.of(kind) > limit
    )
