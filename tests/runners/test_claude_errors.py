"""What Claude Code tells of errors and limits; the lines are those that the real one has written."""

import json

import pytest
from pydantic import JsonValue

from engine_mcp.core.agent import AgentReport
from engine_mcp.core.execution import Failure
from engine_mcp.runners.claude_lines import Reading

Said = dict[str, JsonValue]
RESETS_AT = 1_795_281_782
HIT = "You've hit your 5-hour limit · resets 5:23pm (UTC)"


def limit(status: str, **more: JsonValue) -> Said:
    told: Said = {"status": status, "resetsAt": RESETS_AT, "rateLimitType": "five_hour", **more}
    return {"type": "rate_limit_event", "rate_limit_info": told, "session_id": "s"}


def retry(attempt: int, pause_ms: int, status: int | None = 429, error: str = "rate_limit") -> Said:
    return {
        "type": "system",
        "subtype": "api_retry",
        "attempt": attempt,
        "max_retries": 2,
        "retry_delay_ms": pause_ms,
        "error_status": status,
        "error": error,
    }


def refused(words: str, status: int | None = 429, **more: JsonValue) -> Said:
    return {
        "type": "result",
        "subtype": "success",
        "is_error": True,
        "terminal_reason": "api_error",
        "api_error_status": status,
        "result": words,
        "model_usage_since_last_result": {},
        **more,
    }


def heard(*said: Said) -> tuple[Failure, list[AgentReport]]:
    reading = Reading(fresh=True)
    news = [report for line in said for report in reading.take(json.dumps(line).encode())]
    assert reading.ending is not None
    assert reading.ending.failure is not None
    return reading.ending.failure, news


def test_a_plan_that_is_used_up_says_when_it_resets() -> None:
    reached = refused(HIT, api_error="usage_limit_reached", api_error_type="rate_limit_error")
    failure, news = heard(limit("rejected"), reached)
    assert (failure.code, failure.message, failure.retry_at) == ("quota_exhausted", HIT, RESETS_AT)
    assert [report.progress.message for report in news if report.progress] == ["5-hour limit reached"]


@pytest.mark.parametrize("words", [HIT, "You've hit your weekly limit · resets Mon 9am"])
def test_words_without_a_date_leave_it_open_when_a_plan_resets(words: str) -> None:
    failure, _ = heard(refused(words))
    assert (failure.code, failure.retry_at) == ("quota_exhausted", None)


def test_a_limit_that_is_near_or_was_lifted_dates_no_failure() -> None:
    failure, news = heard(limit("rejected"), limit("allowed_warning", utilization=0.9), refused(HIT))
    assert failure.retry_at is None
    assert news[1].progress is not None
    assert news[1].progress.message == "5-hour limit is near, 90% used"
    assert heard(limit("rejected", isUsingOverage=True), refused(HIT))[0].retry_at is None
    assert len(heard(limit("allowed"), refused(HIT))[1]) == 0


def test_a_pause_that_was_asked_for_is_told() -> None:
    busy = refused("API Error: Request rejected (429) · slow down", api_error_type="rate_limit_error")
    failure, news = heard(retry(1, 5349), retry(2, 5677), busy)
    assert (failure.code, failure.retry_after_s) == ("rate_limited", 5.677)
    assert len([report for report in news if report.progress]) == 2


def test_its_own_pauses_are_not_those_of_the_provider() -> None:
    full = refused("API Error: Overloaded", 529, api_error_type="overloaded_error")
    failure, _ = heard(retry(1, 538, 529, "overloaded"), retry(2, 1180, 529, "overloaded"), full)
    assert (failure.code, failure.retry_after_s) == ("overloaded", None)


def test_a_rate_limit_at_which_it_gives_up_at_once_asks_for_more_than_a_minute() -> None:
    failure, _ = heard(refused("API Error: Request rejected (429) · slow down"))
    assert (failure.code, failure.retry_after_s) == ("rate_limited", 61.0)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("model_requires_usage_credits", "credit_exhausted"),
        ("tls_untrusted_ca", "host_network"),
        ("network_edge_blocked", "host_network"),
        ("stream_idle_timeout", "unreachable"),
        ("stored_login_refused", "unauthorized"),
        ("claude_code_version_too_old", "runtime_missing"),
        ("message_over_context_limit", "context_overflow"),
        ("max_output_tokens", "truncated"),
        ("dlp_request_denied", "refused"),
        ("hook_denied", "denied"),
        ("empty_completion", "provider_error"),
    ],
)
def test_its_own_names_of_errors_have_codes(error: str, code: str) -> None:
    failure, _ = heard(refused("It did not work.", None, api_error=error))
    assert (failure.code, failure.message) == (code, "It did not work.")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("authentication_failed", "unauthorized"),
        ("model_not_found", "model_unavailable"),
        ("unknown", "runtime_failed"),
    ],
)
def test_an_error_without_a_status_is_known_by_the_kind_of_its_last_message(kind: str, code: str) -> None:
    synthetic: Said = {
        "type": "assistant",
        "error": kind,
        "message": {"id": "x", "model": "<synthetic>", "content": [{"type": "text", "text": "Sorry."}]},
    }
    assert heard(synthetic, refused("Sorry.", None))[0].code == code
