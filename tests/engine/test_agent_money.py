"""What an agent's attempt used is on record however the attempt ends."""

from dataclasses import replace

import anyio
import pytest

from engine_mcp.core.agent import AgentCall, AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import Limits, OnExceed, Usage
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution, ExecutionStatus, Failure, StopMode
from engine_mcp.engine.agent_host import TELL_CHARACTERS
from engine_mcp.engine.recovery import lost
from engine_mcp.errors import RecordCorrupt
from engine_mcp.ports import AgentHost
from tests.engine.rig import (
    DONE,
    Held,
    Rig,
    adapter,
    agent,
    came,
    check_record,
    failures,
    rested,
    statuses,
    until,
)

pytestmark = pytest.mark.anyio
DOLLAR = Usage(cost_micros=1_000_000, cost_basis="reported")


def cost(execution: Execution) -> int:
    return execution.usage.cost_micros


async def test_what_was_reported_before_an_error_of_the_engine_is_paid_for(rig: Rig) -> None:
    async def spending(task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        host.report(AgentReport(usage=DOLLAR))
        raise RecordCorrupt("An artifact is not what it was.")

    rig.runner.replies = {"a": [spending]}
    execution = await rig.run(rig.draft(agent("a")))
    assert failures(execution) == {"a": "record_corrupt"}
    assert cost(execution) == execution.steps["a"].attempts[-1].usage.cost_micros == 1_000_000


class Unstoppable:
    """A reply that answers although it was stopped, with a use that no report has told."""

    def __init__(self) -> None:
        self.begun = anyio.Event()

    async def __call__(self, task: AgentTask, host: AgentHost) -> AgentResult:
        del task, host
        self.begun.set()
        with anyio.CancelScope() as scope:
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                scope.cancel()
                return AgentResult(output="done", usage=DOLLAR)
        return AgentResult(output="done", usage=DOLLAR)


async def test_the_use_in_a_result_that_comes_while_the_attempt_is_stopped_is_paid_for(rig: Rig) -> None:
    reply = Unstoppable()
    rig.runner.replies = {"a": [reply]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(reply.begun)
        execution = await engine.interrupt(execution.id, StopMode.NOW, "stopped")
    assert cost(execution) == 1_000_000
    assert await check_record(rig.store, execution.id) == execution


async def test_the_use_in_a_result_that_comes_too_late_is_paid_for(rig: Rig) -> None:
    rig.runner.replies = {"a": [Unstoppable()]}
    execution = await rig.run(rig.draft(agent("a", timeout_s=0.01)))
    assert cost(execution) == 1_000_000


async def test_the_share_of_the_execution_used_up_pauses_it_whatever_the_step_says_of_its_own_limit(
    rig: Rig,
) -> None:
    rig.runner.replies = {"a": [AgentResult(failure=Failure("spending_limit", "Used up."), usage=DOLLAR)]}
    limits = Limits(max_cost_usd=1.0, on_exceed=OnExceed.PAUSE)
    own = Limits(max_tokens=1000, on_exceed=OnExceed.WARN)
    async with rig.engine() as engine:
        draft = rig.draft(agent("a", budget=own), budget=limits)
        execution = await rested(engine, await engine.execute(draft))
    assert (execution.status, execution.reason) == (ExecutionStatus.PAUSED, "budget")
    assert rig.runner.tasks[0].reserved.cost_micros == 1_000_000


async def test_a_share_that_is_used_up_halts_nobody_else_and_is_followed_by_another(rig: Rig) -> None:
    used_up = AgentResult(failure=Failure("spending_limit", "Used up."), usage=replace(DOLLAR, requests=4))
    held = Held()
    rig.runner.replies = {"a": [used_up, DONE], "b": [held]}
    limits = Limits(max_cost_usd=3.0, on_exceed=OnExceed.PAUSE)
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b"), budget=limits))
        execution = await until(engine, execution, lambda now: now.steps["a"].settled)
        assert statuses(execution) == {"a": "completed", "b": "running"}
        held.let_go.set()
        execution = await rested(engine, execution)
    first, second = [task for task in rig.runner.tasks if task.step.id == "a"]
    assert (first.reserved.cost_micros, second.session) == (1_500_000, first.session)
    assert cost(execution) == 1_000_000


async def test_a_runtime_that_stops_at_its_share_without_using_any_is_not_asked_for_ever(rig: Rig) -> None:
    rig.runner.replies = {"a": [AgentResult(failure=Failure("spending_limit", "Used up."))]}
    execution = await rig.run(rig.draft(agent("a"), budget=Limits(max_cost_usd=3.0)))
    assert (execution.status, execution.reason) == (ExecutionStatus.PAUSED, "budget")
    assert len(rig.runner.tasks) == 1


async def test_a_step_whose_own_limit_only_warns_fails_at_the_limit_of_its_runtime(rig: Rig) -> None:
    rig.runner.replies = {"a": [AgentResult(failure=Failure("spending_limit", "Used up."), usage=DOLLAR)]}
    rig.options = replace(rig.options, budget=Limits(on_exceed=OnExceed.WARN))
    execution = await rig.run(rig.draft(agent("a", budget=Limits(max_cost_usd=1.0))))
    assert failures(execution) == {"a": "spending_limit"}


async def test_what_an_attempt_says_while_it_works_is_on_record_at_once_and_counts_once(rig: Rig) -> None:
    held = Held()

    async def spending(task: AgentTask, host: AgentHost) -> AgentResult:
        host.report(AgentReport(usage=DOLLAR))
        host.report(AgentReport(usage=DOLLAR))
        await held(task, host)
        return AgentResult(output="done", usage=DOLLAR)

    rig.runner.replies = {"a": [spending]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        seen = await until(engine, execution, lambda now: cost(now) == 2_000_000)
        assert cost(fold(seen, lost(seen, seen.updated_at))) == 2_000_000
        held.let_go.set()
        execution = await rested(engine, execution)
    assert cost(execution) == execution.steps["a"].attempts[-1].usage.cost_micros == 3_000_000
    assert await check_record(rig.store, execution.id) == execution


async def test_what_an_attempt_has_said_is_not_held_for_it_any_more(rig: Rig) -> None:
    async def calling(task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        host.report(AgentReport(usage=Usage(requests=1), text="x" * TELL_CHARACTERS))
        await host.remember({"role": "assistant", "content": ""})
        told = await host.call(AgentCall(id="c1", name="look", arguments={}))
        return AgentResult(output=told.value)

    rig.tools = [adapter("look")]
    rig.runner.replies = {"a": [calling]}
    limits = Limits(max_requests=2, on_exceed=OnExceed.PAUSE)
    execution = await rig.run(rig.draft(agent("a"), budget=limits))
    assert (execution.status, execution.usage.requests) == (ExecutionStatus.COMPLETED, 2)


async def test_another_step_does_not_start_on_money_that_a_running_one_said_it_spent(rig: Rig) -> None:
    held = Held()

    async def spending(task: AgentTask, host: AgentHost) -> AgentResult:
        host.report(AgentReport(usage=DOLLAR, text="x" * TELL_CHARACTERS))
        await host.remember({"role": "assistant", "content": ""})
        return await held(task, host)

    rig.runner.replies = {"a": [spending]}
    limits = Limits(max_cost_usd=2.0, on_exceed=OnExceed.PAUSE)
    async with rig.engine() as engine:
        draft = rig.draft(agent("a"), agent("b", optional=True), budget=limits, parallelism=2)
        execution = await engine.execute(draft)
        execution = await until(engine, execution, lambda now: cost(now) == 1_000_000)
        held.let_go.set()
        execution = await rested(engine, execution)
    shares = {task.step.id: task.reserved.cost_micros for task in rig.runner.tasks}
    assert shares == {"a": 1_000_000, "b": 1_000_000}
    assert execution.status is ExecutionStatus.COMPLETED
