"""Agent steps through the whole of the engine: settings, prompts, the api runtime, tools, sandbox, record."""

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from engine_mcp.app import App, edge, running
from engine_mcp.core.budget import OnExceed
from engine_mcp.core.execution import Execution, ExecutionStatus, StopMode
from engine_mcp.core.request import Resume
from engine_mcp.errors import RuntimeUnavailable
from engine_mcp.server.arguments import draft
from engine_mcp.settings import load
from tests.wire.server import Wire
from tests.wire.turns import ToolUse, Trouble, Turn

pytestmark = pytest.mark.anyio
WITHIN_S = 30
SKILL = "---\nname: joining\ndescription: Joining files\n---\nUse a plus sign.\n"


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as server:
        yield server


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "a.txt").write_text("alpha", encoding="utf-8")
    (folder / "b.txt").write_text("beta", encoding="utf-8")
    (tmp_path / "outside.txt").write_text("not for agents", encoding="utf-8")
    return folder


@asynccontextmanager
async def app_of(project: Path, wire: Wire, **more: str) -> AsyncGenerator[App]:
    environ = {
        "HOME": str(project.parent),
        "PATH": "",
        "XDG_RUNTIME_DIR": str(project.parent / "run"),
        "ANTHROPIC_API_KEY": "a-key-for-tests",
        "ANTHROPIC_BASE_URL": wire.url,
        **more,
    }
    async with running(load(project, environ=environ)) as app:
        yield app


async def started(app: App, **arguments: object) -> Execution:
    text = json.loads(json.dumps(arguments))
    return await app.engine.execute(draft(text, edge(app.settings, OnExceed.PAUSE)))


async def rested(app: App, execution: Execution) -> Execution:
    with anyio.fail_after(WITHIN_S):
        return await app.engine.wait(execution.id, WITHIN_S)


async def run(project: Path, wire: Wire, **arguments: object) -> Execution:
    async with app_of(project, wire) as app:
        return await rested(app, await started(app, **arguments))


def output(execution: Execution) -> object:
    (step,) = execution.steps.values()
    assert step.output is not None
    return step.output.value


@pytest.mark.req("004:L80", "003:L22")
async def test_an_agent_works_with_files_and_scripts_inside_the_project(project: Path, wire: Wire) -> None:
    script = "const all = await Promise.all(input.map((path) => files.read(path))); return all.join('+')"
    wire.answer(
        Turn(
            blocks=[
                ToolUse("files_read", {"path": "a.txt"}),
                ToolUse("script", {"code": script, "input": ["a.txt", "b.txt"]}),
                ToolUse("files_read", {"path": "../outside.txt"}),
            ]
        ),
        Turn(blocks=[ToolUse("files_write", {"path": "c.txt", "content": "gamma"})]),
        Turn("Written."),
    )
    execution = await run(project, wire, task="Join the files.", permissions={"mode": "write"})
    assert (execution.status, output(execution)) == (ExecutionStatus.COMPLETED, "Written.")
    read, joined, outside = wire.requests[1].results.values()
    assert (read, joined) == ("alpha", "alpha+beta")
    assert "not for agents" not in outside
    assert (project / "c.txt").read_text(encoding="utf-8") == "gamma"
    assert execution.usage.tokens_in == wire.billed.input_tokens
    assert execution.usage.tokens_out == wire.billed.output_tokens


async def test_an_agent_that_may_only_read_is_offered_nothing_that_writes(project: Path, wire: Wire) -> None:
    await run(project, wire, task="Look.")
    offered = {tool["name"] for tool in wire.requests[0].body["tools"]}
    assert "files_read" in offered
    assert "files_write" not in offered


@pytest.mark.req("003:L12")
async def test_role_skill_and_files_reach_the_model(project: Path, wire: Wire) -> None:
    skill = project / ".claude" / "skills" / "joining" / "SKILL.md"
    skill.parent.mkdir(parents=True)
    skill.write_text(
        "---\nname: joining\ndescription: Joining files\n---\nUse a plus sign.\n", encoding="utf-8"
    )
    execution = await run(project, wire, task="Do it.", files=["a.txt"], agent="reviewer", steps=[])
    assert "alpha" in wire.requests[0].text
    choice = next(iter(execution.steps.values())).choice
    assert choice is not None
    assert choice.role == "reviewer"
    execution = await run(project, wire, steps=[{"id": "s", "task": "Do it.", "skills": ["joining"]}])
    assert "Use a plus sign." in wire.requests[-1].system


@pytest.mark.req("000:2.1.1", "002:L200")
async def test_a_cut_answer_is_asked_for_again_in_the_same_conversation(project: Path, wire: Wire) -> None:
    wire.answer(
        Turn(blocks=[ToolUse("files_read", {"path": "a.txt"})]),
        Turn("It says", trouble=Trouble(cut=True)),
        Turn("It says alpha."),
    )
    execution = await run(project, wire, task="Read it.")
    assert output(execution) == "It says alpha."
    assert [len(request.results) for request in wire.requests] == [0, 1, 1]
    assert len(execution.steps["main"].attempts) == 2


async def test_an_agent_goes_on_in_another_engine_at_its_last_complete_turn(
    project: Path, wire: Wire
) -> None:
    wire.answer(
        Turn(blocks=[ToolUse("files_write", {"path": "n.txt", "content": "1"})]),
        Turn("cut", trouble=Trouble(stall=True)),
        Turn("Done."),
    )
    async with app_of(project, wire) as app:
        execution = await started(app, task="Write.", permissions={"mode": "write"})
        await wire.received(2)
        execution = await app.engine.interrupt(execution.id, StopMode.NOW, "test")
    (project / "n.txt").unlink()
    async with app_of(project, wire) as app:
        execution = await rested(app, await app.engine.resume(execution.id, Resume()))
    assert output(execution) == "Done."
    assert not (project / "n.txt").exists()  # what was done is not done again
    assert [len(request.results) for request in wire.requests] == [0, 1, 1]


async def test_a_schema_is_asked_of_the_model_and_of_its_answer(project: Path, wire: Wire) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wire.answer(Turn('{"n": 3}'))
    execution = await run(project, wire, steps=[{"id": "s", "task": "Count.", "output_schema": schema}])
    assert output(execution) == {"n": 3}
    assert wire.requests[0].body["output_config"]["format"]["schema"] == schema


async def test_an_engine_inside_an_attempt_runs_no_agents(project: Path, wire: Wire) -> None:
    async with app_of(project, wire, ENGINE_MCP_ATTEMPT="outer/step/1") as app:
        with pytest.raises(RuntimeUnavailable, match="inside the attempt outer/step/1"):
            await started(app, task="Do it.")
        execution = await rested(app, await started(app, code="return 1"))
    assert output(execution) == 1
    assert wire.requests == []


async def test_the_health_of_runtimes_says_what_is_missing(project: Path, wire: Wire) -> None:
    async with app_of(project, wire) as app:
        runtimes = (await app.engine.health())["runtimes"]
    assert runtimes["api"].usable
    assert not runtimes["claude-code"].usable
    assert runtimes["claude-code"].remedy
    assert wire.requests == []
