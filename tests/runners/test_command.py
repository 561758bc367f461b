"""The runner for any CLI: templates, what is called, what is read, what is refused."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from engine_mcp.core.agent import AgentResult
from engine_mcp.core.plan import Mode, Permissions, StepSpec
from engine_mcp.core.route import Route
from engine_mcp.errors import InvalidArgument
from engine_mcp.runners.command import CommandRunner
from engine_mcp.runners.command_output import values
from engine_mcp.runners.command_ready import ready
from engine_mcp.runners.command_template import Template, load
from engine_mcp.runners.secrecy import HIDDEN
from tests.runners.host import RecordingHost
from tests.runners.stands.command import NDJSON
from tests.runners.stands.stand import PROMPT, Place, Scenario, task

LONGEST_S = 20
MODES: JsonValue = {"read": [], "write": []}
Raw = dict[str, JsonValue]


def script(place: Place, text: str) -> None:
    path = place.root / "bin" / "cli"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


async def ran(
    place: Place, raw: Raw, host: RecordingHost | None = None, *, model: str | None = None
) -> AgentResult:
    template = load({"argv": ["cli"], "modes": MODES, **raw})
    runner = CommandRunner("command:cli", template, environ=place.environ(), stall_s=5)
    with anyio.fail_after(LONGEST_S):
        return await runner.run(replace(task(place), model=model), host or RecordingHost())


# --- what is called


@pytest.mark.anyio
@pytest.mark.req("003:L21", "003:L22")
async def test_a_declared_command_does_a_step_with_its_prompt_on_stdin(place: Place) -> None:
    script(place, "cat; echo; echo done")
    result = await ran(place, {})
    assert result.failure is None
    assert result.output == f"{PROMPT.system}\n\n{PROMPT.text}\ndone"


@pytest.mark.anyio
async def test_text_is_told_line_by_line(place: Place) -> None:
    script(place, "echo one; echo two")
    host = RecordingHost()
    await ran(place, {}, host)
    assert [report.text for report in host.reports if report.text] == ["one\n", "two\n"]


@pytest.mark.anyio
async def test_a_prompt_as_argument_is_one_argument_whatever_it_holds(place: Place) -> None:
    script(place, 'for word in "$@"; do echo "<$word>"; done; cat')
    result = await ran(place, {"argv": ["cli", "{prompt}", "$HOME", "*", "`id`"], "prompt": "argument"})
    assert result.output == f"<{PROMPT.system}\n\n{PROMPT.text}>\n<$HOME>\n<*>\n<`id`>"


@pytest.mark.anyio
async def test_a_prompt_in_a_file_is_ours_alone_and_gone_afterwards(place: Place) -> None:
    script(place, 'ls -l "$1" | cut -c1-10; echo "$1"')
    result = await ran(place, {"argv": ["cli", "{prompt_file}"], "prompt": "file"})
    assert isinstance(result.output, str)
    rights, path = result.output.splitlines()
    assert rights == "-rw-------"
    assert not await anyio.Path(path).exists()


@pytest.mark.anyio
@pytest.mark.parametrize(("model", "called"), [("m1", "--model m1 --m=m1 end"), (None, "end")])
async def test_an_argument_without_its_value_is_left_out_with_its_group(
    place: Place, model: str | None, called: str
) -> None:
    script(place, 'echo "$@"')
    result = await ran(place, {"argv": ["cli", ["--model", "{model}"], "--m={model}", "end"]}, model=model)
    assert result.output == called


@pytest.mark.anyio
async def test_values_are_put_in_once_and_never_looked_at_again(place: Place) -> None:
    script(place, 'echo "$@"')
    assert (await ran(place, {"argv": ["cli", "{model}"]}, model="{project}")).output == "{project}"


@pytest.mark.anyio
async def test_a_prompt_too_long_for_an_argument_is_told_and_not_called_missing(place: Place) -> None:
    script(place, "echo never")
    result = await ran(place, {"argv": ["cli", "{prompt}{model}"], "prompt": "argument"}, model="x" * 200_000)
    assert result.failure is not None
    assert result.failure.code == "request_rejected"


@pytest.mark.anyio
async def test_the_environment_is_what_the_template_grants(place: Place) -> None:
    script(place, 'echo "$GIVEN $ANTHROPIC_API_KEY $ENGINE_SECRET"')
    result = await ran(place, {"env": {"GIVEN": "given"}, "pass_env": ["ANTHROPIC_*"]})
    assert result.output == f"given {HIDDEN} "


@pytest.mark.anyio
async def test_the_arguments_of_the_mode_are_put_in(place: Place) -> None:
    script(place, 'echo "$@"')
    modes: Raw = {"modes": {"read": ["--sandbox", "ro"]}, "argv": ["cli", "a", "{mode}", "b"]}
    assert (await ran(place, modes)).output == "a --sandbox ro b"


# --- what is read


@pytest.mark.anyio
async def test_the_use_of_a_session_that_goes_on_is_what_was_added(place: Place) -> None:
    place.install("fake-cli", "command_fake", Scenario.SAYS)
    runner = CommandRunner("command", load(NDJSON), environ=place.environ(), stall_s=10)
    first = RecordingHost()
    await runner.run(task(place, session="announced"), first)
    second = RecordingHost(memory=first.memory)
    await runner.run(task(place, session=first.sessions[0], begun=True), second)
    for host in (first, second):
        used = host.used()
        assert (used.tokens_in, used.tokens_out, used.cache_read) == (1000, 200, 400)
        assert (used.cost_micros, used.cost_basis, used.requests) == (250_000, "reported", 1)


@pytest.mark.anyio
async def test_the_use_of_each_line_is_added_where_it_is_not_a_total(place: Place) -> None:
    script(place, """echo '{"a": "x", "n": 3}'; echo '{"a": "y", "n": 4}'""")
    host = RecordingHost()
    result = await ran(place, {"output": "ndjson", "answer": "a", "usage": {"tokens_out": "n"}}, host)
    assert result.output == "y"
    assert host.used().tokens_out == 7
    assert host.used().cost_basis == "unpriced"


@pytest.mark.anyio
async def test_an_error_that_the_output_tells_fails_the_attempt_though_it_exits_well(place: Place) -> None:
    script(place, """echo '{"error": {"message": "rate limit reached"}}'""")
    result = await ran(place, {"output": "json", "answer": "response", "error": "error.message"})
    assert result.failure is not None
    assert result.failure.code == "rate_limited"
    assert "rate limit reached" in result.failure.message


@pytest.mark.anyio
async def test_an_answer_may_be_any_json(place: Place) -> None:
    script(place, """echo '{"answer": {"files": ["a"]}}'""")
    assert (await ran(place, {"output": "json", "answer": "answer"})).output == {"files": ["a"]}


@pytest.mark.anyio
@pytest.mark.parametrize("said", ["null", "{}", '{"answer": null}', "[[[" * 5000, "", "\\377\\376"])
async def test_output_without_an_answer_is_a_failure(place: Place, said: str) -> None:
    script(place, f"printf '{said}'")
    result = await ran(place, {"output": "json", "answer": "answer"})
    assert result.failure is not None
    assert result.failure.code == "runtime_failed"


@pytest.mark.anyio
async def test_lines_that_are_no_json_are_passed_over(place: Place) -> None:
    script(place, """echo 'Loading ...'; echo '{"a": "x"}'; echo; echo '['; printf '{"a": "tor'""")
    assert (await ran(place, {"output": "ndjson", "answer": "a"})).output == "x"


@pytest.mark.anyio
async def test_an_interrupted_cli_may_still_tell_its_use(place: Place) -> None:
    script(
        place,
        """trap 'echo "{\\"n\\": 7}"; exit' INT; echo '{"type": "up"}'; while :; do sleep 0.05; done""",
    )
    host = RecordingHost()
    raw: Raw = {"output": "ndjson", "answer": "a", "usage": {"tokens_in": "n"}}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ran, place, raw, host)
        with anyio.fail_after(LONGEST_S):
            await host.told.wait()
        tasks.cancel_scope.cancel()
    assert host.used().tokens_in == 7


@pytest.mark.anyio
async def test_a_cli_that_closes_its_output_and_never_ends_has_stalled(place: Place) -> None:
    script(place, "echo one; exec >&- 2>&-; sleep 600")
    template = load({"argv": ["cli"], "modes": MODES})
    runner = CommandRunner("command", template, environ=place.environ(), stall_s=0.5, grace_s=0.5)
    with anyio.fail_after(LONGEST_S):
        result = await runner.run(task(place), RecordingHost())
    assert result.failure is not None
    assert result.failure.code == "runtime_stalled"
    assert result.output == "one"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b", [1]),
        ("a.*", [1, 2]),
        ("list.1.x", [6]),
        ("list.*.x", [5, 6]),
        ("a.b.c", []),
        ("list.9", []),
        ("none.x", []),
    ],
)
def test_paths_lead_into_objects_and_lists(path: str, found: list[JsonValue]) -> None:
    document: JsonValue = {"a": {"b": 1, "c": 2}, "list": [{"x": 5}, {"x": 6}], "none": None}
    assert values(document, path) == found


# --- what goes wrong


@pytest.mark.anyio
@pytest.mark.req("002:L90", "002:L166")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("echo 'Not logged in' >&2; exit 1", "unauthorized"),
        ("echo 'unexpected status 429 Too Many Requests' >&2; exit 1", "rate_limited"),
        ('echo "You\'ve hit your usage limit." >&2; exit 1', "quota_exhausted"),
        ("echo 'HTTP 402: pay first' >&2; exit 1", "credit_exhausted"),
        ("echo 'getaddrinfo ENOTFOUND api.test' >&2; exit 1", "host_network"),
        ("echo 'stream disconnected before completion' >&2; exit 1", "unreachable"),
        ("echo 'ENOSPC: no space left on device' >&2; exit 1", "storage"),
        ("no-such-program-here", "runtime_missing"),
        ("exit 126", "runtime_missing"),
        ("echo 'error: unknown option --exec' >&2; exit 2", "runtime_missing"),
        ("echo 'it broke' >&2; exit 9", "runtime_failed"),
        ("kill -SEGV $$", "runtime_failed"),
    ],
)
async def test_how_a_cli_ends_decides_the_code(place: Place, text: str, code: str) -> None:
    script(place, text)
    result = await ran(place, {})
    assert result.failure is not None
    assert result.failure.code == code


@pytest.mark.anyio
async def test_a_cli_that_ends_well_without_an_answer_is_asked_for_its_last_words(place: Place) -> None:
    script(place, "echo 'Overloaded, try later' >&2")
    result = await ran(place, {"output": "json", "answer": "answer"})
    assert result.failure is not None
    assert result.failure.code == "overloaded"


@pytest.mark.anyio
@pytest.mark.parametrize("what", ["no program", "not executable", "no machine code"])
async def test_a_program_that_cannot_be_started_is_missing(place: Place, what: str) -> None:
    path = place.root / "bin" / "cli"
    if what != "no program":
        path.write_bytes(b"\x7fELF and no more")
        path.chmod(0o644 if what == "not executable" else 0o755)
    result = await ran(place, {})
    assert result.failure is not None
    assert result.failure.code == "runtime_missing"
    assert "cli cannot be started" in result.failure.message


# --- routes and costs


@pytest.mark.parametrize(("name", "pool"), [("command:cli", "command cli"), ("command", "command")])
def test_a_route_names_the_template_as_the_account(name: str, pool: str) -> None:
    runner = CommandRunner(name, Template(argv=("cli",)), environ={}, stall_s=1)
    assert runner.route("m") == Route(runtime=name, family=pool, pool=pool, model="m")


def test_a_cost_is_told_where_the_template_says_so() -> None:
    told = CommandRunner("command", load(NDJSON), environ={}, stall_s=1)
    untold = CommandRunner("command", Template(argv=("cli",)), environ={}, stall_s=1)
    assert told.tells_cost
    assert not untold.tells_cost
    assert untold.bounds == frozenset()


# --- what is refused


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({}, "argv"),
        ("codex exec", None),
        ({"argv": []}, "argv"),
        ({"argv": [["cli"]]}, "argv"),
        ({"argv": ["cli", "{promt}"]}, "argv.1"),
        ({"argv": ["cli", ["--mode={mode}"]]}, "argv.1"),
        ({"argv": ["cli", "{prompt}"]}, "argv"),
        ({"argv": ["cli"], "prompt": "argument"}, "argv"),
        ({"argv": ["cli"], "prompt": "telepathy"}, "prompt"),
        ({"argv": ["cli"], "env": {"A": 1}}, "env.A"),
        ({"argv": ["cli"], "usage": {"tokens": "x"}}, "usage.tokens"),
        ({"argv": ["cli"], "output": "ndjson"}, "answer"),
        ({"argv": ["cli"], "answer": "x"}, "answer"),
        ({"argv": ["cli"], "output": "json", "answer": "x", "done": {"a": 1}}, "done"),
        ({"argv": ["cli"], "modes": {"read": ["--ro"]}}, "argv"),
        ({"argv": ["cli"], "modes": {"all": []}}, "modes.all"),
        ({"argv": ["cli"], "shell": True}, "shell"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_by_the_field(raw: object, field: str | None) -> None:
    with pytest.raises(InvalidArgument) as refused:
        load(raw)
    told = refused.value.field or ""
    assert told.startswith(field or "")
    assert field is None or field in refused.value.message


def step(mode: Mode, *tools: str) -> StepSpec:
    permissions = Permissions(mode=mode, allowed_tools=tools or None)
    return StepSpec(id="s", task="t", permissions=permissions)


def test_a_step_is_refused_whose_permissions_the_command_is_not_known_to_keep() -> None:
    template = Template(argv=("cli",))
    runner = CommandRunner("command:cli", template, environ={}, stall_s=1)
    assert runner.objection(step(Mode.WRITE)) == ""
    assert "read" in runner.objection(step(Mode.READ))
    assert "none" in runner.objection(step(Mode.NONE))
    assert "shell" in runner.objection(step(Mode.WRITE, "shell"))
    assert "files.read" in runner.objection(step(Mode.WRITE, "files.read"))


# --- templates that come along, and health


def test_codex_is_called_as_its_version_understands() -> None:
    codex = ready()["codex"]
    values = {"model": "gpt-x", "session": "T"}
    read = ("--config", 'sandbox_mode="read-only"', "--config", 'web_search="disabled"')
    assert codex.call(values, Mode.READ) == (
        *("codex", "exec", "--json", "--skip-git-repo-check"),
        *(*read, "--model", "gpt-x", "-"),
    )
    assert codex.call({"session": "T"}, Mode.READ, resume=True) == (
        *("codex", "exec", "resume", "--json", "--skip-git-repo-check"),
        *(*read, "T", "-"),
    )


def test_gemini_is_denied_what_no_step_was_granted() -> None:
    argv = ready()["gemini"].call({"model": "gemini-x"}, Mode.WRITE)
    policy = Path(argv[argv.index("--policy") + 1])
    assert {"run_shell_command", "web_fetch"} <= set(tomllib.loads(policy.read_text())["rule"][0]["toolName"])
    assert argv[-4:] == ("--approval-mode", "auto_edit", "--model", "gemini-x")


@pytest.mark.anyio
async def test_what_gemini_writes_is_understood(place: Place) -> None:
    tokens: JsonValue = {"prompt": 1000, "candidates": 50, "cached": 400, "total": 1050}
    said: JsonValue = {
        "session_id": "S",
        "response": "Done.",
        "stats": {"models": {"gemini-2.5-pro": {"tokens": tokens}, "gemini-2.5-flash": {"tokens": tokens}}},
    }
    (place.home / "said").write_text(json.dumps(said, indent=2))
    program = place.root / "bin" / "gemini"
    program.write_text('#!/bin/sh\ncat > /dev/null; cat "$HOME/said"\n')
    program.chmod(0o755)
    host = RecordingHost()
    runner = CommandRunner("command:gemini", ready()["gemini"], environ=place.environ(), stall_s=5)
    result = await runner.run(task(place), host)
    assert (result.failure, result.output, host.sessions) == (None, "Done.", ["S"])
    used = host.used(result)
    assert (used.tokens_in, used.cache_read, used.tokens_out) == (1200, 800, 100)


@pytest.mark.anyio
async def test_what_codex_writes_is_understood(place: Place) -> None:
    lines: list[JsonValue] = [
        {"type": "thread.started", "thread_id": "T"},
        {"type": "turn.started"},
        {"type": "item.completed", "item": {"id": "i0", "type": "reasoning", "text": "hm"}},
        {"type": "item.completed", "item": {"id": "i1", "type": "agent_message", "text": "I look."}},
        {"type": "item.completed", "item": {"id": "i2", "type": "agent_message", "text": "Done."}},
        {
            "type": "turn.completed",
            "usage": {"input_tokens": 1000, "cached_input_tokens": 400, "output_tokens": 50},
        },
    ]
    (place.home / "said").write_text("".join(json.dumps(line) + "\n" for line in lines))
    program = place.root / "bin" / "codex"
    program.write_text('#!/bin/sh\ncat > /dev/null; cat "$HOME/said"\n')
    program.chmod(0o755)
    host = RecordingHost()
    runner = CommandRunner("command:codex", ready()["codex"], environ=place.environ(), stall_s=5)
    result = await runner.run(task(place), host)
    assert (result.failure, result.output, host.sessions) == (None, "Done.", ["T"])
    assert host.text == "I look.\nDone.\n"
    used = host.used(result)
    assert (used.tokens_in, used.cache_read, used.tokens_out) == (600, 400, 50)
    assert used.cost_basis == "unpriced"


@pytest.mark.anyio
async def test_health_tells_path_and_version(place: Place) -> None:
    place.install("fake-cli", "command_fake", Scenario.SAYS)
    runner = CommandRunner("command", load(NDJSON), environ=place.environ(), stall_s=10)
    health = await runner.health()
    assert health.usable
    assert health.version == "fake 1.2.3"
    assert str(place.root / "bin" / "fake-cli") in health.detail
    assert await runner.health() is health
    assert await runner.health(fresh=True) is not health


@pytest.mark.anyio
async def test_a_program_that_cannot_tell_its_version_is_not_usable(place: Place) -> None:
    script(place, "echo broken >&2; exit 5")
    runner = CommandRunner("command", load({"argv": ["cli"]}), environ=place.environ(), stall_s=10)
    health = await runner.health()
    assert not health.usable
    assert "broken" in health.detail
    assert "cli --version" in health.remedy
