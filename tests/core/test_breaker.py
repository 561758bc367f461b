"""Circuit breakers: when they open, for how long, and who may try."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.core.breaker import (
    COOLDOWN_S,
    EVIDENCE,
    FAILURES,
    LONGEST_OPEN_S,
    LOOK_S,
    MODEL_S,
    OPEN_S,
    QUOTA_S,
    TRIAL_S,
    WITHIN_S,
    Breaker,
    BreakerState,
    blocks,
    counted,
    free_at,
    healed,
    quota_until,
    reset,
    tried,
)
from engine_mcp.core.execution import Failure
from engine_mcp.core.route import Route
from engine_mcp.core.treatment import TREATMENTS, Trip, treatment

ROUTE = Route(runtime="claude-code", family="claude", endpoint="api", pool="plan", model="opus")
NOW = 10_000.0
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def failed(
    held: Breaker | None, code: str, at: float = NOW, *, retry_at: float | None = None
) -> Breaker | None:
    """The breaker after an attempt on ROUTE failed with this code."""
    rule = treatment(code)
    failure = Failure(code, f"it said {code}", retry_at=retry_at)
    return counted(held, ROUTE.part(rule.domain), failure, rule, at)


def noted(held: Breaker | None, code: str, at: float = NOW, *, retry_at: float | None = None) -> Breaker:
    """The same, where there is something to note."""
    after = failed(held, code, at, retry_at=retry_at)
    assert after is not None
    return after


def often(code: str, times: int = FAILURES, at: float = NOW) -> Breaker:
    """A breaker after several failures at one moment."""
    held = noted(None, code, at)
    for _ in range(times - 1):
        held = noted(held, code, at)
    return held


@pytest.mark.req("002:L92")
def test_failures_in_a_row_open_a_breaker_for_a_while() -> None:
    before = often("overloaded", FAILURES - 1)
    assert (before.state, before.failures) == (CLOSED, FAILURES - 1)
    assert not blocks(before, NOW)
    after = noted(before, "overloaded")
    assert (after.state, after.failures, after.retry_at) == (OPEN, FAILURES, NOW + OPEN_S)
    assert (after.part, after.code, after.evidence) == (
        "model opus at api",
        "overloaded",
        "it said overloaded",
    )
    assert blocks(after, NOW + OPEN_S - 1)
    assert not blocks(after, NOW + OPEN_S)


def test_failures_that_are_far_apart_open_nothing() -> None:
    held = often("overloaded", FAILURES - 1)
    held = noted(held, "overloaded", NOW + WITHIN_S + 1)
    assert (held.state, held.failures) == (CLOSED, 1)


def test_only_failures_since_the_last_success_count() -> None:
    held = healed(often("overloaded", FAILURES - 1), NOW)
    assert (held.state, held.failures) == (CLOSED, 0)
    assert noted(held, "overloaded").state is CLOSED


@pytest.mark.req("002:L92")
def test_a_trial_that_succeeds_closes_a_breaker_and_one_that_fails_opens_it_for_twice_as_long() -> None:
    held, at, lasted = often("provider_error"), NOW, list[float]()
    for _ in range(1200):
        assert held.retry_at is not None
        lasted.append(held.retry_at - at)
        at = held.retry_at
        held = tried(held, at)
        assert (held.state, held.changed_at) == (HALF_OPEN, at)
        held = noted(held, "provider_error", at)
        assert held.state is OPEN
    assert lasted[:3] == [OPEN_S, 2 * OPEN_S, 4 * OPEN_S]
    assert lasted[-1] == LONGEST_OPEN_S
    closed = healed(tried(held, at + LONGEST_OPEN_S), at)
    assert closed == Breaker(part=held.part, changed_at=at)
    assert often("provider_error").openings == 1


def test_a_trial_keeps_the_others_away_until_it_counts_as_abandoned() -> None:
    held = tried(often("provider_error"), NOW + OPEN_S)
    began = held.changed_at
    assert blocks(held, began)
    assert blocks(held, began + TRIAL_S - 1)
    assert tried(held, began + TRIAL_S - 1) is held
    assert not blocks(held, began + TRIAL_S)
    assert tried(held, began + TRIAL_S) == replace(held, changed_at=began + TRIAL_S)


def test_a_breaker_that_is_open_or_closed_is_not_tried() -> None:
    held = often("provider_error")
    assert tried(held, NOW) is held
    closed = noted(None, "provider_error")
    assert tried(closed, NOW) is closed


def test_a_failure_after_the_time_of_an_open_breaker_is_that_of_its_trial() -> None:
    held = noted(often("provider_error"), "provider_error", NOW + OPEN_S)
    assert held.retry_at == NOW + OPEN_S + 2 * OPEN_S


def test_attempts_that_were_under_way_when_a_breaker_opened_say_nothing_new() -> None:
    assert failed(often("provider_error"), "provider_error", NOW + 1) is None


@pytest.mark.parametrize(
    ("retry_at", "until"), [(NOW + 7, NOW + 7), (None, NOW + COOLDOWN_S), (NOW - 7, NOW + COOLDOWN_S)]
)
def test_a_rate_limit_shuts_the_pool_for_as_long_as_was_asked_for_and_is_not_counted(
    retry_at: float | None, until: float
) -> None:
    held = noted(None, "rate_limited", retry_at=retry_at)
    assert (held.part, held.state, held.failures, held.retry_at) == ("pool plan", OPEN, 0, until)


def test_a_pool_that_is_shut_stays_so_for_the_longest_time_that_was_asked_for() -> None:
    held = noted(None, "rate_limited", retry_at=NOW + 50)
    assert failed(held, "rate_limited", NOW + 1, retry_at=NOW + 40) is None
    assert noted(held, "rate_limited", NOW + 1, retry_at=NOW + 90).retry_at == NOW + 90
    assert noted(held, "quota_exhausted", NOW + 1).code == "quota_exhausted"
    assert noted(held, "credit_exhausted", NOW + 1).retry_at is None


@pytest.mark.req("002:L92")
@pytest.mark.parametrize(
    ("code", "retry_at", "until"),
    [
        ("quota_exhausted", NOW + 7200, NOW + 7200),
        ("quota_exhausted", None, NOW + QUOTA_S),
        ("quota_exhausted", NOW - 5, NOW + COOLDOWN_S),
        ("credit_exhausted", None, None),
        ("credit_exhausted", NOW + 7200, None),
        ("runtime_missing", None, NOW + LOOK_S),
        ("model_unavailable", None, NOW + MODEL_S),
    ],
)
def test_what_cannot_pass_by_itself_opens_a_breaker_at_once(
    code: str, retry_at: float | None, until: float | None
) -> None:
    held = noted(None, code, retry_at=retry_at)
    assert (held.state, held.retry_at, held.failures) == (OPEN, until, 1)
    assert blocks(held, NOW)


def test_access_that_is_refused_a_second_time_is_refused_until_somebody_acts() -> None:
    first = noted(None, "unauthorized")
    assert (first.state, first.failures) == (CLOSED, 1)
    second = noted(first, "unauthorized", NOW + 2)
    assert (second.state, second.retry_at) == (OPEN, None)
    assert blocks(second, NOW + 1e9)
    assert tried(second, NOW + 1e9) is second
    assert failed(second, "unauthorized", NOW + 3) is None
    assert not blocks(reset(second, NOW + 4), NOW + 4)
    assert reset(second, NOW + 4) == Breaker(part="pool plan", changed_at=NOW + 4)


def test_access_refused_to_one_attempt_does_not_shorten_what_a_quota_asked_for() -> None:
    held = noted(None, "quota_exhausted", retry_at=NOW + 7200)
    assert failed(held, "unauthorized", NOW + 1) is None


def test_a_missing_runtime_is_looked_for_again_and_again_after_the_same_time() -> None:
    held, at = noted(None, "runtime_missing"), NOW
    for _ in range(3):
        at += LOOK_S
        held = noted(tried(held, at), "runtime_missing", at)
        assert held.retry_at == at + LOOK_S


@pytest.mark.parametrize("code", [code for code, rule in TREATMENTS.items() if rule.trip is Trip.NOTHING])
def test_a_step_that_fails_by_its_own_fault_again_and_again_opens_nothing(code: str) -> None:
    for held in (None, Breaker(part=ROUTE.part(treatment(code).domain)), often("provider_error")):
        assert [failed(held, code, NOW + at) for at in range(FAILURES + 1)] == [None] * (FAILURES + 1)


def test_a_route_without_the_part_that_broke_has_no_breaker_for_it() -> None:
    assert counted(None, "", Failure("overloaded", "no"), treatment("overloaded"), NOW) is None


def test_a_success_that_began_before_a_breaker_opened_does_not_close_it() -> None:
    held = noted(None, "quota_exhausted", retry_at=NOW + 7200)
    assert healed(held, NOW + 5, began=NOW - 60) is held
    trial = tried(held, NOW + 7200)
    assert healed(trial, NOW + 7300, began=NOW - 60) is trial
    assert healed(trial, NOW + 7300, began=NOW + 7200).state is CLOSED
    counting = replace(often("overloaded", 2), changed_at=NOW)
    assert healed(counting, NOW + 5, began=NOW - 60).failures == 0


def test_the_evidence_is_bounded() -> None:
    held = counted(None, "host", Failure("host_network", "x" * 9999), treatment("host_network"), NOW)
    assert held is not None
    assert held.evidence == "x" * EVIDENCE


@pytest.mark.parametrize(
    ("failure", "until"),
    [
        (Failure("quota_exhausted", "m", retry_at=NOW + 9), NOW + 9),
        (Failure("quota_exhausted", "m", retry_after_s=9.0), NOW + 9),
        (Failure("quota_exhausted", "m", retry_at=NOW - 9), NOW + COOLDOWN_S),
        (Failure("quota_exhausted", "m"), NOW + QUOTA_S),
    ],
)
def test_a_used_up_quota_is_looked_at_again_when_it_should_be_there(failure: Failure, until: float) -> None:
    assert quota_until(failure, NOW) == until


CODES = st.sampled_from(sorted(code for code, rule in TREATMENTS.items() if rule.trip is not Trip.NOTHING))
MOVES = st.tuples(CODES, st.sampled_from(["fail", "fail", "try", "heal"]), st.floats(0, 4000))


@pytest.mark.req("002:L92")
@given(st.lists(MOVES, max_size=40), st.none() | st.floats(-100, 1e6))
def test_whatever_happens_a_breaker_that_blocks_says_when_to_look_again(
    moves: list[tuple[str, str, float]], asked: float | None
) -> None:
    held, now = Breaker(part="p"), NOW
    for code, move, passed in moves:
        now += passed
        if move == "try":
            was_shut = blocks(held, now)
            held = tried(held, now)
            assert blocks(held, now) is (was_shut or held.state is not CLOSED)
        elif move == "heal":
            held = healed(held, now)
            assert not blocks(held, now)
        else:
            failure = Failure(code, "m", retry_at=None if asked is None else now + asked)
            held = counted(held, "p", failure, treatment(code), now) or held
        if blocks(held, now):
            again = free_at(held, now)
            assert again is None or again > now
            assert again is None or held.state is HALF_OPEN or not blocks(held, again)
