"""The limits of a budget: what happens at them, and how they are changed."""

from dataclasses import replace

import anyio
import pytest

from engine_mcp.core.agent import AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import Limits, OnExceed, Resource, Usage
from engine_mcp.core.event import BudgetSet, BudgetWarned
from engine_mcp.core.execution import Execution, ExecutionStatus, StopMode
from engine_mcp.core.request import Resume
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.parts import EngineOptions
from engine_mcp.errors import ExecutionFinished
from engine_mcp.ports import AgentHost
from engine_mcp.testing import FakeClock, capture_events
from tests.engine.rig import (
    DONE,
    Held,
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
from tests.engine.trouble import Stall, troubled

pytestmark = pytest.mark.anyio

PAUSED, COMPLETED = ExecutionStatus.PAUSED, ExecutionStatus.COMPLETED
CHAIN = (agent("a"), agent("b", "a"), agent("c", "b"))


def spending(**used: int) -> AgentResult:
    return AgentResult(output="done", usage=Usage(cost_basis="computed", **used))


def costing(rig: Rig, **used: int) -> None:
    rig.runner.replies = {spec.id: [spending(**used)] for spec in CHAIN}


@pytest.mark.req("002:L196", "002:L235", "004:L55")
@pytest.mark.parametrize(
    ("used", "limits", "resource"),
    [
        ({"tokens_in": 6, "tokens_out": 4}, Limits(max_tokens=20), Resource.TOKENS),
        ({"requests": 1}, Limits(max_requests=2), Resource.REQUESTS),
        ({"cost_micros": 500_000}, Limits(max_cost_usd=1.0), Resource.COST),
    ],
    ids=["tokens", "requests", "cost"],
)
async def test_at_a_limit_the_execution_pauses_with_everything_kept_and_goes_on_with_more(
    rig: Rig, used: dict[str, int], limits: Limits, resource: Resource
) -> None:
    costing(rig, **used)
    execution = await rig.run(rig.draft(*CHAIN, budget=limits))
    assert (execution.status, execution.reason) == (PAUSED, "budget")
    assert statuses(execution) == {"a": "completed", "b": "completed", "c": "pending"}
    assert execution.usage.of(resource) == limits.of(resource)
    double = Limits(
        max_tokens=100 if limits.max_tokens else None,
        max_requests=100 if limits.max_requests else None,
        max_cost_usd=100 if limits.max_cost_usd else None,
    )
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.resume(execution.id, Resume(budget=double)))
    assert execution.status is COMPLETED
    assert await check_record(rig.store, execution.id) == execution


async def test_a_resume_without_more_budget_pauses_again_and_spends_nothing(rig: Rig) -> None:
    costing(rig, tokens_in=10)
    execution = await rig.run(rig.draft(*CHAIN, budget=Limits(max_tokens=20)))
    async with rig.engine() as engine:
        again = await rested(engine, await engine.resume(execution.id, Resume()))
    assert (again.status, again.reason, again.usage) == (PAUSED, "budget", execution.usage)
    assert len(rig.runner.tasks) == 2


@pytest.mark.req("SPEC:4.warn-goes-on-and-says-so")
async def test_with_warn_the_execution_goes_on_past_the_limit_and_says_so_once(rig: Rig) -> None:
    costing(rig, tokens_in=10, requests=1)
    limits = Limits(max_tokens=15, max_requests=2, on_exceed=OnExceed.WARN)
    execution = await rig.run(rig.draft(*CHAIN, budget=limits))
    assert execution.status is COMPLETED
    told = [
        event for event in await capture_events(rig.store, execution.id) if isinstance(event, BudgetWarned)
    ]
    assert [(event.resource, event.limit, event.used) for event in told] == [
        (Resource.TOKENS, 15, 20),
        (Resource.REQUESTS, 2, 3),
    ]
    assert execution.warnings == (
        "The budget's tokens limit of 15 was passed: 20.",
        "The budget's requests limit of 2 was passed: 3.",
    )


async def test_the_seconds_of_an_execution_end_in_the_midst_of_an_attempt(rig: Rig) -> None:
    rig.clock = clock = FakeClock()
    held = Held()
    rig.runner.replies = {"a": [held, DONE]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), budget=Limits(max_seconds=10)))
        await came(held.begun)
        clock.advance(9.9)
        assert (await engine.show(execution.id)).status is ExecutionStatus.RUNNING
        clock.advance(0.1)
        execution = await rested(engine, execution)
        assert held.stopped.is_set()
        assert (execution.status, execution.reason) == (PAUSED, "budget")
        assert statuses(execution) == {"a": "interrupted"}
        clock.advance(1000)
        resumed = await engine.resume(execution.id, Resume(budget=Limits(max_seconds=20)))
        execution = await rested(engine, resumed)
    assert execution.status is COMPLETED


async def test_with_warn_the_seconds_end_nothing(rig: Rig) -> None:
    rig.clock = clock = FakeClock()
    held = Held()
    rig.runner.replies = {"a": [held]}
    limits = Limits(max_seconds=10, on_exceed=OnExceed.WARN)
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b", "a"), budget=limits))
        await came(held.begun)
        clock.advance(11)
        held.let_go.set()
        execution = await rested(engine, execution)
    assert execution.status is COMPLETED
    assert execution.warnings == ("The budget's seconds limit of 10 was passed: 11.",)


async def test_seconds_count_only_while_the_execution_runs(rig: Rig) -> None:
    rig.clock = clock = FakeClock()
    rig.runner.replies = {"a": [first := Held(), second := Held()]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), budget=Limits(max_seconds=10)))
        await came(first.begun)
        clock.advance(6)
        await engine.interrupt(execution.id, StopMode.NOW, "x")
        clock.advance(100)
        await engine.resume(execution.id, Resume())
        await came(second.begun)
        clock.advance(4)
        execution = await rested(engine, execution)
    assert (execution.status, execution.reason, execution.active_s) == (PAUSED, "budget", 10)


async def test_what_an_attempt_reports_before_its_end_is_held_against_the_limit_at_its_end(rig: Rig) -> None:
    async def reporting(task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        host.report(AgentReport(usage=Usage(tokens_in=30)))
        return DONE

    rig.runner.replies = {"a": [reporting]}
    execution = await rig.run(rig.draft(*CHAIN, budget=Limits(max_tokens=30)))
    assert statuses(execution) == {"a": "completed", "b": "pending", "c": "pending"}


# --- of a step


async def test_a_step_has_a_budget_of_its_own_over_all_its_attempts(rig: Rig) -> None:
    rig.runner.replies = {"a": [replace(failing("crash"), usage=Usage(tokens_in=6))]}
    execution = await rig.run(rig.draft(agent("a", budget=Limits(max_tokens=10)), agent("b")))
    assert (execution.status, execution.reason) == (PAUSED, "budget")
    assert statuses(execution) == {"a": "pending", "b": "completed"}
    assert len(execution.steps["a"].attempts) == 2


async def test_the_seconds_of_a_step_count_over_its_attempts_and_end_it_in_their_midst(rig: Rig) -> None:
    rig.clock = clock = FakeClock()
    first, second = Held(), Held()
    rig.runner.replies = {"a": [first, second, DONE]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a", budget=Limits(max_seconds=10))))
        await came(first.begun)
        clock.advance(6)
        await engine.interrupt(execution.id, StopMode.NOW, "test")
        clock.advance(1000)
        await engine.resume(execution.id, Resume())
        await came(second.begun)
        clock.advance(4)
        execution = await rested(engine, execution)
    assert (execution.status, execution.reason) == (PAUSED, "budget")
    assert second.stopped.is_set()
    assert [attempt.usage.seconds for attempt in execution.steps["a"].attempts] == [6, 4]


async def test_a_step_budget_that_only_warns_stops_nothing(rig: Rig) -> None:
    costing(rig, tokens_in=10)
    step = agent("a", budget=Limits(max_tokens=5, on_exceed=OnExceed.WARN))
    execution = await rig.run(rig.draft(step, agent("b", "a")))
    assert execution.status is COMPLETED


async def test_the_seconds_of_a_step_end_its_attempt_and_are_those_of_all_its_attempts(rig: Rig) -> None:
    rig.clock = clock = FakeClock()
    first, second = Held(), Held()
    rig.runner.replies = {"a": [first, second]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a", budget=Limits(max_seconds=10))))
        await came(first.begun)
        clock.advance(7)
        await engine.interrupt(execution.id, StopMode.NOW, "x")
        clock.advance(100)
        await engine.resume(execution.id, Resume())
        await came(second.begun)
        clock.advance(2.9)
        assert (await engine.show(execution.id)).status is ExecutionStatus.RUNNING
        clock.advance(0.1)
        execution = await rested(engine, execution)
    assert (execution.status, execution.reason) == (PAUSED, "budget")
    assert [attempt.usage.seconds for attempt in execution.steps["a"].attempts] == pytest.approx([7, 3])


# --- changed


async def waiting(rig: Rig, engine: Engine, limits: Limits) -> tuple[Execution, Held]:
    """A running execution whose first step is held."""
    held = Held(spending(tokens_in=10))
    costing(rig, tokens_in=10)
    rig.runner.replies = {**rig.runner.replies, "a": [held]}
    execution = await engine.execute(rig.draft(*CHAIN, budget=limits))
    await came(held.begun)
    return execution, held


@pytest.mark.req("003:L55")
async def test_a_budget_changed_while_it_runs_counts_at_once_and_is_on_record(rig: Rig) -> None:
    async with rig.engine() as engine:
        execution, held = await waiting(rig, engine, Limits(max_tokens=10))
        execution = await engine.set_budget(execution.id, Limits(max_tokens=20))
        assert execution.budget.max_tokens == 20
        assert isinstance((await capture_events(rig.store, execution.id))[-1], BudgetSet)
        held.let_go.set()
        execution = await rested(engine, execution)
    assert statuses(execution) == {"a": "completed", "b": "completed", "c": "pending"}


async def test_a_budget_lowered_below_what_is_spent_stops_at_the_next_step(rig: Rig) -> None:
    async with rig.engine() as engine:
        execution, held = await waiting(rig, engine, Limits())
        await engine.set_budget(execution.id, Limits(max_tokens=1))
        held.let_go.set()
        execution = await rested(engine, execution)
    assert statuses(execution) == {"a": "completed", "b": "pending", "c": "pending"}


async def test_seconds_lowered_while_it_runs_end_the_attempt(rig: Rig) -> None:
    rig.clock = clock = FakeClock()
    async with rig.engine() as engine:
        execution, _ = await waiting(rig, engine, Limits())
        clock.advance(10)
        await engine.set_budget(execution.id, Limits(max_seconds=5))
        execution = await rested(engine, execution)
    assert (execution.status, execution.reason) == (PAUSED, "budget")


@pytest.mark.req("003:L55")
async def test_a_budget_changed_while_it_rests_is_on_record_and_counts_when_it_goes_on(rig: Rig) -> None:
    costing(rig, tokens_in=10)
    execution = await rig.run(rig.draft(*CHAIN, budget=Limits(max_tokens=10)))
    async with rig.engine() as engine:
        changed = await engine.set_budget(execution.id, Limits(max_tokens=1000, on_exceed=OnExceed.WARN))
        assert (changed.status, changed.budget.max_tokens) == (PAUSED, 1000)
        assert await check_record(rig.store, execution.id) == changed
        resumed = await rested(engine, await engine.resume(execution.id, Resume()))
    assert resumed.status is COMPLETED


async def test_a_reset_goes_back_to_the_plan_and_the_operator(rig: Rig) -> None:
    rig.options = EngineOptions(budget=Limits(max_requests=50, max_tokens=1, on_exceed=OnExceed.WARN))
    async with rig.engine() as engine:
        execution, held = await waiting(rig, engine, Limits(max_tokens=10))
        of_plan = Limits(max_requests=50, max_tokens=10, on_exceed=OnExceed.WARN)
        assert execution.budget == of_plan
        await engine.set_budget(execution.id, Limits(max_seconds=99, max_tokens=99))
        assert (await engine.set_budget(execution.id, Limits(), reset=True)).budget == of_plan
        both = await engine.set_budget(execution.id, Limits(max_seconds=7), reset=True)
        assert both.budget == replace(of_plan, max_seconds=7)
        held.let_go.set()
        await rested(engine, execution)


async def test_a_raised_limit_may_warn_again(rig: Rig) -> None:
    limits = Limits(max_tokens=5, on_exceed=OnExceed.WARN)
    costing(rig, tokens_in=10)
    rig.runner.replies = {**rig.runner.replies, "b": [held := Held(spending(tokens_in=10))]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(*CHAIN, budget=limits))
        await came(held.begun)
        await engine.set_budget(execution.id, Limits(max_tokens=15))
        held.let_go.set()
        execution = await rested(engine, execution)
    assert [warning[-3:] for warning in execution.warnings] == ["10.", "20."]


async def test_the_budget_of_what_has_ended_cannot_be_changed(rig: Rig) -> None:
    execution = await rig.run(rig.draft(agent("a")))
    async with rig.engine() as engine:
        with pytest.raises(ExecutionFinished):
            await engine.set_budget(execution.id, Limits(max_tokens=1))


async def test_a_budget_set_while_the_execution_comes_to_rest_is_set_all_the_same(rig: Rig) -> None:
    stall = Stall()
    rig.store = troubled(rig.store, stall)
    async with rig.engine() as engine:
        execution, held = await waiting(rig, engine, Limits(max_tokens=10))
        stall.armed = True
        held.let_go.set()
        await came(stall.begun)
        async with anyio.create_task_group() as calls:
            calls.start_soon(engine.set_budget, execution.id, Limits(max_tokens=99))
            await anyio.wait_all_tasks_blocked()
            stall.let_go.set()
        execution = await rested(engine, execution)
        assert (execution.status, execution.budget.max_tokens) == (PAUSED, 99)
        assert await check_record(rig.store, execution.id) == execution


async def test_scripts_start_under_a_reached_limit_of_tokens_because_they_spend_none(
    scripting: Rig,
) -> None:
    costing(scripting, tokens_in=10)
    plan = scripting.draft(agent("a"), code("s", "return 1", "a"), budget=Limits(max_tokens=10))
    assert (await scripting.run(plan)).status is COMPLETED


async def test_parallel_tools_never_start_beyond_the_limit_of_requests(rig: Rig) -> None:
    rig.tools = [counting := adapter("echo")]
    plan = rig.draft(*(tool(f"t{index}", "echo") for index in range(8)), budget=Limits(max_requests=5))
    execution = await rig.run(plan)
    assert (execution.status, execution.usage.requests, len(counting.calls)) == (PAUSED, 5, 5)
    assert "stop_requested" not in await kinds(rig.store, execution)


async def test_a_step_waits_while_others_hold_what_is_left(rig: Rig) -> None:
    held = Held()
    rig.runner.replies = {"a": [held]}
    async with rig.engine() as engine:
        plan = rig.draft(agent("a"), agent("b"), budget=Limits(max_requests=1))
        execution = await engine.execute(plan)
        await came(held.begun)
        execution = await until(engine, execution, lambda now: bool(now.running))
        assert statuses(execution) == {"a": "running", "b": "pending"}
        held.let_go.set()
        execution = await rested(engine, execution)
    # The first one used none of the request it held, so there was one for the second.
    assert execution.status is COMPLETED
