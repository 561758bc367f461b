"""The opencode runner with the real OpenCode, whose model is the wire server."""

import json
import subprocess
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
import psutil
import pytest

from engine_mcp.core.agent import AgentResult, AgentTask
from engine_mcp.core.brief import Prompt
from engine_mcp.core.budget import Usage
from engine_mcp.core.plan import Mode, Permissions, StepSpec
from engine_mcp.runners.opencode import OpenCodeRunner
from tests.runners import processes
from tests.runners.host import RecordingHost
from tests.runners.processes import engine, until
from tests.runners.stands.stand import Place
from tests.wire.server import Wire
from tests.wire.turns import Block, Text, ToolUse, Trouble, Turn

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("no_leaks"),
]

PROMPT = Prompt(system="You are a tester called Ümit.", text="Look at {file:a.txt}.", again="Now go on.")
WITHIN_S = 90.0
STALL_S = 60.0
DRIVER = """
import json, sys
import anyio
from tests.clients.test_opencode import drive
anyio.run(drive, *json.loads(sys.argv[1]))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "a.txt").write_text("alpha\n", encoding="utf-8")
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Give a repository of which the project is a part."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def task(
    project: Path, permissions: Permissions | None = None, model: str = "fake/m1", session: str | None = None
) -> AgentTask:
    step = StepSpec(id="look", task="Look.", permissions=permissions or Permissions())
    return AgentTask(
        execution_id=Place(project.parent).execution,  # of its own for each test and checkout
        step=step,
        number=1,
        project=str(project),
        prompt=PROMPT,
        model=model,
        session=session,
        begun=session is not None,
    )


async def played(runner: OpenCodeRunner, given: AgentTask, host: RecordingHost | None = None) -> AgentResult:
    with anyio.fail_after(WITHIN_S):
        return await runner.run(given, host or RecordingHost())


def offered(wire: Wire) -> set[str]:
    """The tools that the newest request offers to the model."""
    return {tool["name"] for tool in wire.requests[-1].body.get("tools", [])}


def configure(home: Path, **more: object) -> None:
    """Add to the user's own configuration."""
    path = home / ".config" / "opencode" / "opencode.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **more}), encoding="utf-8")


def server(note: Path) -> dict[str, object]:
    """The entry of an MCP server that leaves a note when it is started."""
    return {"type": "local", "command": ["sh", "-c", f"touch {note}; cat"], "enabled": True}


def alive(project: Path) -> list[str]:
    """The command lines of what belongs to an attempt."""
    found: list[str] = []
    for process in processes.alive(task(project).mark):
        with suppress(psutil.Error):  # it ended meanwhile
            found.append(" ".join(process.cmdline()))
    return found


def sleeping(project: Path) -> bool:
    return {"sleep 4321", "sleep 1234"} <= set(alive(project))


async def drive(environ: dict[str, str], binary: str, project: str) -> None:
    """What the engine does in the process that is killed."""
    runner = OpenCodeRunner(environ=environ, binary=binary, stall_s=STALL_S)
    shell = Permissions(mode=Mode.READ, allowed_tools=("shell",))
    await runner.run(task(Path(project), shell), RecordingHost())


@pytest.fixture
def runner(opencode: Path, opencode_environ: dict[str, str]) -> OpenCodeRunner:
    return OpenCodeRunner(environ=opencode_environ, binary=str(opencode), stall_s=STALL_S)


@pytest.mark.req("003:L15", "003:L17")
async def test_a_prompt_is_answered_with_tools_and_every_step_is_paid_for(
    runner: OpenCodeRunner, wire: Wire, project: Path
) -> None:
    (project / "AGENTS.md").write_text("Mind the gap.", encoding="utf-8")
    path = str(project / "a.txt")
    wire.answer(
        Turn(blocks=[Text("I look."), ToolUse("read", {"filePath": path}, id="toolu_read")], cache_read=500),
        Turn("It says alpha."),
    )
    host = RecordingHost()
    result = await played(runner, task(project), host)
    assert result == AgentResult(output="It says alpha.")
    assert host.text == "I look.\n\nIt says alpha."
    assert [progress.message for progress in host.progress] == ["turn 1", f"read {path}", "turn 2"]
    [session] = host.sessions
    assert session.startswith("ses_")
    assert "alpha" in wire.requests[1].results["toolu_read"]
    assert host.used(result) == Usage(
        tokens_in=2000,
        tokens_out=400,
        cache_read=500,
        requests=2,
        cost_micros=12_150,
        cost_basis="reported",
    )
    asked = wire.requests[0].text
    assert f"{PROMPT.system}\n\n{PROMPT.text}" in asked
    assert "Mind the gap." in asked
    assert "You are opencode" in asked


async def test_a_step_gets_what_it_is_granted_whatever_the_users_and_the_projects_configuration_says(
    runner: OpenCodeRunner, wire: Wire, project: Path, home: Path, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    wide = {"*": "allow", "bash": {"*": "allow", "rm *": "allow"}, "external_directory": "allow"}
    everything = {"permission": wide, "agent": {"build": {"permission": {"bash": "allow"}}}}
    configure(home, **everything, tools={"bash": True}, mcp={"mine": server(started)})
    (project / "opencode.json").write_text(
        json.dumps({**everything, "mcp": {"theirs": server(started)}}), encoding="utf-8"
    )
    own = project / ".opencode" / "tool" / "own.ts"
    own.parent.mkdir(parents=True)
    own.write_text(f'await Bun.write("{started}", ""); export default {{}}', encoding="utf-8")

    await played(runner, task(project, Permissions(mode=Mode.NONE)))
    assert offered(wire) == set()
    await played(runner, task(project, Permissions(mode=Mode.READ)))
    assert offered(wire) == {"glob", "grep", "read"}
    await played(runner, task(project, Permissions(mode=Mode.READ, allowed_tools=("web", "files.list"))))
    assert offered(wire) == {"glob", "webfetch"}
    assert not started.exists()


async def test_a_step_may_write_in_its_project_and_nowhere_else(
    runner: OpenCodeRunner, wire: Wire, project: Path, repository: Path
) -> None:
    places = {
        "in": project / "in.txt",
        "beside": repository / "beside.txt",
        "out": repository.parent / "out.txt",
    }
    calls = [
        ToolUse("write", {"filePath": str(path), "content": "x"}, id=key) for key, path in places.items()
    ]
    wire.answer(Turn(blocks=[*calls, ToolUse("bash", {"command": "id", "description": "d"}, id="bash")]))
    result = await played(runner, task(project, Permissions(mode=Mode.WRITE)))
    assert result == AgentResult(output="done")
    assert offered(wire) == {"edit", "glob", "grep", "read", "write"}
    assert {key: path.exists() for key, path in places.items()} == {"in": True, "beside": False, "out": False}
    told = wire.requests[1].results
    assert "rule which prevents" in told["beside"]
    assert "rule which prevents" in told["out"]
    assert "unavailable tool" in told["bash"]


async def test_a_link_of_the_project_is_no_way_out_of_it(
    runner: OpenCodeRunner, wire: Wire, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("what is outside", encoding="utf-8")
    for name, target in {"file": "secret.txt", "folder": "", "AGENTS.md": "secret.txt"}.items():
        (project / name).symlink_to(tmp_path / target)
    calls: list[Block] = [
        ToolUse("read", {"filePath": str(project / "file")}, id="file"),
        ToolUse("read", {"filePath": str(project / "folder" / "secret.txt")}, id="folder"),
        ToolUse("write", {"filePath": str(project / "folder" / "new.txt"), "content": "x"}, id="write"),
        ToolUse("grep", {"pattern": "outside", "path": str(project / "folder")}, id="grep"),
    ]
    wire.answer(Turn(blocks=calls))
    assert await played(runner, task(project, Permissions(mode=Mode.WRITE))) == DONE
    told = wire.requests[1].results
    assert all("rule which prevents" in told[name] for name in ("file", "folder", "write"))
    assert "unavailable tool" in told["grep"]
    assert "what is outside" not in f"{[request.body for request in wire.requests]}"
    assert not (tmp_path / "new.txt").exists()


async def test_a_shell_runs_the_commands_of_its_patterns_taken_literally(
    runner: OpenCodeRunner, wire: Wire, project: Path
) -> None:
    commands = {"echo": "echo {env:HOME}", "id": "id", "both": "echo {env:HOME} && id"}
    wire.answer(
        Turn(
            blocks=[
                ToolUse("bash", {"command": command, "description": "d"}, id=key)
                for key, command in commands.items()
            ]
        )
    )
    shell = Permissions(mode=Mode.READ, allowed_tools=("shell(echo {env:HOME})",))
    await played(runner, task(project, shell))
    assert offered(wire) == {"bash"}
    told = wire.requests[1].results
    assert told["echo"].strip() == "{env:HOME}"
    assert "rule which prevents" in told["id"]
    assert "rule which prevents" in told["both"]


@pytest.mark.req("000:5.1.2")
async def test_a_session_goes_on_after_every_interrupt_and_one_that_is_gone_is_begun_anew(
    runner: OpenCodeRunner, wire: Wire, project: Path
) -> None:
    session = "ses_gone"
    for cycle in range(3):
        gate = threading.Event()
        wire.answer(Turn(f"This is cut off, {cycle}.", gate=gate))
        host = RecordingHost()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run, task(project, session=session), host)
            with anyio.fail_after(WITHIN_S):
                await host.told.wait()
            tasks.cancel_scope.cancel()
        gate.set()
        assert alive(project) == []
        assert len(host.sessions) == (1 if cycle == 0 else 0)
        session = host.sessions[0] if cycle == 0 else session
    wire.answer(Turn("Here I am."))
    result = await played(runner, task(project, session=session))
    assert result == AgentResult(output="Here I am.")
    asked = wire.requests[-1].text
    assert asked.count(PROMPT.text) == 1
    assert asked.count(PROMPT.again) == 3


DONE = AgentResult(output="done")
SLEEPS = Turn(blocks=[ToolUse("bash", {"command": "sleep 4321 & sleep 1234; wait", "description": "d"})])


@pytest.mark.req("003:L16")
async def test_an_interrupt_during_a_command_leaves_no_process(
    runner: OpenCodeRunner, wire: Wire, project: Path
) -> None:
    wire.answer(SLEEPS)
    shell = Permissions(mode=Mode.READ, allowed_tools=("shell",))
    host = RecordingHost()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run, task(project, shell), host)
        await until(partial(sleeping, project), WITHIN_S)
        tasks.cancel_scope.cancel()
    assert alive(project) == []
    assert len(host.sessions) == 1


@pytest.mark.crash
async def test_no_command_outlives_an_engine_that_was_killed(
    opencode: Path, opencode_environ: dict[str, str], wire: Wire, project: Path
) -> None:
    wire.answer(SLEEPS)
    with engine(DRIVER, json.dumps([opencode_environ, str(opencode), str(project)])):
        await until(partial(sleeping, project), WITHIN_S)
    await until(lambda: not alive(project))


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (Trouble(status=401, kind="authentication_error", message="the bad key"), "unauthorized"),
        (
            Trouble(status=400, kind="invalid_request_error", message="prompt is too long: 3 tokens > 2"),
            "context_overflow",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_error_of_the_provider_is_told_by_its_kind(
    runner: OpenCodeRunner, wire: Wire, project: Path, trouble: Trouble, code: str
) -> None:
    wire.otherwise(Turn(trouble=trouble))
    result = await played(runner, task(project))
    assert result.failure is not None
    assert result.failure.code == code
    assert trouble.message in result.failure.message


async def test_a_model_that_is_not_there_is_named(runner: OpenCodeRunner, wire: Wire, project: Path) -> None:
    result = await played(runner, task(project, model="fake/none"))
    assert result.failure is not None
    assert result.failure.code == "model_unavailable"
    assert "fake/none" in result.failure.message
    assert wire.requests == []


@pytest.fixture
def anthropic(home: Path, wire: Wire, opencode_environ: dict[str, str]) -> dict[str, object]:
    """Give the user's own entry for Anthropic, with the wire server in its place, in the configuration."""
    assert opencode_environ
    entry: dict[str, object] = {"options": {"baseURL": f"{wire.url}/v1", "apiKey": "a-key-for-tests"}}
    configure(home, provider={"anthropic": entry})
    return entry


@pytest.mark.usefixtures("anthropic")
async def test_a_model_that_is_newer_than_its_list_works_and_has_no_price(
    runner: OpenCodeRunner, wire: Wire, project: Path
) -> None:
    newer, known = RecordingHost(), RecordingHost()
    assert await played(runner, task(project, model="anthropic/claude-haiku-5-5"), newer) == DONE
    assert await played(runner, task(project, model="anthropic/claude-opus-5-5"), known) == DONE
    assert [request.body["model"] for request in wire.requests] == ["claude-haiku-5-5", "claude-opus-5-5"]
    assert newer.used() == Usage(tokens_in=1000, tokens_out=200, requests=1, cost_basis="unpriced")
    assert (known.used().cost_micros, known.used().cost_basis) == (8_000, "reported")


async def test_what_the_user_says_of_a_newer_model_counts(
    runner: OpenCodeRunner, home: Path, project: Path, anthropic: dict[str, object]
) -> None:
    models = {"claude-haiku-5-5": {"cost": {"input": 0.1, "output": 0.5}}}
    configure(home, provider={"anthropic": {**anthropic, "models": models}})
    host = RecordingHost()
    assert await played(runner, task(project, model="anthropic/claude-haiku-5-5"), host) == DONE
    assert (host.used().cost_micros, host.used().cost_basis) == (200, "reported")


async def test_without_a_key_a_newer_model_is_no_way_in(
    runner: OpenCodeRunner, wire: Wire, home: Path, project: Path
) -> None:
    configure(home, provider={"anthropic": {"options": {"baseURL": f"{wire.url}/v1"}}})
    result = await played(runner, task(project, model="anthropic/claude-haiku-5-5"))
    assert result.failure is not None
    assert result.failure.code == "unauthorized"
    assert wire.requests == []


async def test_nothing_is_left_in_the_temporary_directory_but_what_commands_put_there(
    opencode: Path, opencode_environ: dict[str, str], wire: Wire, project: Path, tmp_path: Path
) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    runner = OpenCodeRunner(environ={**opencode_environ, "TMPDIR": str(place)}, binary=str(opencode))
    command = {"command": "touch $TMPDIR/of-the-command", "description": "d"}
    wire.answer(Turn(blocks=[ToolUse("bash", command)]))
    assert await played(runner, task(project, Permissions(mode=Mode.WRITE, allowed_tools=("shell",)))) == DONE
    found = {path.name for path in place.glob("**/*") if path.is_file()}
    assert found == {"of-the-command"}


async def test_endless_retries_are_stopped_and_end_in_the_class_of_their_error(
    opencode: Path, opencode_environ: dict[str, str], wire: Wire, project: Path
) -> None:
    wire.otherwise(Turn(trouble=Trouble(status=429, kind="rate_limit_error", message="Too many requests")))
    runner = OpenCodeRunner(environ=opencode_environ, binary=str(opencode), stall_s=STALL_S, retries=1)
    result = await played(runner, task(project))
    assert result.failure is not None
    assert (result.failure.code, result.failure.message) == ("rate_limited", "Too many requests")
    assert len(wire.requests) == 2
    assert alive(project) == []


async def test_a_silent_provider_is_a_stall(
    opencode: Path, opencode_environ: dict[str, str], wire: Wire, project: Path
) -> None:
    wire.otherwise(Turn(trouble=Trouble(stall=True, at="start")))
    runner = OpenCodeRunner(environ=opencode_environ, binary=str(opencode), stall_s=12)
    result = await played(runner, task(project))
    assert result.failure is not None
    assert result.failure.code == "runtime_stalled"
    assert alive(project) == []


async def test_health_names_the_program_its_version_and_its_providers(
    opencode: Path, opencode_environ: dict[str, str], home: Path
) -> None:
    health = await OpenCodeRunner(environ=opencode_environ).health()
    assert health.usable
    assert health.version == "1.18.33"
    assert health.detail == f"{opencode} with fake"
    (home / ".config" / "opencode" / "opencode.json").unlink()
    health = await OpenCodeRunner(environ=opencode_environ).health()
    assert not health.usable
    assert "no provider" in health.detail
    assert "opencode auth login" in health.remedy
