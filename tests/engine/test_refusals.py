"""What is refused before anything is recorded or spent, and how it says so."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.listing import Query
from engine_mcp.core.plan import MAX_STEPS, Draft, Mode, Permissions, StepSpec, StrategyName
from engine_mcp.errors import EngineError, InvalidPlan, PathOutsideRoots
from tests.engine.rig import Rig, adapter, agent, allowing, code, tool

pytestmark = pytest.mark.anyio

STRICT: dict[str, JsonValue] = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
}


async def refusal(rig: Rig, draft: Draft) -> EngineError:
    """The error that a draft meets, after a look that nothing was done."""
    async with rig.engine() as engine:
        with pytest.raises(EngineError) as caught:
            await engine.execute(draft)
        assert (await engine.list(Query())).total == 0
    assert rig.runner.tasks == []
    assert all(not scripted.calls for scripted in rig.tools)
    assert caught.value.hint
    return caught.value


@pytest.mark.req("002:L107", "003:L39", "000:5.4.3")
@pytest.mark.parametrize(
    ("steps", "field", "said"),
    [
        ((agent("a", "b"), agent("b", "a")), "steps", "circle"),
        ((agent("a", "a"),), "steps[0].depends_on", "'a' depends on itself"),
        ((agent("a"), agent("b", "c")), "steps[1].depends_on", "c"),
        ((agent("a"), agent("a")), "steps[1].id", "'a' is used twice"),
        ((agent("a"), StepSpec(id="b")), "steps[1]", "'b' must say its work"),
        ((StepSpec(id="a", task="t", code="1"),), "steps[0]", "task and code"),
        (tuple(agent(str(index)) for index in range(MAX_STEPS + 1)), "steps", str(MAX_STEPS)),
    ],
    ids=["cycle", "self", "unknown", "twice", "no work", "two works", "too many"],
)
async def test_steps_that_contradict_each_other_are_invalid_plans(
    rig: Rig, steps: tuple[StepSpec, ...], field: str, said: str
) -> None:
    error = await refusal(rig, rig.draft(*steps))
    assert (error.code, error.field) == ("invalid_plan", field)
    assert said in error.message


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        (Draft(path="."), "task"),
        (Draft(path=".", task="  "), "task"),
        (Draft(path=".", code="1", tool="echo"), "tool"),
        (Draft(path=".", steps=(agent("a"),), code="1"), "code"),
        (Draft(path=".", task="t", strategy=StrategyName.PARALLEL), "steps"),
        (Draft(path=".", code="1", strategy=StrategyName.MULTI), "strategy"),
        (Draft(path=".", steps=(agent("a"), agent("b")), strategy=StrategyName.SINGLE), "strategy"),
    ],
    ids=["nothing", "blank", "two ways", "steps and code", "parallel", "multi", "single"],
)
async def test_a_draft_without_a_plan_is_an_invalid_plan(rig: Rig, draft: Draft, field: str) -> None:
    error = await refusal(rig, replace(draft, path=str(rig.project)))
    assert (error.code, error.field) == ("invalid_plan", field)


@pytest.mark.req("003:L7")
async def test_a_project_that_is_not_there_is_outside_the_roots(rig: Rig) -> None:
    error = await refusal(rig, replace(rig.draft(agent("a")), path=str(rig.project / "nowhere")))
    assert (error.code, error.field) == ("path_outside_roots", "path")
    assert isinstance(error, PathOutsideRoots)


async def test_a_project_that_is_a_file_is_outside_the_roots(rig: Rig, tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")
    assert (await refusal(rig, replace(rig.draft(agent("a")), path=str(place)))).code == "path_outside_roots"


async def test_a_tool_that_is_not_there_is_named_beside_those_that_are(rig: Rig) -> None:
    rig.tools = [adapter("echo"), adapter("other")]
    error = await refusal(rig, rig.draft(agent("a"), tool("t", "ecko")))
    assert (error.code, error.field) == ("unknown_tool", "steps[1].tool")
    assert "'ecko'" in error.message
    assert "echo, other" in error.message


async def test_a_tool_that_is_allowed_but_not_there_is_unknown(rig: Rig) -> None:
    error = await refusal(rig, rig.draft(code("s", "return 1", permissions=allowing("echo"))))
    assert (error.code, error.field) == ("unknown_tool", "steps[0].permissions.allowed_tools")


@pytest.mark.req("003:L5", "003:L28")
async def test_a_runtime_that_is_not_there_is_named_beside_those_that_are(rig: Rig) -> None:
    error = await refusal(rig, rig.draft(agent("a", runtime="other")))
    assert (error.code, error.field) == ("runtime_unavailable", "steps[0].runtime")
    assert "'other'" in error.message
    assert "scripted" in error.message


async def test_an_agent_step_needs_a_runtime_at_all(rig: Rig) -> None:
    engine = rig.engine()
    engine.parts = replace(rig.parts, runners={})
    async with engine:
        with pytest.raises(EngineError, match="needs an agent runtime") as caught:
            await engine.execute(rig.draft(agent("a")))
    assert caught.value.code == "runtime_unavailable"


@pytest.mark.req("002:L76", "002:L117")
@pytest.mark.parametrize("arguments", [None, {"n": "1"}, [1]], ids=["missing", "wrong", "no object"])
async def test_arguments_that_do_not_meet_the_tools_schema_are_refused(rig: Rig, arguments: object) -> None:
    rig.tools = [adapter("add", schema=STRICT)]
    step = replace(tool("t", "add"), arguments=arguments)
    error = await refusal(rig, rig.draft(step))
    assert (error.code, error.field) == ("invalid_argument", "steps[0].arguments")
    assert error.message.startswith("add: ")


@pytest.mark.parametrize("schema", [[], "object", {"type": "nothing"}, {"properties": 1}], ids=str)
async def test_an_output_schema_that_is_none_is_refused(rig: Rig, schema: object) -> None:
    step = replace(agent("a"), output_schema=schema)
    error = await refusal(rig, rig.draft(step))
    assert (error.code, error.field) == ("invalid_argument", "steps[0].output_schema")


@pytest.mark.parametrize(
    "permissions",
    [Permissions(mode=Mode.READ), Permissions(allowed_tools=()), Permissions(allowed_tools=("other",))],
    ids=["too narrow a mode", "nothing allowed", "another tool allowed"],
)
async def test_a_tool_step_whose_permissions_forbid_its_tool_is_refused(
    rig: Rig, permissions: Permissions
) -> None:
    rig.tools = [adapter("write", mode=Mode.WRITE), adapter("other")]
    error = await refusal(rig, rig.draft(tool("t", "write", permissions=permissions)))
    assert isinstance(error, InvalidPlan)
    assert error.field == "steps[0].permissions"
    assert "'write'" in error.message


@pytest.mark.req("000:5.4.3", "002:L93")
async def test_every_code_of_the_catalogue_says_what_happened_and_what_to_do() -> None:
    assert all(entry.cause.endswith(".") and entry.remedy.endswith(".") for entry in CATALOGUE.values())


@pytest.mark.req("000:5.4.4")
async def test_an_error_in_the_block_comes_out_of_the_engine_as_it_is(rig: Rig) -> None:
    with pytest.raises(InvalidPlan):
        async with rig.engine() as engine:
            await engine.execute(Draft(path=str(rig.project)))
