"""A budget reaches the real program as its own limit, and more of it lets the same session go on."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.clients.engines import EngineOf
from tests.wire.server import Wire
from tests.wire.turns import ToolUse, Turn

TASK = "TASK-DEAR"
DEAR = Turn(blocks=[ToolUse("Read", {"file_path": "notes.txt"})], input_tokens=900_000, output_tokens=100)


@pytest.fixture
def engine(tmp_path: Path, claude_environ: Mapping[str, str]) -> Iterator[EngineOf]:
    project = tmp_path / "project"
    project.mkdir()
    (project / "notes.txt").write_text("notes\n", encoding="utf-8")
    made = EngineOf(project, claude_environ)
    yield made
    made.end()


@pytest.mark.usefixtures("claude")
@pytest.mark.timeout(200)
def test_a_step_that_has_spent_its_share_pauses_and_goes_on_with_more(engine: EngineOf, wire: Wire) -> None:
    wire.answer(DEAR, Turn("Read."), to=TASK)
    step = {"id": "only", "task": f"{TASK}: read the notes", "runtime": "claude-code", "model": "sonnet"}
    shown = engine.run({"steps": [step], "budget": {"max_cost_usd": 0.5}}).shown()
    assert (shown["status"], shown["reason"]) == ("paused", "budget")
    assert shown["usage"]["cost_usd"] > 1.5
    assert shown["usage"]["cost_basis"] == "reported"
    assert engine.events("attempt_started")[0]["reserved"]["cost_micros"] == 500_000
    spent = len(wire.requests)

    shown = engine.resume("--max-cost-usd", "10").shown()
    assert (shown["status"], shown["output"]) == ("completed", "Read.")
    assert len(wire.requests) == spent + 1
    assert len({event["session"] for event in engine.events("attempt_started")}) == 1
