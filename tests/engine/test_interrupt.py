"""Stopping an execution at every stage, and what is kept."""

import anyio
import pytest

from engine_mcp.core.agent import AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.event import StopRequested
from engine_mcp.core.execution import Execution, ExecutionStatus, StopMode
from engine_mcp.core.request import Resume
from engine_mcp.engine.parts import EngineOptions
from engine_mcp.errors import ExecutionFinished
from engine_mcp.ports import AgentHost
from engine_mcp.testing import FakeClock, capture_events
from tests.engine.rig import (
    DONE,
    WAIT_S,
    Held,
    HeldTool,
    Rig,
    adapter,
    agent,
    came,
    check_record,
    code,
    failing,
    kinds,
    rested,
    statuses,
    tool,
    until,
)

pytestmark = pytest.mark.anyio

NOW, AFTER_STEP, CANCEL = StopMode.NOW, StopMode.AFTER_STEP, StopMode.CANCEL
INTERRUPTED = ExecutionStatus.INTERRUPTED


@pytest.mark.both_loops
@pytest.mark.req("003:L56", "000:5.1.1", "000:5.1.3", "000:7.1.1", "002:L58", "004:L78", "003:L87", "003:L86")
async def test_now_stops_what_runs_and_keeps_what_is_done(rig: Rig, anyio_backend: object) -> None:
    assert anyio_backend
    held = Held()
    rig.runner.replies = {"b": [held]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b", "a"), agent("c", "b")))
        await came(held.begun)
        execution = await engine.interrupt(execution.id, NOW, "I said so")
        assert held.stopped.is_set()
        assert (execution.status, execution.reason) == (INTERRUPTED, "I said so")
        assert statuses(execution) == {"a": "completed", "b": "interrupted", "c": "pending"}
        assert await check_record(rig.store, execution.id) == execution
    assert (await kinds(rig.store, execution))[-3:] == [
        "stop_requested",
        "attempt_interrupted",
        "execution_interrupted",
    ]


@pytest.mark.req("000:5.1.1", "000:5.1.4")
async def test_after_step_lets_what_runs_end_and_starts_nothing_more(rig: Rig) -> None:
    held, other = Held(), Held()
    rig.runner.replies = {"a": [held], "b": [other]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b"), agent("c", "a")))
        await came(held.begun)
        await came(other.begun)
        execution = await engine.interrupt(execution.id, AFTER_STEP, "later")
        assert execution.status is ExecutionStatus.RUNNING
        assert execution.stopping is not None
        assert isinstance((await capture_events(rig.store, execution.id))[-1], StopRequested)
        held.let_go.set()
        execution = await until(engine, execution, lambda now: statuses(now)["a"] == "completed")
        assert statuses(execution) == {"a": "completed", "b": "running", "c": "pending"}
        other.let_go.set()
        execution = await rested(engine, execution)
    assert (execution.status, execution.reason) == (INTERRUPTED, "later")
    assert statuses(execution) == {"a": "completed", "b": "completed", "c": "pending"}


async def test_after_the_last_step_there_is_nothing_to_interrupt(rig: Rig) -> None:
    held = Held()
    rig.runner.replies = {"a": [held]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(held.begun)
        await engine.interrupt(execution.id, AFTER_STEP, "later")
        held.let_go.set()
        execution = await rested(engine, execution)
    assert (execution.status, execution.stopping) == (ExecutionStatus.COMPLETED, None)


@pytest.mark.req("000:5.1.1", "004:L168")
async def test_cancel_ends_a_running_execution_for_good(rig: Rig) -> None:
    held = Held()
    rig.runner.replies = {"a": [held]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(held.begun)
        execution = await engine.interrupt(execution.id, CANCEL, "never mind")
        assert (execution.status, execution.reason) == (ExecutionStatus.CANCELLED, "never mind")
        for attempt in (
            engine.resume(execution.id, Resume()),
            engine.resume(execution.id, Resume(from_step="a")),
            engine.interrupt(execution.id, NOW, "again"),
            engine.set_budget(execution.id, Limits(max_tokens=1)),
        ):
            with pytest.raises(ExecutionFinished) as caught:
                await attempt
            assert (caught.value.code, caught.value.field) == ("execution_finished", "execution_id")


@pytest.mark.parametrize("before", [ExecutionStatus.INTERRUPTED, ExecutionStatus.PAUSED])
async def test_cancel_ends_what_rests_for_good(rig: Rig, before: ExecutionStatus) -> None:
    async with rig.engine() as engine:
        execution = await resting(rig, before)
        execution = await engine.interrupt(execution.id, CANCEL, "enough")
        assert (execution.status, execution.reason) == (ExecutionStatus.CANCELLED, "enough")
        assert await check_record(rig.store, execution.id) == execution


async def resting(rig: Rig, status: ExecutionStatus) -> Execution:
    """An execution that came to rest like this in an engine of its own."""
    rig.runner.replies = {"held": [Held(), DONE]}
    async with rig.engine() as engine:
        approval = status is ExecutionStatus.PAUSED
        step = agent("held", requires_approval=approval)
        execution = await engine.execute(rig.draft(step))
        if not approval:
            await until(engine, execution, lambda now: bool(now.running))
            await engine.interrupt(execution.id, NOW, "first")
        execution = await rested(engine, execution)
    assert execution.status is status
    return execution


@pytest.mark.req("000:5.1.1")
@pytest.mark.parametrize("mode", [NOW, AFTER_STEP])
@pytest.mark.parametrize("before", [ExecutionStatus.INTERRUPTED, ExecutionStatus.PAUSED])
async def test_what_rests_already_stays_as_it_is(rig: Rig, mode: StopMode, before: ExecutionStatus) -> None:
    execution = await resting(rig, before)
    async with rig.engine() as engine:
        assert await engine.interrupt(execution.id, mode, "again") == execution
    assert await rig.store.read(execution.id) == execution


@pytest.mark.req("003:L56", "000:5.4.1")
@pytest.mark.parametrize("mode", [NOW, AFTER_STEP, CANCEL])
@pytest.mark.parametrize("reply", [DONE, failing("tool_error")], ids=["completed", "failed"])
async def test_what_has_ended_cannot_be_interrupted(rig: Rig, mode: StopMode, reply: AgentResult) -> None:
    rig.runner.replies = {"a": [reply]}
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"))))
        with pytest.raises(ExecutionFinished, match=str(execution.status)):
            await engine.interrupt(execution.id, mode, "too late")
        assert await engine.show(execution.id) == execution


async def test_many_interrupts_at_once_are_one(rig: Rig) -> None:
    held = Held()
    rig.runner.replies = {"a": [held]}
    found: list[Execution] = []
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(held.begun)

        async def stop(reason: str) -> None:
            found.append(await engine.interrupt(execution.id, NOW, reason))

        with anyio.fail_after(WAIT_S):
            async with anyio.create_task_group() as many:
                for index in range(5):
                    many.start_soon(stop, f"reason {index}")
    assert {(one.status, one.reason) for one in found} == {(INTERRUPTED, "reason 0")}
    assert (await kinds(rig.store, execution)).count("execution_interrupted") == 1


async def test_a_stronger_stop_replaces_a_weaker_one_and_never_the_other_way(rig: Rig) -> None:
    held = Held()
    rig.runner.replies = {"a": [held, held]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b", "a")))
        await came(held.begun)
        await engine.interrupt(execution.id, AFTER_STEP, "weak")
        execution = await engine.interrupt(execution.id, NOW, "strong")
        assert (execution.status, execution.reason) == (INTERRUPTED, "strong")


async def test_a_stop_is_not_weakened_while_it_goes_on(rig: Rig) -> None:
    stubborn = Stubborn()
    rig.options = EngineOptions(grace_s=0.02)
    rig.runner.replies = {"a": [stubborn]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b", "a")))
        await came(stubborn.begun)
        await engine.interrupt(execution.id, CANCEL, "for good")
        await engine.interrupt(execution.id, NOW, "for now")
        stubborn.let_go.set()
        execution = await rested(engine, execution)
    assert (execution.status, execution.reason) == (ExecutionStatus.CANCELLED, "for good")


class Stubborn(Held):
    """A reply that does not stop when it is told to."""

    async def __call__(self, task: AgentTask, host: AgentHost) -> AgentResult:
        with anyio.CancelScope(shield=True):
            return await super().__call__(task, host)
        raise AssertionError


async def test_who_interrupts_does_not_wait_for_ever_for_a_stubborn_attempt(rig: Rig) -> None:
    stubborn = Stubborn()
    rig.options = EngineOptions(grace_s=0.02)
    rig.runner.replies = {"a": [stubborn]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b", "a")))
        await came(stubborn.begun)
        with anyio.fail_after(WAIT_S):
            execution = await engine.interrupt(execution.id, NOW, "stop")
        assert execution.status is ExecutionStatus.RUNNING
        assert execution.stopping is not None
        assert execution.stopping.reason == "stop"
        stubborn.let_go.set()
        execution = await rested(engine, execution)
    # The attempt came to an end all the same, so its result is kept.
    assert execution.status is INTERRUPTED
    assert statuses(execution) == {"a": "completed", "b": "pending"}


@pytest.mark.req("000:5.1.4")
async def test_a_step_that_waits_for_its_next_attempt_is_interrupted_at_once(rig: Rig) -> None:
    rig.clock = clock = FakeClock()
    rig.runner.replies = {"a": [failing("crash"), DONE]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await until(engine, execution, lambda now: now.steps["a"].tries == 1)
        execution = await engine.interrupt(execution.id, NOW, "meanwhile")
        assert (execution.status, statuses(execution)) == (INTERRUPTED, {"a": "pending"})
        execution = await engine.resume(execution.id, Resume())
        clock.advance(1.0)
        execution = await rested(engine, execution)
    assert execution.status is ExecutionStatus.COMPLETED
    assert len(execution.steps["a"].attempts) == 2


async def test_an_attempt_that_waits_for_a_place_is_interrupted_without_having_begun(rig: Rig) -> None:
    rig.options = EngineOptions(steps=1)
    held, never = Held(), Held()
    rig.runner.replies = {"a": [held], "b": [never]}
    async with rig.engine() as engine:
        first = await engine.execute(rig.draft(agent("a")))
        await came(held.begun)
        second = await engine.execute(rig.draft(agent("b")))
        await until(engine, second, lambda now: bool(now.running))
        second = await engine.interrupt(second.id, NOW, "x")
        assert statuses(second) == {"b": "interrupted"}
        assert not never.begun.is_set()
        held.let_go.set()
        await rested(engine, first)


@pytest.mark.req("000:2.2.2")
async def test_what_an_interrupted_attempt_used_is_counted(rig: Rig) -> None:
    rig.clock = clock = FakeClock(100.0)
    held = Held()

    async def spending(task: AgentTask, host: AgentHost) -> AgentResult:
        host.report(AgentReport(usage=Usage(tokens_in=5, requests=1, cost_micros=30, cost_basis="computed")))
        host.report(AgentReport(usage=Usage(tokens_out=2, requests=1)))
        return await held(task, host)

    rig.runner.replies = {"a": [spending]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(held.begun)
        clock.advance(4.0)
        execution = await engine.interrupt(execution.id, NOW, "x")
    used = Usage(tokens_in=5, tokens_out=2, requests=2, seconds=4.0, cost_micros=30, cost_basis="unpriced")
    assert execution.usage == used
    assert execution.steps["a"].attempts[0].usage == used


async def test_the_request_of_an_interrupted_tool_is_counted(rig: Rig) -> None:
    held = HeldTool()
    rig.tools = [adapter("slow", held)]
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(tool("t", "slow")))
        await came(held.begun)
        execution = await engine.interrupt(execution.id, NOW, "x")
    assert execution.usage.requests == 1


@pytest.mark.req("000:7.1.3", "002:L62", "001:L45", "001:L10", "001:L19", "002:L60")
async def test_many_cycles_of_interrupt_and_resume_lose_and_repeat_nothing(scripting: Rig) -> None:
    held = {name: [Held(), Held()] for name in ("a", "b", "d")}
    scripting.runner.replies = {name: [*replies, DONE] for name, replies in held.items()}
    scripting.tools = [counting := adapter("echo")]
    script = "await tools.echo({ n: 1 }); await sleep(1); return (await tools.echo({ n: 2 })).n"
    steps = [agent("a"), agent("b", "a"), code("c", script, "b"), agent("d", "c")]
    async with scripting.engine() as engine:
        execution = await engine.execute(scripting.draft(*steps))
        for reply in (*held["a"], *held["b"], *held["d"]):
            await came(reply.begun)
            execution = await engine.interrupt(execution.id, NOW, "a while")
            assert execution.status is INTERRUPTED
            execution = await engine.resume(execution.id, Resume())
        execution = await rested(engine, execution)
    assert execution.status is ExecutionStatus.COMPLETED
    assert [len(step.attempts) for step in execution.steps.values()] == [3, 3, 1, 3]
    assert counting.calls == [{"n": 1}, {"n": 2}]
    assert await check_record(scripting.store, execution.id) == execution
