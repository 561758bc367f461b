"""The matrix of faults: what a provider does wrong, and what the real runtimes make of it.

A row that takes the same way through a runtime and through our code as another one is run with
`make test-clients-all` only; how its words and codes are read, `tests/runners` shows of each.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from engine_mcp.core.agent import AgentResult, AgentTask
from engine_mcp.core.brief import Prompt
from engine_mcp.core.execution import Failure
from engine_mcp.core.plan import Mode, Permissions, StepSpec
from engine_mcp.ports import Runner
from engine_mcp.runners.claude_code import ClaudeCodeRunner
from engine_mcp.runners.opencode import OpenCodeRunner
from tests.runners.host import RecordingHost
from tests.runners.stands.stand import Place
from tests.wire.server import Wire
from tests.wire.turns import Trouble, Turn

WITHIN_S = 90
STALL_S = 60.0
RETRIES = 1
"""How often a runtime may try again by itself: enough to be seen, and no more than a test needs."""
SESSION = "5a0a55f0-6d2e-5c7b-a111-0123456789ab"
ALLOWANCE_S = 0.5
OWN_PAUSE_S = 2.0
"""OpenCode's own first pause: one that looks longer is not known for one that was asked for."""
ALL = bool(os.environ.get("TEST_ALL_FAULTS"))
RESETS_AT = int(time.time()) + 7200
PLAN_USED_UP = {
    "anthropic-ratelimit-unified-status": "rejected",
    "anthropic-ratelimit-unified-reset": str(RESETS_AT),
    "anthropic-ratelimit-unified-representative-claim": "five_hour",
    "x-should-retry": "false",
}

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180), pytest.mark.usefixtures("no_leaks")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A fault of a provider, and the codes in which it has to end; None where the runtime cannot show it.

    `retry_after_s` is the pause that the provider asks for. `shown` names the runtimes in which another
    test goes the same way.
    """

    name: str
    turn: Turn
    claude: str | None = None
    opencode: str | None = None
    retry_after_s: float | None = None
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    shown: frozenset[str] = frozenset()


def row(name: str, turn: Turn, both: str | None = None, **more: object) -> Row:
    return Row(**{"name": name, "turn": turn, "claude": both, "opencode": both, **more})  # type: ignore[arg-type] - as named


def run_with(runtime: str) -> list[Row]:
    """The rows that a runtime can show, without those that are shown elsewhere unless all are wanted."""
    return [one for one in ROWS if getattr(one, runtime) and (ALL or runtime not in one.shown)]


def refused(status: int, kind: str, message: str, **more: object) -> Turn:
    return Turn(trouble=Trouble(status=status, kind=kind, message=message, **more))  # type: ignore[arg-type] - as named


SPENT = "You have reached your specified API usage limits."
BUSY = "This request would exceed your account's rate limit. Please try again later."
LONG = "prompt is too long: 210000 tokens > 200000 maximum"
BOTH, CLAUDE, OPENCODE = frozenset({"claude", "opencode"}), frozenset({"claude"}), frozenset({"opencode"})
ROWS = (
    row("401", refused(401, "authentication_error", "invalid x-api-key"), "unauthorized", shown=BOTH),
    row(
        "403",
        refused(403, "permission_error", "Your organization may not do this."),
        "unauthorized",
        shown=OPENCODE,
    ),
    row("404", refused(404, "not_found_error", "model: claude-none"), "model_unavailable", shown=BOTH),
    row(
        "429",
        refused(429, "rate_limit_error", BUSY, retry_after="1"),
        "rate_limited",
        retry_after_s=1.0,
        shown=OPENCODE,
    ),
    row(
        "429-soon",
        refused(429, "rate_limit_error", BUSY, retry_after="0.2"),
        opencode="rate_limited",
        retry_after_s=0.2,
    ),
    row(
        "429-long",
        refused(429, "rate_limit_error", BUSY, retry_after="120"),
        claude="rate_limited",
        retry_after_s=61.0,
    ),
    row(
        "429-plan",
        refused(429, "rate_limit_error", BUSY, headers=PLAN_USED_UP),
        claude="quota_exhausted",
        environ={"CLAUDE_CODE_OAUTH_TOKEN": "a-token-for-tests"},
    ),
    row(
        "429-spend",
        refused(429, "rate_limit_error", SPENT, details={"error_code": "enforced_spend_limit_reached"}),
        "credit_exhausted",
    ),
    row("402", refused(402, "billing_error", "Payment is needed."), "credit_exhausted"),
    row(
        "400-credit",
        refused(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
        "credit_exhausted",
        shown=OPENCODE,
    ),
    row("529", refused(529, "overloaded_error", "Overloaded"), "overloaded", shown=CLAUDE),
    row("500", refused(500, "api_error", "Internal server error"), "provider_error", shown=BOTH),
    row("cut", Turn("half of it " * 9, trouble=Trouble(cut=True)), "unreachable", shown=CLAUDE),
    row("mid-stream", Turn("half of it " * 9, trouble=Trouble(at="middle")), "overloaded"),
    row("too-long", refused(400, "invalid_request_error", LONG), "context_overflow", shown=OPENCODE),
    row(
        "413",
        refused(413, "request_too_large", "Request exceeds the maximum size"),
        "context_overflow",
        shown=OPENCODE,
    ),
    row("400", refused(400, "invalid_request_error", "tools.0: not like this"), "request_rejected"),
    row("refusal", Turn("I would", stop_reason="refusal"), "refused", shown=CLAUDE),
    row("max-tokens", Turn("cut off", stop_reason="max_tokens"), "truncated", shown=CLAUDE),
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def task(project: Path, *, model: str | None, session: str | None) -> AgentTask:
    return AgentTask(
        execution_id=Place(project.parent).execution,  # of its own for each test and checkout
        step=StepSpec(id="a", task="Do it.", permissions=Permissions(mode=Mode.NONE)),
        number=1,
        project=str(project),
        prompt=Prompt(system="You are a tester.", text="Do it.", again="Go on."),
        session=session,
        model=model,
    )


async def failed(runner: Runner, given: AgentTask) -> Failure:
    with anyio.fail_after(WITHIN_S):
        result: AgentResult = await runner.run(given, RecordingHost())
    assert result.failure is not None
    return result.failure


def check(failure: Failure, row: Row, code: str | None, most_s: float) -> None:
    """Hold a failure against its row; `most_s` is how long the pause can look that was asked for."""
    assert failure.code == code, failure
    assert failure.message
    assert failure.hint
    if row.retry_after_s is None:
        assert failure.retry_after_s is None
    else:
        assert failure.retry_after_s is not None
        assert row.retry_after_s <= failure.retry_after_s <= most_s
    if code == "quota_exhausted":
        assert failure.retry_at == RESETS_AT


@pytest.mark.req("002:L90")
@pytest.mark.parametrize("row", run_with("claude"), ids=lambda row: row.name)
async def test_claude_code_tells_a_fault_by_its_code(
    row: Row, claude: Path, claude_environ: dict[str, str], wire: Wire, project: Path
) -> None:
    assert claude
    wire.otherwise(row.turn)
    environ = {**claude_environ, **row.environ}
    if row.environ:
        del environ["ANTHROPIC_API_KEY"]
    runner = ClaudeCodeRunner(environ=environ, stall_s=STALL_S, retries=RETRIES)
    failure = await failed(runner, task(project, model=None, session=SESSION))
    check(failure, row, row.claude, (row.retry_after_s or 0.0) + ALLOWANCE_S)


@pytest.mark.slow
@pytest.mark.req("002:L90")
@pytest.mark.parametrize("row", run_with("opencode"), ids=lambda row: row.name)
async def test_opencode_tells_a_fault_by_its_code(
    row: Row, opencode: Path, opencode_environ: dict[str, str], wire: Wire, project: Path
) -> None:
    wire.otherwise(row.turn)
    runner = OpenCodeRunner(environ=opencode_environ, binary=str(opencode), stall_s=STALL_S, retries=RETRIES)
    failure = await failed(runner, task(project, model="fake/m1", session=None))
    check(failure, row, row.opencode, OWN_PAUSE_S)
