"""The api runtime's part in money and faults: signs of errors, routes, and what a cut answer used."""

import socket
import ssl
import time
from email.utils import formatdate

import anyio
import httpx2
import pytest
from anthropic import APIConnectionError
from anyio.abc import ByteStream, SocketAttribute

from engine_mcp.core.agent import AgentCall, AgentResult
from engine_mcp.core.execution import Failure
from engine_mcp.core.route import Route
from engine_mcp.core.tool import ToolResult
from engine_mcp.runners.api import ApiRunner
from engine_mcp.runners.api_options import ApiOptions
from engine_mcp.runners.api_sdk import failure_of
from tests.runners.api_rig import ENVIRON, HEADERS, MODEL, READ, TASK, echo, raw, reserving, runner_at, sse
from tests.runners.host import RecordingHost
from tests.wire.server import Wire
from tests.wire.turns import StopReason, ToolUse, Trouble, Turn

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks")]

DATED = "claude-opus-5-5-20261020"


def failure(result: AgentResult) -> Failure:
    assert result.failure is not None
    return result.failure


async def failed(turn: Turn) -> Failure:
    """What an attempt fails with that gets this answer; it asks once and no more."""
    with Wire() as wire:
        wire.answer(turn)
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, RecordingHost())
        assert len(wire.requests) == 1
    return failure(result)


# --- signs of the provider


def spending(code: str, status: int = 429, kind: str = "rate_limit_error") -> Trouble:
    return Trouble(status=status, kind=kind, message="no more", details={"error_code": code})


@pytest.mark.req("002:L90", "002:L104")
@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (spending("enforced_spend_limit_reached"), "credit_exhausted"),
        (spending("contract_spend_limit_reached"), "credit_exhausted"),
        (spending("linked_organization_spend_limit_reached", 402, "billing_error"), "credit_exhausted"),
        (spending("ramp_limit_exceeded"), "rate_limited"),
        (
            Trouble(status=400, kind="invalid_request_error", message="It reached its spend limit."),
            "credit_exhausted",
        ),
        (
            Trouble(status=400, kind="invalid_request_error", message="Your credit balance is too low"),
            "credit_exhausted",
        ),
        (
            Trouble(status=400, kind="invalid_request_error", message="blocked by content filtering policy"),
            "refused",
        ),
        (Trouble(status=403, kind="permission_error", message="no access to model: x"), "unauthorized"),
        (Trouble(status=407, kind="", message="proxy first"), "host_network"),
        (Trouble(status=503, kind="", message="no"), "overloaded"),
        (Trouble(kind="api_error", message="Internal server error", at="middle"), "provider_error"),
        (Trouble(kind="rate_limit_error", message="slower", at="middle"), "rate_limited"),
        (Trouble(kind="", message="?", at="middle"), "unreachable"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.status} {value.message}",
)
async def test_the_signs_of_an_error_decide_its_code(trouble: Trouble, expected: str) -> None:
    assert (await failed(Turn("one two three four", chunk=4, trouble=trouble))).code == expected


async def test_a_pause_that_was_asked_for_is_told_in_seconds() -> None:
    slower = Trouble(status=429, kind="rate_limit_error", message="slower", retry_after="3600")
    found = await failed(Turn(trouble=slower))
    assert (found.code, found.retry_after_s, found.retry_at) == ("rate_limited", 3600.0, None)


async def test_a_pause_may_be_asked_for_by_its_end() -> None:
    at = formatdate(time.time() + 600, usegmt=True)
    found = await failed(Turn(trouble=Trouble(status=529, retry_after=at)))
    assert found.code == "overloaded"
    assert found.retry_after_s is not None
    assert 500 < found.retry_after_s <= 600


async def test_a_limit_on_spending_says_when_it_ends() -> None:
    told = (
        "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."
    )
    found = await failed(Turn(trouble=Trouble(status=400, kind="invalid_request_error", message=told)))
    assert (found.code, found.retry_at) == ("credit_exhausted", 1_796_083_200.0)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("refusal", "refused"),
        ("max_tokens", "truncated"),
        ("model_context_window_exceeded", "context_overflow"),
    ],
)
async def test_the_reason_why_a_model_stopped_decides_the_code(reason: StopReason, expected: str) -> None:
    found = await failed(Turn(stop_reason=reason))
    assert (found.code, found.retry_after_s) == (expected, None)


# --- signs of the way there


async def test_a_broken_handshake_is_the_network_of_this_machine() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra_attributes[SocketAttribute.local_port]()

    async def serve(connection: ByteStream) -> None:
        async with connection:
            await connection.receive()
            await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        async with runner_at(f"https://127.0.0.1:{port}") as runner:
            found = failure(await runner.run(TASK, RecordingHost()))
            assert found.code == "host_network"
            assert "SSL" in found.message
        group.cancel_scope.cancel()


def unable(*causes: BaseException) -> APIConnectionError:
    """What the SDK raises where it was led to that by these, the first cause last."""
    error = APIConnectionError(request=httpx2.Request("POST", "https://api.anthropic.com"))
    for outer, inner in zip((error, *causes), causes, strict=False):
        outer.__cause__ = inner
    return error


REFUSED = ConnectionRefusedError(111, "Connect call failed")
NO_ROUTE = OSError(101, "Network is unreachable")


@pytest.mark.req("002:L165")
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (unable(httpx2.ConnectError("?"), socket.gaierror(-2, "Name or service not known")), "host_network"),
        (unable(httpx2.ConnectError("?"), ssl.SSLCertVerificationError(1, "expired")), "host_network"),
        (unable(httpx2.ProxyError("501 Unsupported method")), "host_network"),
        (unable(httpx2.ConnectError("All connection attempts failed"), NO_ROUTE), "host_network"),
        (unable(httpx2.ConnectError("All connection attempts failed"), REFUSED), "unreachable"),
        (
            unable(httpx2.ConnectError("?"), OSError("?"), ExceptionGroup("all", [NO_ROUTE, REFUSED])),
            "unreachable",
        ),
        (unable(httpx2.ConnectTimeout("")), "unreachable"),
        (unable(httpx2.ReadTimeout("")), "runtime_stalled"),
        (unable(), "unreachable"),
        (httpx2.RemoteProtocolError("peer closed connection"), "unreachable"),
        (httpx2.ReadError(""), "unreachable"),
        (httpx2.ReadTimeout(""), "runtime_stalled"),
        (ValueError("not JSON"), "provider_error"),
    ],
    ids=repr,
)
def test_what_broke_on_the_way_decides_the_code(error: Exception, expected: str) -> None:
    assert failure_of(error, otherwise="provider_error", cut=True).code == expected


# --- what was used


async def test_every_use_is_told_with_the_model_that_answered() -> None:
    host = RecordingHost()
    with Wire() as wire:
        wire.answer(Turn("hello", model=DATED))
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, host)
    told = [(report.model, report.usage.cost_basis) for report in host.reports if report.usage.tokens_in]
    assert told == [(DATED, "unpriced")]
    assert {report.model for report in host.reports if report.usage.tokens_out} == {DATED}
    assert (host.used(result).tokens_in, host.used(result).tokens_out) == (1000, 200)
    assert host.used(result).cost_micros == 0


async def test_writes_that_are_kept_for_an_hour_are_told_apart() -> None:
    told = b'"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 0'
    body = sse(Turn("hello", cache_write=400))
    assert told in body
    body = body.replace(told, b'"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 300')
    host = RecordingHost()
    async with raw(lambda connection: connection.send(HEADERS + body)) as url, runner_at(url) as runner:
        used = host.used(await runner.run(TASK, host))
    assert (used.cache_write, used.cache_write_1h) == (400, 300)


async def test_an_answer_that_is_cut_after_its_last_count_is_charged_what_was_counted() -> None:
    whole = sse(Turn("hello", input_tokens=70, output_tokens=4321, cache_read=9))
    counted = whole[: whole.index(b"event: message_stop")].replace(b'"stop_reason": "end_turn"', b'"x": 1')
    host = RecordingHost()
    async with raw(lambda connection: connection.send(HEADERS + counted)) as url, runner_at(url) as runner:
        result = await runner.run(TASK, host)
    assert failure(result).code == "unreachable"
    used = host.used(result)
    assert (used.tokens_in, used.tokens_out, used.cache_read) == (70, 4321, 9)


# --- routes


@pytest.mark.parametrize(
    ("options", "environ", "endpoint", "pool"),
    [
        (ApiOptions(), ENVIRON, "api.anthropic.com", "key 9820c1b5"),
        (ApiOptions(), {"ANTHROPIC_AUTH_TOKEN": "a-key-for-tests"}, "api.anthropic.com", "key 9820c1b5"),
        (ApiOptions(), {}, "api.anthropic.com", "none"),
        (
            ApiOptions(),
            {**ENVIRON, "ANTHROPIC_BASE_URL": "https://me:pass@Gate.test:8443/x"},
            "gate.test:8443",
            "key 9820c1b5",
        ),
        (ApiOptions(base_url="https://gate.test"), ENVIRON, "gate.test", "key 9820c1b5"),
        (
            ApiOptions(provider="bedrock", region="eu-west-1"),
            {"AWS_BEARER_TOKEN_BEDROCK": "secret"},
            "bedrock eu-west-1",
            "aws eu-west-1",
        ),
        (ApiOptions(provider="bedrock"), {}, "bedrock nowhere", "aws nowhere"),
    ],
)
def test_a_route_names_endpoint_and_account_without_a_secret(
    options: ApiOptions, environ: dict[str, str], endpoint: str, pool: str
) -> None:
    route = ApiRunner(options, environ=environ).route(MODEL)
    assert route == Route(runtime="api", family="api", endpoint=endpoint, pool=pool, model=MODEL)


def test_what_an_attempt_costs_is_not_told() -> None:
    assert not ApiRunner(ApiOptions(), environ=ENVIRON).tells_cost


async def test_health_can_be_asked_anew() -> None:
    runner = ApiRunner(ApiOptions(), environ=ENVIRON)
    first = await runner.health()
    assert await runner.health() is first
    assert await runner.health(fresh=True) is not first


# --- what an answer may cost


async def test_an_answer_may_have_no_more_tokens_than_the_host_can_afford() -> None:
    def spend(call: AgentCall) -> ToolResult:
        host.purse = 300
        return echo(call)

    host = RecordingHost([READ], spend, purse=900)
    with Wire() as wire:
        wire.answer(Turn(blocks=[ToolUse("files_read")]))
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, host)
    assert result.output == "done"
    assert [request.body["max_tokens"] for request in wire.requests] == [900, 300]


async def test_the_smaller_of_what_is_reserved_and_what_is_affordable_counts() -> None:
    with Wire() as wire:
        async with runner_at(wire.url) as runner:
            await runner.run(reserving(400), RecordingHost(purse=900))
            await runner.run(reserving(900), RecordingHost(purse=500))
    first, second = [request.body["max_tokens"] for request in wire.requests]
    assert 300 < first < 400
    assert second == 500


async def test_an_answer_that_the_host_cannot_afford_is_not_asked_for() -> None:
    with Wire() as wire:
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, RecordingHost(purse=0))
    assert failure(result).code == "spending_limit"
    assert wire.requests == []


async def test_an_answer_that_is_cut_where_it_could_not_be_afforded_is_told_so() -> None:
    with Wire() as wire:
        wire.answer(Turn("half of", stop_reason="max_tokens"))
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, RecordingHost(purse=50))
    assert (failure(result).code, result.output) == ("spending_limit", "half of")
