"""The calls of scripts count against the same limits as everything else, and never get past them."""

from collections.abc import Mapping
from dataclasses import replace

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from engine_mcp.core.agent import AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import Limits, OnExceed, Usage
from engine_mcp.core.evolve import evolve
from engine_mcp.core.execution import Execution, ExecutionStatus, StopMode
from engine_mcp.core.request import Resume
from engine_mcp.core.tool import ToolResult
from engine_mcp.ports import AgentHost, Workbench
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import ScriptedRunner, capture_events
from tests.engine.plans import WORK, planned
from tests.engine.played import PlayedSandbox
from tests.engine.rig import (
    HeldTool,
    Rig,
    adapter,
    agent,
    came,
    code,
    echo,
    rested,
    statuses,
    tool,
    until,
    values,
)

pytestmark = pytest.mark.anyio

PAUSED, COMPLETED = ExecutionStatus.PAUSED, ExecutionStatus.COMPLETED
LOOP = "let last; for (let n = 1; n <= 10; n++) last = (await tools.echo({ n })).n; return last"
TOGETHER = "return (await Promise.all([1,2,3,4,5,6,7,8,9,10].map(n => tools.echo({ n })))).length"


@pytest.mark.req("002:L196", "SPEC:4.limits-hold-under-concurrency")
@pytest.mark.parametrize("text", [LOOP, TOGETHER], ids=["one after another", "together"])
async def test_a_script_makes_no_call_beyond_the_limit_and_goes_on_with_more(
    scripting: Rig, text: str
) -> None:
    scripting.tools = [counting := adapter("echo")]
    execution = await scripting.run(scripting.draft(code("s", text), budget=Limits(max_requests=4)))
    assert (execution.status, execution.reason) == (PAUSED, "budget")
    assert statuses(execution) == {"s": "interrupted"}
    assert (len(counting.calls), execution.usage.requests) == (4, 4)
    for most in (4, 7, 10):
        async with scripting.engine() as engine:
            request = Resume(budget=Limits(max_requests=most))
            execution = await rested(engine, await engine.resume(execution.id, request))
        assert (len(counting.calls), execution.usage.requests) == (most, most)
    assert (execution.status, values(execution)) == (COMPLETED, {"s": 10})


async def test_scripts_side_by_side_share_the_limit(scripting: Rig) -> None:
    scripting.tools = [counting := adapter("echo")]
    plan = scripting.draft(*(code(f"s{n}", TOGETHER) for n in range(3)), budget=Limits(max_requests=17))
    execution = await scripting.run(plan)
    assert (execution.status, execution.usage.requests, len(counting.calls)) == (PAUSED, 17, 17)


async def test_at_the_limit_the_calls_under_way_are_waited_for_because_they_are_paid(scripting: Rig) -> None:
    held = HeldTool()
    scripting.tools = [slow := adapter("slow", held), adapter("echo")]
    text = """
        const all = await Promise.all([tools.slow(), tools.slow(), tools.echo(), tools.echo()])
        return all.length
    """
    async with scripting.engine() as engine:
        plan = scripting.draft(code("s", text), budget=Limits(max_requests=3))
        execution = await engine.execute(plan)
        await came(held.begun)
        execution = await until(engine, execution, lambda now: len(now.steps["s"].calls) == 1)
        assert (execution.status, execution.stopping) == (ExecutionStatus.RUNNING, None)
        held.let_go.set()
        execution = await rested(engine, execution)
        assert (execution.status, execution.reason, execution.usage.requests) == (PAUSED, "budget", 3)
        assert list(execution.steps["s"].calls) == [2, 0, 1]
        request = Resume(budget=Limits(max_requests=4))
        execution = await rested(engine, await engine.resume(execution.id, request))
    assert (values(execution), len(slow.calls)) == ({"s": 4}, 2)


async def test_a_call_that_waits_at_the_limit_is_made_when_the_limit_is_raised(scripting: Rig) -> None:
    held = HeldTool()
    scripting.tools = [adapter("slow", held), adapter("echo")]
    text = "await Promise.all([tools.slow(), tools.echo()]); return 'both'"
    async with scripting.engine() as engine:
        execution = await engine.execute(scripting.draft(code("s", text), budget=Limits(max_requests=1)))
        await came(held.begun)
        await engine.set_budget(execution.id, Limits(max_requests=2))
        await until(engine, execution, lambda now: 1 in now.steps["s"].calls)
        held.let_go.set()
        execution = await rested(engine, execution)
    assert values(execution) == {"s": "both"}


async def test_a_call_under_way_when_the_script_is_interrupted_is_counted(scripting: Rig) -> None:
    held = HeldTool()
    scripting.tools = [adapter("slow", held), adapter("echo")]
    text = "await tools.echo(); await Promise.all([tools.slow(), tools.slow()])"
    async with scripting.engine() as engine:
        execution = await engine.execute(scripting.draft(code("s", text)))
        await came(held.begun)
        execution = await engine.interrupt(execution.id, StopMode.NOW, "x")
    assert execution.usage.requests == 3
    assert execution.steps["s"].attempts[0].usage.requests == 3


@pytest.mark.req("SPEC:4.warn-goes-on-and-says-so")
async def test_with_warn_calls_go_on_past_the_limit_and_a_warning_says_so(scripting: Rig) -> None:
    scripting.tools = [adapter("echo")]
    limits = Limits(max_requests=4, on_exceed=OnExceed.WARN)
    execution = await scripting.run(scripting.draft(code("s", LOOP), budget=limits))
    assert (execution.status, execution.usage.requests) == (COMPLETED, 10)
    assert execution.warnings == ("The budget's requests limit of 4 was passed: 5.",)


async def test_a_step_has_a_limit_of_calls_of_its_own(scripting: Rig) -> None:
    scripting.tools = [counting := adapter("echo")]
    step = code("s", TOGETHER, budget=Limits(max_requests=3))
    execution = await scripting.run(scripting.draft(step, budget=Limits(max_requests=100)))
    assert (execution.status, execution.reason, len(counting.calls)) == (PAUSED, "budget", 3)
    async with scripting.engine() as engine:
        more = replace(step, budget=Limits(max_requests=20))
        execution = await rested(engine, await engine.resume(execution.id, Resume(steps=(more,))))
    assert execution.status is COMPLETED


async def test_a_limit_raised_while_a_script_runs_lets_its_next_calls_through(scripting: Rig) -> None:
    held = HeldTool()
    scripting.tools = [adapter("slow", held), counting := adapter("echo")]
    text = "await tools.slow(); for (let n = 0; n < 5; n++) await tools.echo({ n })"
    async with scripting.engine() as engine:
        plan = scripting.draft(code("s", text), budget=Limits(max_requests=1))
        execution = await engine.execute(plan)
        await came(held.begun)
        await engine.set_budget(execution.id, Limits(max_requests=6))
        held.let_go.set()
        execution = await rested(engine, execution)
    assert (execution.status, len(counting.calls)) == (COMPLETED, 5)


@pytest.mark.req("SPEC:4.limits-hold-under-concurrency")
async def test_a_tool_step_does_not_take_what_a_scripts_call_already_has(rig: Rig) -> None:
    held = HeldTool()
    rig.sandbox, rig.tools = PlayedSandbox(), [adapter("echo", held), other := adapter("other")]
    async with rig.engine() as engine:
        steps = [code("s", "[1]"), code("first", "[]"), tool("t", "other", "first")]
        execution = await engine.execute(rig.draft(*steps, budget=Limits(max_requests=1)))
        await came(held.begun)
        await until(engine, execution, lambda now: bool(now.steps["t"].attempts))
        held.let_go.set()
        execution = await rested(engine, execution)
    assert (execution.status, execution.reason, execution.usage.requests) == (PAUSED, "budget", 1)
    assert other.calls == []


async def test_a_task_does_not_take_what_a_scripts_call_already_has(rig: Rig) -> None:
    held = HeldTool()
    rig.sandbox, rig.tools = PlayedSandbox(), [adapter("echo", held)]
    async with rig.engine() as engine:
        steps = [code("s", "[1]"), code("first", "[]"), agent("a", "first")]
        execution = await engine.execute(rig.draft(*steps, budget=Limits(max_requests=1)))
        await came(held.begun)
        await until(engine, execution, lambda now: bool(now.steps["a"].attempts))
        held.let_go.set()
        execution = await rested(engine, execution)
    assert (execution.status, execution.reason, execution.usage.requests) == (PAUSED, "budget", 1)
    assert rig.runner.tasks == []


async def test_a_tool_counts_as_many_requests_as_it_says(rig: Rig) -> None:
    heavy, free = adapter("heavy"), adapter("free")
    heavy.spec, free.spec = replace(heavy.spec, requests=3), replace(free.spec, requests=0)
    rig.tools = [heavy, free]
    steps = [tool("f", "free"), *(tool(f"h{n}", "heavy") for n in range(3))]
    execution = await rig.run(rig.draft(*steps, budget=Limits(max_requests=7), parallelism=1))
    assert (execution.status, execution.usage.requests, len(heavy.calls)) == (PAUSED, 6, 2)


# --- any interleaving


class Delays:
    """Lets calls and tasks take as many turns of the loop as were drawn for them."""

    def __init__(self, turns: list[int]) -> None:
        self.turns, self.made = turns, 0

    async def pass_(self) -> None:
        self.made += 1
        for _ in range(self.turns[self.made % len(self.turns)]):
            await anyio.lowlevel.checkpoint()

    async def act(self, arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        await self.pass_()
        return await echo(arguments, bench)

    async def reply(self, task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        host.report(AgentReport(usage=Usage(requests=1)))
        await self.pass_()
        return AgentResult(output="done")


async def most_spent(rig: Rig, execution: Execution) -> list[tuple[int, int]]:
    """After each event, what was spent and the limit at that time."""
    found: list[tuple[int, int]] = []
    state: Execution | None = None
    for event in await capture_events(rig.store, execution.id):
        state = evolve(state, event)
        found.append((state.usage.requests, state.budget.max_requests or 0))
    return found


@pytest.mark.req("SPEC:4.limits-hold-under-concurrency")
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    work=WORK,
    limit=st.integers(1, 12),
    parallelism=st.integers(1, 4),
    turns=st.lists(st.integers(0, 5), min_size=1, max_size=9),
)
async def test_whatever_the_order_no_more_is_spent_than_the_limit(
    rig: Rig, work: list[tuple[str, int]], limit: int, parallelism: int, turns: list[int]
) -> None:
    delays = Delays(turns)
    steps = planned(work)
    runner = ScriptedRunner({step.id: [delays.reply] for step in steps})
    own = replace(
        rig, store=MemoryStore(), runner=runner, tools=[adapter("echo", delays.act)], sandbox=PlayedSandbox()
    )
    execution = await own.run(own.draft(*steps, budget=Limits(max_requests=limit), parallelism=parallelism))
    while execution.status is PAUSED:
        assert delays.made <= limit
        limit += 3
        async with own.engine() as engine:
            request = Resume(budget=Limits(max_requests=limit))
            execution = await rested(engine, await engine.resume(execution.id, request))
    assert execution.status is COMPLETED
    assert all(spent <= most for spent, most in await most_spent(own, execution))
    assert delays.made <= limit
