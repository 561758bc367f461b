"""An attempt that says nothing is stopped at the end of its share of a day's seconds, and has not failed."""

from dataclasses import replace
from datetime import UTC

import pytest

from engine_mcp.core.budget import Limits, OnExceed
from engine_mcp.core.event import AttemptFailed
from engine_mcp.core.execution import Execution, ExecutionStatus
from engine_mcp.core.period import Change, Period
from engine_mcp.core.request import Resume
from engine_mcp.ledger.memory import MemoryLedger
from engine_mcp.testing import FakeClock, capture_events
from tests.engine.rig import DONE, Held, Rig, agent, came, check_record, quiet, rested, soon, statuses

pytestmark = pytest.mark.anyio

PAUSED, COMPLETED = ExecutionStatus.PAUSED, ExecutionStatus.COMPLETED
NOON = 1_800_014_400.0


@pytest.fixture
def silent(rig: Rig) -> Held:
    """Give a rig at noon, with a ledger, and an attempt at `a` that says nothing."""
    rig.clock, rig.ledger = FakeClock(NOON), MemoryLedger(UTC, {})
    held = Held()
    rig.runner.replies = {"a": [held, DONE]}
    return held


async def limited(rig: Rig, seconds: float, on_exceed: OnExceed | None = None) -> None:
    assert rig.ledger is not None
    limits = Limits(max_seconds=seconds, on_exceed=on_exceed)
    await rig.ledger.limit(Period.DAY, limits, Change(at=NOON, by="test", period=Period.DAY))


async def ends(rig: Rig, execution: Execution) -> list[tuple[str, bool, float]]:
    """How attempts failed: the code, whether for good, and after how many seconds."""
    events = await capture_events(rig.store, execution.id)
    return [(e.failure.code, e.final, e.usage.seconds) for e in events if isinstance(e, AttemptFailed)]


async def test_a_silent_attempt_ends_with_the_seconds_of_the_day_and_goes_on_with_more(
    rig: Rig, silent: Held
) -> None:
    await limited(rig, 60)
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(silent.begun)
        assert rig.runner.tasks[0].reserved.seconds == 60
        rig.clock.advance(59)
        await quiet()
        assert (await engine.show(execution.id)).status is ExecutionStatus.RUNNING
        assert not silent.stopped.is_set()
        rig.clock.advance(1)
        await came(silent.stopped)
        execution = await rested(engine, execution)
        assert (execution.status, execution.reason) == (PAUSED, "budget")
        assert statuses(execution) == {"a": "pending"}
        assert await ends(rig, execution) == [("spending_limit", False, 60.0)]
        await limited(rig, 600)
        rig.clock.advance(2)  # longer than a look at the ledger is good for
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert execution.status is COMPLETED
    assert rig.runner.tasks[0].session == rig.runner.tasks[1].session
    assert await check_record(rig.store, execution.id) == execution


async def test_what_another_attempt_left_over_is_a_new_share_for_one_that_was_stopped(
    rig: Rig, silent: Held
) -> None:
    await limited(rig, 60)
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b")))
        await came(silent.begun)
        assert [task.reserved.seconds for task in rig.runner.tasks] == [30, 30]
        execution = await soon(rig, engine, execution, lambda now: now.status is COMPLETED)
    assert await ends(rig, execution) == [("spending_limit", False, pytest.approx(30.0, abs=1.5))]


async def test_seconds_that_only_warn_stop_no_attempt(rig: Rig, silent: Held) -> None:
    await limited(rig, 60, OnExceed.WARN)
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(silent.begun)
        rig.clock.advance(600)
        await quiet()
        assert not silent.stopped.is_set()
        silent.let_go.set()
        execution = await rested(engine, execution)
    assert execution.status is COMPLETED


async def test_the_operators_seconds_stop_a_silent_attempt_as_a_break(rig: Rig, silent: Held) -> None:
    rig.options = replace(rig.options, caps=Limits(max_seconds=60))
    async with rig.engine() as engine:
        draft = rig.draft(agent("a"), budget=Limits(on_exceed=OnExceed.WARN))
        execution = await engine.execute(draft)
        await came(silent.begun)
        rig.clock.advance(60)
        await came(silent.stopped)
        execution = await rested(engine, execution)
    assert (execution.status, execution.reason) == (PAUSED, "budget")
    assert await ends(rig, execution) == []
