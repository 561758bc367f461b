"""The real Claude Code and OpenCode as clients of the real server: they start work and follow it."""

import json
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.server.clients import called, connected
from tests.wire.received import Received
from tests.wire.server import Wire
from tests.wire.turns import Thinking, ToolUse, Turn

WITHIN_S = 120
MOST_TURNS = 30
SILENCE_MS = 8_000  # how long OpenCode waits for a call without a sign of life
SERVE = [str(Path(sys.executable).with_name("engine-mcp")), "serve"]
HELD = """
await files.write('begun', 'yes');
progress(1, 4, 'warming up');
while (!(await files.stat('go'))) await sleep(200);
progress(4, 4, 'done');
return {answer: input.a * input.b};
"""
WORK = {
    "code": HELD,
    "context": {"a": 6, "b": 7},
    "permissions": {"mode": "write"},
    "limits": {"max_calls": 500},
}


# Longer than that in all, but never silent for so long.
SLOW = "for (let i = 1; i <= 12; i++) { progress(i, 12, `part ${i}`); await sleep(1000) } return 'made it'"


@dataclass
class Model:
    """A model that starts work, asks how it goes until it has ended, and tells the answer.

    The work goes on once the model has seen its progress. `seen` are the results that it read.
    """

    prefix: str
    project: Path
    seen: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def __call__(self, request: Received) -> Turn:
        results = list(request.results.values())
        assert len(results) < MOST_TURNS
        if not results:
            return self._calls("engine_execute", wait_s=0, **WORK)
        assert results[-1].startswith("{"), results[-1]
        shown = json.loads(results[-1])
        self.seen.append(shown)
        if shown["status"] == "completed":
            return Turn(f"The answer is {shown['output']['answer']}.")
        if "progress" in shown["steps"][0]:
            (self.project / "go").touch()
        cursor = shown.get("cursor", 0)
        return self._calls("engine_status", execution_id=shown["execution_id"], cursor=cursor, wait_s=10)

    def _calls(self, name: str, **arguments: object) -> Turn:
        return Turn(blocks=[Thinking("What next?"), ToolUse(f"{self.prefix}{name}", arguments)])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def claude_command(claude: Path, project: Path) -> list[str]:
    server = {"type": "stdio", "command": SERVE[0], "args": SERVE[1:]}
    config = project.parent / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"engine": server}}), encoding="utf-8")
    options = ["--model", "sonnet", "--mcp-config", str(config), "--strict-mcp-config"]
    allowed = ["--allowedTools", "mcp__engine__*", "--output-format", "json"]
    return [str(claude), "-p", "Multiply six by seven.", *options, *allowed]


@pytest.fixture
def opencode_command(opencode: Path, project: Path) -> list[str]:
    server = {"type": "local", "command": SERVE, "enabled": True, "timeout": SILENCE_MS}
    (project / "opencode.json").write_text(json.dumps({"mcp": {"engine": server}}), encoding="utf-8")
    return [str(opencode), "run", "--format", "json", "-m", "fake/m1", "Multiply six by seven."]


@contextmanager
def started(
    command: list[str], project: Path, environment: Mapping[str, str]
) -> Generator[subprocess.Popen[str]]:
    """A client at work in a project; killed if it is still there at the end."""
    with subprocess.Popen(
        command,
        cwd=project,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(command: list[str], project: Path, environment: Mapping[str, str]) -> str:
    """What a client writes on standard output, until it ends well."""
    with started(command, project, environment) as process:
        told, trouble = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0, told + trouble
    return told


def record(project: Path) -> dict[str, Any]:
    """The one execution on record."""
    [snapshot] = (project / ".engine-mcp" / "executions").glob("*/snapshot.json")
    return json.loads(snapshot.read_text(encoding="utf-8"))["execution"]


def check(model: Model, wire: Wire, project: Path) -> None:
    """The client's model saw the handle, the progress and the end of the execution that is on record."""
    first, last = model.seen[0], model.seen[-1]
    assert first["status"] in {"pending", "running"}
    assert {shown["execution_id"] for shown in model.seen} == {first["execution_id"]}
    told = [shown["steps"][0]["progress"] for shown in model.seen if "progress" in shown["steps"][0]]
    assert {"done": 1, "total": 4, "message": "warming up"} in told
    assert last["output"] == {"answer": 42}
    kept = record(project)
    assert (kept["id"], kept["status"]) == (first["execution_id"], "completed")
    assert wire.billed.turns == len(wire.requests) == len(model.seen) + 1


@pytest.mark.usefixtures("no_leaks")
def test_claude_code_starts_an_execution_watches_it_and_reads_its_end(
    claude_command: list[str], claude_environ: dict[str, str], wire: Wire, project: Path
) -> None:
    model = Model("mcp__engine__", project)
    wire.otherwise(model)
    told = json.loads(ended(claude_command, project, claude_environ))
    assert (told["is_error"], told["result"]) == (False, "The answer is 42.")
    check(model, wire, project)


@pytest.mark.usefixtures("no_leaks")
def test_opencode_starts_an_execution_watches_it_and_reads_its_end(
    opencode_command: list[str], opencode_environ: dict[str, str], wire: Wire, project: Path
) -> None:
    model = Model("engine_", project)
    wire.otherwise(model)
    told = [json.loads(line) for line in ended(opencode_command, project, opencode_environ).splitlines()]
    assert [event["part"]["text"] for event in told if event["type"] == "text"] == ["The answer is 42."]
    check(model, wire, project)


@pytest.mark.usefixtures("no_leaks")
def test_progress_keeps_opencode_waiting_for_a_call_that_takes_longer_than_its_limit(
    opencode_command: list[str], opencode_environ: dict[str, str], wire: Wire, project: Path
) -> None:
    wire.answer(Turn(blocks=[ToolUse("engine_engine_execute", {"code": SLOW, "wait_s": 100})]))
    ended(opencode_command, project, opencode_environ)
    [result] = wire.requests[-1].results.values()
    assert (json.loads(result)["status"], json.loads(result)["output"]) == ("completed", "made it")


@pytest.mark.anyio
async def test_an_interrupted_claude_code_leaves_an_execution_that_can_be_resumed(
    claude_command: list[str], claude_environ: dict[str, str], wire: Wire, project: Path
) -> None:
    wire.answer(Turn(blocks=[ToolUse("mcp__engine__engine_execute", {**WORK, "wait_s": 100})]))
    with started(claude_command, project, claude_environ) as process:
        with anyio.fail_after(WITHIN_S):
            while not (project / "begun").exists():  # noqa: ASYNC110 - another program writes it
                await anyio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        await anyio.to_thread.run_sync(process.communicate, None, WITHIN_S)
    assert len(wire.requests) == 1
    name = record(project)["id"]
    async with connected(project) as client:
        with anyio.fail_after(WITHIN_S):
            # The server that Claude Code started may take a moment more to end.
            while (await called(client, "engine_status", execution_id=name))["status"] != "interrupted":  # noqa: ASYNC110 - another program changes it
                await anyio.sleep(0.05)
        (project / "go").touch()
        done = await called(client, "engine_resume", execution_id=name, wait_s=60)
    assert (done["status"], done["output"]) == ("completed", {"answer": 42})
