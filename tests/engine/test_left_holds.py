"""What is held by whom nobody hears of any more comes back while others live and wait for it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest

from engine_mcp.core.budget import Limits
from engine_mcp.core.execution import Execution, ExecutionStatus
from engine_mcp.core.period import Change, Period
from engine_mcp.core.request import Resume
from engine_mcp.engine.left_holds import LOOK_EVERY_S
from engine_mcp.ledger.book import SqliteLedger
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import Crash, CrashingStore, CrashPoint, FakeClock
from tests.engine.rig import DONE, Held, Rig, agent, came, check_record, rested, soon, statuses, until
from tests.engine.trouble import Trouble, troubled
from tests.ledger.ledgers import AT, FewProcesses, file_ledger

pytestmark = pytest.mark.anyio
DOLLAR = Limits(max_cost_usd=1.0)
INTERRUPTED, COMPLETED = ExecutionStatus.INTERRUPTED, ExecutionStatus.COMPLETED


@pytest.fixture
def processes() -> FewProcesses:
    return FewProcesses()


@pytest.fixture
async def ledger(rig: Rig, tmp_path: Path, processes: FewProcesses) -> SqliteLedger:
    """Give the ledger of a rig at noon, with a dollar for the day."""
    ledger = file_ledger(tmp_path, processes=processes)
    await ledger.limit(Period.DAY, DOLLAR, Change(at=AT, by="test"))
    rig.clock, rig.ledger = FakeClock(AT), ledger
    return ledger


@pytest.fixture(autouse=True)
def closing(ledger: SqliteLedger) -> Iterator[None]:
    yield
    ledger.close()


async def held(ledger: SqliteLedger) -> int:
    return (await ledger.room(AT)).standings[0].held.cost_micros


async def left_by_another(rig: Rig, processes: FewProcesses) -> Execution:
    """An execution that holds the whole day for a process that died while its only step ran."""
    point, found = CrashPoint(0), list[Execution]()
    rig.runner.replies = {"a": [Held(), DONE], "b": [DONE]}
    try:
        async with replace(rig, store=CrashingStore(rig.store, point)).engine() as engine:
            execution = await engine.execute(rig.draft(agent("a")))
            found.append(await until(engine, execution, lambda now: bool(now.running)))
            point.dead = True
            await engine.set_budget(execution.id, Limits(max_tokens=1))
    except* Crash:
        pass
    assert isinstance(rig.store, MemoryStore)
    rig.store.abandon(found[0].id)
    me = processes.me
    processes.me = (me[0] + 1, 0.0)
    return found[0]


async def test_a_living_engine_gives_back_what_a_dead_process_holds(
    rig: Rig, ledger: SqliteLedger, processes: FewProcesses
) -> None:
    async with rig.engine() as engine:
        one = await left_by_another(rig, processes)
        assert await held(ledger) == 1_000_000
        two = await engine.execute(rig.draft(agent("b")))
        two = await engine.wait(two.id, 0.2, 1)
        assert statuses(two) == {"b": "pending"}
        processes.dead.add((1, 0.0))
        two = await soon(rig, engine, two, lambda now: now.status is COMPLETED)
        one = await engine.show(one.id)
        assert (one.status, one.reason, str(one.steps["a"].attempts[0].status)) == (
            INTERRUPTED,
            "owner died",
            "lost",
        )
        assert await held(ledger) == 0
        assert await check_record(rig.store, one.id) == one
        spent = one.usage.cost_micros + two.usage.cost_micros
        assert (await ledger.room(AT)).standings[0].spent.cost_micros == spent > 0
        one = await rested(engine, await engine.resume(one.id, Resume()))
    assert one.status is COMPLETED


async def test_what_cannot_be_reached_and_what_somebody_drives_stays_held(
    rig: Rig, ledger: SqliteLedger, processes: FewProcesses
) -> None:
    one = await left_by_another(rig, processes)
    processes.dead.add((1, 0.0))
    elsewhere = replace(rig, store=MemoryStore())
    async with elsewhere.engine() as engine:
        two = await engine.execute(rig.draft(agent("b")))
        two = await engine.wait(two.id, 0.2, 1)
        assert await held(ledger) == 1_000_000
        assert (await rig.store.read(one.id)).status is ExecutionStatus.RUNNING
    rig.options = replace(rig.options, recover=False)
    _, log = await rig.store.open(one.id)
    async with rig.engine() as engine:
        two = await engine.execute(rig.draft(agent("b")))
        two = await engine.wait(two.id, 0.2, 1)
        assert await held(ledger) == 1_000_000
    await log.close()
    assert (await rig.store.read(one.id)).status is ExecutionStatus.RUNNING


class Counting(SqliteLedger):
    """A ledger that counts how often it is asked for what dead processes hold."""

    asked = 0

    async def abandoned(self) -> tuple[str, ...]:
        self.asked += 1
        return ()


async def test_it_is_looked_for_seldom_and_only_while_a_step_waits(rig: Rig, tmp_path: Path) -> None:
    counting = Counting(tmp_path / "other.sqlite", zone=UTC, caps={}, clock=lambda: AT)
    await counting.limit(Period.DAY, DOLLAR, Change(at=AT, by="test"))
    rig.clock, rig.ledger = FakeClock(AT), counting
    rig.options = replace(rig.options, recover=False)
    holding = Held()
    rig.runner.replies = {"a": [holding], "b": [DONE]}
    async with rig.engine() as engine:
        one = await engine.execute(rig.draft(agent("a")))
        await came(holding.begun)
        assert counting.asked == 0
        others = [await engine.execute(rig.draft(agent("b"))) for _ in range(2)]
        await until(engine, others[1], lambda now: now.status is ExecutionStatus.RUNNING)
        began = rig.clock.now()
        await soon(rig, engine, others[0], lambda _: rig.clock.now() - began >= 2 * LOOK_EVERY_S)
        assert 2 <= counting.asked <= 3
        holding.let_go.set()
        await rested(engine, one)
        for other in others:
            await soon(rig, engine, other, lambda now: now.status is COMPLETED)
    counting.close()


@pytest.mark.parametrize("times", [1, 2])
async def test_a_defect_that_ends_a_driver_leaves_nothing_held(
    rig: Rig, ledger: SqliteLedger, caplog: pytest.LogCaptureFixture, times: int
) -> None:
    reply, trouble = Held(), Trouble(error=ZeroDivisionError)
    rig.runner.replies = {"a": [reply, DONE]}
    rig.store = troubled(rig.store, trouble)
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(reply.begun)
        assert await held(ledger) == 1_000_000
        trouble.begin(times=times)
        reply.let_go.set()
        execution = await rested(engine, execution)
        assert (execution.status, execution.reason) == (INTERRUPTED, "owner died")
        assert "ZeroDivisionError" in caplog.text
        # A defect that stays keeps the record, and so what it holds, as it is.
        assert await held(ledger) == (0 if times == 1 else 1_000_000)
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
        assert (execution.status, await held(ledger)) == (COMPLETED, 0)
