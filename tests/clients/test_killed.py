"""The engine is killed while each runtime works: nothing stays alive, the attempt is lost, resume works."""

import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.clients.engines import EngineOf
from tests.wire.server import Wire
from tests.wire.turns import ToolUse, Turn

TASK = "TASK-KILLED"
NAP = "sleep 1234.5"
ASLEEP = ["sleep", "1234.5"]
SHELL = {"mode": "write", "allowed_tools": ["shell", "files.read"]}
STEPS: Mapping[str, dict[str, Any]] = {
    "api": {"runtime": "api"},
    "claude-code": {"runtime": "claude-code", "model": "sonnet", "permissions": SHELL},
    "opencode": {"runtime": "opencode", "model": "fake/m1", "permissions": SHELL},
    "command": {"runtime": "command", "permissions": {"mode": "write"}},
}
SHELL_TOOLS = {
    "claude-code": ToolUse("Bash", {"command": NAP}),
    "opencode": ToolUse("bash", {"command": NAP, "description": "nap"}),
}
# A command that starts a child in a session of its own and goes on only once a file is there.
PROGRAM = f"""
import os, subprocess, sys, time
task = sys.stdin.read()
if not os.path.exists("go"):
    subprocess.Popen({ASLEEP!r}, start_new_session=True)
    open("begun", "w").close()
    time.sleep(1000)
print("Done.")
"""


@pytest.fixture
def engine(
    tmp_path: Path, claude_environ: Mapping[str, str], opencode_environ: Mapping[str, str]
) -> Iterator[EngineOf]:
    project = tmp_path / "project"
    project.mkdir()
    (project / "program.py").write_text(PROGRAM, encoding="utf-8")
    user = Path(claude_environ["HOME"], ".config", "engine-mcp", "config.yaml")
    user.parent.mkdir(parents=True, exist_ok=True)
    user.write_text(f"commands: {{default: {{argv: [{sys.executable}, program.py], prompt: stdin}}}}\n")
    made = EngineOf(project, {**claude_environ, **opencode_environ})
    yield made
    made.end()


def napping(engine: EngineOf) -> list[psutil.Process]:
    return [process for process in engine.processes() if process.cmdline() == ASLEEP]


def is_under_way(engine: EngineOf, runtime: str, wire: Wire) -> None:
    """Return once the runtime works: its model is asked, or the shell command that it started runs."""
    if runtime != "command":
        wire.wait_for(1, to=TASK, timeout_s=60)
    if runtime != "api":
        engine.wait_for(lambda: napping(engine) != [])


@pytest.mark.usefixtures("claude", "opencode")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("runtime", STEPS)
def test_a_killed_engine_leaves_no_process_and_the_execution_goes_on(
    engine: EngineOf, wire: Wire, runtime: str
) -> None:
    never = threading.Event()
    if runtime in SHELL_TOOLS:
        wire.answer(Turn(blocks=[SHELL_TOOLS[runtime]]), to=TASK)
    elif runtime == "api":
        wire.answer(Turn("This answer never ends.", gate=never), to=TASK)
    wire.otherwise(Turn("Done."), to=TASK)

    started = engine.run({"steps": [{"id": "only", "task": f"{TASK}: work", **STEPS[runtime]}]})
    is_under_way(engine, runtime, wire)
    started.kill()
    never.set()
    engine.wait_until_alone()
    (engine.project / "go").touch()
    shown = engine.resume().ended()

    assert (shown["status"], shown["output"]) == ("completed", "Done.")
    assert [event["number"] for event in engine.events("attempt_lost")] == [1]
    assert [event["number"] for event in engine.events("attempt_succeeded")] == [2]
    assert engine.processes() == []
