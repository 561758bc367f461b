"""Results: small ones stand in the record, large ones beside it, and both reach who needs them."""

import json
from dataclasses import replace

import pytest
from pydantic import JsonValue

from engine_mcp.core.agent import AgentResult
from engine_mcp.core.execution import ExecutionStatus, Failure, Output
from engine_mcp.core.graph import output_of
from engine_mcp.engine.briefing import EXCERPT
from engine_mcp.engine.outputs import CROWDED, INLINE, INLINE_WHEN_CROWDED
from engine_mcp.store.files import FileStore
from tests.engine.rig import Rig, adapter, agent, code, failures, shown, statuses, tool, values

pytestmark = pytest.mark.anyio

QUOTES = 2
LARGE = "x" * INLINE


def answering(**outputs: JsonValue) -> dict[str, list[AgentResult]]:
    return {name: [AgentResult(output=output)] for name, output in outputs.items()}


async def test_the_outputs_of_dependencies_reach_a_task_and_those_of_others_do_not(rig: Rig) -> None:
    rig.runner.replies = answering(a=1, b={"c": [2, None]}, far=3)
    await rig.run(rig.draft(agent("far"), agent("a", "far"), agent("b"), agent("last", "b", "a")))
    assert shown(rig) == {"b": '{"c":[2,null]}', "a": "1"}


@pytest.mark.req("002:L139", "000:4.1.2")
@pytest.mark.parametrize(("size", "beside"), [(INLINE - QUOTES, False), (INLINE - QUOTES + 1, True)])
async def test_an_output_of_more_than_32_kib_becomes_an_artifact(
    rig: Rig, size: int, *, beside: bool
) -> None:
    rig.runner.replies = answering(a="x" * size)
    execution = await rig.run(rig.draft(agent("a")))
    output = execution.steps["a"].output
    assert output is not None
    if not beside:
        assert output == Output(value="x" * size)
        return
    assert output.artifact is not None
    assert (output.value, output.artifact.size) == (None, size + QUOTES)
    kept = await rig.store.artifact(execution.id, output.artifact.digest)
    assert json.loads(kept) == "x" * size


async def test_the_size_of_an_output_is_that_of_its_bytes(rig: Rig) -> None:
    rig.runner.replies = answering(a="é" * (INLINE // 2))
    execution = await rig.run(rig.draft(agent("a")))
    output = execution.steps["a"].output
    assert output is not None
    assert output.artifact is not None
    assert output.artifact.size == INLINE + QUOTES


@pytest.mark.req("002:L152")
async def test_a_large_output_reaches_scripts_whole_and_tasks_in_part_with_its_place(
    scripting: Rig,
) -> None:
    scripting.runner.replies = answering(big=LARGE)
    execution = await scripting.run(
        scripting.draft(
            agent("big"), agent("task", "big"), code("script", "return outputs.big.length", "big")
        )
    )
    assert shown(scripting) == {"big": LARGE[:EXCERPT]}
    told = scripting.library.briefs[-1].outputs[0]
    assert told.size == INLINE
    digest = str(told.path).rpartition("/")[2]
    assert await scripting.store.artifact(execution.id, digest) == LARGE.encode()
    assert values(execution)["script"] == INLINE


async def test_a_large_value_of_a_script_and_a_large_answer_of_a_tool_are_kept_beside(scripting: Rig) -> None:
    scripting.tools = [adapter("echo")]
    script = "const got = await tools.echo({ text: 'y'.repeat(40000) }); return got.text + got.text"
    execution = await scripting.run(
        scripting.draft(code("s", script), code("n", "return outputs.s.length", "s"))
    )
    assert values(execution)["n"] == 80000
    output = execution.steps["s"].output
    assert output is not None
    assert output.artifact is not None


async def test_outputs_are_kept_beside_sooner_once_many_crowd_the_record(rig: Rig) -> None:
    crowd = [f"s{index}" for index in range(CROWDED // INLINE)]
    rig.runner.replies = answering(
        **dict.fromkeys(crowd, "x" * (INLINE - QUOTES)),
        late="x" * INLINE_WHEN_CROWDED,
        small="x" * (INLINE_WHEN_CROWDED - QUOTES),
    )
    execution = await rig.run(
        rig.draft(*(agent(name) for name in crowd), agent("late", *crowd), agent("small", *crowd))
    )
    found = {name: step.output for name, step in execution.steps.items()}
    assert all(found[name] == Output(value="x" * (INLINE - QUOTES)) for name in crowd)
    late, small = found["late"], found["small"]
    assert late is not None
    assert late.artifact is not None
    assert small == Output(value="x" * (INLINE_WHEN_CROWDED - QUOTES))


async def test_the_output_of_several_last_steps_is_theirs_by_id(rig: Rig) -> None:
    rig.runner.replies = answering(a=1, b=2, c=LARGE)
    execution = await rig.run(rig.draft(agent("first"), agent("a", "first"), agent("b", "first"), agent("c")))
    output = output_of(execution)
    assert output is not None
    assert isinstance(output.value, dict)
    assert list(output.value) == ["a", "b", "c"]
    assert (output.value["a"], output.value["b"]) == (1, 2)
    assert isinstance(output.value["c"], dict)
    assert output.value["c"]["size"] == INLINE + QUOTES


async def test_an_output_that_meets_its_schema_completes_the_step(rig: Rig) -> None:
    rig.runner.replies = answering(a={"n": 1})
    step = replace(agent("a"), output_schema={"type": "object", "required": ["n"]})
    assert statuses(await rig.run(rig.draft(step))) == {"a": "completed"}


@pytest.mark.req("002:L45", "002:L140")
async def test_an_output_that_does_not_fails_the_step_and_is_kept_with_it(rig: Rig) -> None:
    rig.runner.replies = answering(a={"n": "one"})
    schema: JsonValue = {"type": "object", "properties": {"n": {"type": "integer"}}}
    execution = await rig.run(rig.draft(agent("a", output_schema=schema)))
    assert execution.status is ExecutionStatus.FAILED
    assert failures(execution) == {"a": "output_invalid"}
    failure = execution.steps["a"].failure
    assert failure is not None
    assert "n: 'one' is not of type 'integer'" in failure.message
    assert values(execution) == {"a": {"n": "one"}}
    assert len(execution.steps["a"].attempts) == 1


async def test_a_schema_holds_for_tools_and_scripts_too(scripting: Rig) -> None:
    scripting.tools = [adapter("echo")]
    schema: JsonValue = {"type": "object", "required": ["b"]}
    execution = await scripting.run(
        scripting.draft(
            tool("t", "echo", arguments={"a": 1}, output_schema=schema),
            code("s", "return { a: 1 }", output_schema=schema),
            code("ok", "return { b: 1 }", output_schema=schema),
        )
    )
    assert failures(execution) == {"t": "output_invalid", "s": "output_invalid"}
    assert statuses(execution)["ok"] == "completed"


async def test_what_a_failed_attempt_leaves_is_kept_with_it(rig: Rig) -> None:
    rig.runner.replies = {"a": [AgentResult(output="half", failure=Failure("tool_error", "Broke off."))]}
    execution = await rig.run(rig.draft(agent("a", optional=True), agent("b", "a")))
    assert execution.steps["a"].output == Output(value="half")
    assert shown(rig) == {}


def nested(depth: int) -> JsonValue:
    value: JsonValue = 1
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "value", [float("inf"), {1}, nested(151), nested(5000)], ids=["inf", "set", "deep", "deeper"]
)
async def test_an_output_that_is_no_json_fails_its_step_alone(rig: Rig, value: JsonValue) -> None:
    rig.store = FileStore(rig.project / "state", clock=rig.clock, owner="", version="1")
    rig.runner.replies = answering(a=value, b=nested(150), c=["x" for _ in range(500)])
    execution = await rig.run(rig.draft(agent("a"), agent("b"), agent("c")))
    assert failures(execution) == {"a": "output_invalid"}
    assert statuses(execution) == {"a": "failed", "b": "completed", "c": "completed"}
    assert await rig.store.read(execution.id) == execution


@pytest.mark.parametrize("length", [1, INLINE], ids=["small", "large"])
async def test_half_a_pair_of_surrogates_gets_through_as_far_as_it_can(scripting: Rig, length: int) -> None:
    scripting.runner.replies = answering(a="\ud800" * length)
    execution = await scripting.run(
        scripting.draft(agent("a"), agent("b", "a"), code("c", "return outputs.a.length", "a"))
    )
    assert shown(scripting) == {"a": "?" * min(length, EXCERPT)}
    assert values(execution)["c"] == length
