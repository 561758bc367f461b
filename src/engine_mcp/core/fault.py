"""Faults: what a provider or a runtime says went wrong, as a failure with a code of the catalogue.

A code of the provider says most, then words that make the status or type of an error more exact, then
these two, then any words, and last how the program or the answer ended.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.execution import Failure
from engine_mcp.core.resets import reset_in

LONGEST = 2000
_READ = 2 * LONGEST
"""How much of the words is looked at: a program may say millions."""
_BY_ERROR_CODE: Mapping[str, str] = MappingProxyType(
    {
        "claude_code_version_too_old": "runtime_missing",
        "context_length_exceeded": "context_overflow",
        "contract_spend_limit_reached": "credit_exhausted",
        "enforced_spend_limit_reached": "credit_exhausted",
        "insufficient_quota": "credit_exhausted",
        "linked_organization_billing_unavailable": "credit_exhausted",
        "linked_organization_spend_limit_reached": "credit_exhausted",
        "model_not_found": "model_unavailable",
        "organization_on_hold": "unauthorized",
        "ramp_limit_exceeded": "rate_limited",
        "request_body_too_large_after_decoding": "context_overflow",
        "user_profile_billing_not_authorized": "credit_exhausted",
        "user_profile_not_billable": "credit_exhausted",
    }
)
_BY_STATUS: Mapping[int, str] = MappingProxyType(
    {
        400: "request_rejected",
        401: "unauthorized",
        402: "credit_exhausted",
        403: "unauthorized",
        404: "model_unavailable",
        407: "host_network",
        408: "unreachable",
        409: "provider_error",
        413: "context_overflow",
        429: "rate_limited",
        503: "overloaded",
        511: "host_network",
        529: "overloaded",
    }
)
KINDS: Mapping[str, str] = MappingProxyType(
    {
        # Types of the API, then the words of Claude Code and the names of OpenCode for the same.
        "api_error": "provider_error",
        "authentication_error": "unauthorized",
        "billing_error": "credit_exhausted",
        "invalid_request_error": "request_rejected",
        "not_found_error": "model_unavailable",
        "overloaded_error": "overloaded",
        "permission_error": "unauthorized",
        "rate_limit_error": "rate_limited",
        "request_too_large": "context_overflow",
        "timeout_error": "provider_error",
        "authentication_failed": "unauthorized",
        "invalid_request": "request_rejected",
        "max_output_tokens": "truncated",
        "model_not_found": "model_unavailable",
        "oauth_org_not_allowed": "unauthorized",
        "overloaded": "overloaded",
        "rate_limit": "rate_limited",
        "server_error": "provider_error",
        "ContentFilterError": "refused",
        "ContextOverflowError": "context_overflow",
        "MessageOutputLengthError": "truncated",
        "ProviderAuthError": "unauthorized",
        "ProviderModelNotFoundError": "model_unavailable",
        # Exceptions of connections, of Python and of its HTTP clients.
        "BrokenPipeError": "unreachable",
        "ConnectTimeout": "unreachable",
        "ConnectionAbortedError": "unreachable",
        "ConnectionRefusedError": "unreachable",
        "ConnectionResetError": "unreachable",
        "ProxyError": "host_network",
        "ReadError": "unreachable",
        "ReadTimeout": "runtime_stalled",
        "RemoteProtocolError": "unreachable",
        "SSLCertVerificationError": "host_network",
        "SSLEOFError": "unreachable",
        "SSLError": "host_network",
        "SSLZeroReturnError": "unreachable",
        "gaierror": "host_network",
    }
)
"""What the types of errors stand for."""
_VAGUE = frozenset({"api_error", "invalid_request", "invalid_request_error", "server_error"})
"""Types that a status, or words without one, make more exact."""
_EXACTER: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "rate_limited": frozenset({"credit_exhausted", "quota_exhausted"}),
        "request_rejected": frozenset(
            {
                *("context_overflow", "credit_exhausted", "model_unavailable", "quota_exhausted"),
                *("refused", "unauthorized"),
            }
        ),
        "unauthorized": frozenset({"credit_exhausted", "model_unavailable", "quota_exhausted"}),
    }
)
"""What words may make of a code that the status or the type stands for; of all others nothing."""
_STATUS_SAID = re.compile(
    r"\b(?:API Error|HTTP(?:/[\d.]+)?|status(?: code)?)[: =]+([45]\d\d)\b", re.IGNORECASE
)
_NOT_RUNNABLE = frozenset({126, 127})
"""Exit codes by which a shell says that a program is not there or is none."""
_RESETTING = frozenset({"credit_exhausted", "quota_exhausted"})


@dataclass(frozen=True, slots=True)
class Pattern:
    """Words that stand for a code of the catalogue."""

    code: str
    words: re.Pattern[str]


Patterns = tuple[Pattern, ...]
"""The first that is found counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What is seen of a fault: the words, an HTTP status, the type and the code of an API error.

    `exit_code` is that of a program; `cut` says that an answer broke off after it had begun;
    `retry_after_s` is the pause that was asked for, `resets_at` (Unix seconds) when a quota is new.
    """

    text: str = ""
    status: int | None = None
    kind: str = ""
    error_code: str = ""
    exit_code: int | None = None
    cut: bool = False
    retry_after_s: float | None = None
    resets_at: float | None = None


def fault(signs: Signs, patterns: Patterns, otherwise: str = "runtime_failed") -> Failure:
    """The failure that the signs stand for; the message keeps the words, bounded.

    `otherwise` is the code where none of them says anything.
    """
    code = _code(signs, patterns)
    if code in {None, "rate_limited"} and signs.resets_at is not None:
        code = "quota_exhausted"
    code = code or _ended(signs) or otherwise
    message = signs.text.strip()[:LONGEST] or CATALOGUE[code].cause
    shown = signs.status is None or str(signs.status) in message
    return Failure(
        code,
        message if shown else f"{message} (HTTP {signs.status})",
        CATALOGUE[code].remedy,
        retry_after_s=signs.retry_after_s,
        retry_at=_reset(signs) if code in _RESETTING else None,
    )


def _code(signs: Signs, patterns: Patterns) -> str | None:
    if (certain := _BY_ERROR_CODE.get(signs.error_code)) is not None:
        return certain
    text, told = signs.text[:_READ], _told(signs)
    if told is not None:
        return _spoken(text, patterns, _EXACTER.get(told, frozenset())) or told
    said = _STATUS_SAID.search(text)
    return (
        _spoken(text, patterns)
        or KINDS.get(signs.kind)
        or _of_status(signs.status)
        or (_of_status(int(said[1])) if said else None)
    )


def _spoken(text: str, patterns: Patterns, among: frozenset[str] | None = None) -> str | None:
    wanted = (pattern for pattern in patterns if among is None or pattern.code in among)
    return next((pattern.code for pattern in wanted if pattern.words.search(text)), None)


def _told(signs: Signs) -> str | None:
    """What status and type stand for by themselves, the type before the status unless it is a vague one."""
    by_status = _of_known(signs.status)
    if signs.kind in _VAGUE:
        return by_status
    return KINDS.get(signs.kind) or by_status


def _of_known(status: int | None) -> str | None:
    if status is not None and status >= 500:  # noqa: PLR2004 - HTTP's own
        return _BY_STATUS.get(status, "provider_error")
    return None if status is None else _BY_STATUS.get(status)


def _of_status(status: int | None) -> str | None:
    """What a status stands for, any above 400."""
    refused = status is not None and status >= 400  # noqa: PLR2004 - HTTP's own
    return _of_known(status) or ("request_rejected" if refused else None)


def _ended(signs: Signs) -> str | None:
    if signs.exit_code in _NOT_RUNNABLE:
        return "runtime_missing"
    if signs.retry_after_s is not None:
        return "rate_limited"
    return "unreachable" if signs.cut else None


def _reset(signs: Signs) -> float | None:
    return reset_in(signs.text[:_READ]) if signs.resets_at is None else signs.resets_at
