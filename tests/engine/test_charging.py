"""What an attempt used is priced as it is told, counted once, and estimated where a crash left it untold."""

from dataclasses import replace

import anyio
import pytest

from engine_mcp.core.agent import AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import Limits, Resource, Usage
from engine_mcp.core.charge import drift
from engine_mcp.core.doubt import FIRST_MICROS, FIRST_TOKENS
from engine_mcp.core.event import AttemptLost, UsageReported
from engine_mcp.core.execution import AttemptStatus, Execution, ExecutionStatus
from engine_mcp.ports import AgentHost
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import ListedPrices, Reply, capture_events
from tests.engine.rig import Held, Rig, agent, came, check_record, rested, until

pytestmark = pytest.mark.anyio

TURN = Usage(requests=1, tokens_in=1000, tokens_out=100)
PRICE = 1000 * 3 + 100 * 15


def priced(rig: Rig, *replies: Reply, tells: bool = False) -> Rig:
    rig.prices = ListedPrices({"m": (3, 15), "n": (1, 1)})
    rig.runner.tells_cost = tells
    rig.runner.replies = {"a": replies}
    return rig


def reporting(*news: AgentReport, result: AgentResult | None = None) -> Reply:
    """A reply that tells the news one after the other, and then its result."""

    async def tell(task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        for one in news:
            host.report(one)
            await anyio.lowlevel.checkpoint()
        return result or AgentResult(output="done")

    return tell


def told(usage: Usage = TURN, model: str = "m") -> AgentReport:
    return AgentReport(usage=usage, model=model)


def paid(micros: int) -> AgentReport:
    return AgentReport(usage=Usage(cost_micros=micros, cost_basis="reported"), model="m")


async def test_tokens_are_priced_as_they_come_and_the_price_list_is_on_record(rig: Rig) -> None:
    held = Held()

    async def working(task: AgentTask, host: AgentHost) -> AgentResult:
        host.report(told())
        return await held(task, host)

    priced(rig, working)
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a", model="m")))
        seen = await until(engine, execution, lambda now: now.usage.cost_micros > 0)
        assert (seen.usage.cost_micros, seen.usage.cost_basis) == (PRICE, "computed")
        held.let_go.set()
        execution = await rested(engine, execution)
    (charge,) = execution.steps["a"].attempts[0].charges
    assert (charge.model, charge.computed_micros, charge.reported_micros) == ("m", PRICE, None)
    assert (charge.price, charge.usage) == (
        "listed 1",
        replace(TURN, cost_micros=PRICE, cost_basis="computed"),
    )
    assert execution.usage.cost_micros == PRICE
    assert await check_record(rig.store, execution.id) == execution


async def test_each_model_of_an_attempt_is_charged_for_itself(rig: Rig) -> None:
    priced(rig, reporting(told(), told(model="n"), told()))
    execution = await rig.run(rig.draft(agent("a", model="m")))
    charges = {charge.model: charge.computed_micros for charge in execution.steps["a"].attempts[0].charges}
    assert charges == {"m": 2 * PRICE, "n": 1100}
    assert execution.usage.cost_micros == 2 * PRICE + 1100


async def test_what_the_result_tells_is_priced_too(rig: Rig) -> None:
    priced(rig, reporting(told(), result=AgentResult(output="done", usage=TURN, model="m")))
    execution = await rig.run(rig.draft(agent("a", model="m")))
    assert (execution.usage.cost_micros, execution.usage.requests) == (2 * PRICE, 2)


async def test_a_runtime_that_tells_its_cost_is_not_counted_twice(rig: Rig) -> None:
    priced(rig, reporting(told(), told(), paid(10_000)), tells=True)
    execution = await rig.run(rig.draft(agent("a", model="m")))
    assert (execution.usage.cost_micros, execution.usage.cost_basis) == (10_000, "reported")
    charges = execution.steps["a"].attempts[0].charges
    assert sum(charge.computed_micros or 0 for charge in charges) == 2 * PRICE
    assert sum(charge.reported_micros or 0 for charge in charges) == 10_000
    assert drift(charges) == pytest.approx(10_000 / (2 * PRICE) - 1)


async def test_what_a_runtime_used_after_it_last_told_its_cost_is_computed(rig: Rig) -> None:
    priced(rig, reporting(told(), paid(10_000), told()), tells=True)
    execution = await rig.run(rig.draft(agent("a", model="m")))
    assert (execution.usage.cost_micros, execution.usage.cost_basis) == (10_000 + PRICE, "computed")


async def test_an_attempt_that_fails_before_it_tells_its_cost_is_charged(rig: Rig) -> None:
    async def failing(task: AgentTask, host: AgentHost) -> AgentResult:
        host.report(told())
        msg = f"Nobody foresaw {task.step.id}."
        raise ValueError(msg)

    priced(rig, failing, tells=True)
    execution = await rig.run(rig.draft(agent("a", model="m")))
    assert execution.status is ExecutionStatus.FAILED
    assert (execution.usage.cost_micros, execution.usage.cost_basis) == (PRICE, "computed")


async def test_an_attempt_that_is_stopped_before_it_tells_its_cost_is_charged(rig: Rig) -> None:
    held = Held()

    async def working(task: AgentTask, host: AgentHost) -> AgentResult:
        host.report(told())
        return await held(task, host)

    priced(rig, working, tells=True)
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a", model="m")))
        await came(held.begun)
    execution = await rig.store.read(execution.id)
    assert (execution.usage.cost_micros, execution.usage.cost_basis) == (PRICE, "computed")


async def test_a_model_without_a_price_is_never_free(rig: Rig) -> None:
    priced(rig, reporting(told(model="x"), told()))
    execution = await rig.run(rig.draft(agent("a", model="m")))
    assert (execution.usage.cost_micros, execution.usage.cost_basis) == (PRICE, "unpriced")
    assert any("x has no price" in warning for warning in execution.warnings)


async def test_a_model_without_a_price_whose_runtime_tells_the_cost_costs_that(rig: Rig) -> None:
    priced(rig, reporting(told(model="x"), paid(500)), tells=True)
    execution = await rig.run(rig.draft(agent("a", model="m")))
    assert (execution.usage.cost_micros, execution.usage.cost_basis) == (500, "reported")


async def test_an_answer_may_be_as_long_as_the_share_can_pay(rig: Rig) -> None:
    seen: list[int | None] = []

    async def asking(task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        seen.append(host.affordable())
        host.report(told())
        seen.append(host.affordable(1000))
        return AgentResult(output="done")

    priced(rig, asking)
    limits = Limits(max_cost_usd=0.03, max_tokens=10_000)
    await rig.run(rig.draft(agent("a", model="m"), budget=limits))
    assert seen == [2000, (30_000 - PRICE - 3000) // 15]
    seen.clear()
    await rig.run(rig.draft(agent("a", model="m")))
    assert seen == [None, None]


# --- what a crash leaves untold


async def lost(rig: Rig, *news: AgentReport, limits: Limits | None = None) -> Execution:
    """An execution whose process died after these news were on record."""
    held = Held()

    async def working(task: AgentTask, host: AgentHost) -> AgentResult:
        for one in news:
            host.report(one)
            rig.clock.advance(1)  # so that each is told at once
        await host.remember({"role": "assistant", "content": ""})
        return await held(task, host)

    rig.runner.replies = {"a": [working]}
    store = rig.store
    assert isinstance(store, MemoryStore)
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a", model="m"), budget=limits or Limits()))
        await came(held.begun)
        store.abandon(execution.id)  # what it writes from now on does not count
    async with rig.engine() as engine:
        return await engine.show(execution.id)


@pytest.mark.parametrize(
    ("limits", "tokens", "micros"),
    [
        (None, 0, 0),
        (Limits(max_tokens=1000), 1000, 0),
        (Limits(max_tokens=1_000_000), FIRST_TOKENS, 0),
        (Limits(max_cost_usd=0.01), 0, 10_000),
        (Limits(max_cost_usd=9.0), 0, FIRST_MICROS),
    ],
    ids=["no share", "few tokens", "many tokens", "a cent", "dollars"],
)
async def test_a_lost_attempt_that_told_nothing_is_taken_for_a_first_turn_within_its_share(
    rig: Rig, limits: Limits | None, tokens: int, micros: int
) -> None:
    execution = await lost(priced(rig), limits=limits)
    attempt = execution.steps["a"].attempts[0]
    assert attempt.status is AttemptStatus.LOST
    assert (attempt.usage.amount(Resource.TOKENS), attempt.usage.cost_micros) == (tokens, micros)
    assert attempt.usage.cost_basis == ("estimated" if tokens or micros else "unpriced")


async def test_a_lost_attempt_is_taken_for_one_turn_more_than_it_told(rig: Rig) -> None:
    execution = await lost(priced(rig), told(), told())
    assert execution.usage.cost_micros == 3 * PRICE
    assert execution.usage.amount(Resource.TOKENS) == 3 * 1100
    assert execution.usage.cost_basis == "estimated"
    assert await check_record(rig.store, execution.id) == execution


@pytest.mark.parametrize("dollars", [0.0091, 0.012, 1.0])
async def test_the_doubt_about_a_lost_attempt_keeps_to_its_share(rig: Rig, dollars: float) -> None:
    execution = await lost(priced(rig), told(), told(), limits=Limits(max_cost_usd=dollars))
    share = execution.steps["a"].attempts[0].reserved.cost_micros
    assert execution.usage.cost_micros == min(3 * PRICE, share)
    assert execution.usage.cost_micros <= round(dollars * 1_000_000)


async def test_what_a_lost_attempt_told_without_its_cost_is_priced(rig: Rig) -> None:
    execution = await lost(priced(rig, tells=True), told(), told())
    assert execution.usage.cost_micros == 3 * PRICE
    (event,) = [e for e in await capture_events(rig.store, execution.id) if isinstance(e, AttemptLost)]
    assert event.usage.cost_micros == 3 * PRICE


async def test_every_use_is_on_record_once_with_its_charge(rig: Rig) -> None:
    priced(rig, reporting(*(told() for _ in range(50))))
    execution = await rig.run(rig.draft(agent("a", model="m")))
    events = [e for e in await capture_events(rig.store, execution.id) if isinstance(e, UsageReported)]
    assert sum((event.usage for event in events), start=Usage()).cost_micros == 50 * PRICE
    assert all(event.charge is not None for event in events)
