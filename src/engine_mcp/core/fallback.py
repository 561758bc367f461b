"""The policy of faults: what follows a failed attempt, and whether a step's route is free to start on.

The table is `core.treatment`; here it meets what the plan allows, what is known to be broken and what the
step has been through.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf

from engine_mcp.core.breaker import Breaker, blocks, free_at, quota_until
from engine_mcp.core.execution import AttemptStatus, Failure, Step
from engine_mcp.core.retry import LONGEST_WAIT_S, asked_until, delay, tries_allowed
from engine_mcp.core.route import Allowed, Domain, Route
from engine_mcp.core.treatment import FallBack, Treatment, treatment

PATIENCE_S = 60.0
"""How long a rate limit is waited for before another way is taken."""
MOST_SWITCHES = 10
"""Changes of route that failed attempts of one execution may lead to."""
EXCERPT = 160
"""Characters shown of what a failure said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Try again on the same route, not before `at` (Unix seconds)."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """Go on with the route `to`, at once; `domain` is what broke, `why` a sentence with the evidence."""

    to: Route
    domain: Domain
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Stand before a closed door until a time (Unix seconds, after now), None: until somebody acts.

    `reason` is "quota", "billing", "auth" or "breaker", `why` a sentence with the evidence.
    """

    until: float | None
    reason: str
    why: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """No other attempt; `why` is a sentence with the evidence."""

    why: str


Verdict = Retry | Switch | Wait | Fail


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that a verdict depends on.

    `step` has the attempt that failed: still under way, with what it failed of in `failure`, or ended.
    `others` are the routes besides its own that the step may take, the best first; `forced`: not those of
    another runtime. `switches` are the domains in which the step has already changed its route, `switched`
    how often attempts of the whole execution have done so. `breakers` are keyed by part. `deadline` and
    `now` are Unix seconds; `key` tells the execution from others and fixes the jitter.
    """

    step: Step
    route: Route
    now: float
    others: tuple[Route, ...] = ()
    allowed: frozenset[Allowed] = frozenset()
    breakers: Mapping[str, Breaker] = field(default_factory=dict[str, Breaker])
    switches: tuple[Domain, ...] = ()
    switched: int = 0
    forced: bool = False
    deadline: float | None = None
    key: str = ""
    failure: Failure | None = None

    @property
    def tries(self) -> int:
        """The failed tries on this route, with the one that is judged."""
        last = self.step.attempt
        under_way = last is not None and last.status is AttemptStatus.RUNNING
        return max(1, self.step.tries + under_way)

    @property
    def jitter(self) -> float:
        """Seconds by which this step waits longer than it must, so that not all come back at once."""
        return delay(self.tries, f"{self.key}:{self.step.spec.id}")

    @property
    def failed(self) -> Failure:
        """What the attempt failed of; raises ValueError where none has failed."""
        last = self.step.attempt
        failure = self.failure or (last.failure if last is not None else None)
        if failure is None:
            msg = f"No attempt at the step {self.step.spec.id!r} has failed."
            raise ValueError(msg)
        return failure

    @property
    def ended(self) -> float:
        """When the attempt ended."""
        last = self.step.attempt
        return self.now if last is None or last.ended_at is None else last.ended_at

    def blocked(self, route: Route) -> Iterator[tuple[Domain, Breaker]]:
        """The breakers that keep attempts from a route."""
        for domain in Domain:
            breaker = self.breakers.get(route.part(domain)) if route.part(domain) else None
            if breaker is not None and blocks(breaker, self.now):
                yield domain, breaker

    def is_long(self, until: float) -> bool:
        """Whether another way is better than to wait so long."""
        return until - self.now > PATIENCE_S or self._is_late(until)

    def is_too_long(self, until: float) -> bool:
        """Whether the step is to give up its place rather than to wait so long in it."""
        return until - self.now > LONGEST_WAIT_S or self._is_late(until)

    def _is_late(self, until: float) -> bool:
        return self.deadline is not None and until > max(self.deadline, self.now)


@dataclass(frozen=True, slots=True)
class _Door:
    """A breaker that keeps attempts from a route until a time; None: until somebody resets it."""

    domain: Domain
    breaker: Breaker
    until: float | None

    @property
    def rule(self) -> Treatment:
        return treatment(self.breaker.code)


def after_failure(case: Case) -> Verdict:
    """What follows a failed attempt; raises ValueError where no attempt of the step has failed.

    It may be asked again until the next attempt starts: times are counted from the end of the failed one.
    """
    failure, door, may = case.failed, _door(case), case.switched < MOST_SWITCHES
    rule, held = treatment(failure.code), bool(case.step.messages)
    most = tries_allowed(failure.code, case.step.spec.max_attempts, held=held)
    here = most if rule.tries is None else min(most, 1 + rule.tries)
    shut = door is not None and not _is_brief(case, door)
    again = _round(case, door, may=may) if door is not None and shut else _again(case, rule, door)
    reset = quota_until(failure, case.ended) + case.jitter if rule.pause == "quota" else None
    if reset is not None and reset <= case.now:
        return again
    if case.tries < here and (shut or not case.is_long(asked_until(failure, case.ended))):
        return again
    if may and (way := _way(case, rule.domain, rule, failure)):
        return way
    if rule.pause is not None:
        return Wait(until=reset, reason=rule.pause, why=_evidence(case, rule.domain, failure))
    return again if case.tries < most else Fail(why=_gave_up(case, failure, rule))


def before_start(case: Case) -> Switch | Wait | None:
    """Whether the step's route is free: None if it is; else another one, or how long to wait for this.

    A breaker whose time is over keeps no attempt away: the next one is its trial. Changes of route
    before a start are not counted for `MOST_SWITCHES`, since nothing was lost by them.
    """
    door = _door(case)
    return None if door is None else _round(case, door, may=True)


def _door(case: Case) -> _Door | None:
    """The breaker that keeps attempts from the step's route for the longest time."""
    doors = [_Door(domain, held, free_at(held, case.now)) for domain, held in case.blocked(case.route)]
    return max(doors, key=lambda door: inf if door.until is None else door.until, default=None)


def _is_brief(case: Case, door: _Door) -> bool:
    """Whether a door is shut for a moment only, because of a rate limit."""
    return door.rule.fall_back is FallBack.IF_LONG and door.until is not None and not case.is_long(door.until)


def _round(case: Case, door: _Door, *, may: bool) -> Switch | Wait:
    """The way round a door, or the wait before it."""
    known = Failure(door.breaker.code, door.breaker.evidence)
    if may and not _is_brief(case, door) and (way := _way(case, door.domain, door.rule, known)):
        return way
    return replace(_wait(case, door.domain, door.rule, door.until), why=_evidence(case, door.domain, known))


def _again(case: Case, rule: Treatment, door: _Door | None) -> Retry | Wait:
    """Another try on the same route, once whoever failed has been left alone for as long as it asked."""
    until = asked_until(case.failed, case.ended)
    if door is not None and door.until is not None:
        until = max(until, door.until)
    if case.is_too_long(until):
        why = _evidence(case, rule.domain, case.failed)
        return replace(_wait(case, rule.domain, rule, until), why=why)
    return Retry(at=until + case.jitter)


def _wait(case: Case, domain: Domain, rule: Treatment, until: float | None) -> Wait:
    if until is None:
        return Wait(until=None, reason=rule.pause or ("auth" if domain is Domain.POOL else "breaker"))
    spent = domain is Domain.POOL and case.is_too_long(until)
    return Wait(until=until + case.jitter, reason=rule.pause or ("quota" if spent else "breaker"))


def _evidence(case: Case, domain: Domain, failure: Failure) -> str:
    return f"{_broken(case.route, domain)} {_said(failure)}."


def _way(case: Case, domain: Domain, rule: Treatment, failure: Failure) -> Switch | None:
    """The best other route, if the fault is one to go round and the step has not done so before.

    The best one leaves the least of what this one is, keeps the model if it can, and comes first.
    """
    if rule.fall_back is FallBack.NEVER or domain in case.switches:
        return None
    ways = [route for route in case.others if _is_free(case, domain, route)]
    here = case.route
    best = min(ways, key=lambda route: (len(_left(here, route)), route.model != here.model), default=None)
    if best is None:
        return None
    why = f"{_broken(here, domain)} {_said(failure)}; the step goes on in {_shown(best)}."
    return Switch(to=best, domain=domain, why=why)


def _is_free(case: Case, domain: Domain, route: Route) -> bool:
    """Whether a route is out of the domain that broke, within what is allowed, and not known to be broken."""
    here = case.route
    return (
        route.part(domain) != here.part(domain)
        and _left(here, route) <= case.allowed
        and (route.runtime == here.runtime or not case.forced)
        and not any(case.blocked(route))
    )


def _left(here: Route, there: Route) -> frozenset[Allowed]:
    """What a change of route leaves."""
    left = (
        (Allowed.FAMILY, here.family != there.family),
        (Allowed.POOL, here.pool != there.pool),
        (Allowed.TIER, here.tier != there.tier),
    )
    return frozenset(kind for kind, differs in left if differs)


def _broken(route: Route, domain: Domain) -> str:
    match domain:
        case Domain.HARNESS:
            return f"The runtime {route.runtime}"
        case Domain.ENDPOINT:
            return f"The endpoint {route.endpoint or f'of {route.runtime}'}"
        case Domain.POOL:
            return f"The account {repr(route.pool) if route.pool else f'of {route.runtime}'}"
        case _:
            return f"The {route.part(domain)}"


def _shown(route: Route) -> str:
    model = f" with {route.model}" if route.model else ""
    return f"{route.runtime}{model} on {route.pool}" if route.pool else f"{route.runtime}{model}"


def _said(failure: Failure) -> str:
    """How it failed, as the middle of a sentence."""
    words = " ".join(failure.message.split())
    told = words if len(words) <= EXCERPT else f"{words[: EXCERPT - 1]}…"
    return f"failed with {failure.code} (“{told}”)" if told else f"failed with {failure.code}"


def _gave_up(case: Case, failure: Failure, rule: Treatment) -> str:
    tries = "1 try" if case.tries == 1 else f"{case.tries} tries"
    other = "would mend that" if rule.fall_back is FallBack.NEVER else "is free and allowed"
    return f"The step {_said(failure)} after {tries} in {case.route.runtime}; no other route {other}."
