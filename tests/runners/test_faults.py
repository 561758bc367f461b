"""The classifier with its patterns: every row of the table of errors, and every pattern on its example."""

import errno
from email.utils import formatdate

import pytest

from engine_mcp.catalogue import CATALOGUE, RetryClass
from engine_mcp.core.fault import Signs
from engine_mcp.core.retry import retry_class
from engine_mcp.runners.faults import declared, fault, not_started, patterns, retry_after

NOW = 1_795_000_000.0
TRANSIENT, CONFIGURATION = RetryClass.TRANSIENT, RetryClass.CONFIGURATION
PERMISSION, RESOURCE, LOGIC = RetryClass.PERMISSION, RetryClass.RESOURCE, RetryClass.LOGIC

ROWS: list[tuple[str, Signs, str]] = [
    # The runtime.
    ("missing: exit 127", Signs(text="sh: cli: not found", exit_code=127), "runtime_missing"),
    ("missing: ENOENT", Signs(text="Error: spawn /opt/x/claude ENOENT"), "runtime_missing"),
    ("wrong version", Signs(text="error: unknown option '--json-schema'", exit_code=1), "runtime_missing"),
    (
        "too old",
        Signs(status=400, kind="invalid_request_error", error_code="claude_code_version_too_old"),
        "runtime_missing",
    ),
    (
        "crash",
        Signs(text="cli ended with exit code 139: segmentation fault", exit_code=139),
        "runtime_failed",
    ),
    ("no result", Signs(text="It ended without a result."), "runtime_failed"),
    ("stall", Signs(text="", kind="ReadTimeout"), "runtime_stalled"),
    # The pool.
    ("429 with retry-after", Signs(status=429, kind="rate_limit_error", retry_after_s=20), "rate_limited"),
    ("429 in words", Signs(text="exceeded retry limit, last status: 429 Too Many Requests"), "rate_limited"),
    (
        "429 of a ramp",
        Signs(status=429, kind="rate_limit_error", error_code="ramp_limit_exceeded", retry_after_s=5),
        "rate_limited",
    ),
    (
        "429 for a while",
        Signs(text="API Error: Server is temporarily limiting requests (not your usage limit)", status=429),
        "rate_limited",
    ),
    ("5 h limit", Signs(text="5-hour limit reached ∙ resets 3pm"), "quota_exhausted"),
    (
        "session limit",
        Signs(text="You've hit your session limit · resets 3pm", status=429),
        "quota_exhausted",
    ),
    ("limit", Signs(text="You've hit your limit · resets 2am (Europe/Berlin)"), "quota_exhausted"),
    ("weekly limit", Signs(text="You've hit your weekly limit · resets Mon 9am"), "quota_exhausted"),
    ("limit of a model", Signs(text="You've hit your Opus limit", status=429), "quota_exhausted"),
    ("rejected event", Signs(status=429, kind="rate_limit", resets_at=NOW), "quota_exhausted"),
    ("SDK credit", Signs(text="Your Agent SDK credit is used up until next month"), "quota_exhausted"),
    (
        "429 of spending",
        Signs(status=429, kind="rate_limit_error", error_code="enforced_spend_limit_reached"),
        "credit_exhausted",
    ),
    (
        "429 of a contract",
        Signs(status=429, kind="rate_limit_error", error_code="contract_spend_limit_reached"),
        "credit_exhausted",
    ),
    (
        "402 of a linked organization",
        Signs(status=402, kind="billing_error", error_code="linked_organization_spend_limit_reached"),
        "credit_exhausted",
    ),
    ("402", Signs(status=402, text="pay first"), "credit_exhausted"),
    (
        "400 spend limit",
        Signs(status=400, kind="invalid_request_error", text="This workspace reached its spend limit."),
        "credit_exhausted",
    ),
    (
        "400 usage limits",
        Signs(status=400, text="You have reached your specified API usage limits."),
        "credit_exhausted",
    ),
    (
        "400 credit",
        Signs(status=400, kind="invalid_request_error", text="Your credit balance is too low"),
        "credit_exhausted",
    ),
    ("out of credits", Signs(text="Your organization is out of usage credits."), "credit_exhausted"),
    ("401", Signs(status=401, kind="authentication_error", text="invalid x-api-key"), "unauthorized"),
    ("403", Signs(status=403, kind="permission_error", text="not yours"), "unauthorized"),
    (
        "revoked",
        Signs(text="Failed to authenticate: OAuth token revoked. Please log in again"),
        "unauthorized",
    ),
    ("authentication_failed", Signs(kind="authentication_failed"), "unauthorized"),
    ("not logged in", Signs(text="Not logged in · Please run /login"), "unauthorized"),
    # The model, at this endpoint or for this account.
    ("529", Signs(status=529, kind="overloaded_error", text="Overloaded"), "overloaded"),
    ("503", Signs(status=503, text="upstream connect error"), "overloaded"),
    ("overloaded in a stream", Signs(kind="overloaded_error", text="Overloaded", cut=True), "overloaded"),
    ("404", Signs(status=404, kind="not_found_error", text="model: claude-none"), "model_unavailable"),
    (
        "not entitled",
        Signs(status=403, text="You don't have access to the model with the specified model ID."),
        "model_unavailable",
    ),
    # The endpoint.
    ("500", Signs(status=500, kind="api_error", text="Internal server error"), "provider_error"),
    ("502", Signs(status=502, text="<html>"), "provider_error"),
    ("504", Signs(status=504, text="gateway"), "provider_error"),
    ("error in a stream", Signs(kind="api_error", text="Internal server error", cut=True), "provider_error"),
    ("reset", Signs(text="read ECONNRESET"), "unreachable"),
    ("refused", Signs(text="API Error: Connection refused (ECONNREFUSED)"), "unreachable"),
    ("cut", Signs(text="?", cut=True), "unreachable"),
    # The host.
    ("TLS", Signs(text="[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"), "host_network"),
    ("DNS", Signs(text="fetch failed: getaddrinfo EAI_AGAIN api.anthropic.com"), "host_network"),
    ("proxy", Signs(status=407, text="Proxy Authentication Required"), "host_network"),
    ("proxy by its exception", Signs(kind="ProxyError", text="501 Unsupported method"), "host_network"),
    (
        "certificate",
        Signs(text="Unable to connect to API: SSL certificate has expired (CERT_HAS_EXPIRED)"),
        "host_network",
    ),
    ("no route", Signs(text="All connection attempts failed: [Errno 113] No route to host"), "host_network"),
    # The request.
    (
        "too long",
        Signs(status=400, kind="invalid_request_error", text="prompt is too long: 9 tokens > 8 maximum"),
        "context_overflow",
    ),
    ("window", Signs(text="stop_reason model_context_window_exceeded"), "context_overflow"),
    ("413", Signs(status=413, kind="request_too_large", text="Request too large"), "context_overflow"),
    ("32 MB", Signs(text="Request too large (max 32MB). Try with a smaller file."), "context_overflow"),
    ("400", Signs(status=400, kind="invalid_request_error", text="messages.0: wrong"), "request_rejected"),
    ("schema", Signs(status=400, text="tools.0.input_schema: invalid"), "request_rejected"),
    (
        "tool pairs",
        Signs(text="API Error: 400 orphaned tool_result in conversation history."),
        "request_rejected",
    ),
    (
        "thinking signature",
        Signs(status=400, kind="invalid_request_error", text="Invalid `signature` in `thinking` block"),
        "request_rejected",
    ),
    ("refusal", Signs(text="This request appears to violate our Usage Policy."), "refused"),
    (
        "filtered",
        Signs(status=400, kind="invalid_request_error", text="Output blocked by content filtering policy"),
        "refused",
    ),
    ("max_tokens", Signs(text="exceeded the 32000 output token maximum"), "truncated"),
    ("max turns", Signs(text="Reached maximum number of turns (3)"), "turn_limit"),
    (
        "structured-output retries",
        Signs(text="Failed to provide valid structured output after 5 attempts"),
        "output_invalid",
    ),
    # What was decided, and what the machine lacks.
    ("budget", Signs(text="Reached maximum budget ($1)"), "spending_limit"),
    ("disk", Signs(text="ENOSPC: no space left on device, write", exit_code=1), "storage"),
    ("memory", Signs(text="JavaScript heap out of memory", exit_code=134), "resource_exceeded"),
    ("access", Signs(text="EACCES: permission denied, open '/etc/shadow'", exit_code=1), "permission"),
]


@pytest.mark.req("002:L90", "002:L104")
@pytest.mark.parametrize(("signs", "code"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_an_error_has_the_code_of_its_row(signs: Signs, code: str) -> None:
    found = fault(signs)
    assert found.code == code
    assert found.hint == CATALOGUE[code].remedy
    assert signs.text in found.message


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        pytest.param(
            TRANSIENT,
            "unreachable provider_error overloaded rate_limited runtime_failed runtime_stalled host_network"
            " context_overflow",
            marks=pytest.mark.req("002:L165"),
        ),
        pytest.param(
            CONFIGURATION,
            "runtime_missing model_unavailable quota_exhausted credit_exhausted unpriced",
            marks=pytest.mark.req("002:L166"),
        ),
        pytest.param(PERMISSION, "unauthorized permission", marks=pytest.mark.req("002:L167")),
        pytest.param(RESOURCE, "resource_exceeded storage", marks=pytest.mark.req("002:L168")),
        pytest.param(
            LOGIC,
            "window_too_small request_rejected refused output_invalid spending_limit"
            " budget_exceeded approval_denied approval_timeout no_progress",
            marks=pytest.mark.req("002:L169"),
        ),
    ],
)
def test_a_code_says_what_another_attempt_could_change(kind: RetryClass, codes: str) -> None:
    assert {code: retry_class(code) for code in codes.split()} == dict.fromkeys(codes.split(), kind)


# --- the patterns

EXAMPLES = [(code, row["pattern"], row["example"]) for code, rows in declared().items() for row in rows]


@pytest.mark.req("002:L90")
@pytest.mark.parametrize(("code", "pattern", "example"), EXAMPLES)
def test_a_pattern_is_the_first_to_fit_its_example(code: str, pattern: str, example: str) -> None:
    first = next(known for known in patterns() if known.words.search(example))
    assert (first.code, first.words.pattern) == (code, pattern)
    assert fault(Signs(text=example), "internal").code == code


def test_every_table_is_that_of_a_code() -> None:
    assert declared().keys() <= CATALOGUE.keys()
    assert all(row.keys() == {"pattern", "example"} for rows in declared().values() for row in rows)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Your usage limit has reset.",
        "OSError: [Errno 22] Invalid argument",
        "bash: rg: command not found",
        "2 tests failed, 40 passed",
        "exit code 1",
        "See https://example.test/docs/rate-sheets for our prices",
    ],
)
def test_other_words_stand_for_nothing(text: str) -> None:
    assert fault(Signs(text=text)).code == "runtime_failed"


# --- programs that do not start, and pauses


@pytest.mark.req("002:L166")
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOENT, "No such file or directory"), "runtime_missing"),
        (OSError(errno.EACCES, "Permission denied"), "runtime_missing"),
        (OSError(errno.ENOEXEC, "Exec format error"), "runtime_missing"),
        (OSError(errno.E2BIG, "Argument list too long"), "request_rejected"),
        (ValueError("embedded null byte"), "request_rejected"),
        (OSError(errno.EMFILE, "Too many open files"), "runtime_failed"),
    ],
)
def test_a_program_that_cannot_be_started_says_why(error: OSError | ValueError, code: str) -> None:
    found = not_started("cli", error)
    assert found.code == code
    assert "cli cannot be started" in found.message


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (None, None),
        ("", None),
        ("3600", 3600.0),
        (" 1.5 ", 1.5),
        ("0", 0.0),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        ("soon", None),
        ("-3", None),
        ("nan", None),
        ("9" * 400, None),
    ],
)
def test_a_pause_is_told_in_seconds_or_as_a_date(told: str | None, seconds: float | None) -> None:
    assert retry_after(told, NOW) == seconds
