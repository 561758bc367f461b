"""Executions that run to their end: order, parallelism, and what they leave on record."""

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import anyio
import pytest

from engine_mcp.core.agent import AgentResult
from engine_mcp.core.budget import Usage
from engine_mcp.core.event import AttemptStarted, AttemptSucceeded
from engine_mcp.core.execution import ExecutionStatus, StepStatus
from engine_mcp.core.graph import output_of
from engine_mcp.core.models import Models
from engine_mcp.core.plan import Draft, StrategyName, TaskType
from engine_mcp.engine.parts import EngineOptions
from engine_mcp.sandbox.pool import SandboxPool
from engine_mcp.testing import ScriptedRunner, capture_events
from tests.engine.rig import (
    DONE,
    Crowd,
    Held,
    Rig,
    adapter,
    agent,
    allowing,
    came,
    check_record,
    code,
    kinds,
    rested,
    shown,
    statuses,
    tool,
    until,
    values,
)

pytestmark = pytest.mark.anyio


@pytest.mark.both_loops
@pytest.mark.req("003:L36", "002:L100", "003:L27", "003:L41")
async def test_a_task_becomes_one_step_and_its_output_that_of_the_execution(
    rig: Rig, anyio_backend: object
) -> None:
    assert anyio_backend
    rig.runner.replies = {"main": [AgentResult(output={"answer": 42})]}
    execution = await rig.run(Draft(path=str(rig.project), task="Answer."))
    assert execution.status is ExecutionStatus.COMPLETED
    assert statuses(execution) == {"main": "completed"}
    output = output_of(execution)
    assert output is not None
    assert output.value == {"answer": 42}


@pytest.mark.req("004:L113", "000:6.1.1", "000:6.1.2", "002:L132")
async def test_an_execution_has_its_id_before_anything_runs(rig: Rig) -> None:
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        assert execution.status is ExecutionStatus.PENDING
        assert rig.runner.tasks == []
        assert await rig.store.read(execution.id) == execution
        other = await engine.execute(rig.draft(agent("a")))
        assert execution.id < other.id
        await rested(engine, execution)
        assert rig.runner.tasks[0].execution_id == execution.id


@pytest.mark.req(
    "002:L17", "002:L34", "004:L82", "004:L54", "004:L58", "004:L57", "004:L71", "004:L32", "002:L135"
)
async def test_a_chain_runs_in_order_with_its_events_in_order(rig: Rig) -> None:
    names = ["a", "b", "c", "d", "e"]
    chain = [agent(names[0]), *(agent(name, before) for before, name in pairwise(names))]
    execution = await rig.run(rig.draft(*chain))
    assert [task.step.id for task in rig.runner.tasks] == names
    assert await kinds(rig.store, execution) == [
        "execution_created",
        "execution_started",
        *["attempt_started", "attempt_succeeded"] * 5,
        "execution_completed",
    ]
    assert values(execution) == dict.fromkeys(names, "done")
    assert await check_record(rig.store, execution.id) == execution


@pytest.mark.req("003:L35")
async def test_a_wide_task_becomes_a_chain_of_roles(rig: Rig) -> None:
    draft = Draft(path=str(rig.project), task="Turn it round.", task_type=TaskType.REFACTOR)
    execution = await rig.run(draft)
    assert execution.plan.strategy is StrategyName.MULTI
    assert [task.step.agent for task in rig.runner.tasks] == ["architect", "developer", "reviewer"]
    assert list(shown(rig)) == ["developer"]


@pytest.mark.req("003:L38", "003:L39")
async def test_a_step_starts_the_moment_its_last_dependency_has_ended(rig: Rig) -> None:
    slow, other = Held(), Held()
    rig.runner.replies = {"slow": [slow], "other": [other]}
    plan = rig.draft(agent("slow"), agent("other"), agent("quick"), agent("after", "slow", "quick"))
    async with rig.engine() as engine:
        execution = await engine.execute(plan)
        await came(slow.begun)
        execution = await until(engine, execution, lambda now: statuses(now)["quick"] == "completed")
        assert statuses(execution)["after"] == "pending"
        slow.let_go.set()
        execution = await until(engine, execution, lambda now: statuses(now)["after"] == "completed")
        assert statuses(execution)["other"] == "running"
        other.let_go.set()
        await rested(engine, execution)


@pytest.mark.req("003:L40", "002:L84", "002:L193")
@pytest.mark.parametrize("parallelism", [1, 3])
async def test_no_more_attempts_run_at_once_than_the_plan_says(rig: Rig, parallelism: int) -> None:
    crowd = Crowd()
    rig.runner.replies = {f"s{index}": [crowd] for index in range(7)}
    execution = await rig.run(rig.draft(*(agent(f"s{index}") for index in range(7)), parallelism=parallelism))
    assert execution.status is ExecutionStatus.COMPLETED
    assert crowd.most == parallelism


async def test_all_executions_share_the_places_for_attempts(rig: Rig) -> None:
    rig.options = EngineOptions(steps=2)
    held = [Held() for _ in range(4)]
    rig.runner.replies = {f"s{index}": [reply] for index, reply in enumerate(held)}
    async with rig.engine() as engine:
        executions = [await engine.execute(rig.draft(agent(f"s{index}"))) for index in range(4)]
        await came(held[0].begun)
        await came(held[1].begun)
        await until(engine, executions[3], lambda now: statuses(now)["s3"] == "running")
        assert engine.load().steps_running == 2
        assert [reply.begun.is_set() for reply in held] == [True, True, False, False]
        for reply in held:
            reply.let_go.set()
        for execution in executions:
            await rested(engine, execution)


@pytest.mark.req("002:L101", "002:L27")
async def test_scripts_tools_and_agents_work_together_in_one_graph(rig: Rig, pool: SandboxPool) -> None:
    rig.sandbox, rig.tools = pool, [adapter("echo")]
    rig.runner.replies = {"agent": [AgentResult(output=3)]}
    execution = await rig.run(
        rig.draft(
            agent("agent"),
            tool("tool", "echo", arguments={"n": 4}),
            code("sum", "return outputs.agent + outputs.tool.n", "agent", "tool"),
            code("call", "return (await tools.echo({ n: outputs.sum })).n * 2", "sum"),
        )
    )
    assert statuses(execution) == dict.fromkeys(["agent", "tool", "sum", "call"], "completed")
    assert values(execution)["call"] == 14
    assert await check_record(rig.store, execution.id) == execution


async def test_a_context_reaches_tasks_and_scripts(rig: Rig, pool: SandboxPool) -> None:
    rig.sandbox = pool
    draft = Draft(
        path=str(rig.project), steps=(code("s", "return input.a"), agent("t", "s")), context={"a": [1, "é"]}
    )
    execution = await rig.run(draft)
    assert values(execution)["s"] == [1, "é"]
    assert rig.library.briefs[0].context == {"a": [1, "é"]}
    assert rig.runner.tasks[0].project == str(rig.project)


@pytest.mark.req("003:L28", "003:L5", "002:L102")
async def test_a_step_runs_on_the_runtime_it_names_and_else_on_the_first(rig: Rig) -> None:
    first, other = ScriptedRunner(name="first"), ScriptedRunner(name="other")
    rig.runner = first
    engine = rig.engine()
    engine.parts = replace(
        rig.parts,
        runners={"first": first, "other": other},
        models=lambda: Models(patterns={"other": (".+",)}),
        order=("first", "other"),
    )
    async with engine:
        plan = rig.draft(agent("any"), agent("named", runtime="other", model="m"))
        execution = await rested(engine, await engine.execute(plan))
    assert [task.step.id for task in first.tasks] == ["any"]
    assert [task.step.id for task in other.tasks] == ["named"]
    attempt = execution.steps["named"].attempt
    assert attempt is not None
    assert (attempt.runtime, attempt.model) == ("other", "m")


@pytest.mark.req("002:L38", "002:L137", "002:L138", "002:L142", "002:L155", "000:4.1.3", "002:L134")
async def test_an_attempt_says_when_it_began_and_ended_and_what_it_used(rig: Rig) -> None:
    rig.clock = clock = type(rig.clock)(1000.0)
    held = Held(AgentResult(output=1, usage=Usage(tokens_in=7, tokens_out=2, requests=1)))
    rig.runner.replies = {"a": [held]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(held.begun)
        clock.advance(2.5)
        held.let_go.set()
        execution = await rested(engine, execution)
    attempt = execution.steps["a"].attempt
    assert attempt is not None
    assert (execution.created_at, attempt.started_at, attempt.ended_at) == (1000.0, 1000.0, 1002.5)
    assert attempt.usage == Usage(tokens_in=7, tokens_out=2, requests=1, seconds=2.5, cost_basis="unpriced")
    assert execution.usage == attempt.usage
    assert execution.active_s == 2.5
    assert execution.ended_at == 1002.5


@pytest.mark.req("000:2.2.2")
async def test_the_usage_of_an_execution_is_the_sum_of_its_attempts(rig: Rig) -> None:
    rig.runner.replies = {
        name: [AgentResult(usage=Usage(tokens_in=count, cost_micros=10 * count, cost_basis="reported"))]
        for name, count in (("a", 1), ("b", 20), ("c", 300))
    }
    execution = await rig.run(rig.draft(agent("a"), agent("b"), agent("c", "a", "b")))
    assert (execution.usage.tokens_in, execution.usage.cost_micros) == (321, 3210)
    assert execution.usage.cost_basis == "reported"
    attempts = [attempt for step in execution.steps.values() for attempt in step.attempts]
    assert sum((attempt.usage for attempt in attempts), start=Usage()) == execution.usage


@pytest.mark.req("004:L31")
async def test_an_attempt_is_on_record_before_its_runner_hears_of_it(rig: Rig) -> None:
    seen: list[list[str]] = []

    async def look(task: object, host: object) -> AgentResult:
        del task, host
        events = await capture_events(rig.store, rig.runner.tasks[-1].execution_id)
        seen.append([event.kind for event in events])
        return DONE

    rig.runner.replies = {"a": [look], "b": [look]}
    await rig.run(rig.draft(agent("a"), agent("b", "a")))
    assert [events[-1] for events in seen] == ["attempt_started", "attempt_started"]
    assert seen[1].count("attempt_succeeded") == 1


async def test_the_end_of_a_step_and_the_start_of_the_next_go_into_one_write(rig: Rig) -> None:
    execution = await rig.run(rig.draft(agent("a"), agent("b", "a")))
    events = await capture_events(rig.store, execution.id)
    ended = next(event for event in events if isinstance(event, AttemptSucceeded))
    follower = events[events.index(ended) + 1]
    assert isinstance(follower, AttemptStarted)
    assert follower.step == "b"


async def test_a_plan_of_a_thousand_steps_runs_through(rig: Rig) -> None:
    layers = [[f"{layer}-{index}" for index in range(20)] for layer in range(50)]
    steps = [agent(name) for name in layers[0]]
    for before, layer in pairwise(layers):
        steps += [agent(name, before[index], before[index - 1]) for index, name in enumerate(layer)]
    execution = await rig.run(rig.draft(*steps))
    assert execution.status is ExecutionStatus.COMPLETED
    assert {step.status for step in execution.steps.values()} == {StepStatus.COMPLETED}


@pytest.mark.req("001:L44", "003:L32", "001:L26")
async def test_many_executions_run_side_by_side_and_do_not_mix(rig: Rig) -> None:
    async with rig.engine() as engine:
        executions = [
            await engine.execute(rig.draft(agent("a"), agent("b", "a"), agent("c", "b"))) for _ in range(50)
        ]
        for execution in executions:
            ended = await rested(engine, execution)
            assert ended.status is ExecutionStatus.COMPLETED
            assert await check_record(rig.store, ended.id) == ended
    assert len({execution.id for execution in executions}) == 50
    assert engine.load().running == engine.load().pending == 0


@pytest.mark.req("003:L26")
def test_the_engine_is_imported_without_mcp_and_without_a_schema_validator() -> None:
    program = (
        "import sys, engine_mcp.engine.engine; "
        "assert not {'mcp', 'jsonschema', 'click', 'rich'} & sys.modules.keys(), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


async def test_a_tool_step_gets_its_arguments_and_a_place_to_work(rig: Rig) -> None:
    rig.tools = [adapter("echo", mode=None)]
    execution = await rig.run(Draft(path=str(rig.project), tool="echo", arguments={"a": 1}))
    assert values(execution) == {"main": {"a": 1}}
    assert rig.tools[0].calls == [{"a": 1}]
    assert execution.usage.requests == 1


async def test_a_tool_without_arguments_is_given_an_empty_object(rig: Rig) -> None:
    rig.tools = [adapter("echo")]
    execution = await rig.run(rig.draft(tool("t", "echo", permissions=allowing("echo"))))
    assert values(execution) == {"t": {}}


async def test_the_engine_takes_nothing_before_it_is_entered(rig: Rig) -> None:
    engine = rig.engine()
    async with engine:
        assert engine.load().executions == rig.options.executions
        with anyio.fail_after(5):
            assert (await engine.wait((await engine.execute(rig.draft(agent("a")))).id, 5)).ended_at
