"""Admission: whether the budget lets an attempt start, and what it reserves while it runs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from engine_mcp.core.budget import MICROS, Limits, OnExceed, Resource, Usage, remaining
from engine_mcp.core.execution import AttemptStatus, Execution, Step, StepStatus
from engine_mcp.core.outlook import CLEAR, Outlook
from engine_mcp.core.period import Room, Standing, limit_name
from engine_mcp.core.plan import StepKind

SPENDS = {
    StepKind.CODE: (Resource.SECONDS,),
    StepKind.TOOL: (Resource.SECONDS, Resource.REQUESTS),
    StepKind.AGENT: tuple(Resource),
}
"""What each kind of step can use."""
_SHARED_OUT = (Resource.COST, Resource.TOKENS)
_COUNTED = (*_SHARED_OUT, Resource.REQUESTS)
"""What is used piece by piece while an attempt runs, so that one may go beyond a limit."""
_NOTHING = Usage()
JUST_AFTER_S = 0.001
"""A limit is passed only once more is used than it says."""


class Admission(Enum):
    """Start; wait for what running attempts reserved; nothing is left to spend; or nobody knows the price."""

    START = auto()
    WAIT = auto()
    EXHAUSTED = auto()
    UNPRICED = auto()


def pauses(limits: Limits) -> bool:
    """Whether reaching a limit stops the execution; where nobody said, it does."""
    return limits.on_exceed is not OnExceed.WARN


def spent(execution: Execution, now: float) -> Usage:
    """What the execution has used; its seconds are those it has been running, not those of its steps."""
    return replace(execution.usage, seconds=execution.active_seconds(now))


def budget_left(execution: Execution, now: float) -> dict[str, float]:
    """What is left of the limits of an execution, by resource in the unit of its limit."""
    used = spent(execution, now)
    left = {str(kind): remaining(execution.budget, used, kind) for kind in Resource}
    return {kind: value for kind, value in left.items() if value is not None}


def reserved(running: Iterable[Step]) -> Usage:
    """What the running attempts may still use beyond what they already used."""
    return sum((left_of(step) for step in running), start=_NOTHING)


def left_of(step: Step) -> Usage:
    """What the attempt under way may still use of its share; it has said what it used."""
    if step.attempt is None or step.status is not StepStatus.RUNNING:
        return _NOTHING
    share, used = step.attempt.reserved, step.used
    return Usage(
        requests=max(0, share.requests - used.requests - step.requests),
        tokens_out=max(0, share.amount(Resource.TOKENS) - used.amount(Resource.TOKENS)),
        cost_micros=max(0, share.cost_micros - used.cost_micros),
        seconds=share.seconds,
    )


def used_by(step: Step) -> Usage:
    """What the attempts at a step used that have ended."""
    return sum((attempt.usage for attempt in step.attempts), start=_NOTHING)


@dataclass(slots=True)
class Purse:
    """What one decision may give to attempts: what is left, less what it has given already."""

    execution: Execution
    now: float
    outlook: Outlook = CLEAR
    held: Usage = _NOTHING
    given: Usage = field(default_factory=Usage)

    @property
    def free(self) -> bool:
        """Whether no limit stands that concerns the execution as a whole."""
        outlook = self.outlook
        return not (self.execution.budget.limited or outlook.caps.limited or outlook.room.standings)

    def take(self, share: Usage) -> None:
        """Count a share as given."""
        self.held += share
        self.given += share

    def admit(self, step: Step) -> Admission:
        """Whether an attempt of the step may start under every limit that pauses."""
        if self.free and not step.spec.budget.limited:
            return Admission.START
        verdict, kinds = Admission.START, SPENDS[step.spec.kind]
        for standing in self._pausing(step):
            for kind in kinds:
                match _lacking(standing, kind, _least(step, kind)):
                    case Admission.EXHAUSTED:
                        return Admission.EXHAUSTED
                    case Admission.WAIT:
                        verdict = Admission.WAIT
                    case _:
                        pass
        return Admission.UNPRICED if self._unpriced(step) else verdict

    def resets_at(self, step: Step) -> float | None:
        """When the limit that keeps the step from starting counts anew by itself, if it does."""
        times = [
            standing.resets_at
            for standing in self._pausing(step)
            if any(
                _lacking(standing, kind, _least(step, kind)) is Admission.EXHAUSTED
                for kind in SPENDS[step.spec.kind]
            )
        ]
        return None if None in times else max((at for at in times if at is not None), default=None)

    def need(self, step: Step, places: int) -> Usage:
        """What an attempt of the step reserves when it starts.

        An agent's attempt reserves its part of the money, the tokens and the requests that are left and not
        held, where so many `places` are to be filled; an amount of 0 sets no bound.
        """
        seconds = 0.0 if self.free else self._seconds(places)
        if step.spec.kind is StepKind.CODE:
            return Usage(requests=0 if self.free else self._calls(step, places), seconds=seconds)
        if step.spec.kind is StepKind.TOOL:
            return Usage(requests=1, seconds=seconds)
        if self.free and not step.spec.budget.limited:
            return Usage()
        found = {kind: self._share(step, kind, places) for kind in _COUNTED}
        return Usage(
            requests=found[Resource.REQUESTS],
            cost_micros=found[Resource.COST],
            tokens_out=found[Resource.TOKENS],
            seconds=seconds,
        )

    def overdrawn(self, running: Iterable[Step]) -> Iterator[Step]:
        """The attempts under way that may use more of what a limit leaves nothing of.

        That limit was set or lowered after they started, or others used more of it than they held.
        """
        if self.free:
            return
        full = {
            kind
            for standing in self._joint()
            for kind in _COUNTED
            if (limit := standing.limits.amount(kind)) is not None and standing.spent.amount(kind) >= limit
        }
        yield from (step for step in running if any(_may_use_more(step, kind) for kind in full))

    def _share(self, step: Step, kind: Resource, places: int) -> int:
        least = _least(step, kind)
        shares = [
            max(left // self._parts(standing, places), min(left, 2 * least))
            for standing in self._joint()
            if (left := standing.left(kind)) is not None
        ]
        shares += [left for standing in self._own(step) if (left := standing.left(kind)) is not None]
        return max(1, min(shares)) if shares else 0

    def _calls(self, step: Step, places: int) -> int:
        """The requests that the calls of a script may make, where a limit over a period stands on them."""
        lefts = [
            standing.left(Resource.REQUESTS) for standing in self._joint() if standing.period is not None
        ]
        known = [left for left in lefts if left is not None]
        return self._share(step, Resource.REQUESTS, places) if known and min(known) > 0 else 0

    def _parts(self, standing: Standing, places: int) -> int:
        """Into how many parts what is left is divided: others live on the limit of a period too."""
        return places if standing.period is None else places * max(1, self.outlook.sharers)

    def _seconds(self, places: int) -> float:
        """The seconds of attempts that a limit over a period leaves to one; 0 without such a limit."""
        shares = [
            left // self._parts(standing, places)
            for standing in self._joint()
            if standing.period is not None and (left := standing.left(Resource.SECONDS)) is not None
        ]
        return max(1, min(shares)) / MICROS if shares else 0.0

    def _unpriced(self, step: Step) -> bool:
        priced = step.choice is None or step.choice.priced
        return not priced and any(
            standing.limits.max_cost_usd is not None for standing in self._pausing(step)
        )

    def _pausing(self, step: Step) -> Iterator[Standing]:
        """The limits that stop the step."""
        yield from self._own(step)
        yield from self._joint()

    def _own(self, step: Step) -> Iterator[Standing]:
        own = step.spec.budget
        if own.limited and pauses(self.execution.budget.merged(own)):
            yield Standing(limits=own, spent=used_by(step))

    def _joint(self) -> Iterator[Standing]:
        """The limits that stop the execution: its own, the operator's, and those it shares with others."""
        execution, paid = self.execution, spent(self.execution, self.now)
        held = replace(self.held, seconds=0.0)  # an execution's seconds pass once, however many attempts run
        if execution.budget.limited and pauses(execution.budget):
            yield Standing(limits=execution.budget, spent=paid, held=held)
        if self.outlook.caps.limited:
            yield Standing(limits=self.outlook.caps, spent=paid, held=held, cap=True)
        for standing in self.outlook.room.standings:
            if stops(standing, execution.budget):
                yield replace(standing, held=standing.held + self.given)


def is_bound(step: Step) -> bool:
    """Whether a limit that pauses stands behind the share of the step's attempt under way."""
    attempt = step.attempt
    share = attempt.reserved if attempt is not None else _NOTHING
    return bool(share.cost_micros or share.amount(Resource.TOKENS) or share.requests)


def stops(standing: Standing, budget: Limits) -> bool:
    """Whether a shared limit stops an execution with this budget where it is reached."""
    return standing.cap or pauses(budget.merged(Limits(on_exceed=standing.limits.on_exceed)))


def _least(step: Step, kind: Resource) -> int:
    """What is known to be too little of a resource for another attempt, after one that used its share up.

    That is a share of which nothing could be used, and else the use of a turn like those before.
    """
    last = step.attempt
    if kind not in _SHARED_OUT or last is None or last.failure is None:
        return 0
    if last.status is not AttemptStatus.FAILED or last.failure.code != "spending_limit":
        return 0
    if not (used := last.usage.amount(kind)):
        return last.reserved.amount(kind)
    return -(-used // max(1, last.usage.requests))


def _lacking(standing: Standing, kind: Resource, least: int) -> Admission:
    limit = standing.limits.amount(kind)
    if limit is None:
        return Admission.START
    left = limit - standing.spent.amount(kind)
    if left <= least:
        return Admission.EXHAUSTED
    return Admission.WAIT if left - standing.held.amount(kind) <= least else Admission.START


def _is_unbounded(step: Step, kind: Resource) -> bool:
    """Whether no share bounds what the attempt under way may use; calls of scripts are let through singly."""
    attempt = step.attempt
    return step.spec.kind is StepKind.AGENT and attempt is not None and not attempt.reserved.amount(kind)


def _may_use_more(step: Step, kind: Resource) -> bool:
    return _is_unbounded(step, kind) or left_of(step).amount(kind) > 0


def exceeds(running: Iterable[Step], room: Room) -> bool:
    """Whether attempts under way may use more than shared limits leave: those were set or lowered since."""
    return any(
        left < 0 or any(_is_unbounded(step, kind) for step in running)
        for standing in room.standings
        for kind in _COUNTED
        if (left := standing.left(kind)) is not None
    )


def placed_at(step: Step, outlook: Outlook = CLEAR) -> float | None:
    """When the attempt under way at a step had its place; None while it waits for one.

    Where that is not known, it had it as it started.
    """
    started = step.attempts[-1].started_at
    began = outlook.began.get(step.spec.id, started)
    return None if began is None else max(began, started)


def share_ends(step: Step, outlook: Outlook = CLEAR) -> float | None:
    """When the share that the attempt under way has of the seconds of a period is used up; None without one.

    In Unix seconds. The wait for a place takes nothing of it.
    """
    share, began = step.attempts[-1].reserved.seconds, placed_at(step, outlook)
    return began + share if share and began is not None else None


def deadline(
    execution: Execution, running: Iterable[Step], now: float, outlook: Outlook = CLEAR
) -> float | None:
    """When a limit of seconds that pauses is reached first, in Unix seconds: the execution's or a step's.

    The seconds of a step are those of its attempts, without their wait for a place; one that is about to run
    starts now. None without such a limit.
    """
    times: list[float] = []
    since = execution.running_since
    for limits in (execution.budget, replace(outlook.caps, on_exceed=OnExceed.PAUSE)):
        limit = limits.max_seconds
        if limit is not None and since is not None and pauses(limits):
            times.append(since + max(0.0, limit - execution.active_s))
    for step in running:
        own = step.spec.budget
        if own.max_seconds is not None and pauses(execution.budget.merged(own)):
            since = placed_at(step, outlook) if step.status is StepStatus.RUNNING else now
            if since is not None:
                times.append(since + max(0.0, own.max_seconds - used_by(step).seconds))
    return min(times, default=None)


def warns_at(execution: Execution, now: float) -> float | None:
    """When a limit of seconds that only warns is passed, in Unix seconds; None if it was or there is none."""
    limit, since = execution.budget.max_seconds, execution.running_since
    if limit is None or since is None or pauses(execution.budget):
        return None
    at = since + max(0.0, limit - execution.active_s) + JUST_AFTER_S
    return at if at > now and limit_name(Resource.SECONDS) not in execution.warned else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A limit that was passed without stopping anything, and that no warning has named yet."""

    standing: Standing
    resource: Resource
    step: str = ""


def passed(
    execution: Execution, running: Iterable[Step], now: float, outlook: Outlook = CLEAR
) -> Iterator[Passed]:
    """The limits that are passed and that no warning has named yet; of steps, those that run."""
    for standing, step in _warning(execution, running, now, outlook):
        yield from passed_of(execution, standing, step)


def passed_of(execution: Execution, standing: Standing, step: str = "") -> Iterator[Passed]:
    """The resources of one limit that are passed and that no warning has named yet."""
    for kind in Resource:
        limit = standing.limits.amount(kind)
        if limit is None or limit_name(kind, standing.period, step, standing.resets_at) in execution.warned:
            continue
        if standing.spent.amount(kind) > limit:
            yield Passed(standing=standing, resource=kind, step=step)


def _warning(
    execution: Execution, running: Iterable[Step], now: float, outlook: Outlook
) -> Iterator[tuple[Standing, str]]:
    """The limits that only warn, with the id of the step that they belong to."""
    if execution.budget.limited and not pauses(execution.budget):
        yield Standing(limits=execution.budget, spent=spent(execution, now)), ""
    for standing in outlook.room.standings:
        if not stops(standing, execution.budget):
            yield standing, ""
    for step in running:
        if (own := own_warning(execution, step)) is not None:
            yield own, step.spec.id


def own_warning(execution: Execution, step: Step) -> Standing | None:
    """How a step stands to its own limits where they only warn; None where they do not."""
    own = step.spec.budget
    if not own.limited or pauses(execution.budget.merged(own)):
        return None
    running = step.used if step.status is StepStatus.RUNNING else _NOTHING
    return Standing(limits=own, spent=used_by(step) + running)
