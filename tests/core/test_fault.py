"""What providers and runtimes say went wrong becomes a code of the catalogue: which sign says most."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.fault import LONGEST, Pattern, Signs, fault
from engine_mcp.core.resets import reset_in

WORDS = tuple(
    Pattern(code, re.compile(words))
    for code, words in (
        ("credit_exhausted", "no credit"),
        ("quota_exhausted", "no quota"),
        ("context_overflow", "too long"),
        ("unreachable", "refused"),
        ("overloaded", "busy"),
    )
)
DAY = 1_796_083_200.0  # 2026-12-01 00:00 UTC


def code(otherwise: str = "runtime_failed", **signs: object) -> str:
    return fault(Signs(**signs), WORDS, otherwise).code  # pyright: ignore[reportArgumentType] - as each test says


# --- which sign says most


@pytest.mark.req("002:L104")
def test_a_code_of_the_provider_says_most() -> None:
    assert code(error_code="enforced_spend_limit_reached", status=429, kind="rate_limit_error") == (
        "credit_exhausted"
    )
    assert code(error_code="ramp_limit_exceeded", status=429, text="no credit") == "rate_limited"
    assert code(error_code="never_heard_of", status=429) == "rate_limited"


def test_words_make_a_status_more_exact_but_do_not_contradict_it() -> None:
    assert code(status=429, text="no quota") == "quota_exhausted"
    assert code(status=429, kind="rate_limit_error", text="no credit") == "credit_exhausted"
    assert code(status=400, kind="invalid_request_error", text="too long") == "context_overflow"
    assert code(status=429, text="refused") == "rate_limited"
    assert code(status=401, text="refused, busy, no quota") == "quota_exhausted"
    assert code(status=529, text="too long") == "overloaded"
    assert code(status=500, text="busy") == "provider_error"


def test_a_type_says_more_than_a_status_unless_it_says_nothing_exact() -> None:
    assert code(status=500, kind="overloaded_error") == "overloaded"
    assert code(status=413, kind="invalid_request_error") == "context_overflow"
    assert code(status=529, kind="api_error") == "overloaded"
    assert code(kind="api_error") == "provider_error"
    assert code(kind="api_error", text="busy") == "overloaded"


def test_without_status_and_type_the_words_say_it() -> None:
    assert code(text="no quota") == "quota_exhausted"
    assert code(text="no quota", status=200) == "quota_exhausted"
    assert code(text="no quota", exit_code=127) == "quota_exhausted"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("API Error: 529 {}", "overloaded"),
        ("HTTP 502 from upstream", "provider_error"),
        ("unexpected status 401: no", "unauthorized"),
        ("status code: 418", "request_rejected"),
        ("exit status 3", "runtime_failed"),
        ("room 404", "runtime_failed"),
    ],
)
def test_a_status_in_the_words_counts_where_nothing_else_does(text: str, expected: str) -> None:
    assert code(text=text) == expected


def test_how_it_ended_counts_last() -> None:
    assert code(exit_code=127) == "runtime_missing"
    assert code(exit_code=126, text="?") == "runtime_missing"
    assert code(exit_code=1) == "runtime_failed"
    assert code("provider_error", cut=True) == "unreachable"
    assert code("provider_error", cut=True, text="busy") == "overloaded"
    assert code(retry_after_s=3.0) == "rate_limited"


def test_what_says_nothing_is_what_the_caller_says() -> None:
    assert code("unreachable", text="?") == "unreachable"
    assert fault(Signs(), WORDS, "unreachable").message == CATALOGUE["unreachable"].cause


@pytest.mark.parametrize("status", [402, 407, 408, 418, 422, 500, 502, 503, 504, 511, 520, 599])
def test_every_status_of_an_error_has_a_code(status: int) -> None:
    assert code("internal", status=status) != "internal"


# --- when it may be tried again


def test_the_pause_that_was_asked_for_goes_along() -> None:
    found = fault(Signs(status=429, retry_after_s=3600.0), WORDS)
    assert (found.code, found.retry_after_s, found.retry_at) == ("rate_limited", 3600.0, None)
    assert fault(Signs(status=503, retry_after_s=2.0), WORDS).retry_after_s == 2.0


def test_what_resets_is_a_quota() -> None:
    for signs in (
        Signs(status=429, resets_at=DAY),
        Signs(resets_at=DAY),
        Signs(text="no quota", resets_at=DAY),
    ):
        found = fault(signs, WORDS)
        assert (found.code, found.retry_at) == ("quota_exhausted", DAY)


def test_only_a_quota_or_a_credit_has_a_time_of_reset() -> None:
    assert fault(Signs(status=529, resets_at=DAY), WORDS).retry_at is None
    told = "no credit. You will regain access on 2026-12-01 at 00:00 UTC."
    assert fault(Signs(text=told), WORDS).retry_at == DAY


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("usage limit reached|1796083200", DAY),
        ("It resets at 1796083200.", DAY),
        ("resets 2026-12-01T00:00:00Z", DAY),
        ("try again at 2026-12-01T01:00:00.000+01:00", DAY),
        ("Resets on 2026-12-01 at 00:00 UTC", DAY),
        ("resets 3pm", None),
        ("resets Mon 9am (Europe/Berlin)", None),
        ("resets 2026-12-01 00:00", None),
        ("resets 2026-13-41T00:00:00Z", None),
        ("2026-12-01T00:00:00Z ERROR usage limit reached", None),
        ("limit reached|17960832001", None),
    ],
)
def test_a_time_of_reset_is_read_only_if_it_can_be_read_in_one_way(text: str, expected: float | None) -> None:
    assert reset_in(text) == expected


# --- the message


def test_the_status_stands_in_the_message() -> None:
    assert fault(Signs(text="Overloaded", status=529), WORDS).message == "Overloaded (HTTP 529)"
    told = "API Error: 529 Overloaded"
    assert fault(Signs(text=told, status=529), WORDS).message == told


@given(
    st.builds(
        Signs,
        text=st.text(max_size=3000),
        status=st.none() | st.integers(100, 999),
        kind=st.text(max_size=30),
        error_code=st.text(max_size=30),
        exit_code=st.none() | st.integers(-64, 255),
        cut=st.booleans(),
        retry_after_s=st.none() | st.floats(0, 1e6),
        resets_at=st.none() | st.floats(0, 4e9),
    )
)
def test_whatever_is_said_there_is_a_code_and_a_bounded_message(signs: Signs) -> None:
    found = fault(signs, WORDS)
    assert found.code in CATALOGUE
    assert found.hint == CATALOGUE[found.code].remedy
    assert 0 < len(found.message) <= LONGEST + 20
    assert found.retry_after_s == signs.retry_after_s
