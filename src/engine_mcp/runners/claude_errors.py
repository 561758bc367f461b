"""Claude Code's errors: what its own words for them stand for, and what it tells of limits on the way."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine_mcp.core.execution import Failure

Json = dict[str, Any]
_BY_SUBTYPE = {
    "error_max_budget_usd": "spending_limit",
    "error_max_turns": "turn_limit",
    "error_max_structured_output_retries": "output_invalid",
}
_BY_STOP = {
    "refusal": "refused",
    "max_tokens": "truncated",
    "model_context_window_exceeded": "context_overflow",
}
_BY_REASON = {"prompt_too_long": "context_overflow"}
_BY_ERROR = {
    "api_key_auth_disabled": "unauthorized",
    "autocompact_thrashing": "context_overflow",
    "computer_slept": "unreachable",
    "dlp_request_denied": "refused",
    "empty_completion": "provider_error",
    "gateway_session_expired": "unauthorized",
    "gateway_signin_required": "unauthorized",
    "hook_denied": "denied",
    "invalid_credential_header": "unauthorized",
    "long_context_credits_required": "credit_exhausted",
    "malformed_tool_use_exhausted": "provider_error",
    "max_output_tokens": "truncated",
    "message_over_context_limit": "context_overflow",
    "model_requires_usage_credits": "credit_exhausted",
    "network_edge_blocked": "host_network",
    "no_response": "unreachable",
    "oauth_refresh_store_refused": "unauthorized",
    "org_disabled_credential": "unauthorized",
    "provider_credentials": "unauthorized",
    "safety_monitor_blocked": "refused",
    "stored_login_refused": "unauthorized",
    "stream_idle_timeout": "unreachable",
    "tls_cert_signature_failure": "host_network",
    "tls_untrusted_ca": "host_network",
    "usage_limit_reached": "quota_exhausted",
}
"""Its names of errors that no status and no word of the provider says as exactly."""
_OWN_BACKOFF_S = 0.5
"""The first pause between two tries of its own; each is twice as long as the last, with some jitter."""
_JITTER = 1.5
_LONG_S = 61.0
"""Where it is asked for a pause of more than a minute, it gives up at once and does not say how long."""
_LIMITS = {
    "five_hour": "5-hour limit",
    "seven_day": "weekly limit",
    "seven_day_opus": "weekly limit on Opus",
    "seven_day_sonnet": "weekly limit on Sonnet",
    "overage": "limit of extra usage",
}


def code_of(said: Json) -> str | None:
    """The code that a result line stands for by itself, None where the provider's words have to say it."""
    return (
        _BY_SUBTYPE.get(said["subtype"])
        or _BY_STOP.get(said.get("stop_reason") or "")
        or _BY_REASON.get(said.get("terminal_reason") or "")
        or _BY_ERROR.get(said.get("api_error") or "")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What came before a result line: the kind of the last error, a pause that was asked for, a limit.

    `tries` counts the tries of a request that failed in a row, `resets_at` is Unix seconds.
    """

    kind: str = ""
    tries: int = 0
    retry_after_s: float | None = None
    resets_at: float | None = None

    def retry(self, said: Json) -> "Heard":
        """And also an `api_retry` line: its pause is the provider's where it is longer than its own."""
        pause_s, attempt = float(said.get("retry_delay_ms") or 0) / 1000, int(said["attempt"])
        own_s = _OWN_BACKOFF_S * 2 ** (attempt - 1) * _JITTER
        return replace(
            self,
            kind=str(said.get("error") or ""),
            tries=attempt,
            retry_after_s=pause_s if pause_s > own_s else None,
        )

    def limit(self, told: Mapping[str, Any]) -> "Heard":
        """And also a `rate_limit_event`: the limit counts while requests are refused for it."""
        refused = told.get("status") == "rejected" and not told.get("isUsingOverage")
        resets = told.get("resetsAt")
        return replace(self, resets_at=float(resets) if refused and resets is not None else None)

    def answered(self) -> "Heard":
        """After an answer that came at last."""
        return replace(self, kind="", tries=0, retry_after_s=None)

    def dated(self, failure: Failure) -> Failure:
        """The failure with when to come again, as far as that was told."""
        match failure.code:
            case "quota_exhausted" | "credit_exhausted":
                return replace(failure, retry_at=failure.retry_at or self.resets_at)
            case "rate_limited" | "overloaded":
                gave_up = failure.code == "rate_limited" and self.tries == 0
                return replace(failure, retry_after_s=self.retry_after_s or (_LONG_S if gave_up else None))
            case _:
                return failure


def limit_in_words(told: Mapping[str, Any]) -> str:
    """A `rate_limit_event` for a person; empty where nothing is near its limit."""
    status = str(told["status"])
    if status == "allowed":
        return ""
    name = _LIMITS.get(str(told.get("rateLimitType")), "usage limit")
    share = told.get("utilization")
    used = f", {float(share):.0%} used" if share is not None else ""
    return f"{name} {'reached' if status == 'rejected' else 'is near'}{used}"
