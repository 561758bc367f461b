"""What carries out an agent step is chosen before anything is recorded, explained, and kept."""

from dataclasses import replace

import pytest

from engine_mcp.core.brief import Skill
from engine_mcp.core.choice import Level, Tier
from engine_mcp.core.execution import Execution
from engine_mcp.core.models import Models
from engine_mcp.core.plan import Draft, Permissions, StepSpec, TaskType
from engine_mcp.core.request import Resume
from engine_mcp.core.tool import Health
from engine_mcp.engine.parts import Parts
from engine_mcp.errors import (
    EngineError,
    InvalidPlan,
    RuntimeUnavailable,
    UnknownModel,
    UnknownRole,
    UnknownSkill,
)
from engine_mcp.testing import PlainLibrary, ScriptedRunner, capture_events
from tests.engine.rig import Rig, agent, code, rested

pytestmark = pytest.mark.anyio

MODELS = Models(
    tiers={Tier.FAST: {"one": "one/small", "two": "two-small"}, Tier.STRONG: {"two": "two-large"}},
    names={"large": {"one": "one/large", "two": "two-large"}},
)
MISSING = Health(usable=False, detail="it is not installed", remedy="Install it.")


class Picky(ScriptedRunner):
    """A runner that cannot grant the shell."""

    def objection(self, step: StepSpec) -> str:
        return "It has no shell." if "shell" in (step.permissions.allowed_tools or ()) else ""


@pytest.fixture
def parts(rig: Rig) -> Parts:
    one, two = Picky(name="one"), ScriptedRunner(name="two")
    return replace(rig.parts, runners={"one": one, "two": two}, models=lambda: MODELS, order=("one", "two"))


async def run(rig: Rig, parts: Parts, *steps: StepSpec) -> Execution:
    engine = rig.engine()
    engine.parts = parts
    async with engine:
        return await rested(engine, await engine.execute(rig.draft(*steps)))


async def refused(rig: Rig, parts: Parts, *steps: StepSpec) -> EngineError:
    engine = rig.engine()
    engine.parts = parts
    async with engine:
        with pytest.raises(EngineError) as caught:
            await engine.execute(rig.draft(*steps))
    assert await rig.store.abandoned() == ()
    return caught.value


@pytest.mark.req("003:L12b")
async def test_a_choice_is_on_record_with_its_reasons(rig: Rig, parts: Parts) -> None:
    execution = await run(rig, parts, agent("a"), code("c", "return 1"))
    choice = execution.steps["a"].choice
    assert choice is not None
    assert (choice.runtime, choice.role, choice.level) == ("one", "developer", Level.SIMPLE)
    assert (choice.tier, choice.model) == (Tier.FAST, "one/small")
    assert [reason.partition(" ")[0] for reason in choice.why] == [
        "level",
        "role",
        "tier",
        "runtime",
        "model",
        "skills:",
    ]
    assert execution.steps["c"].choice is None
    assert (await capture_events(rig.store, execution.id))[0].kind == "execution_created"


async def test_the_same_plan_is_chosen_for_in_the_same_way(rig: Rig, parts: Parts) -> None:
    first, second = [await run(rig, parts, agent("a")) for _ in range(2)]
    assert first.steps["a"].choice == second.steps["a"].choice


async def test_what_a_plan_asks_for_is_what_it_gets(rig: Rig, parts: Parts) -> None:
    spec = replace(agent("a", runtime="two", model="large"), agent="reviewer")
    choice = (await run(rig, parts, spec)).steps["a"].choice
    assert choice is not None
    assert (choice.runtime, choice.role, choice.model) == ("two", "reviewer", "two-large")
    assert sum(reason.endswith("asked for") for reason in choice.why) == 3


async def test_a_type_that_is_demanding_gets_a_strong_model(rig: Rig, parts: Parts) -> None:
    engine = rig.engine()
    engine.parts = replace(parts, order=("two",))
    draft = Draft(path=str(rig.project), task="Plan the migration.", task_type=TaskType.ARCHITECTURE)
    async with engine:
        execution = await rested(engine, await engine.execute(draft))
    choice = execution.steps["architect"].choice
    assert choice is not None
    assert (choice.role, choice.tier, choice.model) == ("architect", Tier.STRONG, "two-large")


# --- runtimes


@pytest.mark.req("002:L79")
async def test_a_runtime_that_cannot_be_used_is_passed_over_and_that_is_said(rig: Rig, parts: Parts) -> None:
    one = Picky(name="one", usable=MISSING)
    choice = (
        (await run(rig, replace(parts, runners={**parts.runners, "one": one}), agent("a"))).steps["a"].choice
    )
    assert choice is not None
    assert choice.runtime == "two"
    assert any("one: it is not installed" in reason for reason in choice.why)


async def test_a_runtime_that_cannot_grant_what_a_step_needs_is_passed_over(rig: Rig, parts: Parts) -> None:
    spec = agent("a", permissions=Permissions(allowed_tools=("shell",)))
    choice = (await run(rig, parts, spec)).steps["a"].choice
    assert choice is not None
    assert choice.runtime == "two"


async def test_a_runtime_that_is_asked_for_and_cannot_be_used_is_refused_with_a_remedy(
    rig: Rig, parts: Parts
) -> None:
    missing = replace(parts, runners={"one": Picky(name="one", usable=MISSING)})
    error = await refused(rig, missing, code("c", "1"), agent("a", runtime="one"))
    assert isinstance(error, RuntimeUnavailable)
    assert (error.field, error.hint) == ("steps[1].runtime", "Install it.")
    error = await refused(rig, missing, agent("a", runtime="three"))
    assert "there are: one" in error.message
    error = await refused(rig, missing, agent("a"))
    assert "it is not installed" in error.message


async def test_a_runtime_that_is_asked_for_and_cannot_grant_what_is_needed_is_refused(
    rig: Rig, parts: Parts
) -> None:
    spec = agent("a", runtime="one", permissions=Permissions(allowed_tools=("shell",)))
    error = await refused(rig, parts, spec)
    assert isinstance(error, InvalidPlan)
    assert (error.field, error.message) == ("steps[0].permissions", "The step 'a': It has no shell.")


async def test_the_only_declared_command_is_what_command_means(rig: Rig, parts: Parts) -> None:
    codex = ScriptedRunner(name="command:codex")
    one_more = replace(parts, runners={**parts.runners, "command:codex": codex})
    choice = (await run(rig, one_more, agent("a", runtime="command"))).steps["a"].choice
    assert choice is not None
    assert (choice.runtime, choice.model) == ("command:codex", None)


# --- unknown names


async def test_an_unknown_role_is_an_error_that_names_the_nearest(rig: Rig, parts: Parts) -> None:
    error = await refused(rig, parts, replace(agent("a"), agent="architct"))
    assert isinstance(error, UnknownRole)
    assert (error.field, error.hint) == ("steps[0].agent", "Did you mean 'architect'?")


async def test_an_unknown_model_is_an_error_that_names_the_nearest(rig: Rig, parts: Parts) -> None:
    error = await refused(rig, parts, agent("a", model="larg"))
    assert isinstance(error, UnknownModel)
    assert error.field == "steps[0].model"
    assert "'large'" in error.hint


async def test_an_unknown_skill_is_an_error_that_names_the_nearest(rig: Rig, parts: Parts) -> None:
    known = {"brevity": Skill(name="brevity", description="", text="", path="")}
    error = await refused(
        rig, replace(parts, library=PlainLibrary(known)), replace(agent("a"), skills=("brevty",))
    )
    assert isinstance(error, UnknownSkill)
    assert (error.field, error.hint) == ("steps[0].skills", "Did you mean 'brevity'?")


# --- going on


async def test_what_was_chosen_stays_when_an_execution_goes_on(rig: Rig, parts: Parts) -> None:
    execution = await run(rig, parts, agent("a"))
    engine = rig.engine()
    engine.parts = replace(parts, models=Models)
    async with engine:
        again = await rested(engine, await engine.resume(execution.id, Resume(from_step="a")))
    assert again.steps["a"].choice == execution.steps["a"].choice


async def test_another_runtime_brings_a_model_of_its_own_and_a_session_of_its_own(
    rig: Rig, parts: Parts
) -> None:
    execution = await run(rig, parts, agent("a", model="large"))
    engine = rig.engine()
    engine.parts = parts
    async with engine:
        request = Resume(from_step="a", runtime="two")
        again = await rested(engine, await engine.resume(execution.id, request))
    assert [(tried.runtime, tried.model) for tried in again.steps["a"].attempts] == [
        ("one", "one/large"),
        ("two", "two-large"),
    ]
    assert len({tried.session for tried in again.steps["a"].attempts}) == 2


async def test_an_execution_does_not_go_on_without_the_runtime_it_needs(rig: Rig, parts: Parts) -> None:
    execution = await run(rig, parts, agent("a"))
    engine = rig.engine()
    engine.parts = replace(parts, runners={})
    async with engine:
        with pytest.raises(RuntimeUnavailable, match="'one'"):
            await engine.resume(execution.id, Resume(from_step="a"))
    assert (await rig.store.read(execution.id)) == execution
