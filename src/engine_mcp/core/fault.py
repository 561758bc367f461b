"""Faults: what a provider or a runtime says went wrong, as a failure with a code of the catalogue."""

import re

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.execution import Failure

LONGEST = 2000
_BY_STATUS = {
    400: "request_rejected",
    401: "unauthorized",
    402: "quota_exhausted",
    403: "unauthorized",
    404: "model_unavailable",
    408: "unreachable",
    409: "provider_error",
    413: "context_overflow",
    429: "rate_limited",
    503: "overloaded",
    529: "overloaded",
}
_BY_TYPE = {
    "api_error": "provider_error",
    "authentication_error": "unauthorized",
    "authentication_failed": "unauthorized",
    "billing_error": "quota_exhausted",
    "invalid_request_error": "request_rejected",
    "not_found_error": "model_unavailable",
    "overloaded_error": "overloaded",
    "permission_error": "unauthorized",
    "rate_limit_error": "rate_limited",
    "request_too_large": "context_overflow",
    "timeout_error": "provider_error",
}
_BY_TEXT = (
    (r"prompt is too long|context.?(window|length).{0,30}exceed|exceed.{0,30}context", "context_overflow"),
    (r"credit balance|spend(ing)? limit|usage limit|session limit|weekly limit|quota", "quota_exhausted"),
    (r"invalid (x-)?api.?key|not logged in|please (run )?/?login|oauth token", "unauthorized"),
    (r"overloaded", "overloaded"),
    (r"rate.?limit|too many requests", "rate_limited"),
    (r"connection (refused|reset|closed|error)|econnre|fetch failed|enotfound|socket", "unreachable"),
)
_SPOKEN_FIRST = frozenset({None, 200, 400, 429})
"""Where the words of an error say more than its status."""
_PATTERNS = tuple((re.compile(pattern, re.IGNORECASE), code) for pattern, code in _BY_TEXT)


def fault(
    text: str, *, status: int | None = None, kind: str = "", otherwise: str = "runtime_failed"
) -> Failure:
    """The failure that an HTTP status, the type of an API error and its words stand for.

    `otherwise` is the code where none of them says anything. The message keeps the words, bounded.
    """
    code = _code(text, status, kind) or otherwise
    message = text.strip()[:LONGEST] or CATALOGUE[code].cause
    told = message if status is None or str(status) in message else f"{message} (HTTP {status})"
    return Failure(code, told, CATALOGUE[code].remedy)


def _code(text: str, status: int | None, kind: str) -> str | None:
    spoken = next((code for pattern, code in _PATTERNS if pattern.search(text)), None)
    if spoken is not None and status in _SPOKEN_FIRST:
        return spoken
    known = _BY_TYPE.get(kind) or (None if status is None else _BY_STATUS.get(status))
    if known is not None:
        return known
    if status is not None and status >= 500:  # noqa: PLR2004 - HTTP's own
        return "provider_error"
    return spoken or ("request_rejected" if status is not None and status >= 400 else None)  # noqa: PLR2004 - HTTP's own
