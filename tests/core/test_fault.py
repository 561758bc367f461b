"""What providers and runtimes say went wrong becomes a code of the catalogue."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.fault import LONGEST, fault


@pytest.mark.req("002:L167", "002:L165", "002:L166", "002:L90", "002:L168")
@pytest.mark.parametrize(
    ("text", "status", "kind", "code"),
    [
        ("invalid x-api-key", 401, "authentication_error", "unauthorized"),
        ("forbidden", 403, "permission_error", "unauthorized"),
        ("Not logged in · Please run /login", None, "", "unauthorized"),
        ("model: claude-nothing", 404, "not_found_error", "model_unavailable"),
        ("Number of requests has exceeded your rate limit", 429, "rate_limit_error", "rate_limited"),
        ("This organization reached its spend limit", 429, "rate_limit_error", "quota_exhausted"),
        ("You've hit your session limit", None, "", "quota_exhausted"),
        ("Your credit balance is too low", 400, "invalid_request_error", "quota_exhausted"),
        ("payment required", 402, "billing_error", "quota_exhausted"),
        ("Overloaded", 529, "overloaded_error", "overloaded"),
        ("Overloaded", 200, "overloaded_error", "overloaded"),
        ("busy", 503, "", "overloaded"),
        ("Internal server error", 500, "api_error", "provider_error"),
        ("bad gateway", 502, "", "provider_error"),
        (
            "prompt is too long: 210000 tokens > 200000",
            400,
            "invalid_request_error",
            "context_overflow",
        ),
        ("Request exceeds the maximum size", 413, "request_too_large", "context_overflow"),
        ("messages.0: wrong", 400, "invalid_request_error", "request_rejected"),
        ("I'm a teapot", 418, "", "request_rejected"),
        ("Connection refused", None, "", "unreachable"),
        ("segmentation fault", None, "", "runtime_failed"),
    ],
)
def test_an_error_has_the_code_that_its_status_type_and_words_stand_for(
    text: str, status: int | None, kind: str, code: str
) -> None:
    found = fault(text, status=status, kind=kind)
    assert found.code == code
    assert text in found.message
    assert found.hint == CATALOGUE[code].remedy


def test_the_status_stands_in_the_message() -> None:
    assert fault("Overloaded", status=529).message == "Overloaded (HTTP 529)"
    assert fault("API Error: 529 Overloaded", status=529).message == "API Error: 529 Overloaded"


def test_what_says_nothing_is_what_the_caller_says() -> None:
    assert fault("", otherwise="unreachable").code == "unreachable"
    assert fault("", otherwise="unreachable").message == CATALOGUE["unreachable"].cause


@given(st.text(max_size=3000), st.none() | st.integers(100, 999), st.text(max_size=30))
def test_whatever_is_said_there_is_a_code_and_a_bounded_message(
    text: str, status: int | None, kind: str
) -> None:
    found = fault(text, status=status, kind=kind)
    assert found.code in CATALOGUE
    assert 0 < len(found.message) <= LONGEST + 20
