"""The table of errors, each row of a provider through the whole engine on the api runtime."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute

from engine_mcp.core.budget import Resource
from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.route import Allowed, Domain
from engine_mcp.runners.api import ApiRunner
from engine_mcp.runners.api_options import ApiOptions
from tests.faults.rig import Outcome, Rig, rigged
from tests.wire.received import Received
from tests.wire.server import Wire
from tests.wire.turns import StopReason, Trouble, Turn

MODEL = "claude-opus-5-5"
STEP = StepSpec(id="s", task="Say hello.", runtime="api", model=MODEL)
TEXT = "A word and another. " * 5
STALL_S = 0.2
HOURS_2 = 7200.0
FAILED, QUOTA, BILLING = "failed", "paused: quota", "paused: billing"

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A fault, and what comes of an execution whose provider has nothing else: how it rests, until when,
    how its attempts end, and what is known to be broken then."""

    turn: Turn
    code: str
    tries: int = 1
    broken: dict[str, str]
    ends: str = FAILED
    until: float | None = None


def refused(status: int, kind: str, message: str = "No.", **more: object) -> Turn:
    return Turn(trouble=Trouble(status=status, kind=kind, message=message, **more))  # type: ignore[arg-type] - as named


def cut(**how: object) -> Turn:
    return Turn(TEXT, trouble=Trouble(**how))  # type: ignore[arg-type] - as named


def stopped(reason: StopReason) -> Turn:
    return Turn(TEXT, stop_reason=reason)


ENDPOINT, MODEL_BUSY, POOL_SHUT = {"endpoint": "3 of 5"}, {"model": "3 of 5"}, {"pool": "until reset"}
USED_UP = "Claude AI usage limit reached|1800007200"
SPENT = {"error_code": "enforced_spend_limit_reached"}
BUSY = "This request would exceed your account's rate limit. Please try again later."
NO_CREDIT = "Your credit balance is too low to access the Anthropic API."
TOO_LONG = "prompt is too long: 210000 tokens > 200000 maximum"

PASSING = {
    "529": Row(turn=refused(529, "overloaded_error"), code="overloaded", tries=3, broken=MODEL_BUSY),
    "503": Row(turn=refused(503, "api_error"), code="overloaded", tries=3, broken=MODEL_BUSY),
    "529 amid": Row(turn=cut(at="middle"), code="overloaded", tries=3, broken=MODEL_BUSY),
    "500": Row(turn=refused(500, "api_error"), code="provider_error", tries=3, broken=ENDPOINT),
    "502": Row(turn=refused(502, "api_error"), code="provider_error", tries=3, broken=ENDPOINT),
    "504": Row(turn=refused(504, "timeout_error"), code="provider_error", tries=3, broken=ENDPOINT),
    "error amid": Row(
        turn=cut(at="middle", kind="api_error", message="Internal server error"),
        code="provider_error",
        tries=3,
        broken=ENDPOINT,
    ),
    "closed": Row(turn=cut(cut="close"), code="unreachable", tries=3, broken=ENDPOINT),
    "reset": Row(turn=cut(cut="reset"), code="unreachable", tries=3, broken=ENDPOINT),
    "ended early": Row(turn=cut(cut="end"), code="unreachable", tries=3, broken=ENDPOINT),
    "no answer": Row(turn=cut(cut="close", at="start"), code="unreachable", tries=3, broken=ENDPOINT),
    "stall": Row(turn=cut(stall=True), code="runtime_stalled", tries=3, broken={"harness": "3 of 5"}),
    "429": Row(
        turn=refused(429, "rate_limit_error", BUSY, retry_after="20"),
        code="rate_limited",
        tries=3,
        broken={"pool": "20 s"},
    ),
    "429 without a time": Row(
        turn=refused(429, "rate_limit_error", BUSY), code="rate_limited", tries=3, broken={"pool": "60 s"}
    ),
    "401": Row(turn=refused(401, "authentication_error"), code="unauthorized", tries=2, broken=POOL_SHUT),
    "403": Row(turn=refused(403, "permission_error"), code="unauthorized", tries=2, broken=POOL_SHUT),
}
"""The faults that another attempt on the same route may mend."""
WAITING = {
    "429 for an hour": Row(
        turn=refused(429, "rate_limit_error", BUSY, retry_after="3600"),
        code="rate_limited",
        broken={"pool": "3600 s"},
        ends=QUOTA,
        until=3600.0,
    ),
    "usage limit": Row(
        turn=refused(429, "rate_limit_error", USED_UP),
        code="quota_exhausted",
        broken={"pool": "7200 s"},
        ends=QUOTA,
        until=HOURS_2,
    ),
    "429 spend limit": Row(
        turn=refused(429, "rate_limit_error", details=SPENT),
        code="credit_exhausted",
        broken=POOL_SHUT,
        ends=BILLING,
    ),
    "402": Row(turn=refused(402, "billing_error"), code="credit_exhausted", broken=POOL_SHUT, ends=BILLING),
    "400 credit": Row(
        turn=refused(400, "invalid_request_error", NO_CREDIT),
        code="credit_exhausted",
        broken=POOL_SHUT,
        ends=BILLING,
    ),
}
"""The faults that are waited for."""
FINAL = {
    "404": Row(
        turn=refused(404, "not_found_error", "model: claude-none"),
        code="model_unavailable",
        broken={"model": "300 s"},
    ),
    "too long": Row(turn=refused(400, "invalid_request_error", TOO_LONG), code="context_overflow", broken={}),
    "413": Row(turn=refused(413, "request_too_large"), code="context_overflow", broken={}),
    "window": Row(turn=stopped("model_context_window_exceeded"), code="context_overflow", broken={}),
    "400": Row(turn=refused(400, "invalid_request_error"), code="request_rejected", broken={}),
    "refusal": Row(turn=stopped("refusal"), code="refused", broken={}),
    "max_tokens": Row(turn=stopped("max_tokens"), code="truncated", tries=3, broken={}),
}
"""The faults that no attempt mends."""
EVERY = {**PASSING, **WAITING, **FINAL}


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as server:
        yield server


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigged(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def api(url: str) -> AsyncGenerator[ApiRunner]:
    runner = ApiRunner(ApiOptions(base_url=url, stall_s=STALL_S), environ={"ANTHROPIC_API_KEY": "a-key"})
    try:
        await runner.warm()
        yield runner
    finally:
        await runner.aclose()


def check_money(outcome: Outcome, wire: Wire) -> None:
    """What was told to the end is charged as it was told; of what was cut, at least what was told."""
    told = wire.told.values()
    least = sum(one.tokens_in + one.tokens_out for one in told)
    spent, used = outcome.spent.amount(Resource.TOKENS), outcome.execution.usage
    assert spent == used.amount(Resource.TOKENS)
    assert outcome.spent.cost_micros == used.cost_micros
    assert (used.cost_micros > 0) == (least > 0)
    assert spent == least if all(one.whole for one in told) else spent > least
    assert used.requests == len(wire.requests)


@pytest.mark.req("002:L190", "002:L183")
@pytest.mark.parametrize("row", EVERY.values(), ids=EVERY)
async def test_a_fault_that_stays_ends_as_its_row_says(rig: Rig, wire: Wire, row: Row) -> None:
    wire.otherwise(row.turn)
    async with api(wire.url) as runner, rig.engine(runner) as engine:
        outcome = await rig.carried_out(engine, STEP)
    assert (outcome.status, outcome.codes) == (row.ends, [row.code] * row.tries)
    assert outcome.broken == row.broken
    assert outcome.until == (None if row.until is None else pytest.approx(row.until, abs=3))
    assert len(wire.requests) == row.tries
    check_money(outcome, wire)


@pytest.mark.req("002:L190", "002:L183")
@pytest.mark.parametrize("row", PASSING.values(), ids=PASSING)
async def test_a_fault_that_passes_is_survived_and_forgotten(rig: Rig, wire: Wire, row: Row) -> None:
    wire.answer(row.turn)
    wire.otherwise(Turn("Hello."))
    async with api(wire.url) as runner, rig.engine(runner) as engine:
        outcome = await rig.carried_out(engine, STEP)
    assert (outcome.status, outcome.codes, outcome.broken) == ("completed", [row.code, "done"], {})
    assert outcome.lasted >= float((row.turn.trouble and row.turn.trouble.retry_after) or 0)
    check_money(outcome, wire)


@pytest.mark.req("002:L190")
@pytest.mark.parametrize("row", WAITING.values(), ids=WAITING)
async def test_what_is_waited_for_stops_all_executions_and_goes_on_when_somebody_says_so(
    rig: Rig, wire: Wire, row: Row
) -> None:
    wire.answer(row.turn)
    wire.otherwise(Turn("Hello."))
    async with api(wire.url) as runner, rig.engine(runner) as engine:
        first = await rig.carried_out(engine, STEP)
    async with api(wire.url) as runner, rig.engine(runner) as engine:
        second = await rig.carried_out(engine, STEP)
        assert (second.status, second.codes) == (row.ends, [])  # it was never asked
        assert len(wire.requests) == 1
        outcome = await rig.gone_on(engine, first)
        assert (outcome.status, outcome.codes, outcome.broken) == ("completed", [row.code, "done"], {})
        outcome = await rig.gone_on(engine, second)
        assert (outcome.status, outcome.codes) == ("completed", ["done"])


async def test_a_quota_that_resets_lets_go_on_by_itself_who_wants_to(rig: Rig, wire: Wire) -> None:
    wire.answer(WAITING["usage limit"].turn)
    wire.otherwise(Turn("Hello."))
    async with api(wire.url) as runner, rig.engine(runner) as engine:
        paused = await rig.carried_out(engine, STEP, auto_resume=True)
        with anyio.fail_after(30):
            execution = paused.execution
            while execution.status is not ExecutionStatus.COMPLETED:
                execution = await engine.wait(execution.id, 30, execution.revision)
                await anyio.lowlevel.checkpoint()
    assert rig.clock.now() - paused.began >= HOURS_2


@pytest.mark.req("002:L190")
async def test_a_busy_model_is_left_for_a_weaker_one_where_the_plan_allows_that(rig: Rig, wire: Wire) -> None:
    asked: list[str] = []

    def answer(request: Received) -> Turn:
        asked.append(str(request.body["model"]))
        return Turn("Hello.") if asked[-1] != asked[0] else PASSING["529"].turn

    wire.otherwise(answer)
    step = StepSpec(id="s", task="Design the architecture of a distributed system.", agent="architect")
    async with api(wire.url) as runner, rig.engine(runner) as engine:
        outcome = await rig.carried_out(engine, step, Allowed.TIER)
    assert (outcome.status, outcome.codes) == ("completed", ["overloaded"] * 3 + ["done"])
    (switch,) = outcome.execution.steps["s"].switches
    assert (switch.domain, switch.code) == (Domain.MODEL, "overloaded")
    assert (switch.origin.model, switch.to.model) == (asked[0], asked[-1])
    assert "Overloaded" in switch.why or "No." in switch.why
    assert outcome.broken == MODEL_BUSY
    check_money(outcome, wire)


async def test_a_broken_handshake_is_tried_again_and_shuts_nothing_but_this_machine(rig: Rig) -> None:
    async with plain() as port, api(f"https://127.0.0.1:{port}") as runner, rig.engine(runner) as engine:
        outcome = await rig.carried_out(engine, STEP)
    assert (outcome.status, outcome.codes) == ("failed", ["host_network"] * 3)
    assert outcome.broken == {"host": "3 of 5"}
    assert outcome.spent.amount(Resource.TOKENS) == 0


@asynccontextmanager
async def plain() -> AsyncGenerator[int]:
    """The port of a server that speaks no TLS."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

    async def serve(connection: ByteStream) -> None:
        async with connection:
            await connection.receive()
            await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield listener.extra_attributes[SocketAttribute.local_port]()
        group.cancel_scope.cancel()
