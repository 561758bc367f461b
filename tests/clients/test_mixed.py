"""One plan over several runtimes, killed in the middle and resumed: nothing that ended runs twice."""

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.clients.engines import EngineOf
from tests.wire.server import Wire
from tests.wire.turns import ToolUse, Turn

PLAN, LEFT, RIGHT, REVIEW = "TASK-PLAN", "TASK-LEFT", "TASK-RIGHT", "TASK-REVIEW"
WRITE: Mapping[str, str] = {"mode": "write"}
CHECK = """
const texts = await Promise.all(["left.txt", "right.txt"].map((path) => files.read(path)));
return { left: outputs.left, right: outputs.right, review: outputs.review, files: texts };
"""
STEPS = [
    {"id": "plan", "task": f"{PLAN}: say how to split the work", "runtime": "api", "agent": "architect"},
    {
        "id": "left",
        "task": f"{LEFT}: do the left half",
        "runtime": "claude-code",
        "model": "sonnet",
        "depends_on": ["plan"],
        "permissions": WRITE,
    },
    {
        "id": "right",
        "task": f"{RIGHT}: do the right half",
        "runtime": "opencode",
        "model": "fake/m1",
        "depends_on": ["plan"],
        "permissions": WRITE,
    },
    {
        "id": "review",
        "task": f"{REVIEW}: say whether it fits",
        "runtime": "api",
        "agent": "reviewer",
        "depends_on": ["left", "right"],
    },
    {"id": "check", "code": CHECK, "depends_on": ["left", "right", "review"]},
]


@pytest.fixture
def engine(
    tmp_path: Path, claude_environ: Mapping[str, str], opencode_environ: Mapping[str, str]
) -> Iterator[EngineOf]:
    project = tmp_path / "project"
    project.mkdir()
    made = EngineOf(project, {**claude_environ, **opencode_environ})
    yield made
    made.end()


def scripted(wire: Wire, project: Path, go_on: threading.Event) -> None:
    """The model's turns: each half writes a file, begins an answer, and gives it when asked again."""
    wire.answer(Turn("Halves: left and right."), to=PLAN)
    left, right = project / "left.txt", project / "right.txt"
    wire.answer(
        Turn(blocks=[ToolUse("Write", {"file_path": str(left), "content": "L"})]),
        Turn("The left half is begun.", gate=go_on),
        Turn("The left half is done."),
        to=LEFT,
    )
    wire.answer(
        Turn(blocks=[ToolUse("write", {"filePath": str(right), "content": "R"})]),
        Turn("The right half is begun.", gate=go_on),
        Turn("The right half is done."),
        to=RIGHT,
    )
    wire.answer(Turn("It fits."), to=REVIEW)


@pytest.mark.usefixtures("claude", "opencode")
@pytest.mark.timeout(400)
@pytest.mark.req("000:5.1.2", "000:5.2.3")
def test_a_plan_over_several_runtimes_survives_the_death_of_its_engine(engine: EngineOf, wire: Wire) -> None:
    go_on = threading.Event()
    scripted(wire, engine.project, go_on)
    first = engine.run({"task": "Both halves", "strategy": "parallel", "steps": STEPS})
    wire.wait_for(2, to=LEFT, timeout_s=90)
    wire.wait_for(2, to=RIGHT, timeout_s=90)
    assert engine.processes()
    first.kill()
    engine.wait_until_alone()
    go_on.set()
    shown = engine.resume().ended()

    assert shown["status"] == "completed"
    assert shown["output"] == {
        "left": "The left half is done.",
        "right": "The right half is done.",
        "review": "It fits.",
        "files": ["L", "R"],
    }
    assert len(wire.wait_for(1, to=PLAN)) == 1
    assert len(wire.wait_for(1, to=REVIEW)) == 1
    assert [len(wire.wait_for(3, to=name)) for name in (LEFT, RIGHT)] == [3, 3]
    assert {event["step"] for event in engine.events("attempt_lost")} == {"left", "right"}
    started = [event for event in engine.events("attempt_started") if event["step"] == "left"]
    assert len({event["session"] for event in started}) == 1
    assert {step["id"]: step["attempts"] for step in shown["steps"]} == {
        "plan": 1,
        "left": 2,
        "right": 2,
        "review": 1,
        "check": 1,
    }
    reviewer = wire.wait_for(1, to=REVIEW)[0]
    assert "The left half is done." in reviewer.text
    assert "The right half is done." in reviewer.text
    assert engine.processes() == []
