"""Executions that go on are bounded as new ones are, and a wait ends with an interrupt."""

import pytest

from engine_mcp.core.agent import AgentResult
from engine_mcp.core.execution import ExecutionStatus, Failure, StopMode
from engine_mcp.core.request import Resume
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.parts import EngineOptions
from engine_mcp.errors import Busy
from engine_mcp.ledger.memory import MemoryBreakers
from engine_mcp.testing import FakeClock
from tests.engine.rig import DONE, Held, Rig, agent, came, check_record, kinds, quiet, rested, soon

pytestmark = pytest.mark.anyio
PAUSED, COMPLETED = ExecutionStatus.PAUSED, ExecutionStatus.COMPLETED
HOUR = 3600.0


async def crowded(rig: Rig, engine: Engine) -> Held:
    """Fill an engine that runs one execution and has no place to wait."""
    held = Held()
    rig.runner.replies = {**rig.runner.replies, "held": [held]}
    await engine.execute(rig.draft(agent("held")))
    await came(held.begun)
    return held


async def test_a_full_engine_refuses_to_go_on_and_changes_nothing(rig: Rig) -> None:
    rig.options = EngineOptions(executions=1, waiting=0)
    rig.runner.replies = {"a": [AgentResult(failure=Failure("tool_error", "No.")), DONE]}
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"))))
        held = await crowded(rig, engine)
        with pytest.raises(Busy) as caught:
            await engine.resume(execution.id, Resume())
        assert caught.value.retry_after_s is not None
        assert await check_record(rig.store, execution.id) == execution
        assert await rig.store.owner(execution.id) is None
        held.let_go.set()
        await soon(rig, engine, execution, lambda _: not engine.load().running)
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert execution.status is COMPLETED


async def test_an_execution_that_would_wake_in_a_full_engine_does_so_later(rig: Rig) -> None:
    rig.clock, rig.breakers = FakeClock(), MemoryBreakers()
    at = rig.clock.now() + HOUR
    used_up = AgentResult(failure=Failure("quota_exhausted", "Used up.", retry_at=at))
    rig.runner.replies = {"a": [used_up, DONE]}
    rig.options = EngineOptions(executions=1, waiting=0)
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"), auto_resume=True)))
        other = Held()
        rig.runner.pool = "another"
        rig.runner.replies = {**rig.runner.replies, "held": [other]}
        await engine.execute(rig.draft(agent("held")))
        await came(other.begun)
        rig.clock.advance(HOUR + 1)
        await quiet()
        assert (await engine.show(execution.id)).status is PAUSED
        other.let_go.set()
        await quiet()
        execution = await soon(rig, engine, execution, lambda now: now.status is COMPLETED, by=10.0)
    assert (await kinds(rig.store, execution)).count("execution_resumed") == 1


@pytest.mark.parametrize("mode", [StopMode.NOW, StopMode.AFTER_STEP])
async def test_an_interrupt_ends_a_wait_for_good(rig: Rig, mode: StopMode) -> None:
    rig.clock, rig.breakers = FakeClock(), MemoryBreakers()
    at = rig.clock.now() + HOUR
    used_up = AgentResult(failure=Failure("quota_exhausted", "Used up.", retry_at=at))
    rig.runner.replies = {"a": [used_up, DONE]}
    async with rig.engine() as engine, rig.engine() as other:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"), auto_resume=True)))
        after = await other.interrupt(execution.id, mode, "not now")
        assert (after.status, after.until) == (PAUSED, execution.until)
        again = await engine.interrupt(execution.id, mode, "not now")
        assert again.revision == after.revision
        rig.clock.advance(2 * HOUR)
        await quiet()
        assert (await engine.show(execution.id)).status is PAUSED
    async with rig.engine() as engine:
        await quiet()
        assert (await engine.show(execution.id)).status is PAUSED
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert execution.status is COMPLETED
    assert await check_record(rig.store, execution.id) == execution
