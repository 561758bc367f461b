"""Running steps of each runtime are interrupted and go on in the same session, again and again."""

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.clients.engines import EngineOf
from tests.wire.received import Received
from tests.wire.server import Wire
from tests.wire.turns import ToolUse, Turn

TASK = "TASK-LONG"
CYCLES = 3
STEPS: Mapping[str, dict[str, Any]] = {
    "api": {"runtime": "api"},
    "claude-code": {"runtime": "claude-code", "model": "sonnet"},
    "opencode": {"runtime": "opencode", "model": "fake/m1"},
}
READ = {
    "api": ToolUse("files_read", {"path": "notes.txt"}),
    "claude-code": ToolUse("Read", {"file_path": "notes.txt"}),
    "opencode": ToolUse("read", {"filePath": "notes.txt"}),
}


@pytest.fixture
def engine(
    tmp_path: Path, claude_environ: Mapping[str, str], opencode_environ: Mapping[str, str]
) -> Iterator[EngineOf]:
    project = tmp_path / "project"
    project.mkdir()
    (project / "notes.txt").write_text("WHAT-THE-FILE-SAYS\n", encoding="utf-8")
    made = EngineOf(project, {**claude_environ, **opencode_environ})
    yield made
    made.end()


def has_read(request: Received) -> bool:
    return any("WHAT-THE-FILE-SAYS" in result for result in request.results.values())


@pytest.mark.usefixtures("claude", "opencode")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("runtime", STEPS)
@pytest.mark.req("000:5.1.2", "000:5.2.3")
def test_an_interrupted_step_goes_on_in_its_session_until_it_is_done(
    engine: EngineOf, wire: Wire, runtime: str
) -> None:
    never = threading.Event()
    held = [Turn("This is cut off before its end.", gate=never) for _ in range(CYCLES)]
    wire.answer(Turn(blocks=[READ[runtime]]), *held, Turn("All done."), to=TASK)

    started = engine.run({"steps": [{"id": "only", "task": f"{TASK}: read the notes", **STEPS[runtime]}]})
    for cycle in range(CYCLES):
        wire.wait_for(2 + cycle, to=TASK, timeout_s=60)
        assert engine.interrupt()["status"] == "interrupted"
        started.rested()
        assert engine.processes() == []
        started = engine.resume()
    shown = started.ended()
    never.set()

    assert (shown["status"], shown["output"]) == ("completed", "All done.")
    assert len(engine.events("attempt_interrupted")) == CYCLES
    requests = wire.wait_for(CYCLES + 2, to=TASK)
    assert len(requests) == CYCLES + 2
    assert all(has_read(request) for request in requests[1:])
    assert len(sessions(engine)) == 1


def sessions(engine: EngineOf) -> set[str]:
    """The sessions that attempts went on in, by the name that the runtime gave them, if it did."""
    opened = [event["session"] for event in engine.events("session_opened")]
    later = [event["session"] for event in engine.events("attempt_started")]
    return set(opened or later[:1]) | set(later[1:])
