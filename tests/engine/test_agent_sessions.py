"""Sessions and choices where an execution goes on with something changed."""

from dataclasses import replace

import pytest

from engine_mcp.core.execution import Execution, ExecutionStatus, StopMode
from engine_mcp.core.models import Models
from engine_mcp.core.request import Resume
from engine_mcp.core.tool import Health
from engine_mcp.engine.parts import Parts
from engine_mcp.errors import EngineError
from engine_mcp.testing import ScriptedRunner
from tests.engine.rig import DONE, Held, Rig, agent, came, rested, statuses

pytestmark = pytest.mark.anyio
MODELS = Models(names={"large": {"one": "one/large", "two": "two-large"}})


@pytest.fixture
def one() -> ScriptedRunner:
    return ScriptedRunner(name="one")


@pytest.fixture
def two() -> ScriptedRunner:
    return ScriptedRunner(name="two")


@pytest.fixture
def parts(rig: Rig, one: ScriptedRunner, two: ScriptedRunner) -> Parts:
    return replace(rig.parts, runners={"one": one, "two": two}, models=lambda: MODELS, order=("one", "two"))


async def resumed(rig: Rig, parts: Parts, execution: Execution, request: Resume) -> Execution:
    engine = rig.engine()
    engine.parts = parts
    async with engine:
        return await rested(engine, await engine.resume(execution.id, request))


async def interrupted(rig: Rig, parts: Parts, runner: ScriptedRunner, **more: str) -> Execution:
    """An execution whose only step was stopped at work on a runner."""
    held = Held()
    runner.replies = {"a": [held, DONE]}
    engine = rig.engine()
    engine.parts = parts
    async with engine:
        execution = await engine.execute(rig.draft(agent("a", **more)))  # type: ignore[typeddict-item] - names of fields
        await came(held.begun)
        return await engine.interrupt(execution.id, StopMode.NOW, "stopped")


async def test_a_step_that_replaces_another_of_its_name_does_not_get_its_session(
    rig: Rig, parts: Parts, one: ScriptedRunner
) -> None:
    execution = await interrupted(rig, parts, one)
    await resumed(rig, parts, execution, Resume(steps=(replace(agent("a"), task="do something else"),)))
    first, second = one.tasks
    assert second.step.task == "do something else"
    assert second.session != first.session
    assert not second.begun


async def test_a_step_replaced_again_and_again_gets_a_session_each_time(
    rig: Rig, parts: Parts, one: ScriptedRunner
) -> None:
    execution = await interrupted(rig, parts, one)
    for _ in range(2):
        held = Held()
        one.replies = {"a": [held]}
        engine = rig.engine()
        engine.parts = parts
        async with engine:
            await engine.resume(execution.id, Resume(steps=(agent("a"),)))
            await came(held.begun)
            await engine.interrupt(execution.id, StopMode.NOW, "stopped")
    assert len({task.session for task in one.tasks}) == 3


async def test_another_model_alone_leaves_a_step_on_its_runtime_and_in_its_session(
    rig: Rig, parts: Parts, one: ScriptedRunner, two: ScriptedRunner
) -> None:
    one.usable = Health(usable=False, detail="it is not installed")
    execution = await interrupted(rig, parts, two)
    one.usable = Health(usable=True)
    await resumed(rig, parts, execution, Resume(model="large"))
    first, second = two.tasks
    assert (second.session, second.begun, second.model) == (first.session, True, "two-large")


async def test_what_is_approved_with_another_runtime_runs_there(
    rig: Rig, parts: Parts, one: ScriptedRunner, two: ScriptedRunner
) -> None:
    engine = rig.engine()
    engine.parts = parts
    async with engine:
        draft = rig.draft(agent("a", requires_approval=True))
        execution = await rested(engine, await engine.execute(draft))
    execution = await resumed(rig, parts, execution, Resume(approve=("a",), runtime="two", model="large"))
    assert statuses(execution) == {"a": "completed"}
    assert [(task.step.runtime, task.model) for task in two.tasks] == [("two", "two-large")]
    assert one.tasks == []


async def test_what_still_waits_for_approval_runs_on_the_runtime_that_was_asked_for_meanwhile(
    rig: Rig, parts: Parts, one: ScriptedRunner, two: ScriptedRunner
) -> None:
    engine = rig.engine()
    engine.parts = parts
    async with engine:
        draft = rig.draft(agent("a", requires_approval=True))
        execution = await rested(engine, await engine.execute(draft))
    execution = await resumed(rig, parts, execution, Resume(runtime="two"))
    execution = await resumed(rig, parts, execution, Resume(approve=("a",)))
    assert execution.status is ExecutionStatus.COMPLETED
    assert (len(one.tasks), len(two.tasks)) == (0, 1)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (Resume(model="lagre"), "model"),
        (Resume(runtime="thre"), "runtime"),
        (Resume(steps=(agent("a"), agent("b", model="lagre"))), "steps[1].model"),
    ],
    ids=["model", "runtime", "steps"],
)
async def test_a_resume_that_cannot_be_names_the_argument_that_the_caller_gave(
    rig: Rig, parts: Parts, one: ScriptedRunner, request_: Resume, field: str
) -> None:
    execution = await interrupted(rig, parts, one)
    with pytest.raises(EngineError) as caught:
        await resumed(rig, parts, execution, request_)
    assert caught.value.field == field
    assert await rig.store.read(execution.id) == execution
