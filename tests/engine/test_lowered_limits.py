"""Limits that change while attempts run, and seconds that only count once an attempt has its place."""

from dataclasses import replace
from datetime import UTC

import anyio
import pytest

from engine_mcp.core.agent import AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import Limits, OnExceed, Usage
from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.core.period import Change, Period
from engine_mcp.core.request import Resume
from engine_mcp.engine.parts import EngineOptions
from engine_mcp.ledger.memory import MemoryLedger
from engine_mcp.ports import AgentHost
from engine_mcp.testing import FakeClock
from tests.engine.rig import DONE, Held, Rig, agent, came, check_record, quiet, rested, soon, statuses

pytestmark = pytest.mark.anyio
PAUSED, COMPLETED = ExecutionStatus.PAUSED, ExecutionStatus.COMPLETED
NOON = 1_800_014_400.0


def cents(number: int) -> Limits:
    return Limits(max_cost_usd=number / 100, on_exceed=OnExceed.PAUSE)


class Piecewise:
    """A reply that tells of ten cents each time it is asked to, and then waits until it is stopped."""

    def __init__(self) -> None:
        self.begun, self.stopped = anyio.Event(), anyio.Event()
        self.host: AgentHost | None = None

    async def __call__(self, task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        self.host = host
        self.begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.stopped.set()
        return DONE

    async def spend(self) -> None:
        assert self.host is not None
        usage = Usage(requests=1, cost_micros=100_000, cost_basis="reported")
        self.host.report(AgentReport(usage=usage))
        await self.host.remember({"role": "assistant", "content": ""})


@pytest.fixture
def spending(rig: Rig) -> Piecewise:
    """Give the first reply of a step of a rig, which goes on with an end."""
    rig.clock = FakeClock(NOON)
    reply = Piecewise()
    rig.runner.replies = {"a": [reply, DONE]}
    return reply


@pytest.mark.parametrize("before", [Limits(), cents(100)], ids=["set", "lowered"])
async def test_a_limit_reaches_the_attempt_that_runs(rig: Rig, spending: Piecewise, before: Limits) -> None:
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), budget=before))
        await came(spending.begun)
        await spending.spend()
        await engine.set_budget(execution.id, cents(25))
        await spending.spend()
        await quiet()
        assert not spending.stopped.is_set()
        await spending.spend()
        execution = await rested(engine, execution)
        assert (execution.status, execution.reason, statuses(execution)) == (
            PAUSED,
            "budget",
            {"a": "pending"},
        )
        assert execution.usage.cost_micros == 300_000
        again = await engine.resume(execution.id, Resume(budget=cents(100)))
        execution = await rested(engine, again)
    assert execution.status is COMPLETED
    one, two = rig.runner.tasks
    assert one.session == two.session
    assert await check_record(rig.store, execution.id) == execution


async def test_a_limit_lowered_below_what_is_spent_stops_the_attempt_at_once(
    rig: Rig, spending: Piecewise
) -> None:
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), budget=cents(100)))
        await came(spending.begun)
        await spending.spend()
        await engine.set_budget(execution.id, cents(5))
        execution = await rested(engine, execution)
    assert (execution.status, execution.reason) == (PAUSED, "budget")


@pytest.mark.parametrize("before", [None, cents(100)], ids=["set", "lowered"])
async def test_a_limit_of_the_day_reaches_the_attempt_that_runs(
    rig: Rig, spending: Piecewise, before: Limits | None
) -> None:
    rig.ledger = MemoryLedger(UTC, {})
    if before is not None:
        await rig.ledger.limit(Period.DAY, before, Change(at=NOON, by="test"))
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(spending.begun)
        await spending.spend()
        await engine.treasury.limit(Period.DAY, cents(25), "test")
        for _ in range(2):
            assert not spending.stopped.is_set()
            rig.clock.advance(2)
            await spending.spend()
        execution = await rested(engine, execution)
        room = await engine.treasury.room()
    assert (execution.status, execution.reason, statuses(execution)) == (PAUSED, "budget", {"a": "pending"})
    standing = room.standings[0]
    assert (standing.spent.cost_micros, standing.held.cost_micros) == (300_000, 0)


async def test_the_wait_for_a_place_takes_nothing_of_the_seconds_of_a_step(rig: Rig) -> None:
    rig.clock, first, second = FakeClock(NOON), Held(), Held()
    rig.runner.replies = {"a": [first], "b": [second]}
    rig.options = EngineOptions(steps=1, grace_s=2.0)
    async with rig.engine() as engine:
        one = await engine.execute(rig.draft(agent("a")))
        await came(first.begun)
        timed = agent("b", budget=Limits(max_seconds=10, on_exceed=OnExceed.PAUSE))
        two = await engine.execute(rig.draft(timed))
        await quiet()
        for _ in range(6):
            rig.clock.advance(10)
            await quiet()
        assert statuses(await engine.show(two.id)) == {"b": "running"}
        first.let_go.set()
        await came(second.begun)
        await rested(engine, one)
        rig.clock.advance(9)
        await quiet()
        assert (await engine.show(two.id)).status is ExecutionStatus.RUNNING
        two = await soon(rig, engine, two, lambda now: now.status is PAUSED)
    assert two.reason == "budget"
    assert 10 <= two.steps["b"].attempts[0].usage.seconds < 12


async def test_an_attempt_that_never_had_a_place_took_no_time(rig: Rig) -> None:
    rig.clock, first = FakeClock(NOON), Held()
    rig.runner.replies = {"a": [first]}
    rig.options = replace(rig.options, steps=1)
    async with rig.engine() as engine:
        await engine.execute(rig.draft(agent("a")))
        await came(first.begun)
        two = await engine.execute(rig.draft(agent("b")))
        await quiet()
        rig.clock.advance(30)
        await engine.interrupt_all("a test")
        two = await engine.show(two.id)
    assert two.steps["b"].attempts[0].usage.seconds == 0
