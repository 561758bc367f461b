"""The claude-code runtime with the real Claude Code, in front of the wire server."""

import json
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import psutil
import pytest
from pydantic import JsonValue

from engine_mcp.core.agent import AgentResult, AgentTask
from engine_mcp.core.brief import Prompt
from engine_mcp.core.budget import Usage
from engine_mcp.core.plan import Mode, Permissions, StepSpec
from engine_mcp.runners.claude_code import ClaudeCodeRunner
from tests.runners.host import RecordingHost
from tests.runners.processes import alive, engine, until
from tests.runners.stands.stand import Place
from tests.wire.server import Wire
from tests.wire.turns import Block, Text, ToolUse, Trouble, Turn

SESSION = "5a0a55f0-6d2e-5c7b-a111-0123456789ab"
WITHIN_S = 60
TURN_COST = 8_000
"""What 1,000 tokens in and 200 out cost on the default model, in millionths of a dollar."""
DRIVER = """
import json
import sys
import anyio
from tests.clients.test_claude_code import drive
anyio.run(drive, sys.argv[1], json.loads(sys.argv[2]))
"""

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("claude", "no_leaks"), pytest.mark.timeout(180)]


@dataclass
class Desk:
    """A project, and the runtime that works in it."""

    project: Path
    environ: dict[str, str]

    @property
    def runner(self) -> ClaudeCodeRunner:
        return ClaudeCodeRunner(environ=self.environ, stall_s=30)

    async def run(self, task: AgentTask, host: RecordingHost | None = None) -> AgentResult:
        with anyio.fail_after(WITHIN_S):
            return await self.runner.run(task, host or RecordingHost())

    async def stopped(
        self, task: AgentTask, host: RecordingHost, ready: Callable[[], Awaitable[object]]
    ) -> None:
        """Run an attempt, and cancel it once `ready` returns."""
        with anyio.fail_after(WITHIN_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.runner.run, task, host)
                await ready()
                tasks.cancel_scope.cancel()

    def task(
        self,
        permissions: Permissions | None = None,
        *,
        text: str = "Do the work.",
        begun: bool = False,
        schema: JsonValue = None,
        model: str | None = None,
    ) -> AgentTask:
        step = StepSpec(
            id="a",
            task=text,
            permissions=permissions or Permissions(mode=Mode.NONE),
            output_schema=schema,
        )
        return AgentTask(
            execution_id=Place(self.project.parent).execution,  # of its own for each test and checkout
            step=step,
            number=1,
            project=str(self.project),
            prompt=Prompt(system="You are the tester.", text=text, again="Go on with it."),
            session=SESSION,
            begun=begun,
            model=model,
        )


@pytest.fixture
def desk(tmp_path: Path, claude_environ: dict[str, str]) -> Desk:
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.txt").write_text("what is inside", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("what is outside", encoding="utf-8")
    return Desk(project, claude_environ)


def sleeping(pid: Path) -> ToolUse:
    """A command that runs for long in a session of its own, and notes its process."""
    return ToolUse("Bash", {"command": f"echo $$ > {pid}; exec sleep 300", "description": "wait"})


def noted(pid: Path) -> bool:
    return pid.exists() and pid.read_text(encoding="utf-8").endswith("\n")


def left(desk: Desk, *pids: Path) -> list[psutil.Process]:
    """What is alive of the attempt, and of the processes that were noted."""
    return alive(desk.task().mark, *(pid.read_text(encoding="utf-8").strip() for pid in pids))


# --- the plain case


@pytest.mark.req("003:L10", "003:L11")
async def test_the_prompt_goes_in_and_text_use_and_cost_come_out(desk: Desk, wire: Wire) -> None:
    wire.answer(Turn("Hello from the wire", cache_read=500, chunk=5))
    host = RecordingHost()
    result = await desk.run(desk.task(text="Greet me."), host)
    (request,) = wire.requests
    assert "You are the tester." in request.system
    assert "Greet me." in request.text
    assert request.headers["x-claude-code-session-id"] == SESSION
    assert not [tool for tool in request.body.get("tools", []) if "Placeholder" not in tool["name"]]
    assert (result.failure, result.output, host.text) == (None, "Hello from the wire", "Hello from the wire")
    assert len([report for report in host.reports if report.text]) > 2
    used = host.used(result)
    assert (used.tokens_in, used.tokens_out, used.cache_read, used.requests) == (1000, 200, 500, 1)
    assert used.cost_micros >= TURN_COST
    assert used.cost_basis == "reported"
    assert host.sessions == []


async def test_the_model_of_the_step_is_asked(desk: Desk, wire: Wire) -> None:
    await desk.run(desk.task(model="claude-haiku-5-5"))
    assert wire.requests[0].body["model"] == "claude-haiku-5-5"


async def test_a_long_prompt_that_looks_like_a_command_arrives_whole(desk: Desk, wire: Wire) -> None:
    text = "/clear " + "away " * 60_000
    result = await desk.run(desk.task(text=text))
    assert result.output == "done"
    assert text in wire.requests[0].text


async def test_structured_output_is_the_output(desk: Desk, wire: Wire) -> None:
    schema: JsonValue = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wire.answer(Turn(blocks=[ToolUse("StructuredOutput", {"n": 3})]))
    result = await desk.run(desk.task(schema=schema))
    assert (result.failure, result.output) == (None, {"n": 3})


# --- what a step may do


async def called(desk: Desk, wire: Wire, permissions: Permissions, *calls: ToolUse) -> list[str]:
    """The results of tool calls, in their order."""
    named: list[Block] = [replace(call, id=f"toolu_{place}") for place, call in enumerate(calls)]
    wire.answer(Turn(blocks=named))
    result = await desk.run(desk.task(permissions))
    assert result.failure is None
    found = wire.requests[-1].results
    return [found[f"toolu_{place}"] for place in range(len(calls))]


def reads(path: object) -> ToolUse:
    return ToolUse("Read", {"file_path": str(path)})


def writes(path: object) -> ToolUse:
    return ToolUse("Write", {"file_path": str(path), "content": "new"})


def runs(command: str) -> ToolUse:
    return ToolUse("Bash", {"command": command, "description": "a command"})


async def test_a_reading_step_reads_the_project_and_nothing_else(desk: Desk, wire: Wire) -> None:
    outside, link = desk.project.parent / "secret.txt", desk.project / "link.txt"
    link.symlink_to(outside)
    inside, *others = await called(
        desk,
        wire,
        Permissions(mode=Mode.READ),
        reads(desk.project / "a.txt"),
        *(reads(outside), reads(link), writes(desk.project / "b.txt"), runs("touch c.txt")),
        ToolUse("WebFetch", {"url": wire.url, "prompt": "read"}),
        ToolUse("Agent", {"description": "d", "prompt": "p", "subagent_type": "general-purpose"}),
        ToolUse("ToolSearch", {"query": "select:WebFetch"}),
    )
    assert "what is inside" in inside
    assert "what is outside" not in "".join(others)
    assert all("outside" in told or "No such tool" in told for told in others)
    assert sorted(path.name for path in desk.project.iterdir()) == ["a.txt", "link.txt"]


async def test_a_writing_step_writes_in_the_project_and_nowhere_else(desk: Desk, wire: Wire) -> None:
    outside, host = desk.project.parent / "new.txt", RecordingHost()
    settings = desk.project / ".claude" / "settings.json"
    wire.answer(Turn(blocks=[writes(desk.project / "b.txt"), writes(outside), writes(settings)]))
    result = await desk.run(desk.task(Permissions(mode=Mode.WRITE)), host)
    assert (desk.project / "b.txt").read_text(encoding="utf-8") == "new"
    assert not outside.exists()
    assert not settings.exists()
    assert (result.failure, result.output) == (None, "done")
    assert host.progress[-1].message == "denied: Write (2 times)"


async def test_a_granted_pattern_lets_its_commands_through_and_no_others(desk: Desk, wire: Wire) -> None:
    permissions = Permissions(mode=Mode.NONE, allowed_tools=("shell(git init *)",))
    await called(
        desk, wire, permissions, runs("git init one"), runs("git init two && touch x"), runs("touch y")
    )
    assert sorted(path.name for path in desk.project.iterdir() if path.name != "a.txt") == ["one"]


async def test_the_settings_of_user_and_project_widen_nothing(desk: Desk, wire: Wire, home: Path) -> None:
    hook = {"hooks": [{"type": "command", "command": f"touch {desk.project}/hooked"}]}
    settings = {
        "permissions": {"allow": ["Bash(*)", "Write(//**)"]},
        "hooks": {"SessionStart": [hook], "PreToolUse": [{"matcher": "*", **hook}]},
    }
    for folder in (home, desk.project):
        (folder / ".claude").mkdir()
        (folder / ".claude" / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    permissions = Permissions(mode=Mode.READ, allowed_tools=("files.read", "shell(git *)"))
    await called(desk, wire, permissions, runs("touch x"), reads(desk.project / "a.txt"))
    assert sorted(path.name for path in desk.project.iterdir()) == [".claude", "a.txt"]


async def test_the_login_of_the_users_settings_is_kept(desk: Desk, wire: Wire, home: Path) -> None:
    (home / ".claude").mkdir()
    helper = {"apiKeyHelper": "echo key-of-the-helper"}
    (home / ".claude" / "settings.json").write_text(json.dumps(helper), encoding="utf-8")
    del desk.environ["ANTHROPIC_API_KEY"]
    assert (await desk.run(desk.task())).failure is None
    assert wire.requests[0].headers["x-api-key"] == "key-of-the-helper"


async def test_what_the_project_says_of_itself_is_read(desk: Desk, wire: Wire) -> None:
    (desk.project / "CLAUDE.md").write_text("Indent by three spaces.", encoding="utf-8")
    await desk.run(desk.task(Permissions(mode=Mode.READ)))
    assert "Indent by three spaces." in wire.requests[0].text


# --- stop and go on


async def test_one_session_goes_on_over_several_stops(desk: Desk, wire: Wire) -> None:
    gate, hosts = threading.Event(), [RecordingHost() for _ in range(4)]
    for cycle, host in enumerate(hosts[:3]):
        wire.answer(Turn(f"cycle {cycle} " * 20, gate=gate))
        await desk.stopped(desk.task(begun=cycle > 0), host, lambda: until(lambda: host.text))  # noqa: B023 - awaited at once
        assert host.used().tokens_in == 1000
        assert host.used().cost_micros >= 4_000
        assert host.used().requests == 1
    wire.answer(Turn("the end"))
    result = await desk.run(desk.task(begun=True), hosts[3])
    gate.set()
    assert (result.failure, result.output) == (None, "the end")
    assert {request.headers["x-claude-code-session-id"] for request in wire.requests} == {SESSION}
    last = wire.requests[-1].text
    assert all(f"cycle {cycle}" in last for cycle in range(3))
    assert last.count("Do the work.") == 1
    assert last.count("Go on with it.") == 3
    assert hosts[3].used(result).cost_micros == TURN_COST
    assert left(desk) == []


async def test_a_stop_in_a_command_ends_the_command(desk: Desk, wire: Wire, tmp_path: Path) -> None:
    pid, host = tmp_path / "pid", RecordingHost()
    wire.answer(Turn(blocks=[Text("I wait"), sleeping(pid)]))
    task = desk.task(Permissions(mode=Mode.NONE, allowed_tools=("shell",)))
    await desk.stopped(task, host, lambda: until(lambda: noted(pid)))
    assert left(desk, pid) == []
    assert host.used().cost_micros == TURN_COST
    again = await desk.run(replace(task, begun=True))
    assert again.output == "done"
    assert len(wire.requests) == 2


async def test_a_stop_before_its_first_word_is_quick(desk: Desk, wire: Wire) -> None:
    wire.answer(Turn("never", trouble=Trouble(stall=True, at="start")))
    await desk.stopped(desk.task(), RecordingHost(), lambda: wire.received(1))
    assert left(desk) == []


async def test_an_announced_session_is_begun(desk: Desk, wire: Wire) -> None:
    host = RecordingHost()
    result = await desk.run(desk.task(begun=True), host)
    assert result.output == "done"
    assert "Do the work." in wire.requests[0].text
    assert wire.requests[0].headers["x-claude-code-session-id"] == SESSION
    assert host.sessions == []


async def test_a_session_begun_without_our_knowledge_goes_on(desk: Desk, wire: Wire) -> None:
    await desk.run(desk.task())
    assert (await desk.run(desk.task())).output == "done"
    assert [request.headers["x-claude-code-session-id"] for request in wire.requests] == [SESSION] * 2
    assert "Go on with it." in wire.requests[1].text


def empty_transcript(home: Path) -> None:
    (transcript,) = home.glob(f".claude/projects/*/{SESSION}.jsonl")
    transcript.write_bytes(b"")


async def test_an_empty_transcript_makes_way_for_another_session(desk: Desk, home: Path, wire: Wire) -> None:
    await desk.run(desk.task())
    empty_transcript(home)
    host = RecordingHost()
    result = await desk.run(desk.task(begun=True), host)
    assert result.output == "done"
    assert [request.headers["x-claude-code-session-id"] for request in wire.requests] == [
        SESSION,
        *host.sessions,
    ]
    assert "Do the work." in wire.requests[1].text


async def test_the_cost_of_an_attempt_is_not_that_of_its_session(desk: Desk, wire: Wire) -> None:
    for begun in (False, True, True):
        host = RecordingHost()
        result = await desk.run(desk.task(begun=begun), host)
        assert host.used(result).cost_micros == TURN_COST
    assert wire.billed.turns == 3


# --- trouble


async def test_a_refused_key_is_told_soon(desk: Desk, wire: Wire) -> None:
    wire.otherwise(
        Turn(trouble=Trouble(status=401, kind="authentication_error", message="invalid x-api-key"))
    )
    with anyio.fail_after(30):
        result = await desk.run(desk.task())
    assert result.failure is not None
    assert result.failure.code == "unauthorized"


async def test_an_overload_that_passes_is_progress_and_no_failure(desk: Desk, wire: Wire) -> None:
    wire.answer(Turn(trouble=Trouble()), Turn("after all"))
    host = RecordingHost()
    assert (await desk.run(desk.task(), host)).output == "after all"
    assert any("529" in progress.message for progress in host.progress)


@pytest.mark.parametrize(
    ("expected", "turn"),
    [
        ("overloaded", Turn(trouble=Trouble())),
        ("rate_limited", Turn(trouble=Trouble(status=429, kind="rate_limit_error", message="slower"))),
        ("provider_error", Turn(trouble=Trouble(status=500, kind="api_error", message="boom"))),
        ("model_unavailable", Turn(trouble=Trouble(status=404, kind="not_found_error", message="model: x"))),
        ("truncated", Turn("cut off", stop_reason="max_tokens")),
        ("refused", Turn("I would", stop_reason="refusal")),
        ("unreachable", Turn("half of it " * 9, trouble=Trouble(cut=True))),
    ],
)
async def test_trouble_has_its_code(desk: Desk, wire: Wire, expected: str, turn: Turn) -> None:
    wire.otherwise(turn)
    result = await desk.run(desk.task())
    assert result.failure is not None
    assert result.failure.code == expected


async def test_the_reservation_stops_it_and_the_text_is_kept(desk: Desk, wire: Wire) -> None:
    wire.answer(Turn("dear words", input_tokens=100_000))
    host = RecordingHost()
    reserved = Usage(cost_micros=100_000)
    result = await desk.run(replace(desk.task(), reserved=reserved), host)
    assert result.failure is not None
    assert result.failure.code == "spending_limit"
    assert result.output == "dear words"
    assert host.used(result).cost_micros > reserved.cost_micros


async def test_a_silent_provider_is_a_stall_and_its_text_is_kept(desk: Desk, wire: Wire) -> None:
    wire.answer(Turn("half of it " * 9, trouble=Trouble(stall=True)))
    runner, host = ClaudeCodeRunner(environ=desk.environ, stall_s=3), RecordingHost()
    with anyio.fail_after(WITHIN_S):
        result = await runner.run(desk.task(), host)
    assert result.failure is not None
    assert result.failure.code == "runtime_stalled"
    assert isinstance(result.output, str)
    assert result.output.startswith("half of it")
    assert host.used(result).cost_basis == "reported"
    assert left(desk) == []


async def test_nothing_is_left_in_the_temporary_directory_but_what_commands_put_there(
    desk: Desk, wire: Wire, tmp_path: Path
) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    desk.environ["TMPDIR"] = str(place)
    command = {"command": "touch $TMPDIR/of-the-command", "description": "d"}
    wire.answer(Turn(blocks=[ToolUse("Bash", command)]))
    result = await desk.run(desk.task(Permissions(mode=Mode.WRITE, allowed_tools=("shell",))))
    assert (result.output, result.failure) == ("done", None)
    assert [path.name for path in place.iterdir()] == ["of-the-command"]


async def test_a_provider_that_quotes_the_key_does_not_get_it_on_record(desk: Desk, wire: Wire) -> None:
    key = desk.environ["ANTHROPIC_API_KEY"]
    wire.otherwise(Turn(trouble=Trouble(status=403, kind="permission_error", message=f"{key} is bad")))
    host = RecordingHost()
    result = await desk.run(desk.task(), host)
    assert result.failure is not None
    assert "[hidden] is bad" in result.failure.message
    assert key not in f"{result} {host.reports}"


# --- health, and an engine that dies


async def test_health_knows_version_and_login(desk: Desk, wire: Wire) -> None:
    health = await desk.runner.health()
    assert health.usable
    assert health.version.startswith("2.1.")
    assert "logged in" in health.detail
    del desk.environ["ANTHROPIC_API_KEY"]
    health = await desk.runner.health()
    assert not health.usable
    assert "claude auth login" in health.remedy
    assert wire.requests == []


async def drive(project: str, environ: dict[str, str]) -> None:
    """What the engine does in the process that is killed."""
    desk = Desk(Path(project), environ)
    task = desk.task(Permissions(mode=Mode.NONE, allowed_tools=("shell",)))
    await desk.runner.run(task, RecordingHost())


@pytest.mark.crash
async def test_nothing_outlives_a_killed_engine_and_the_session_goes_on(
    desk: Desk, wire: Wire, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    wire.answer(Turn(blocks=[sleeping(pid)]))
    with engine(DRIVER, str(desk.project), json.dumps(desk.environ)):
        await until(lambda: noted(pid))
    await until(lambda: not left(desk, pid))
    result = await desk.run(desk.task(begun=True))
    assert result.output == "done"
    assert "Do the work." in wire.requests[-1].text
    assert "Go on with it." in wire.requests[-1].text
