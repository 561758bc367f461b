"""The api runtime in trouble: what is refused, broken off or never sent, and cancels."""

import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from importlib.util import find_spec

import anyio
import pytest
from anyio.abc import ByteStream
from pydantic import JsonValue

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.agent import AgentCall, AgentResult
from engine_mcp.core.plan import Permissions, StepSpec
from engine_mcp.core.tool import ToolResult
from engine_mcp.runners.api import ApiRunner
from engine_mcp.runners.api_options import ApiOptions, Provider
from engine_mcp.runners.api_sdk import QUIET
from tests.runners.api_rig import ENVIRON, HEADERS, READ, TASK, echo, raw, runner_at, sse
from tests.runners.host import RecordingHost
from tests.wire.server import Wire
from tests.wire.turns import ToolUse, Trouble, Turn

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks")]

SAID = "one two three four"
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
AWS = {"AWS_REGION": "us-east-1", "AWS_BEARER_TOKEN_BEDROCK": "a-key-for-tests"}
SIGNING = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "never shown"}


def code(result: AgentResult) -> str:
    return result.failure.code if result.failure is not None else ""


def message(result: AgentResult) -> str:
    return result.failure.message if result.failure is not None else ""


# --- errors of the provider


@pytest.mark.parametrize(
    ("status", "kind", "told", "expected"),
    [
        (400, "invalid_request_error", "messages: wrong", "request_rejected"),
        (400, "invalid_request_error", "prompt is too long: 9 tokens", "context_overflow"),
        (401, "authentication_error", "invalid x-api-key", "unauthorized"),
        (402, "billing_error", "pay first", "credit_exhausted"),
        (403, "permission_error", "not yours", "unauthorized"),
        (404, "not_found_error", "model: claude-none", "model_unavailable"),
        (413, "request_too_large", "too large", "context_overflow"),
        (429, "rate_limit_error", "slower", "rate_limited"),
        (500, "api_error", "it broke", "provider_error"),
        (502, "", "it broke", "provider_error"),
        (529, "overloaded_error", "Overloaded", "overloaded"),
    ],
)
async def test_an_error_is_told_by_its_code_and_nothing_is_asked_again(
    status: int, kind: str, told: str, expected: str
) -> None:
    with Wire() as wire:
        wire.answer(Turn(trouble=Trouble(status=status, kind=kind, message=told)))
        host = RecordingHost()
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, host)
    assert code(result) == expected
    assert told in message(result)
    assert f"(HTTP {status})" in message(result)
    assert result.failure is not None
    assert result.failure.hint == CATALOGUE[expected].remedy
    assert len(wire.requests) == host.used(result).requests == 1
    assert host.used(result).tokens_in == 0


async def test_how_long_to_wait_stands_in_the_message() -> None:
    with Wire() as wire:
        wire.answer(
            Turn(trouble=Trouble(status=429, kind="rate_limit_error", message="slower", retry_after="3600"))
        )
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, RecordingHost())
    assert code(result) == "rate_limited"
    assert "Retry after 3600 s." in message(result)


async def test_a_limit_on_spending_is_told_from_one_on_speed() -> None:
    trouble = Trouble(
        status=429,
        kind="rate_limit_error",
        message="limit reached",
        details={"error_code": "enforced_spend_limit_reached"},
    )
    with Wire() as wire:
        wire.answer(Turn(trouble=trouble))
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, RecordingHost())
    assert code(result) == "credit_exhausted"


async def test_an_error_inside_a_stream_keeps_what_was_said_and_used() -> None:
    with Wire() as wire:
        wire.answer(
            Turn(SAID, chunk=4, trouble=Trouble(kind="overloaded_error", message="Overloaded", at="middle"))
        )
        host = RecordingHost()
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, host)
    assert code(result) == "overloaded"
    assert "HTTP" not in message(result)
    assert result.output == host.text == SAID[:12]
    assert host.used(result).tokens_in == 1000
    assert 4 < host.used(result).tokens_out < 200
    assert [kept["role"] for kept in host.memory] == ["user"]


# --- connections


@pytest.mark.parametrize("manner", ["close", "reset", "end"])
async def test_a_stream_that_is_cut_keeps_what_was_said_and_is_not_remembered(manner: str) -> None:
    trouble = Trouble(cut="close" if manner == "close" else "reset" if manner == "reset" else "end")
    with Wire() as wire:
        wire.answer(Turn(SAID, chunk=4, trouble=trouble))
        host = RecordingHost()
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, host)
    assert code(result) == "unreachable"
    assert result.output == SAID[:12]
    assert host.used(result).tokens_in == 1000
    assert [kept["role"] for kept in host.memory] == ["user"]


async def test_a_failure_in_a_later_turn_keeps_what_was_said_before() -> None:
    with Wire() as wire:
        wire.answer(Turn("I look.", blocks=[ToolUse("files_read")]), Turn(trouble=Trouble()))
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, RecordingHost([READ], echo))
    assert (code(result), result.output) == ("overloaded", "I look.")


async def test_nobody_at_the_address_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as place:
        port = place.getsockname()[1]
    async with runner_at(f"http://127.0.0.1:{port}") as runner:
        result = await runner.run(TASK, RecordingHost())
    assert (code(result), result.output) == ("unreachable", None)


@pytest.mark.parametrize("at", ["start", "middle"])
async def test_silence_is_a_stall(at: str) -> None:
    with Wire() as wire:
        wire.answer(
            Turn(SAID, chunk=4, trouble=Trouble(stall=True, at="start" if at == "start" else "middle"))
        )
        host = RecordingHost()
        with anyio.fail_after(30):
            async with runner_at(wire.url, ApiOptions(stall_s=0.3)) as runner:
                result = await runner.run(TASK, host)
    assert code(result) == "runtime_stalled"
    assert (result.output or "") == host.text == ("" if at == "start" else SAID[:12])


async def test_pings_keep_a_thinking_model_alive_but_not_for_ever() -> None:
    stall_s = 0.2
    pings = 0

    async def ping(connection: ByteStream) -> None:
        nonlocal pings
        await connection.send(HEADERS)
        while True:
            await connection.send(PING)
            pings += 1
            await anyio.sleep(stall_s / 4)

    host = RecordingHost()
    with anyio.fail_after(30):
        async with raw(ping) as url, runner_at(url, ApiOptions(stall_s=stall_s)) as runner:
            result = await runner.run(TASK, host)
            assert code(result) == "runtime_stalled"
    assert pings > QUIET


async def test_an_answer_may_take_long_as_long_as_it_goes_on() -> None:
    stall_s = 0.5
    gap_s = stall_s / 4
    start, *pieces = sse(Turn("x" * QUIET * 5, chunk=1)).split(b"\n\n")

    async def write(connection: ByteStream) -> None:
        await connection.send(HEADERS + start)
        for piece in pieces:
            await connection.send(b"\n\n" + piece)
            await anyio.sleep(gap_s)

    with anyio.fail_after(30):
        async with raw(write) as url, runner_at(url, ApiOptions(stall_s=stall_s)) as runner:
            result = await runner.run(TASK, RecordingHost())
            assert result.output == "x" * QUIET * 5
    assert len(pieces) * gap_s > stall_s * QUIET


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<html>Please log in to this network</html>", "unreachable"),
        (b"event: message_start\ndata: {no json\n\n", "provider_error"),
        (sse(Turn("hello")).replace(b'"index": 0, "delta"', b'"index": 7, "delta"'), "provider_error"),
    ],
    ids=["another page", "no json", "no such block"],
)
async def test_what_is_no_answer_is_a_failure(body: bytes, expected: str) -> None:
    async with raw(lambda connection: connection.send(HEADERS + body)) as url, runner_at(url) as runner:
        result = await runner.run(TASK, RecordingHost())
        assert code(result) == expected


# --- a cancel in the middle


async def test_a_cancel_in_the_middle_of_an_answer_keeps_the_account() -> None:
    host = RecordingHost()
    with Wire() as wire:
        wire.answer(Turn("x" * 300, chunk=3, gate=threading.Event()))
        async with runner_at(wire.url) as runner:
            with anyio.fail_after(30):
                async with anyio.create_task_group() as group:
                    group.start_soon(runner.run, TASK, host)
                    while len(host.text) < 150:  # noqa: ASYNC110 - the text comes piece by piece
                        await anyio.sleep(0.01)
                    group.cancel_scope.cancel()
        assert wire.billed.turns == 0
    assert host.used().tokens_in == 1000
    assert host.used().tokens_out == 100
    assert host.used().cost_basis == "unpriced"
    assert [kept["role"] for kept in host.memory] == ["user"]


class Waiting(RecordingHost):
    """Answers no call."""

    async def call(self, call: AgentCall) -> ToolResult:
        self.calls.append(call)
        await anyio.sleep_forever()
        return ToolResult()


async def test_a_cancel_during_calls_leaves_the_answer_that_asked_for_them_on_record() -> None:
    host = Waiting([READ])
    with Wire() as wire:
        wire.answer(Turn(blocks=[ToolUse("files_read")]))
        async with runner_at(wire.url) as runner:
            with anyio.fail_after(30):
                async with anyio.create_task_group() as group:
                    group.start_soon(runner.run, TASK, host)
                    while not host.calls:  # noqa: ASYNC110 - the call comes when it comes
                        await anyio.sleep(0.01)
                    group.cancel_scope.cancel()
    assert [kept["role"] for kept in host.memory] == ["user", "assistant"]
    assert host.used().tokens_out == 200


class Stopping(RecordingHost):
    """Is told to stop while an answer is being recorded."""

    def __init__(self, scope: anyio.CancelScope) -> None:
        super().__init__()
        self._scope = scope

    async def remember(self, message: Mapping[str, JsonValue]) -> None:
        if message["role"] == "assistant":
            self._scope.cancel()
            await anyio.lowlevel.checkpoint()
        self.memory.append(dict(message))


async def test_an_answer_that_is_paid_for_gets_on_record_even_while_the_attempt_is_cancelled() -> None:
    scope = anyio.CancelScope()
    host = Stopping(scope)
    with Wire() as wire, scope:
        async with runner_at(wire.url) as runner:
            await runner.run(TASK, host)
    assert len(host.memory) == 2


# --- surroundings


def test_the_sdk_is_not_imported_before_it_is_needed() -> None:
    look = "import sys; import engine_mcp.runners.api; sys.exit('anthropic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0


async def test_many_first_attempts_wait_for_one_client() -> None:
    runner = ApiRunner(ApiOptions(), environ=ENVIRON)
    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(runner.warm)
    await runner.warm()
    await runner.aclose()


async def test_health_says_where_and_with_what_but_shows_no_secret() -> None:
    environ = {
        "ANTHROPIC_API_KEY": "sk-never-shown",
        "ANTHROPIC_BASE_URL": "https://me:pass@gate.test:8443/x",
    }
    health = await ApiRunner(ApiOptions(), environ=environ).health()
    assert (health.usable, health.detail) == (True, "https://gate.test:8443 with ANTHROPIC_API_KEY")
    assert health.version.startswith("anthropic 2.")
    assert "never-shown" not in repr(health)


async def test_a_token_does_where_there_is_no_key() -> None:
    with Wire() as wire:
        async with runner_at(wire.url, environ={"ANTHROPIC_AUTH_TOKEN": "a-token"}) as runner:
            result = await runner.run(TASK, RecordingHost())
    assert result.output == "done"
    assert wire.requests[0].headers["authorization"] == "Bearer a-token"


@pytest.mark.parametrize(
    ("provider", "environ", "expected", "remedy"),
    [
        ("anthropic", {"ANTHROPIC_API_KEY": ""}, "unauthorized", "ANTHROPIC_API_KEY"),
        ("bedrock", {"AWS_BEARER_TOKEN_BEDROCK": "key"}, "runtime_unavailable", "AWS_REGION"),
        ("bedrock", {"AWS_REGION": "us-east-1"}, "unauthorized", "AWS_BEARER_TOKEN_BEDROCK"),
    ],
)
async def test_what_is_missing_is_told_before_anybody_is_asked(
    provider: Provider, environ: dict[str, str], expected: str, remedy: str
) -> None:
    runner = ApiRunner(ApiOptions(provider=provider), environ=environ)
    health = await runner.health()
    assert not health.usable
    assert remedy in health.remedy
    result = await runner.run(TASK, RecordingHost())
    assert code(result) == expected
    assert message(result) == health.detail


@pytest.mark.parametrize(
    ("provider", "environ", "wanted"),
    [("bedrock-classic", AWS, "botocore"), ("bedrock", SIGNING, "boto3")],
)
async def test_a_missing_extra_is_named(provider: Provider, environ: dict[str, str], wanted: str) -> None:
    if find_spec(wanted) is not None:
        pytest.skip(f"{wanted} is installed here")
    runner = ApiRunner(ApiOptions(provider=provider), environ=environ)
    health = await runner.health()
    assert not health.usable
    assert wanted in health.detail
    assert "pip install engine-mcp[bedrock]" in health.remedy
    assert code(await runner.run(TASK, RecordingHost())) == "runtime_missing"


@pytest.mark.req("004:L22")
async def test_bedrock_speaks_the_same_protocol() -> None:
    with Wire() as wire:
        wire.answer(Turn("I look.", blocks=[ToolUse("files_read")]))
        host = RecordingHost([READ], echo)
        async with runner_at(wire.url, ApiOptions(provider="bedrock"), environ=AWS) as runner:
            result = await runner.run(TASK, host)
    assert (result.failure, result.output) == (None, "done")
    assert wire.requests[0].path.endswith("/v1/messages")
    assert wire.requests[0].headers["authorization"] == "Bearer a-key-for-tests"


async def test_bedrock_gets_its_region_and_its_address_from_the_environment() -> None:
    with Wire() as wire:
        environ = {**AWS, "ANTHROPIC_BEDROCK_MANTLE_BASE_URL": wire.url}
        runner = ApiRunner(ApiOptions(provider="bedrock"), environ=environ)
        result = await runner.run(TASK, RecordingHost())
        await runner.aclose()
    assert result.output == "done"


@pytest.mark.parametrize(
    ("allowed", "word"),
    [
        (("shell",), "shell"),
        (("files.read", "shell(git *)"), "shell"),
        (("web",), "web"),
        (("files.read", "script"), ""),
        ((), ""),
        (None, ""),
    ],
)
def test_what_the_runtime_cannot_grant_is_objected_to(allowed: tuple[str, ...] | None, word: str) -> None:
    step = StepSpec(id="s", task="t", permissions=Permissions(allowed_tools=allowed))
    objection = ApiRunner(ApiOptions(), environ=ENVIRON).objection(step)
    assert (word in objection) if word else (objection == "")
