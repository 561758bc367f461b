"""The table of faults: what each code says is broken, and what is done about it."""

import pytest

from engine_mcp.catalogue import CATALOGUE, RetryClass
from engine_mcp.core.retry import retry_class, tries_allowed
from engine_mcp.core.route import Domain, Route
from engine_mcp.core.treatment import NEVER_ENDS, TREATMENTS, FallBack, Treatment, Trip, treatment

ROUTE = Route(runtime="claude-code", family="claude", endpoint="e", pool="p", model="m")
NOWHERE = frozenset(domain for domain in Domain if not ROUTE.part(domain))
NEVER, AT_ONCE, AFTER, IF_LONG = FallBack.NEVER, FallBack.AT_ONCE, FallBack.AFTER_RETRIES, FallBack.IF_LONG


def test_every_code_is_treated_or_is_never_the_end_of_an_attempt() -> None:
    assert CATALOGUE.keys() == TREATMENTS.keys() | NEVER_ENDS
    assert not TREATMENTS.keys() & NEVER_ENDS


@pytest.mark.req("002:L110")
@pytest.mark.parametrize(
    ("codes", "domain", "tries", "fall_back", "trip"),
    [
        ("runtime_missing", Domain.HARNESS, 0, AT_ONCE, Trip.AT_ONCE),
        ("runtime_failed", Domain.HARNESS, 1, AFTER, Trip.COUNT),
        ("runtime_stalled", Domain.HARNESS, 1, AFTER, Trip.COUNT),
        ("rate_limited", Domain.POOL, None, IF_LONG, Trip.COOLDOWN),
        ("quota_exhausted", Domain.POOL, 0, AT_ONCE, Trip.AT_ONCE),
        ("credit_exhausted", Domain.POOL, 0, AT_ONCE, Trip.AT_ONCE),
        ("overloaded", Domain.MODEL, None, AFTER, Trip.COUNT),
        ("provider_error unreachable", Domain.ENDPOINT, None, AFTER, Trip.COUNT),
        ("host_network", Domain.HOST, 2, NEVER, Trip.COUNT),
        ("unauthorized", Domain.POOL, 1, AFTER, Trip.AT_ONCE),
        ("model_unavailable", Domain.MODEL, 0, AT_ONCE, Trip.AT_ONCE),
        ("context_overflow", Domain.REQUEST, 1, NEVER, Trip.NOTHING),
        ("request_rejected window_too_small", Domain.REQUEST, 0, NEVER, Trip.NOTHING),
        ("output_invalid", Domain.REQUEST, 0, NEVER, Trip.NOTHING),
        ("truncated turn_limit", Domain.REQUEST, 2, NEVER, Trip.NOTHING),
        ("refused", Domain.POLICY, 0, NEVER, Trip.NOTHING),
        ("spending_limit budget_exceeded unpriced", Domain.POLICY, 0, NEVER, Trip.NOTHING),
        ("approval_denied approval_timeout denied", Domain.POLICY, 0, NEVER, Trip.NOTHING),
        ("js_error tool_error no_progress timeout", Domain.TASK, 0, NEVER, Trip.NOTHING),
    ],
)
def test_a_fault_breaks_a_domain_and_is_treated_as_the_table_says(
    codes: str, domain: Domain, tries: int | None, fall_back: FallBack, trip: Trip
) -> None:
    for code in codes.split():
        pause = {"quota_exhausted": "quota", "credit_exhausted": "billing"}.get(code)
        assert treatment(code) == Treatment(
            domain=domain, tries=tries, fall_back=fall_back, trip=trip, pause=pause
        )


@pytest.mark.parametrize("code", TREATMENTS)
def test_what_lies_on_no_route_is_neither_gone_round_nor_remembered(code: str) -> None:
    rule = treatment(code)
    if rule.domain in NOWHERE:
        assert (rule.fall_back, rule.trip, rule.pause) == (NEVER, Trip.NOTHING, None)


@pytest.mark.req("002:L172", "002:L173", "002:L174", "002:L176")
@pytest.mark.parametrize("code", TREATMENTS)
def test_the_tries_on_a_route_agree_with_what_another_attempt_could_change(code: str) -> None:
    tries = treatment(code).tries
    match retry_class(code):
        case RetryClass.TRANSIENT:
            assert tries is None or tries >= 1
        case RetryClass.PERMISSION | RetryClass.RESOURCE:
            assert tries == 1
        case RetryClass.CONFIGURATION | RetryClass.LOGIC:
            assert tries == 0
    assert tries is None or 1 + tries <= tries_allowed(code, 9)


def test_a_code_that_nobody_knows_is_the_failure_of_the_step_itself() -> None:
    assert treatment("a code that nobody knows") == Treatment(domain=Domain.TASK)
