"""Limits that all executions of a user share: what two engines and any crash make of them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC
from pathlib import Path

import anyio
import pytest

from engine_mcp.core.agent import AgentResult, AgentTask
from engine_mcp.core.budget import Limits, OnExceed, Resource, Usage
from engine_mcp.core.event import BudgetWarned
from engine_mcp.core.execution import Execution, ExecutionStatus
from engine_mcp.core.period import Change, Period, Room
from engine_mcp.core.request import Resume
from engine_mcp.core.spending import Hold, Posting
from engine_mcp.engine.engine import Engine
from engine_mcp.errors import StorageError, Unpriced
from engine_mcp.ledger.book import SqliteLedger
from engine_mcp.ledger.memory import MemoryLedger
from engine_mcp.ports import AgentHost, Ledger
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import Crash, CrashingStore, CrashPoint, FakeClock, Reply, ScriptedRunner, capture_events
from tests.engine.rig import (
    DONE,
    Held,
    Rig,
    agent,
    came,
    check_record,
    code,
    kinds,
    rested,
    statuses,
    until,
)
from tests.engine.played import PlayedSandbox

pytestmark = pytest.mark.anyio

NOON = 1_800_014_400.0
MIDNIGHT = NOON + 12 * 3600
PAUSED, COMPLETED, RUNNING = ExecutionStatus.PAUSED, ExecutionStatus.COMPLETED, ExecutionStatus.RUNNING
DAY = Period.DAY


def costing(micros: int) -> AgentResult:
    return AgentResult(output="done", usage=Usage(requests=1, cost_micros=micros, cost_basis="reported"))


async def limited(ledger: Ledger, period: Period = DAY, **limits: object) -> None:
    await ledger.limit(period, Limits(**limits), Change(at=NOON, by="test", period=period))  # type: ignore[arg-type]


def sharing(rig: Rig, ledger: Ledger | None = None, *, leap: bool = False) -> Rig:
    rig.clock = FakeClock(NOON, leap=leap)
    rig.ledger = ledger or MemoryLedger(UTC, {})
    return rig


async def test_steps_one_after_another_share_a_day(rig: Rig) -> None:
    sharing(rig)
    rig.runner.replies = {"a": [costing(300_000)], "b": [costing(300_000)], "c": [costing(300_000)]}
    await limited(rig.ledger, max_cost_usd=1.0)
    async with rig.engine() as engine:
        execution = await rested(
            engine, await engine.execute(rig.draft(agent("a"), agent("b", "a"), agent("c", "b")))
        )
    assert statuses(execution) == {"a": "completed", "b": "completed", "c": "completed"}


async def test_a_second_waits_for_the_first(rig: Rig) -> None:
    sharing(rig)
    held = Held(costing(300_000))
    rig.runner.replies = {"a": [held], "b": [costing(300_000)]}
    await limited(rig.ledger, max_cost_usd=1.0)
    async with rig.engine() as engine, rig.engine() as other:
        one = await engine.execute(rig.draft(agent("a")))
        await came(held.begun)
        two = await other.execute(rig.draft(agent("b")))
        await anyio.wait_all_tasks_blocked()
        held.let_go.set()
        one = await rested(engine, one)
        for _ in range(3):
            rig.clock.advance(1.5)
            await anyio.wait_all_tasks_blocked()
        two = await rested(other, two)
    assert two.status is COMPLETED


async def test_next_day(rig: Rig) -> None:
    sharing(rig)
    rig.runner.replies = {"a": [costing(1_000_000)]}
    await limited(rig.ledger, max_cost_usd=1.0)
    async with rig.engine() as engine:
        one = await rested(engine, await engine.execute(rig.draft(agent("a"), agent("b", "a"), auto_resume=True)))
        assert (one.status, one.reason, one.until) == (PAUSED, "budget", MIDNIGHT)
        rig.clock.advance(12 * 3600 + 1)
        with anyio.fail_after(5):
            while (await engine.show(one.id)).status is PAUSED:
                await anyio.sleep(0.01)
        one = await rested(engine, one)
    print(one.status, one.until, await kinds(rig.store, one))
    assert one.status is COMPLETED


async def test_warn_execution_under_a_limit_that_does_not_say(rig: Rig) -> None:
    sharing(rig)
    rig.runner.replies = {"a": [costing(1_000_000)]}
    await limited(rig.ledger, max_cost_usd=1.0)
    async with rig.engine() as engine:
        one = await rested(engine, await engine.execute(rig.draft(agent("a"), agent("b", "a"), budget=Limits(on_exceed=OnExceed.WARN))))
    assert one.status is COMPLETED


async def test_code_step_with_seconds_and_cost_limit(rig: Rig) -> None:
    sharing(rig)
    rig.sandbox = PlayedSandbox()
    rig.runner.replies = {"a": [costing(1_000_000)]}
    await limited(rig.ledger, max_cost_usd=1.0, max_seconds=1000.0)
    async with rig.engine() as engine:
        one = await rested(engine, await engine.execute(rig.draft(agent("a"), code("b", "[]", "a"))))
    assert one.status is COMPLETED, one.status


class FailingLedger(MemoryLedger):
    fail_at = 0
    n = 0

    async def reserve(self, *args, **kw):
        self.n += 1
        if self.n == self.fail_at:
            raise StorageError("The ledger is locked.")
        return await super().reserve(*args, **kw)


async def test_ledger_failure_keeps_result(rig: Rig) -> None:
    ledger = FailingLedger(UTC, {})
    ledger.fail_at = 2
    sharing(rig, ledger)
    rig.runner.replies = {"a": [costing(300_000)], "b": [costing(300_000)], "c": [costing(300_000)]}
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"), agent("b", "a"))))
    print(execution.status, execution.reason, statuses(execution), execution.usage)
    assert statuses(execution) == {"a": "completed", "b": "pending"}
    assert execution.usage.cost_micros == 300_000
