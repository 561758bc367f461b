"""Optional steps: what is left out says why, and a failure says what it takes along."""

import pytest

from engine_mcp.core.event import AttemptFailed
from engine_mcp.core.execution import Execution, ExecutionStatus
from engine_mcp.core.request import Resume
from engine_mcp.core.tool import Health
from engine_mcp.errors import RuntimeUnavailable
from engine_mcp.testing import ScriptedRunner, capture_events
from tests.engine.rig import DONE, Rig, agent, check_record, failing, failures, rested, statuses

pytestmark = pytest.mark.anyio

COMPLETED, FAILED = ExecutionStatus.COMPLETED, ExecutionStatus.FAILED
GONE = Health(usable=False, detail="It is not installed.", remedy="Install it.")


def without(rig: Rig) -> Rig:
    """A rig whose second runtime cannot be used."""
    rig.others = [ScriptedRunner(name="gone", usable=GONE)]
    return rig


@pytest.mark.req("002:L47")
async def test_an_optional_step_without_a_runtime_is_skipped_with_the_reason(rig: Rig) -> None:
    without(rig)
    steps = (
        agent("a", runtime="gone", optional=True),
        agent("b", "a"),
        agent("c", runtime="none", optional=True),
    )
    execution = await rig.run(rig.draft(*steps))
    assert execution.status is COMPLETED
    assert statuses(execution) == {"a": "skipped", "b": "completed", "c": "skipped"}
    assert failures(execution) == {"a": "runtime_unavailable", "c": "runtime_unavailable"}
    why = execution.steps["a"].failure
    assert why is not None
    assert "not installed" in why.message
    assert why.hint == "Install it."
    assert execution.steps["a"].attempts == ()
    assert await check_record(rig.store, execution.id) == execution


async def test_a_step_that_matters_is_refused_without_a_runtime(rig: Rig) -> None:
    without(rig)
    async with rig.engine() as engine:
        with pytest.raises(RuntimeUnavailable):
            await engine.execute(rig.draft(agent("a", runtime="gone"), agent("b")))
    assert rig.runner.tasks == []


async def test_all_steps_left_out_is_no_failure(rig: Rig) -> None:
    without(rig)
    execution = await rig.run(rig.draft(agent("a", runtime="gone", optional=True)))
    assert (execution.status, statuses(execution)) == (COMPLETED, {"a": "skipped"})


async def test_a_step_that_was_left_out_is_left_out_again_when_a_failed_execution_goes_on(rig: Rig) -> None:
    without(rig)
    rig.runner.replies = {"b": [failing("tool_error"), DONE]}
    draft = rig.draft(agent("a", runtime="gone", optional=True), agent("b"))
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(draft))
        assert (execution.status, statuses(execution)["a"]) == (FAILED, "skipped")
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert execution.status is COMPLETED
    assert statuses(execution) == {"a": "skipped", "b": "completed"}
    assert failures(execution) == {"a": "runtime_unavailable"}
    assert execution.steps["a"].attempts == ()


async def test_a_step_that_was_left_out_runs_once_its_runtime_is_there(rig: Rig) -> None:
    without(rig)
    rig.runner.replies = {"b": [failing("tool_error"), DONE]}
    draft = rig.draft(agent("a", runtime="gone", optional=True), agent("b"))
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(draft))
        rig.others[0].usable = Health(usable=True)
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert statuses(execution) == {"a": "completed", "b": "completed"}


async def test_an_optional_step_among_those_that_replace_others_is_skipped_too(rig: Rig) -> None:
    without(rig)
    rig.runner.replies = {"a": [failing("tool_error")]}
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"))))
        steps = (agent("b"), agent("c", runtime="gone", optional=True))
        execution = await rested(engine, await engine.resume(execution.id, Resume(steps=steps)))
    assert statuses(execution) == {"b": "completed", "c": "skipped"}
    assert failures(execution) == {"c": "runtime_unavailable"}


async def test_an_optional_step_whose_runtime_has_gone_meanwhile_does_not_stop_the_others(rig: Rig) -> None:
    rig.others = [ScriptedRunner(name="gone")]
    draft = rig.draft(agent("a", requires_approval=True), agent("b", "a", runtime="gone", optional=True))
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(draft))
        rig.others[0].usable = GONE
        execution = await rested(engine, await engine.resume(execution.id, Resume(approve=("a",))))
    assert (execution.status, statuses(execution)["a"]) == (COMPLETED, "completed")


async def failed(rig: Rig, execution: Execution) -> list[tuple[str, bool, tuple[str, ...]]]:
    found = [e for e in await capture_events(rig.store, execution.id) if isinstance(e, AttemptFailed)]
    return [(event.step, event.final, event.affects) for event in found]


async def test_a_failure_lists_every_step_that_cannot_run_because_of_it(rig: Rig) -> None:
    rig.runner.replies = {"a": [failing("tool_transient"), failing("tool_error")]}
    steps = (agent("a"), agent("b", "a"), agent("c", "b", optional=True), agent("d"), agent("e", "d"))
    execution = await rig.run(rig.draft(*steps))
    assert await failed(rig, execution) == [("a", False, ()), ("a", True, ("b", "c"))]
    assert statuses(execution) == {
        "a": "failed",
        "b": "skipped",
        "c": "skipped",
        "d": "completed",
        "e": "completed",
    }


async def test_the_failure_of_an_optional_step_affects_nobody(rig: Rig) -> None:
    rig.runner.replies = {"a": [failing("tool_error")]}
    execution = await rig.run(rig.draft(agent("a", optional=True), agent("b", "a")))
    assert await failed(rig, execution) == [("a", True, ())]
    assert execution.status is COMPLETED


async def test_what_depends_on_an_optional_step_that_cannot_run_runs_all_the_same(rig: Rig) -> None:
    rig.runner.replies = {"a": [failing("tool_error")]}
    steps = (agent("a"), agent("b", "a", optional=True), agent("c", "b"))
    execution = await rig.run(rig.draft(*steps))
    # An optional step that is skipped keeps nobody: only what needs `a` itself cannot run.
    assert statuses(execution) == {"a": "failed", "b": "skipped", "c": "completed"}
    assert await failed(rig, execution) == [("a", True, ("b",))]
