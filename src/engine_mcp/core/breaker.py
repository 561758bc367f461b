"""Circuit breakers: what is known to be broken, by the part of a route, and when it may be tried again.

A breaker opens after `FAILURES` failures in a row within `WITHIN_S`, for `OPEN_S` that double with each
failed trial up to `LONGEST_OPEN_S`. Some failures open it at once: a rate limit for as long as was asked
for, else `COOLDOWN_S`; a used up quota until it resets, else `QUOTA_S`; a missing runtime for `LOOK_S`, a
missing model for `MODEL_S`. Without credit or access it stays open until somebody resets it.

An open breaker whose time is over lets one attempt through, the trial. One that has not ended after
`TRIAL_S`, or whose process is gone, counts as abandoned, and another attempt may take its place.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from engine_mcp.core.execution import Failure
from engine_mcp.core.retry import asked_until
from engine_mcp.core.route import Domain
from engine_mcp.core.treatment import Treatment, Trip

FAILURES = 5
WITHIN_S = 600.0
OPEN_S = 30.0
LONGEST_OPEN_S = 1800.0
_DOUBLINGS = 10
COOLDOWN_S = 60.0
QUOTA_S = 6 * 3600.0
LOOK_S = 30.0
MODEL_S = 300.0
TRIAL_S = 300.0
EVIDENCE = 300
"""Characters kept of what the newest failure said."""


class BreakerState(StrEnum):
    """closed: attempts go through; open: none does; half_open: one tries it out, the others wait."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """The breaker of one part of a route (`Route.part`); times are Unix seconds.

    `failures` counts those since the last success, the first of them at `since`; `code` and `evidence`
    tell of the newest. `openings` counts how often in a row they opened it. `retry_at` is when an open
    breaker lets one attempt through; None: only once somebody resets it. `trier` is the process that tries
    out a half-open one, its number and when it started, where that is known.
    """

    part: str
    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    changed_at: float = 0.0
    retry_at: float | None = None
    code: str = ""
    evidence: str = ""
    since: float = 0.0
    openings: int = 0
    trier: tuple[int, float] | None = field(default=None, compare=False)


def counted(
    breaker: Breaker | None, part: str, failure: Failure, treatment: Treatment, now: float
) -> Breaker | None:
    """The breaker of `part` once a failure is noted that ended at `now`; None if there is nothing to note."""
    if not part or treatment.trip is Trip.NOTHING:
        return None
    held = breaker or Breaker(part=part)
    if held.state is BreakerState.OPEN and blocks(held, now):
        return _longer(held, failure, treatment, now)
    if treatment.trip is Trip.COOLDOWN:
        return _opened(_told(held, failure), _reopens(failure, treatment, now), now)
    held = _one_more(held, failure, now)
    enough = FAILURES if treatment.trip is Trip.COUNT else 1 + (treatment.tries or 0)
    if held.state is BreakerState.CLOSED and held.failures < enough:
        return held
    if treatment.trip is Trip.AT_ONCE:
        return _opened(held, _reopens(failure, treatment, now), now)
    lasting = min(LONGEST_OPEN_S, OPEN_S * 2.0 ** min(held.openings, _DOUBLINGS))
    return _opened(replace(held, openings=held.openings + 1), now + lasting, now)


def _longer(held: Breaker, failure: Failure, treatment: Treatment, now: float) -> Breaker | None:
    """An open breaker after a failure of an attempt that was under way when it opened.

    It may have to stay open for longer, never for less; what only counts says nothing new.
    """
    if treatment.trip is Trip.COUNT or held.retry_at is None:
        return None
    if treatment.trip is Trip.AT_ONCE and treatment.tries:
        return None
    until = _reopens(failure, treatment, now)
    if until is not None and until <= held.retry_at:
        return None
    return replace(_told(held, failure), retry_at=until)


def _one_more(held: Breaker, failure: Failure, now: float) -> Breaker:
    if held.failures == 0 or now - held.since > WITHIN_S:
        held = replace(held, failures=0, since=now)
    return replace(_told(held, failure), failures=held.failures + 1)


def _told(held: Breaker, failure: Failure) -> Breaker:
    return replace(held, code=failure.code, evidence=failure.message[:EVIDENCE])


def _opened(held: Breaker, until: float | None, now: float) -> Breaker:
    return replace(held, state=BreakerState.OPEN, changed_at=now, retry_at=until)


def _reopens(failure: Failure, treatment: Treatment, now: float) -> float | None:
    """When a breaker that one failure opens lets an attempt through."""
    asked = asked_until(failure, now)
    if treatment.trip is Trip.COOLDOWN:
        return asked if asked > now else now + COOLDOWN_S
    if treatment.pause == "quota":
        return quota_until(failure, now)
    match treatment.domain:
        case Domain.HARNESS:
            return now + LOOK_S
        case Domain.MODEL:
            return now + MODEL_S
        case _:
            return None


def quota_until(failure: Failure, now: float) -> float:
    """When a used up quota is looked at again: once it resets, soon if it should have, late if unknown."""
    asked = asked_until(failure, now)
    if asked > now:
        return asked
    return now + (QUOTA_S if failure.retry_at is None else COOLDOWN_S)


def reset(breaker: Breaker, now: float) -> Breaker:
    """The breaker closed and without failures, because somebody says that it is mended."""
    return Breaker(part=breaker.part, changed_at=now)


def healed(breaker: Breaker, now: float, *, began: float | None = None) -> Breaker:
    """The breaker closed and without failures, because an attempt succeeded.

    `began` is when that attempt started, if it is known: one that started before the breaker opened says
    nothing of what is broken now, and the breaker stays as it is.
    """
    stale = began is not None and breaker.state is not BreakerState.CLOSED and began < breaker.changed_at
    return breaker if stale else reset(breaker, now)


def free_at(breaker: Breaker, now: float) -> float | None:
    """When a breaker that blocks is worth another look, always after `now`; None: once it is reset.

    A trial is looked at more often than it may take, since it can succeed at any time.
    """
    if breaker.state is BreakerState.HALF_OPEN:
        return min(breaker.changed_at + TRIAL_S, now + OPEN_S)
    return breaker.retry_at


def blocks(breaker: Breaker, now: float) -> bool:
    """Whether no attempt may go through."""
    match breaker.state:
        case BreakerState.CLOSED:
            return False
        case BreakerState.OPEN:
            return breaker.retry_at is None or now < breaker.retry_at
        case BreakerState.HALF_OPEN:
            return now < breaker.changed_at + TRIAL_S


def tried(breaker: Breaker, now: float) -> Breaker:
    """The breaker once an attempt goes through: half-open if it was open, or if its trial was abandoned.

    One that blocks, or is closed, stays as it is.
    """
    if breaker.state is BreakerState.CLOSED or blocks(breaker, now):
        return breaker
    return replace(breaker, state=BreakerState.HALF_OPEN, changed_at=now)


def given_up(breaker: Breaker, now: float) -> Breaker:
    """The breaker whose trial ended without saying anything: the next attempt may try at once."""
    if breaker.state is not BreakerState.HALF_OPEN:
        return breaker
    return replace(breaker, state=BreakerState.OPEN, retry_at=now)
