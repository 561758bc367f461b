"""Going on with an execution that rests: from where it stopped, and with changes."""

import shutil
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from engine_mcp.core.agent import AgentResult
from engine_mcp.core.budget import Limits
from engine_mcp.core.execution import AttemptStatus, Execution, ExecutionStatus, Output, StopMode
from engine_mcp.core.models import Models
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.request import Resume
from engine_mcp.engine.engine import Engine
from engine_mcp.errors import EngineError
from engine_mcp.testing import ScriptedRunner
from tests.engine.rig import (
    DONE,
    NOBODY,
    Held,
    Rig,
    adapter,
    agent,
    came,
    check_record,
    code,
    failing,
    failures,
    kinds,
    rested,
    shown,
    statuses,
    tool,
    until,
    values,
)

pytestmark = pytest.mark.anyio

COMPLETED = ExecutionStatus.COMPLETED


async def stopped_at(rig: Rig, name: str, *steps: StepSpec) -> Execution:
    """An execution that was interrupted while the agent step `name` ran, in an engine of its own."""
    held = Held()
    rig.runner.replies = {**rig.runner.replies, name: [held, AgentResult(output="second try")]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(*steps))
        await came(held.begun)
        return await engine.interrupt(execution.id, StopMode.NOW, "stopped")


async def going_on(rig: Rig, execution: Execution, request: Resume | None = None) -> Execution:
    """The execution after it went on and came to rest again, in an engine of its own."""
    async with rig.engine() as engine:
        return await rested(engine, await engine.resume(execution.id, request or Resume()))


async def refusal(engine: Engine, execution_id: str, request: Resume) -> tuple[str, str | None]:
    with pytest.raises(EngineError) as caught:
        await engine.resume(execution_id, request)
    return caught.value.code, caught.value.field


@pytest.mark.req(
    "000:5.2.1",
    "000:5.2.2",
    "000:5.2.3",
    "000:7.1.2",
    "001:L41",
    "004:L41",
    "004:L77",
    "004:L40",
    "000:4.4.1",
)
async def test_an_interrupted_execution_goes_on_where_it_stopped(rig: Rig) -> None:
    execution = await stopped_at(rig, "b", agent("a"), agent("b", "a"), agent("c", "b"))
    resumed = await going_on(rig, execution)
    assert resumed.status is COMPLETED
    assert [task.step.id for task in rig.runner.tasks] == ["a", "b", "b", "c"]
    assert [task.number for task in rig.runner.tasks] == [1, 1, 2, 1]
    assert values(resumed) == {"a": "done", "b": "second try", "c": "done"}
    assert [attempt.status for attempt in resumed.steps["b"].attempts] == [
        AttemptStatus.INTERRUPTED,
        AttemptStatus.SUCCEEDED,
    ]
    assert (resumed.reason, resumed.epoch) == (None, 2)
    assert await check_record(rig.store, execution.id) == resumed


@pytest.mark.req("004:L56")
async def test_the_event_of_going_on_stands_before_the_first_step(rig: Rig) -> None:
    execution = await stopped_at(rig, "a", agent("a"))
    resumed = await going_on(rig, execution)
    told = await kinds(rig.store, resumed)
    assert told[execution.revision :] == [
        "execution_resumed",
        "execution_started",
        "attempt_started",
        "attempt_succeeded",
        "execution_completed",
    ]


async def test_the_time_between_stop_and_resume_does_not_count(rig: Rig) -> None:
    rig.clock = clock = type(rig.clock)(0.0)
    held = Held()
    rig.runner.replies = {"a": [held, DONE]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(held.begun)
        clock.advance(3.0)
        await engine.interrupt(execution.id, StopMode.NOW, "x")
        clock.advance(1000.0)
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert execution.active_s == 3.0


async def test_a_failed_execution_tries_its_failed_and_skipped_steps_again(rig: Rig) -> None:
    rig.runner.replies = {"a": [failing("tool_error"), DONE]}
    execution = await rig.run(rig.draft(agent("free"), agent("a"), agent("b", "a")))
    assert statuses(execution) == {"free": "completed", "a": "failed", "b": "skipped"}
    resumed = await going_on(rig, execution)
    assert (resumed.status, failures(resumed)) == (COMPLETED, {})
    assert [task.step.id for task in rig.runner.tasks].count("free") == 1
    assert len(resumed.steps["a"].attempts) == 2


async def test_a_resumed_step_has_all_its_tries_again(rig: Rig) -> None:
    rig.runner.replies = {"a": [failing("crash")]}
    execution = await rig.run(rig.draft(agent("a")))
    resumed = await going_on(rig, execution)
    assert (resumed.steps["a"].tries, len(resumed.steps["a"].attempts)) == (3, 6)


# --- with other steps


async def test_steps_that_are_not_completed_can_be_replaced_and_others_added(rig: Rig) -> None:
    execution = await stopped_at(rig, "b", agent("a"), agent("b", "a"), agent("c", "b"))
    fresh = (replace(agent("b", "a"), task="do it otherwise"), agent("e", "b", "a"))
    resumed = await going_on(rig, execution, Resume(steps=fresh))
    assert statuses(resumed) == {"a": "completed", "b": "completed", "e": "completed"}
    assert rig.runner.tasks[-2].step.task == "do it otherwise"
    assert await check_record(rig.store, execution.id) == resumed


@pytest.mark.parametrize(
    ("request_", "code_", "field"),
    [
        (Resume(steps=(agent("a"),)), "invalid_argument", "steps[0].id"),
        (Resume(steps=(agent("b", "nowhere"),)), "invalid_plan", "steps[1].depends_on"),
        (Resume(steps=(agent("x", "y"), agent("y", "x"))), "invalid_plan", "steps"),
        (Resume(steps=(tool("x", "nothing"),)), "unknown_tool", "steps[0].tool"),
        (Resume(steps=(agent("x", runtime="other"),)), "runtime_unavailable", "steps[0].runtime"),
        (Resume(steps=(agent("x"),), from_step="a"), "invalid_argument", "from_step"),
        (Resume(from_step="nowhere"), "invalid_argument", "from_step"),
        (Resume(approve=("b",)), "invalid_argument", "approve"),
        (Resume(approve=("nowhere",)), "invalid_argument", "approve"),
        (Resume(deny=("b",)), "invalid_argument", "deny"),
        (Resume(runtime="other"), "runtime_unavailable", "runtime"),
    ],
)
@pytest.mark.req("000:5.3.1", "000:5.3.2", "000:5.3.4", "000:5.4.2")
async def test_a_request_that_does_not_fit_is_refused_and_changes_nothing(
    rig: Rig, request_: Resume, code_: str, field: str
) -> None:
    execution = await stopped_at(rig, "b", agent("a"), agent("b", "a"))
    async with rig.engine() as engine:
        assert await refusal(engine, execution.id, request_) == (code_, field)
        assert await engine.show(execution.id) == execution
        assert (await rested(engine, await engine.resume(execution.id, Resume()))).status is COMPLETED


@pytest.mark.req("000:5.2.1", "000:5.4.2", "000:5.2.4")
async def test_what_runs_or_has_ended_or_never_was_cannot_go_on(rig: Rig) -> None:
    held = Held()
    rig.runner.replies = {"slow": [held]}
    async with rig.engine() as engine:
        running = await engine.execute(rig.draft(agent("slow")))
        done = await rested(engine, await engine.execute(rig.draft(agent("a"))))
        await came(held.begun)
        assert await refusal(engine, running.id, Resume()) == ("execution_running", "execution_id")
        assert await refusal(engine, done.id, Resume()) == ("execution_finished", "execution_id")
        assert (await refusal(engine, NOBODY, Resume()))[0] == "execution_not_found"
        held.let_go.set()
        await rested(engine, running)


async def test_of_two_that_resume_at_once_one_goes_on(rig: Rig) -> None:
    execution = await stopped_at(rig, "a", agent("a"))
    told: list[str] = []
    async with rig.engine() as engine:

        async def ask() -> None:
            try:
                await engine.resume(execution.id, Resume())
                told.append("went on")
            except EngineError as error:
                told.append(error.code)

        async with anyio.create_task_group() as both:
            both.start_soon(ask)
            both.start_soon(ask)
        execution = await rested(engine, execution)
    assert told.count("went on") == 1
    assert {"execution_running", "execution_owned"} & {*told}
    assert execution.status is COMPLETED
    assert len(execution.steps["a"].attempts) == 2


@pytest.mark.req("000:5.3.2")
async def test_without_its_project_an_execution_does_not_go_on(rig: Rig, tmp_path: Path) -> None:
    rig.project = tmp_path / "project"
    rig.project.mkdir()
    execution = await stopped_at(rig, "a", agent("a"))
    shutil.rmtree(rig.project)
    async with rig.engine() as engine:
        assert await refusal(engine, execution.id, Resume()) == ("path_outside_roots", "path")
        rig.project.mkdir()
        assert (await rested(engine, await engine.resume(execution.id, Resume()))).status is COMPLETED


async def test_without_a_tool_it_still_needs_an_execution_does_not_go_on(rig: Rig) -> None:
    rig.tools = [adapter("echo")]
    execution = await stopped_at(rig, "a", agent("a"), tool("t", "echo", "a"))
    rig.tools = []
    async with rig.engine() as engine:
        code_, _ = await refusal(engine, execution.id, Resume())
        assert code_ == "unknown_tool"
    rig.tools = [adapter("echo")]
    assert (await going_on(rig, execution)).status is COMPLETED


# --- from a step


@pytest.mark.req("000:5.2.3")
async def test_from_a_step_it_and_all_that_follow_are_run_again_and_their_history_kept(rig: Rig) -> None:
    rig.runner.replies = {"b": [AgentResult(output=1), AgentResult(output=2)]}
    execution = await rig.run(rig.draft(agent("a"), agent("b", "a"), agent("c", "b"), agent("other", "a")))
    resumed = await going_on(rig, execution, Resume(from_step="b"))
    assert resumed.status is COMPLETED
    assert [task.step.id for task in rig.runner.tasks] == ["a", "b", "other", "c", "b", "c"]
    assert {name: len(step.attempts) for name, step in resumed.steps.items()} == {
        "a": 1,
        "b": 2,
        "c": 2,
        "other": 1,
    }
    assert values(resumed)["b"] == 2
    assert shown(rig) == {"b": "2"}
    assert await check_record(rig.store, execution.id) == resumed


async def test_from_a_step_can_begin_with_a_failed_one(rig: Rig) -> None:
    rig.runner.replies = {"b": [failing("tool_error"), DONE]}
    execution = await rig.run(rig.draft(agent("a"), agent("b", "a"), agent("c", "b")))
    resumed = await going_on(rig, execution, Resume(from_step="a"))
    assert resumed.status is COMPLETED
    assert [task.step.id for task in rig.runner.tasks] == ["a", "b", "a", "b", "c"]


# --- with approvals


@pytest.mark.req("002:L108", "002:L28")
async def test_a_step_that_needs_approval_waits_for_it_while_others_run(rig: Rig) -> None:
    held = Held()
    rig.runner.replies = {"free": [held]}
    async with rig.engine() as engine:
        execution = await engine.execute(
            rig.draft(agent("free"), agent("asks", requires_approval=True), agent("next", "asks"))
        )
        await came(held.begun)
        execution = await until(engine, execution, lambda now: statuses(now)["asks"] == "awaiting_approval")
        assert execution.status is ExecutionStatus.RUNNING
        held.let_go.set()
        execution = await rested(engine, execution)
    assert (execution.status, execution.reason) == (ExecutionStatus.PAUSED, "approval")
    assert statuses(execution) == {"free": "completed", "asks": "awaiting_approval", "next": "pending"}
    resumed = await going_on(rig, execution, Resume(approve=("asks",)))
    assert resumed.status is COMPLETED


async def test_a_step_is_asked_for_only_when_its_dependencies_are_done_and_only_once(rig: Rig) -> None:
    plan = rig.draft(agent("a", requires_approval=True), agent("b", "a", requires_approval=True))
    execution = await rig.run(plan)
    assert statuses(execution) == {"a": "awaiting_approval", "b": "pending"}
    execution = await going_on(rig, execution, Resume(approve=("a",)))
    assert statuses(execution) == {"a": "completed", "b": "awaiting_approval"}
    execution = await going_on(rig, execution, Resume(approve=("b",)))
    execution = await going_on(rig, execution, Resume(from_step="a"))
    assert execution.status is COMPLETED
    assert (await kinds(rig.store, execution)).count("approval_requested") == 2


async def test_a_denied_step_fails_with_what_depends_on_it(rig: Rig) -> None:
    execution = await rig.run(rig.draft(agent("a", requires_approval=True), agent("b", "a"), agent("c")))
    resumed = await going_on(rig, execution, Resume(deny=("a",)))
    assert resumed.status is ExecutionStatus.FAILED
    assert failures(resumed) == {"a": "approval_denied", "b": "dependency_failed"}
    assert statuses(resumed)["c"] == "completed"
    assert failures(await going_on(rig, resumed))["a"] == "approval_denied"
    again = await going_on(rig, resumed, Resume(from_step="a"))
    assert statuses(again)["a"] == "awaiting_approval"


async def test_a_resume_without_an_answer_asks_again(rig: Rig) -> None:
    execution = await rig.run(rig.draft(agent("a", requires_approval=True)))
    again = await going_on(rig, execution)
    assert (again.status, again.reason) == (ExecutionStatus.PAUSED, "approval")
    assert rig.runner.tasks == []


async def test_a_step_cannot_be_approved_and_denied(rig: Rig) -> None:
    execution = await rig.run(rig.draft(agent("a", requires_approval=True)))
    async with rig.engine() as engine:
        both = Resume(approve=("a",), deny=("a",))
        assert await refusal(engine, execution.id, both) == ("invalid_argument", "deny")


# --- with other means


async def test_a_resume_can_change_runtime_and_model_of_what_is_left(rig: Rig) -> None:
    execution = await stopped_at(rig, "b", agent("a"), agent("b", "a"), agent("c", "b"))
    other = ScriptedRunner(name="other")
    engine = rig.engine()
    engine.parts = replace(
        rig.parts,
        runners={rig.runner.name: rig.runner, "other": other},
        models=lambda: Models(names={"large": {"other": "other/large-1"}}),
    )
    async with engine:
        request = Resume(runtime="other", model="large")
        resumed = await rested(engine, await engine.resume(execution.id, request))
    assert [(task.step.id, task.model) for task in other.tasks] == [
        ("b", "other/large-1"),
        ("c", "other/large-1"),
    ]
    assert [(spec.runtime, spec.model) for spec in (step.spec for step in resumed.steps.values())] == [
        (None, None),
        ("other", "large"),
        ("other", "large"),
    ]


async def test_a_resume_can_raise_the_budget(rig: Rig) -> None:
    rig.tools = [adapter("echo")]
    plan = rig.draft(tool("a", "echo"), tool("b", "echo", "a"), budget=Limits(max_requests=1, max_tokens=9))
    execution = await rig.run(plan)
    assert (execution.status, execution.reason) == (ExecutionStatus.PAUSED, "budget")
    resumed = await going_on(rig, execution, Resume(budget=Limits(max_requests=2)))
    assert resumed.status is COMPLETED
    assert resumed.budget == Limits(max_requests=2, max_tokens=9)


async def test_a_changed_script_begins_anew_and_an_unchanged_one_is_not_asked_again(scripting: Rig) -> None:
    held = Held()
    scripting.runner.replies = {"gate": [held, DONE]}
    scripting.tools = [counting := adapter("echo")]
    script = code("s", "return await tools.echo({ v: 1 })")
    async with scripting.engine() as engine:
        execution = await engine.execute(scripting.draft(script, agent("gate", "s")))
        await came(held.begun)
        await engine.interrupt(execution.id, StopMode.NOW, "x")
        fresh = (agent("gate", "s"), code("new", "return await tools.echo({ v: outputs.s.v + 1 })", "s"))
        execution = await rested(engine, await engine.resume(execution.id, Resume(steps=fresh)))
    assert counting.calls == [{"v": 1}, {"v": 2}]
    assert execution.steps["new"].output == Output(value={"v": 2})
