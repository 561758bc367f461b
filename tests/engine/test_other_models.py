"""Another model for an execution that goes on: the runtime stays, and so do the ways round it."""

from dataclasses import replace

import pytest

from engine_mcp.core.choice import Tier
from engine_mcp.core.execution import Execution
from engine_mcp.core.models import Models
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.request import Resume
from engine_mcp.core.tool import Health
from engine_mcp.engine.parts import Parts
from engine_mcp.errors import UnknownModel
from engine_mcp.testing import ScriptedRunner
from tests.engine.rig import Rig, agent, rested

pytestmark = pytest.mark.anyio
MODELS = Models(
    tiers={Tier.FAST: {"one": "one/small", "two": "two-small"}},
    names={"large": {"one": "one/large", "two": "two-large"}, "odd": {"two": "two-odd"}},
)
AWAY = Health(usable=False, detail="it is not installed")


@pytest.fixture
def parts(rig: Rig) -> Parts:
    runners = {name: ScriptedRunner(name=name) for name in ("none", "one", "two")}
    runners["none"].usable = AWAY
    return replace(rig.parts, runners=runners, models=lambda: MODELS, order=tuple(runners))


async def again(rig: Rig, parts: Parts, spec: StepSpec, **asked: str) -> tuple[Execution, Execution]:
    """An execution of the step, and the same once the step has been asked for again in another way."""
    engine = rig.engine()
    engine.parts = parts
    async with engine:
        before = await rested(engine, await engine.execute(rig.draft(spec)))
        request = Resume(from_step=spec.id, model=asked.get("model"), runtime=asked.get("runtime"))
        return before, await rested(engine, await engine.resume(before.id, request))


async def test_another_model_of_the_same_runtime_keeps_the_other_routes(rig: Rig, parts: Parts) -> None:
    before, after = await again(rig, parts, agent("a"), model="large")
    first, second = before.steps["a"].choice, after.steps["a"].choice
    assert first is not None
    assert second is not None
    assert (second.runtime, second.model, second.forced) == ("one", "one/large", False)
    assert [(route.runtime, route.model) for route in second.others] == [("two", "two-large")]
    assert first.passed == second.passed == {"none": "it is not installed"}
    assert "runtime one: the session of the step is there" in second.why


async def test_a_runtime_that_was_asked_for_stays_the_only_one(rig: Rig, parts: Parts) -> None:
    _, after = await again(rig, parts, agent("a", runtime="one"), model="large")
    choice = after.steps["a"].choice
    assert choice is not None
    assert (choice.runtime, choice.forced, choice.others) == ("one", True, ())


async def test_a_runtime_asked_for_with_the_model_is_the_only_one(rig: Rig, parts: Parts) -> None:
    _, after = await again(rig, parts, agent("a"), model="large", runtime="two")
    choice = after.steps["a"].choice
    assert choice is not None
    assert (choice.runtime, choice.forced, choice.others) == ("two", True, ())


async def test_a_model_that_the_runtime_lacks_is_refused(rig: Rig, parts: Parts) -> None:
    with pytest.raises(UnknownModel) as caught:
        await again(rig, parts, agent("a"), model="odd")
    assert caught.value.field == "model"
