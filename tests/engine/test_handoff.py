"""A chain of roles: each prompt holds the validated packet of the one before."""

import json
from dataclasses import replace

import pytest
from pydantic import JsonValue

from engine_mcp.core.agent import AgentResult
from engine_mcp.core.budget import Limits
from engine_mcp.core.execution import Execution, Failure, Output
from engine_mcp.core.handoff import LARGEST
from engine_mcp.core.plan import Draft, StrategyName, TaskType
from tests.engine.rig import Rig, agent, code, shown, statuses

pytestmark = pytest.mark.anyio

WRITTEN: dict[str, JsonValue] = {
    "summary": "The parser is split in two.",
    "constraints": ["Python 3.11 only"],
    "decisions": ["A table, not a class"],
    "files_changed": ["src/parser.py"],
    "failed_approaches": ["regular expressions"],
    "open_items": ["the docs"],
    "next_step": "Write the tests.",
}


def answer(packet: object) -> str:
    text = packet if isinstance(packet, str) else json.dumps(packet)
    return f"I did it.\n\n```handoff\n{text}\n```\n"


def chain(rig: Rig, **more: object) -> Draft:
    task = Draft(path=str(rig.project), task="Split the parser.", task_type=TaskType.REFACTOR)
    return replace(task, **more)


async def run(rig: Rig, packet: object, **more: object) -> Execution:
    rig.runner.replies = {"architect": [AgentResult(output=answer(packet))]}
    return await rig.run(chain(rig, **more))


@pytest.mark.req("003:L37")
async def test_the_next_prompt_contains_the_packet_of_the_role_before(rig: Rig) -> None:
    await run(rig, WRITTEN)
    architect, developer, reviewer = rig.runner.tasks
    told = json.loads(developer.prompt.text.partition("handoff of architect: ")[2])
    assert told == {**WRITTEN, "task": "Split the parser.", "source": "role"}
    assert "handoff of architect" not in architect.prompt.text
    assert "handoff of developer" in reviewer.prompt.text


async def test_the_answer_is_handed_on_without_its_packet(rig: Rig) -> None:
    execution = await run(rig, WRITTEN)
    assert rig.library.briefs[1].outputs[0].text == "I did it."
    assert execution.steps["architect"].output == Output(value=answer(WRITTEN))


async def test_every_role_but_the_last_is_asked_to_hand_on(rig: Rig) -> None:
    await run(rig, WRITTEN)
    assert [brief.hands_on for brief in rig.library.briefs] == [True, True, False]


async def test_the_packet_says_what_is_left_of_the_budget(rig: Rig) -> None:
    await run(rig, WRITTEN, budget=Limits(max_tokens=1000, max_requests=10))
    packet = rig.library.briefs[1].packets["architect"]
    assert packet.budget_left is not None
    assert packet.budget_left["tokens"] == 1000


@pytest.mark.parametrize(
    ("packet", "problem"),
    [
        ("no json", "not JSON"),
        ("[1]", "not an object"),
        ({"summary": "x"}, "next_step"),
        ({**WRITTEN, "surprise": 1}, "unknown fields: surprise"),
        ({**WRITTEN, "decisions": "one"}, "decisions is not a list"),
        ({**WRITTEN, "open_items": ["x"] * 51}, "more than 50"),
        ({**WRITTEN, "decisions": ["x" * 1999] * 20}, f"larger than {LARGEST >> 10} KiB"),
    ],
)
async def test_a_packet_that_is_none_is_replaced_by_one_from_the_record(
    rig: Rig, packet: object, problem: str
) -> None:
    execution = await run(rig, packet)
    handed = rig.library.briefs[1].packets["architect"]
    assert (handed.source, handed.task, handed.summary) == ("engine", "Split the parser.", "I did it.")
    assert problem in handed.problem
    assert set(statuses(execution).values()) == {"completed"}


async def test_a_role_that_writes_no_packet_still_hands_on_its_answer(rig: Rig) -> None:
    rig.runner.replies = {"architect": [AgentResult(output="Only words. " * 1000)]}
    await rig.run(chain(rig))
    handed = rig.library.briefs[1].packets["architect"]
    assert handed.source == "engine"
    assert handed.summary.startswith("Only words.")
    assert len(handed.summary) <= 2001
    assert shown(rig)["developer"]


async def test_a_plan_can_bring_a_chain_of_its_own(rig: Rig) -> None:
    steps = (replace(agent("plan"), agent="product"), replace(agent("write"), agent="ops"))
    rig.runner.replies = {"plan": [AgentResult(output=answer(WRITTEN))]}
    await rig.run(Draft(path=str(rig.project), steps=steps, strategy=StrategyName.MULTI))
    assert [brief.role for brief in rig.library.briefs] == ["product", "ops"]
    assert rig.library.briefs[1].packets["plan"].summary == WRITTEN["summary"]


async def test_a_script_in_a_chain_hands_on_its_value(rig: Rig, scripting: Rig) -> None:
    steps = (code("count", "return { n: 3 }"), agent("write"))
    await scripting.run(Draft(path=str(rig.project), steps=steps, strategy=StrategyName.MULTI))
    assert shown(scripting) == {"count": '{"n":3}'}
    assert scripting.library.briefs[-1].packets == {}


async def test_a_role_that_fails_ends_the_chain_and_keeps_what_there_is(rig: Rig) -> None:
    failed = AgentResult(output="So far", failure=Failure("refused", "No."))
    rig.runner.replies = {"architect": [AgentResult(output=answer(WRITTEN))], "developer": [failed]}
    execution = await rig.run(chain(rig))
    assert statuses(execution) == {"architect": "completed", "developer": "failed", "reviewer": "skipped"}
    assert execution.steps["developer"].output == Output(value="So far")


async def test_in_a_graph_outputs_are_handed_on_whole_and_without_packets(rig: Rig) -> None:
    rig.runner.replies = {"a": [AgentResult(output=answer(WRITTEN))]}
    await rig.run(rig.draft(agent("a"), agent("b"), agent("c", "a", "b")))
    assert shown(rig) == {"a": answer(WRITTEN), "b": "done"}
    assert rig.library.briefs[-1].packets == {}
