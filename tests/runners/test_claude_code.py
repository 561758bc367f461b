"""What the claude-code runtime does with a step and with the CLI's words, without the real CLI."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from pydantic import JsonValue

from engine_mcp.core.agent import AgentReport, AgentTask
from engine_mcp.core.brief import Prompt
from engine_mcp.core.budget import Usage
from engine_mcp.core.plan import Mode, Permissions, StepSpec
from engine_mcp.runners.claude_launch import Launch, Opening, first_lines
from engine_mcp.runners.claude_lines import Reading
from engine_mcp.runners.claude_permissions import granted, objection
from engine_mcp.runners.claude_result import without_result
from engine_mcp.runners.claude_settings import UserSettings, has_session, user_settings
from tests.runners.host import RecordingHost
from tests.runners.stands.claude_code import ClaudeCodeStand
from tests.runners.stands.stand import PIECES, PROMPT, Place, Scenario, task

SESSION = "0190a000-0000-7000-8000-000000000001"
READ = ("Read", "Grep", "Glob")
WRITE = (*READ, "Edit", "Write", "NotebookEdit")
Said = dict[str, JsonValue]


def permitted(mode: Mode, *names: str) -> Permissions:
    return Permissions(mode=mode, allowed_tools=names)


def attempt(text: str = "Do it.", **more: object) -> AgentTask:
    step = StepSpec(id="a", task=text, permissions=Permissions(mode=Mode.READ))
    given = {"step": step, "project": "/p", "prompt": Prompt(system="Be good.", text=text, again="Go on.")}
    return AgentTask(execution_id="e", number=1, **{**given, **more})  # type: ignore[arg-type] - as named


def launch(settings: UserSettings | None = None, **environ: str) -> Launch:
    return Launch("/bin/claude", environ, settings or UserSettings(), 2)


def prompt_of(lines: bytes) -> tuple[Said, str]:
    start, said = (json.loads(line) for line in lines.splitlines())
    return start["request"], said["message"]["content"]


def read(*said: Said, fresh: bool = True) -> tuple[Reading, list[AgentReport]]:
    reading = Reading(fresh=fresh)
    return reading, [news for line in said for news in reading.take(json.dumps(line).encode())]


def streamed(event: Said, parent: str | None = None) -> Said:
    return {"type": "stream_event", "event": event, "parent_tool_use_id": parent}


def started(message: str) -> Said:
    return streamed({"type": "message_start", "message": {"id": message, "model": "m"}})


def delta(text: str, parent: str | None = None) -> Said:
    return streamed({"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}}, parent)


def counted(tokens_in: int, tokens_out: int) -> Said:
    usage: Said = {"input_tokens": tokens_in, "output_tokens": tokens_out}
    return streamed({"type": "message_delta", "usage": usage})


def ended(**more: JsonValue) -> Said:
    since: Said = {"m": {"inputTokens": 1000, "outputTokens": 200, "costUSD": 0.008, "costBasis": "list"}}
    return {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "result": "done",
        "total_cost_usd": 5.0,
        "model_usage_since_last_result": since,
        **more,
    }


def code(**more: JsonValue) -> str:
    reading, _ = read(ended(**more))
    assert reading.ending is not None
    return reading.ending.failure.code if reading.ending.failure else ""


def used(news: Sequence[AgentReport]) -> Usage:
    host = RecordingHost()
    host.reports += news
    return host.used()


# --- permissions


@pytest.mark.parametrize(
    ("permissions", "tools"),
    [
        (Permissions(mode=Mode.NONE), ()),
        (Permissions(mode=Mode.READ), READ),
        (Permissions(mode=Mode.WRITE), WRITE),
        (permitted(Mode.WRITE), ()),
        (permitted(Mode.READ, "files.read", "files.write"), ("Read", "Grep")),
        (permitted(Mode.NONE, "files.read"), ()),
        (permitted(Mode.READ, "files.stat", "web"), ("Glob", "WebFetch", "WebSearch")),
    ],
)
def test_a_step_gets_the_tools_of_its_permissions_and_no_others(
    permissions: Permissions, tools: tuple[str, ...]
) -> None:
    assert granted(permissions).tools == tools
    assert granted(permissions).rules == tools


def test_the_shell_is_granted_by_pattern() -> None:
    found = granted(permitted(Mode.READ, "shell(git *)", "shell(make, or so)"))
    assert found.tools == ("Bash",)
    assert found.rules == ("Bash(git *)", "Bash(make, or so)")
    assert granted(permitted(Mode.READ, "shell", "shell(git *)")).rules == ("Bash",)


@pytest.mark.parametrize("name", ["script", "artifact", "web(example.com)", "mcp__x__y", "Bash"])
def test_what_cannot_be_granted_is_an_objection(name: str) -> None:
    assert objection(permitted(Mode.WRITE, "files.read", name))


def test_what_can_be_granted_is_no_objection() -> None:
    named = ("files.read", "files.list", "files.stat", "files.write", "shell", "shell(git *)", "web")
    assert not objection(permitted(Mode.WRITE, *named))
    assert not objection(Permissions())


# --- the start


def test_the_command_line_names_session_model_money_and_tools() -> None:
    task = attempt(model="claude-haiku-5-5", reserved=Usage(cost_micros=1_250_000))
    argv = launch().program(task, Opening(SESSION)).argv
    flags = dict(pairwise(argv))
    assert flags["--session-id"] == SESSION
    assert flags["--model"] == "claude-haiku-5-5"
    assert flags["--max-budget-usd"] == "1.250000"
    assert flags["--tools"] == "Read,Grep,Glob"
    assert json.loads(flags["--settings"]) == {"permissions": {"allow": list(READ)}}
    assert json.loads(flags["--mcp-config"]) == {"mcpServers": {}}
    assert {"--restricted", "--strict-mcp-config"} < set(argv)


def test_what_is_not_set_is_not_named() -> None:
    argv = launch().program(attempt(), Opening(None)).argv
    assert not {"--model", "--max-budget-usd", "--session-id", "--resume"} & set(argv)


def test_neither_the_prompt_nor_the_system_prompt_is_on_the_command_line() -> None:
    task = attempt("secret plans " * 20_000)
    request, prompt = prompt_of(first_lines(task, Opening(SESSION)))
    assert request["appendSystemPrompt"] == "Be good."
    assert prompt == task.prompt.text
    assert "secret plans" not in " ".join(launch().program(task, Opening(SESSION)).argv)


def test_a_session_that_goes_on_is_told_to_go_on() -> None:
    assert Opening(SESSION, goes_on=True).flags == ("--resume", SESSION)
    assert prompt_of(first_lines(attempt(), Opening(SESSION, goes_on=True)))[1] == "Go on."


def test_a_prompt_that_looks_like_a_command_stays_a_prompt() -> None:
    assert prompt_of(first_lines(attempt("/clear the table"), Opening(SESSION)))[1] == "\n/clear the table"


def test_only_the_schema_of_an_object_is_asked_for_as_structured_output() -> None:
    for kind, asked in (("object", True), ("array", False)):
        step = StepSpec(id="a", task="t", output_schema={"type": kind})
        assert ("jsonSchema" in prompt_of(first_lines(attempt(step=step), Opening(None)))[0]) is asked


def test_the_environment_has_what_a_login_needs_and_nothing_of_the_session_around_it() -> None:
    around = {"CLAUDECODE": "1", "CLAUDE_CODE_ENTRYPOINT": "cli", "CLAUDE_PROJECT_DIR": "/", "AI_AGENT": "x"}
    login = {"ANTHROPIC_API_KEY": "k", "CLAUDE_CODE_USE_BEDROCK": "1", "AWS_PROFILE": "p"}
    env = launch(None, **around, **login, PRIVATE="s").env()
    assert login.items() <= env.items()
    assert not env.keys() & {*around, "PRIVATE"}
    assert env["CLAUDE_CODE_MAX_RETRIES"] == "2"


def test_of_the_users_settings_the_login_is_kept_and_nothing_that_widens(tmp_path: Path) -> None:
    settings: Said = {
        "apiKeyHelper": "print-key",
        "env": {"ANTHROPIC_BASE_URL": "http://gateway", "LD_PRELOAD": "x", "ANTHROPIC_LOG": 1},
        "permissions": {"allow": ["Bash(*)"]},
        "hooks": {"PreToolUse": []},
    }
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    found = user_settings({"HOME": str(tmp_path)})
    assert found == UserSettings({"ANTHROPIC_BASE_URL": "http://gateway"}, {"apiKeyHelper": "print-key"})
    argv = launch(found).program(attempt(), Opening(None)).argv
    assert json.loads(argv[argv.index("--settings") + 1])["apiKeyHelper"] == "print-key"
    assert launch(found).env()["ANTHROPIC_BASE_URL"] == "http://gateway"


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"env": []}'])
def test_settings_that_cannot_be_read_are_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "settings.json").write_text(text, encoding="utf-8")
    assert user_settings({"CLAUDE_CONFIG_DIR": str(tmp_path)}) == UserSettings()


def test_a_session_is_there_once_its_transcript_is(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    assert not has_session(environ, SESSION)
    folder = tmp_path / ".claude" / "projects" / "-elsewhere"
    folder.mkdir(parents=True)
    (folder / f"{SESSION}.jsonl").touch()
    assert has_session(environ, SESSION)


# --- what comes out


def test_messages_are_parted_in_the_text_and_counted_as_requests() -> None:
    reading, news = read(started("1"), delta("I "), delta("look"), started("2"), delta("Done"))
    assert reading.text == "I look\n\nDone"
    assert "".join(report.text for report in news) == reading.text
    assert used(news).requests == 2


def test_the_words_of_a_subagent_are_not_the_answer() -> None:
    reading, _ = read(started("1"), delta("answer"), delta("its thoughts", "toolu_1"))
    assert reading.text == "answer"


def test_a_message_that_was_not_streamed_is_told_once() -> None:
    whole: Said = {"id": "7", "model": "m", "content": [{"type": "text", "text": "whole"}]}
    reading, news = read({"type": "assistant", "message": whole}, {"type": "assistant", "message": whole})
    assert reading.text == "whole"
    assert used(news).requests == 1


def test_tool_calls_retries_and_long_calls_are_progress() -> None:
    call: Said = {"type": "tool_use", "name": "Bash", "input": {"command": "make\n  test"}}
    spoken: Said = {"id": "1", "model": "m", "content": [call]}
    retry: Said = {
        "subtype": "api_retry",
        "attempt": 1,
        "max_retries": 2,
        "error_status": 529,
        "error": "full",
    }
    busy: Said = {"type": "tool_progress", "tool_name": "Bash", "elapsed_time_seconds": 30}
    _, news = read(started("1"), {"type": "assistant", "message": spoken}, {"type": "system", **retry}, busy)
    told = [report.progress.message for report in news if report.progress]
    assert told == ["turn 1", "Bash make test", "retry 1 of 2: full (HTTP 529)", "Bash, for 30 s"]
    assert [report.progress.done for report in news if report.progress] == [1, 1, 1, 1]


def test_use_is_told_as_it_comes_and_only_once() -> None:
    reading, news = read(started("1"), counted(600, 100), started("2"), ended())
    expected = Usage(tokens_in=1000, tokens_out=200, requests=2, cost_micros=8000, cost_basis="reported")
    assert used(news) == reading.used == expected
    assert used(news[:2]) == Usage(tokens_in=600, tokens_out=100, requests=1, cost_basis="unpriced")
    assert reading.untold is None


def test_the_money_of_a_session_is_never_taken_for_that_of_an_attempt() -> None:
    usage: Said = {"input_tokens": 1000, "output_tokens": 200}
    line = ended(model_usage_since_last_result=None, usage=usage)
    fresh, _ = read(line)
    assert (fresh.used.cost_micros, fresh.used.cost_basis) == (5_000_000, "reported")
    resumed, _ = read(line, fresh=False)
    assert (resumed.used.cost_micros, resumed.used.cost_basis) == (0, "unpriced")
    assert resumed.used.tokens_in == 1000


def test_the_cost_of_a_model_without_a_price_is_an_estimate() -> None:
    since: Said = {"m": {"inputTokens": 1, "outputTokens": 1, "costUSD": 0.1, "costBasis": "unknown"}}
    reading, _ = read(ended(model_usage_since_last_result=since))
    assert reading.used.cost_basis == "estimated"


def test_without_a_result_line_the_use_has_no_price() -> None:
    reading, news = read(started("1"), counted(600, 100))
    assert used(news).cost_basis == "unpriced"
    assert reading.untold is not None


def test_an_answer_that_was_cut_by_force_has_at_least_used_what_it_read() -> None:
    begun: Said = {
        "id": "m1",
        "model": "m",
        "usage": {"input_tokens": 700, "cache_read_input_tokens": 30, "output_tokens": 1},
    }
    start = streamed({"type": "message_start", "message": begun})
    cut = Usage(tokens_in=700, tokens_out=1, cache_read=30, cost_basis="unpriced")
    assert read(start)[0].untold == AgentReport(usage=cut, model="m")
    told = Usage(cache_read=30, cost_basis="unpriced")
    assert read(start, counted(700, 9))[0].untold == AgentReport(usage=told, model="m")
    assert read()[0].untold is None


def test_totals_that_come_twice_count_once() -> None:
    reading, _ = read(started("m1"), counted(0, 9), counted(0, 12), started("m2"))
    assert reading.used == Usage(tokens_out=12, requests=2)


def test_denials_are_told_and_the_answer_stands() -> None:
    denial: Said = {"tool_name": "Write"}
    reading, news = read(ended(permission_denials=[denial, {"tool_name": "Bash"}, denial]))
    assert reading.ending is not None
    assert (reading.ending.output, reading.ending.failure) == ("done", None)
    assert news[-1].progress is not None
    assert news[-1].progress.message == "denied: Write (2 times), Bash"


def test_structured_output_is_the_output() -> None:
    reading, _ = read(ended(structured_output={"n": 3}))
    assert reading.ending is not None
    assert reading.ending.output == {"n": 3}


@pytest.mark.parametrize(
    ("expected", "line"),
    [
        ("", {}),
        ("spending_limit", {"subtype": "error_max_budget_usd", "is_error": True, "result": None}),
        ("turn_limit", {"subtype": "error_max_turns", "is_error": True, "errors": ["too many"]}),
        ("runtime_failed", {"subtype": "error_during_execution", "is_error": True, "result": None}),
        ("context_overflow", {"is_error": True, "terminal_reason": "prompt_too_long"}),
        ("refused", {"is_error": True, "stop_reason": "refusal"}),
        ("truncated", {"stop_reason": "max_tokens"}),
        ("truncated", {"is_error": True, "result": "exceeded the 128000 output token maximum."}),
        ("context_overflow", {"is_error": True, "result": "has reached its context window limit."}),
        ("unauthorized", {"is_error": True, "result": "Not logged in · Please run /login"}),
        ("unauthorized", {"is_error": True, "api_error_status": 401, "result": "Invalid API key"}),
        ("overloaded", {"is_error": True, "api_error_status": 529, "api_error_type": "overloaded_error"}),
        (
            "credit_exhausted",
            {"is_error": True, "api_error_status": 400, "result": "Credit balance is too low"},
        ),
        ("unreachable", {"is_error": True, "result": "API Error: Connection refused"}),
    ],
)
def test_a_result_line_says_how_it_went_whatever_the_exit_code(expected: str, line: Said) -> None:
    assert code(**line) == expected


def test_a_session_that_is_not_there_is_told_from_other_errors() -> None:
    words: list[JsonValue] = ["No conversation found with session ID: 1"]
    line = ended(subtype="error_during_execution", is_error=True, result=None, errors=words)
    reading, news = read({**line, "model_usage_since_last_result": None, "usage": {"input_tokens": 0}})
    assert reading.ending is not None
    assert reading.ending.lost
    assert used(news) == Usage()


def test_arguments_that_it_does_not_know_are_those_of_another_version() -> None:
    failure = without_result(1, "error: unknown option '--restricted'\n", began=False)
    assert failure.code == "runtime_missing"
    assert "--restricted" in failure.message


def test_an_end_without_a_result_says_what_stood_on_stderr() -> None:
    failure = without_result(-9, "no more memory\n", began=True)
    assert failure.code == "runtime_failed"
    assert "no more memory" in failure.message
    assert "-9" in failure.message
    assert without_result(None, "", began=True).message


@pytest.mark.parametrize(
    "line", [b"", b"no JSON", b"[]", b"3", b'{"type": "result"}', b'{"type": "assistant"}', b"[" * 90_000]
)
def test_lines_of_unknown_shape_are_passed_over(line: bytes) -> None:
    reading = Reading(fresh=True)
    assert not reading.take(line)
    assert reading.ending is None


# --- sessions that are not as they seem


def transcript(place: Place, session: str) -> Path:
    """Where the fake keeps a session."""
    folder = place.home / ".claude" / "projects" / "fake"
    folder.mkdir(parents=True)
    return folder / f"{session}.jsonl"


async def answered(place: Place, *, begun: bool) -> RecordingHost:
    host, stand = RecordingHost(), ClaudeCodeStand()
    with anyio.fail_after(20):
        runner = stand.runner(Scenario.SAYS, place, 10)
        result = await runner.run(task(place, session=SESSION, begun=begun), host)
    assert result.output == "".join(PIECES)
    return host


@pytest.mark.anyio
async def test_a_session_that_was_begun_without_our_knowledge_goes_on(place: Place) -> None:
    transcript(place, SESSION).write_text("{}\n", encoding="utf-8")
    host = await answered(place, begun=False)
    assert host.sessions == []
    assert PROMPT.again in place.note("prompt")


@pytest.mark.anyio
async def test_another_session_is_begun_where_the_transcript_holds_nothing(place: Place) -> None:
    transcript(place, SESSION).touch()
    host = await answered(place, begun=True)
    (another,) = host.sessions
    assert another != SESSION
    assert f"--session-id\n{another}" in place.note("argv")
    assert PROMPT.text in place.note("prompt")


@pytest.mark.anyio
async def test_health_tells_path_version_and_login(place: Place) -> None:
    health = await ClaudeCodeStand().runner(Scenario.SAYS, place, 10).health()
    assert (health.usable, health.version) == (True, "2.1.329")
    assert health.detail == f"{place.root / 'bin' / 'claude'}, logged in (api key)"


def test_a_result_tells_how_large_the_windows_of_its_models_are() -> None:
    since: Said = {"m": {"inputTokens": 1, "outputTokens": 1, "costUSD": 0.1, "contextWindow": 200_000}}
    reading, _ = read(ended(model_usage_since_last_result=since))
    assert reading.ending is not None
    assert reading.ending.windows == {"m": 200_000}
