"""A used up quota stops everything on the account that pays, until it is new or somebody acts."""

from dataclasses import replace

import anyio
import pytest

from engine_mcp.core.agent import AgentResult
from engine_mcp.core.execution import Execution, ExecutionStatus, Failure, StopMode
from engine_mcp.core.request import Resume
from engine_mcp.core.route import Allowed
from engine_mcp.core.tool import Health
from engine_mcp.engine.engine import Engine
from engine_mcp.ledger.memory import MemoryBreakers
from engine_mcp.testing import FakeClock, ScriptedRunner
from tests.engine.rig import DONE, Held, Rig, agent, asked, came, check_record, quiet, rested, soon, statuses

pytestmark = pytest.mark.anyio

PAUSED, COMPLETED = ExecutionStatus.PAUSED, ExecutionStatus.COMPLETED
HOUR = 3600.0


def used_up(rig: Rig, code: str = "quota_exhausted", *, after: float | None = 2 * HOUR) -> AgentResult:
    """The end of an attempt on an account that is new again after so many seconds."""
    rig.clock, rig.breakers = FakeClock(), MemoryBreakers()
    at = None if after is None else rig.clock.now() + after
    return AgentResult(failure=Failure(code, "You have hit your limit.", retry_at=at))


async def awake(engine: Engine, execution: Execution) -> Execution:
    """The execution once it no longer rests in the pause that it was in."""
    with anyio.fail_after(5):
        while (
            found := await engine.show(execution.id)
        ).status is PAUSED and found.revision == execution.revision:
            await anyio.wait_all_tasks_blocked()
    return found


async def test_a_used_up_quota_stops_every_step_on_the_account_and_pauses_until_it_is_new(rig: Rig) -> None:
    first, held = Held(used_up(rig)), Held()
    rig.runner.replies = {"a": [first], "b": [held]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b"), agent("c"), parallelism=2))
        await came(held.begun)
        rig.clock.advance(1)
        first.let_go.set()
        await quiet()
        seen = await engine.show(execution.id)
        assert statuses(seen) == {"a": "pending", "b": "running", "c": "pending"}
        held.let_go.set()
        execution = await rested(engine, execution)
    assert (execution.status, execution.reason) == (PAUSED, "quota")
    assert statuses(execution) == {"a": "pending", "b": "completed", "c": "pending"}
    assert execution.until is not None
    assert 0 <= execution.until - (execution.created_at + 2 * HOUR) <= 1
    assert asked(rig.runner) == ["a", "b"]
    assert await check_record(rig.store, execution.id) == execution


async def test_a_used_up_quota_pauses_the_other_executions_on_the_account_too(rig: Rig) -> None:
    rig.runner.replies = {"a": [used_up(rig)]}
    async with rig.engine() as engine, rig.engine() as other:
        await rested(engine, await engine.execute(rig.draft(agent("a"))))
        for door in (engine, other):
            second = await rested(door, await door.execute(rig.draft(agent("b"))))
            assert (second.status, second.reason) == (PAUSED, "quota")
    assert asked(rig.runner) == ["a"]


async def test_another_account_is_not_stopped(rig: Rig) -> None:
    rig.runner.replies = {"a": [used_up(rig)]}
    rig.others = [ScriptedRunner(name="spare", pool="another")]
    async with rig.engine() as engine:
        await rested(engine, await engine.execute(rig.draft(agent("a"))))
        second = await rested(engine, await engine.execute(rig.draft(agent("b", runtime="spare"))))
    assert second.status is COMPLETED


async def test_with_auto_resume_it_goes_on_in_the_same_engine_when_the_quota_is_new(rig: Rig) -> None:
    rig.runner.replies = {"a": [used_up(rig), DONE]}
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"), auto_resume=True)))
        rig.clock.advance(2 * HOUR - 1)
        await quiet()
        assert (await engine.show(execution.id)).status is PAUSED
        rig.clock.advance(2)
        await awake(engine, execution)
        execution = await rested(engine, execution)
    assert execution.status is COMPLETED
    assert asked(rig.runner) == ["a", "a?", "a"]
    assert rig.runner.tasks[2].session == rig.runner.tasks[0].session


@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
async def test_with_auto_resume_it_goes_on_in_a_new_engine(rig: Rig, *, late: bool) -> None:
    rig.runner.replies = {"a": [used_up(rig), DONE]}
    execution = await rig.run(rig.draft(agent("a"), auto_resume=True))
    if late:
        rig.clock.advance(9 * HOUR)
    async with rig.engine() as engine:
        await quiet()
        if not late:
            assert (await engine.show(execution.id)).status is PAUSED
            rig.clock.advance(2 * HOUR + 1)
        await awake(engine, execution)
        execution = await rested(engine, execution)
    assert execution.status is COMPLETED


async def test_an_engine_that_only_looks_wakes_nothing(rig: Rig) -> None:
    rig.runner.replies = {"a": [used_up(rig), DONE]}
    execution = await rig.run(rig.draft(agent("a"), auto_resume=True))
    rig.clock.advance(9 * HOUR)
    rig.options = replace(rig.options, wakes=False)
    async with rig.engine() as engine:
        await quiet()
        assert (await engine.show(execution.id)).status is PAUSED


async def test_without_auto_resume_it_stays_until_somebody_asks(rig: Rig) -> None:
    rig.runner.replies = {"a": [used_up(rig), DONE]}
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"))))
        rig.clock.advance(9 * HOUR)
        await quiet()
        assert (await engine.show(execution.id)).status is PAUSED
    async with rig.engine() as engine:
        await quiet()
        assert (await engine.show(execution.id)).status is PAUSED
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert execution.status is COMPLETED


async def test_a_resume_before_the_quota_is_new_tries_it(rig: Rig) -> None:
    rig.runner.replies = {"a": [used_up(rig), DONE]}
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"))))
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
        assert execution.status is COMPLETED
        assert await engine.treasury.breakers() == {}
    assert asked(rig.runner) == ["a", "a"]


async def test_a_quota_that_is_still_used_up_then_pauses_once_more(rig: Rig) -> None:
    first = used_up(rig)
    second = AgentResult(failure=Failure("quota_exhausted", "Still.", retry_at=rig.clock.now() + 9 * HOUR))
    rig.runner.replies = {"a": [first, second, DONE]}
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"), auto_resume=True)))
        rig.clock.advance(2 * HOUR + 1)
        await awake(engine, execution)
        execution = await rested(engine, execution)
        assert (execution.status, execution.reason) == (PAUSED, "quota")
        rig.clock.advance(7 * HOUR + 1)
        await awake(engine, execution)
        execution = await rested(engine, execution)
    assert execution.status is COMPLETED


async def test_without_a_time_it_waits_for_some_hours(rig: Rig) -> None:
    rig.runner.replies = {"a": [used_up(rig, after=None)]}
    execution = await rig.run(rig.draft(agent("a")))
    assert execution.reason == "quota"
    assert execution.until is not None
    assert 6 * HOUR <= execution.until - rig.clock.now() <= 6 * HOUR + 1


async def test_a_lack_of_credit_pauses_without_any_time(rig: Rig) -> None:
    rig.runner.replies = {"a": [used_up(rig, "credit_exhausted", after=None), DONE]}
    async with rig.engine() as engine:
        draft = rig.draft(agent("a"), agent("b"), parallelism=1, auto_resume=True)
        execution = await rested(engine, await engine.execute(draft))
        assert (execution.status, execution.reason, execution.until) == (PAUSED, "billing", None)
        rig.clock.advance(99 * HOUR)
        await quiet()
        assert (await engine.show(execution.id)).status is PAUSED
        assert asked(rig.runner) == ["a"]
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert execution.status is COMPLETED


async def test_an_execution_that_is_cancelled_while_it_waits_waits_for_nothing(rig: Rig) -> None:
    rig.runner.replies = {"a": [used_up(rig), DONE]}
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"), auto_resume=True)))
        execution = await engine.interrupt(execution.id, StopMode.CANCEL, "not wanted")
        assert (execution.status, execution.until) == (ExecutionStatus.CANCELLED, None)
        rig.clock.advance(9 * HOUR)
        await quiet()
    assert asked(rig.runner) == ["a"]


async def test_the_alarm_of_an_engine_keeps_to_the_newest_time(rig: Rig) -> None:
    first = used_up(rig)
    second = AgentResult(failure=Failure("quota_exhausted", "Still.", retry_at=rig.clock.now() + 9 * HOUR))
    rig.runner.replies = {"a": [first, second, DONE]}
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"), auto_resume=True)))
        async with rig.engine() as other:
            execution = await rested(other, await other.resume(execution.id, Resume()))
            assert execution.until is not None
            assert execution.until > rig.clock.now() + 8 * HOUR
        rig.clock.advance(2 * HOUR + 1)
        await quiet()
        assert (await engine.show(execution.id)).revision == execution.revision


async def test_a_runtime_that_cannot_be_used_when_the_time_comes_is_waited_for(rig: Rig) -> None:
    rig.runner.replies = {"a": [used_up(rig), DONE]}
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"), auto_resume=True)))
        rig.runner.usable = Health(usable=False, detail="It is being updated.")
        rig.clock.advance(2 * HOUR + 1)
        await quiet()
        assert (await engine.show(execution.id)).status is PAUSED
        rig.runner.usable = Health(usable=True)
        execution = await soon(rig, engine, execution, lambda now: now.status is COMPLETED, by=60.0)
    assert asked(rig.runner) == ["a", "a?", "a"]


async def test_where_the_plan_lets_it_a_step_goes_on_with_another_account(rig: Rig) -> None:
    rig.runner.replies = {"a": [used_up(rig)]}
    rig.others = [ScriptedRunner(name="spare", pool="another")]
    execution = await rig.run(rig.draft(agent("a"), agent("b", "a"), fallback=(Allowed.POOL,)))
    assert execution.status is COMPLETED
    assert (asked(rig.runner), asked(rig.others[0])) == (["a"], ["a", "b"])
    execution = await rig.run(rig.draft(agent("a")))
    assert (execution.status, execution.reason) == (PAUSED, "quota")


async def test_a_short_rate_limit_lets_all_wait_where_they_are(rig: Rig) -> None:
    rig.clock, rig.breakers = FakeClock(), MemoryBreakers()
    limited = AgentResult(failure=Failure("rate_limited", "Slow down.", retry_after_s=20.0))
    rig.runner.replies = {"a": [limited, DONE]}
    rig.others = [ScriptedRunner(name="spare", pool="another")]
    async with rig.engine() as engine:
        draft = rig.draft(agent("a"), agent("b"), parallelism=1, fallback=(Allowed.POOL,))
        execution = await engine.execute(draft)
        await quiet()
        rig.clock.advance(19)
        await quiet()
        assert asked(rig.runner) == ["a"]
        execution = await soon(rig, engine, execution, lambda now: now.status is COMPLETED)
    assert rig.others[0].tasks == []
