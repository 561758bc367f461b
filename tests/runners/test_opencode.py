"""What the opencode runner makes of events, of permissions and of a project; the contract has the rest."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from engine_mcp.core.agent import AgentReport, AgentTask
from engine_mcp.core.budget import Usage
from engine_mcp.core.execution import Failure, Progress
from engine_mcp.core.plan import Mode, Permissions, StepSpec
from engine_mcp.runners.calls import called
from engine_mcp.runners.opencode import OpenCodeRunner
from engine_mcp.runners.opencode_config import agent_of, inline, objection, permission
from engine_mcp.runners.opencode_lines import Reading, failure_of, stalled
from engine_mcp.runners.opencode_project import Surveyed, survey
from tests.runners.host import RecordingHost
from tests.runners.stands.opencode import OpenCodeStand
from tests.runners.stands.stand import PROMPT, Place, Scenario, task

ELSEWHERE = Surveyed(path=Path("/srv/project"))
READ = {"*": "allow", "*.env": "deny", "*.env.*": "deny", "*.env.example": "allow"}
FINISH = {"tokens": {"input": 10, "output": 5, "reasoning": 2, "cache": {"read": 3, "write": 4}}, "cost": 0.5}


def line(kind: str, **rest: object) -> bytes:
    return json.dumps({"type": kind, "sessionID": "ses_1", **rest}).encode()


def text(said: str, **more: object) -> bytes:
    return line("text", part={"text": said, **more})


def finish(reason: str, **more: object) -> bytes:
    return line("step_finish", part={**FINISH, "reason": reason, **more})


def error(name: str, **told: object) -> bytes:
    return line("error", error={"name": name, "data": told})


def read(*lines: bytes) -> tuple[Reading, list[AgentReport]]:
    reading = Reading("a/m", "abcdef")
    return reading, [news for each in lines if (news := reading.take(each)) is not None]


def code(*lines: bytes, exit_code: int = 0, errors: str = "") -> str | None:
    failure = failure_of(read(*lines)[0], exit_code, errors)
    return None if failure is None else failure.code


def rules(mode: Mode, *allowed: str, place: Surveyed = ELSEWHERE) -> dict[str, Any]:
    return permission(Permissions(mode=mode, allowed_tools=allowed or None), place)


def step(*allowed: str) -> StepSpec:
    return StepSpec(id="s", task="t", permissions=Permissions(mode=Mode.WRITE, allowed_tools=allowed))


def attempt(*allowed: str, model: str | None = None) -> AgentTask:
    return AgentTask(
        execution_id="e", step=step(*allowed), number=1, project="/p", prompt=PROMPT, model=model
    )


# --- events


@pytest.mark.req("003:L18")
def test_the_answer_is_the_text_of_the_last_step() -> None:
    reading, _ = read(
        line("step_start"),
        text("I look."),
        finish("tool-calls"),
        line("step_start"),
        text("So "),
        text("be it."),
    )
    assert reading.answer == "So be it."
    assert reading.session == "ses_1"


def test_texts_are_told_as_they_come_with_a_gap_between_steps() -> None:
    _, news = read(line("step_start"), text("I "), text("look."), line("step_start"), text("Done."))
    assert "".join(each.text for each in news) == "I look.\n\nDone."


def test_what_the_program_says_to_itself_is_no_text() -> None:
    reading, news = read(text("Continue", metadata={"compaction_continue": True}), text("x", synthetic=True))
    assert (reading.said, news) == ("", [])


def test_a_steps_use_has_its_reasoning_in_the_tokens_out() -> None:
    [news] = read(finish("stop"))[1]
    assert news.usage == Usage(
        tokens_in=10,
        tokens_out=7,
        cache_read=3,
        cache_write=4,
        requests=1,
        cost_micros=500_000,
        cost_basis="reported",
    )


def test_tokens_without_a_cost_are_unpriced() -> None:
    [news] = read(finish("stop", cost=0))[1]
    assert (news.usage.cost_micros, news.usage.cost_basis) == (0, "unpriced")


def test_a_step_that_was_cut_off_is_told_at_what_the_one_before_had_read_and_said() -> None:
    begin = line("step_start", part={})
    assert read(begin, text("x"), finish("stop"))[0].untold is None
    assert read()[0].untold is None
    cut = Usage(tokens_in=4, tokens_out=3, requests=1, cost_basis="unpriced")
    assert read(begin, text("said"))[0].untold == AgentReport(usage=cut, model="a/m")
    later = Usage(tokens_in=24, requests=1, cost_basis="unpriced")
    found = read(begin, text("x"), finish("tool-calls"), begin)[0].untold
    assert found == AgentReport(usage=later, model="a/m")


def test_a_step_that_broke_off_and_was_tried_again_is_paid_for_twice() -> None:
    begin = line("step_start", part={})
    _, news = read(begin, text("said"), begin, text("x"), finish("stop"))
    assert news[2].usage == Usage(tokens_in=4, tokens_out=3, requests=1, cost_basis="unpriced")
    assert sum(each.usage.requests for each in news) == 2
    assert read(begin, begin, begin)[0].broken_off == 2
    assert read(begin, begin, finish("tool-calls"), begin)[0].broken_off == 0


def test_a_tool_call_is_progress_and_says_why_it_failed() -> None:
    done = {"tool": "read", "state": {"status": "completed", "input": {"filePath": "a.py"}}}
    failed = {
        "tool": "bash",
        "state": {"status": "error", "input": {"command": "rm\n  x"}, "error": "refused"},
    }
    _, news = read(line("step_start"), line("tool_use", part=done), line("tool_use", part=failed))
    assert [each.progress for each in news] == [
        Progress(done=1, message="turn 1"),
        Progress(done=1, message="read a.py"),
        Progress(done=1, message="bash rm x: refused"),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"nothing",
        b"[]",
        b"3",
        b'{"type": "text"}',
        b"[" * 100_000,
        line("text"),
        line("step_finish", part={}),
    ],
    ids=range(8),
)
def test_a_line_that_is_no_event_is_passed_over(broken: bytes) -> None:
    assert Reading().take(broken) is None


# --- why a run failed


def test_a_run_is_a_success_where_it_stopped_by_itself_without_an_error() -> None:
    assert code(text("x"), finish("stop")) is None
    assert code(text("x"), finish("stop"), exit_code=1) == "runtime_failed"
    assert failure_of(read(text("x"), finish("stop"))[0], None, "") is None
    assert failure_of(read(text("x"))[0], None, "") is not None
    assert code(text("x"), finish("stop"), error("UnknownError", message="broken")) == "runtime_failed"


def test_reasons_for_the_end_have_codes() -> None:
    assert code(finish("length")) == "truncated"
    assert code(finish("content-filter")) == "refused"
    assert code(finish("tool-calls")) == "runtime_failed"
    assert code(text("only text")) == "runtime_failed"


def test_a_permission_that_nobody_could_give_is_named() -> None:
    asked = "! permission requested: bash (rm -rf *); auto-rejecting\n"
    failure = failure_of(read(finish("tool-calls"))[0], 0, asked)
    assert failure is not None
    assert failure.code == "denied"
    assert "bash (rm -rf *)" in failure.message


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (error("APIError", message="bad key", statusCode=401), "unauthorized"),
        (error("APIError", message="no", statusCode=404), "model_unavailable"),
        (
            error("APIError", message="no", responseBody='{"error": {"type": "overloaded_error"}}'),
            "overloaded",
        ),
        (error("APIError", message="no", responseBody="<html>", statusCode=502), "provider_error"),
        (error("ContextOverflowError", message="too long"), "context_overflow"),
        (error("MessageOutputLengthError"), "truncated"),
        (error("ContentFilterError", message="blocked"), "refused"),
        (error("ProviderAuthError", message="log in"), "unauthorized"),
        (error("UnknownError", message="Unexpected server error."), "runtime_failed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_error_event_is_the_failure(event: bytes, expected: str) -> None:
    assert code(event, error("UnknownError", message="and then"), exit_code=1) == expected


def failed(event: bytes) -> Failure:
    failure = failure_of(read(event)[0], 1, "")
    assert failure is not None
    return failure


def test_a_pause_that_the_provider_asks_for_is_told() -> None:
    for told, asked_s in (("7", 7), ("Sat, 21 Nov 2026 15:24:59 GMT", 7), ("soon", None)):
        event = json.loads(error("APIError", message="rate limit", responseHeaders={"Retry-After": told}))
        event["timestamp"] = 1_795_274_692_000
        failure = failed(json.dumps(event).encode())
        assert (failure.code, failure.retry_after_s) == ("rate_limited", asked_s)


def test_the_code_of_the_providers_error_counts_before_its_status() -> None:
    details = {"error_code": "enforced_spend_limit_reached"}
    body = json.dumps({"error": {"type": "rate_limit_error", "message": "no", "details": details}})
    assert failed(error("APIError", message="no", statusCode=429, responseBody=body)).code == (
        "credit_exhausted"
    )


def test_what_is_worth_trying_again_is_the_providers_fault() -> None:
    assert failed(error("APIError", message="oh", isRetryable=True)).code == "provider_error"
    assert failed(error("APIError", message="oh", isRetryable=False)).code == "runtime_failed"


def test_a_tool_call_is_told_once_by_its_digest_and_use_by_its_model() -> None:
    state = {"status": "running", "input": {"command": "make"}}
    running = {"tool": "bash", "callID": "1", "state": state}
    ended = {**running, "state": {**state, "status": "completed"}}
    _, news = read(line("tool_use", part=running), line("tool_use", part=ended), finish("stop"))
    assert [each.called for each in news] == [called("bash", {"command": "make"}), "", ""]
    assert [each.model for each in news] == ["", "", "a/m"]


def test_an_unknown_model_is_known_by_the_log() -> None:
    log = 'error="ProviderModelNotFoundError: Model not found: a/b. Did you mean: c?" cause="..."'
    failure = failure_of(read(error("UnknownError", message="Unexpected server error."))[0], 1, log)
    assert failure is not None
    assert (failure.code, failure.message) == ("model_unavailable", "Model not found: a/b. Did you mean: c?")


def test_arguments_that_it_does_not_know_are_those_of_another_version() -> None:
    usage = "opencode run [message..]\n\nrun opencode with a message"
    assert code(exit_code=1, errors=usage) == "runtime_missing"


def test_a_stall_tells_the_last_error_that_was_logged() -> None:
    log = 'x error.error="AI_APICallError: first"\nx error.error="AI_APICallError: Slow \\"down\\""\n'
    assert "Slow" in stalled(3, log).message
    assert "first" not in stalled(3, log).message
    assert stalled(3, "").message == "OpenCode said nothing for 3 s, and its processes were idle."


# --- permissions


def test_everything_is_denied_but_what_the_mode_allows() -> None:
    assert rules(Mode.NONE) == {"*": "deny", "external_directory": "deny"}
    reading = {"*": "deny", "glob": "allow", "grep": "allow", "list": "allow", "read": READ}
    assert rules(Mode.READ) == {**reading, "external_directory": "deny"}
    assert rules(Mode.WRITE) == {
        **reading,
        "edit": {"*": "deny", "srv/project/*": "allow"},
        "external_directory": "deny",
    }
    assert next(iter(rules(Mode.WRITE))) == "*"


def test_named_tools_are_allowed_within_the_mode() -> None:
    assert rules(Mode.WRITE, "files.list") == {
        "*": "deny",
        "glob": "allow",
        "list": "allow",
        "external_directory": "deny",
    }
    assert "edit" not in rules(Mode.READ, "files.write")
    nothing = permission(Permissions(mode=Mode.WRITE, allowed_tools=()), ELSEWHERE)
    assert nothing == {"*": "deny", "external_directory": "deny"}


def test_shell_and_web_are_granted_by_name() -> None:
    granted = rules(Mode.NONE, "shell(git *)", "shell(ls)", "web")
    assert granted["bash"] == {"*": "deny", "git *": "allow", "ls": "allow"}
    assert granted["webfetch"] == granted["websearch"] == "allow"
    assert rules(Mode.NONE, "shell", "shell(ls)")["bash"] == "allow"


def test_only_the_project_may_be_written_and_not_the_rest_of_its_repository() -> None:
    within = Surveyed(path=Path("/repo/packages/a"), worktree=Path("/repo"))
    assert rules(Mode.WRITE, place=within)["edit"] == {
        "*": "deny",
        "repo/packages/a/*": "allow",
        "packages/a/*": "allow",
    }
    whole = Surveyed(path=Path("/repo"), worktree=Path("/repo"))
    assert rules(Mode.WRITE, place=whole)["edit"] == {"*": "allow", "../*": "deny"}


def test_the_configuration_starts_nothing_and_has_nothing_to_fill_in() -> None:
    asked = attempt("shell({env:HOME})", "shell({file:x})")
    given = inline(asked, "agent-1", ELSEWHERE, ["mine", "theirs"])
    assert "{env:" not in given
    assert "{file:" not in given
    config = json.loads(given)
    assert config["mcp"] == {"mine": {"enabled": False}, "theirs": {"enabled": False}}
    assert (config["formatter"], config["lsp"], config["share"]) == (False, False, "disabled")
    assert config["agent"]["agent-1"]["permission"]["bash"]["{env:HOME}"] == "allow"


@pytest.mark.parametrize(
    ("model", "declared"),
    [
        ("anthropic/claude-haiku-5-5", {"anthropic": {"models": {"claude-haiku-5-5": {}}}}),
        ("anthropic/other", {}),
        ("fake/claude-haiku-5-5", {}),
        (None, {}),
    ],
)
def test_a_model_of_anthropics_is_declared_and_nothing_is_said_of_it(
    model: str | None, declared: object
) -> None:
    assert json.loads(inline(attempt(model=model), "a", ELSEWHERE, []))["provider"] == declared


def test_an_agent_has_another_name_in_every_attempt() -> None:
    assert agent_of("a/b/1") != agent_of("a/b/2")


def test_what_opencode_cannot_grant_is_an_objection() -> None:
    assert objection(step("files.read", "shell", "shell(git *)", "web")) == ""
    assert "script" in objection(step("files.read", "script"))
    assert "pattern" in objection(step("web(https://example.org/*)"))


# --- a project


def test_instructions_come_from_the_project_up_to_its_repository(tmp_path: Path) -> None:
    project = tmp_path / "repo" / "pack[a]"
    (project / ".opencode").mkdir(parents=True)
    (tmp_path / "repo" / ".git").mkdir()
    for folder in (tmp_path, tmp_path / "repo", project):
        (folder / "AGENTS.md").write_text("x", encoding="utf-8")
    (project / "CLAUDE.md").write_text("x", encoding="utf-8")
    found = survey(str(project), str(tmp_path))
    assert found.worktree == tmp_path / "repo"
    assert found.instructions == (
        f"{tmp_path}/repo/pack[[]a]/AGENTS.md",
        f"{tmp_path}/repo/AGENTS.md",
    )
    assert found.plugins == ()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".opencode/plugin/a.ts", ""),
        (".opencode/plugins/a.js", ""),
        ("opencode.json", '{"plugin": ["./a.ts"]}'),
        (".opencode/opencode.jsonc", '{"plugins": ["a"]}'),
        ("opencode.jsonc", '{"pl\\u0075gin": ["a"]}'),
    ],
)
def test_plugins_of_a_project_and_of_its_parents_are_found(tmp_path: Path, name: str, content: str) -> None:
    home, project = tmp_path / "home", tmp_path / "outer" / "project"
    for folder in (home, project):
        folder.mkdir(parents=True)
    for owner in (tmp_path / "outer", home):
        place = owner / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content, encoding="utf-8")
    assert survey(str(project), str(home)).plugins == (str(tmp_path / "outer" / name),)
    assert survey(str(home), str(home)).plugins == ()


# --- runs of a fake


async def played(place: Place, given: AgentTask) -> tuple[RecordingHost, Any]:
    host = RecordingHost()
    with anyio.fail_after(30):
        return host, await OpenCodeStand().runner(Scenario.SAYS, place, 20).run(given, host)


@pytest.mark.anyio
async def test_a_project_with_plugins_is_refused_unless_the_shell_is_granted(place: Place) -> None:
    plugin = place.project / ".opencode" / "plugin" / "p.ts"
    plugin.parent.mkdir(parents=True)
    plugin.write_text("", encoding="utf-8")
    _, result = await played(place, task(place))
    assert result.failure.code == "denied"
    assert str(plugin) in result.failure.message
    assert place.note("argv") == ""
    _, result = await played(place, with_shell(place))
    assert result.failure is None


def with_shell(place: Place) -> AgentTask:
    given = task(place)
    return AgentTask(
        execution_id=given.execution_id,
        step=step("shell"),
        number=1,
        project=given.project,
        prompt=PROMPT,
        model="-m/odel",
    )


@pytest.mark.anyio
async def test_the_servers_of_the_user_are_switched_off_and_the_model_is_given(place: Place) -> None:
    await played(place, with_shell(place))
    assert json.loads(place.note("config"))["mcp"] == {"of-the-user": {"enabled": False}}
    arguments = place.note("argv").splitlines()
    assert arguments[:2] == ["run", "--format=json"]
    assert "--model=-m/odel" in arguments
    assert f"--agent={agent_of(with_shell(place).mark)}" in arguments
    environ = dict(each.split("=", 1) for each in place.note("environ").splitlines())
    assert environ["OPENCODE_DISABLE_PROJECT_CONFIG"] == "1"
    assert environ["ANTHROPIC_API_KEY"] == place.environ()["ANTHROPIC_API_KEY"]


@pytest.mark.anyio
async def test_where_the_servers_of_the_user_are_not_told_nothing_is_started(place: Place) -> None:
    runner = OpenCodeStand().runner(Scenario.SAYS, place, 20)
    program = place.root / "bin" / "opencode"
    text = program.read_text(encoding="utf-8")
    refused = "import sys\nif 'debug' in sys.argv: sys.exit('no such thing')\n"
    program.write_text(text.replace("import sys\n", refused, 1), encoding="utf-8")
    with anyio.fail_after(30):
        result = await runner.run(task(place), RecordingHost())
    assert result.failure is not None
    assert result.failure.code == "runtime_failed"
    assert "configuration" in result.failure.message
    assert place.note("argv") == ""


@pytest.mark.anyio
async def test_health_names_the_providers_of_the_user_and_asks_once(place: Place) -> None:
    runner = OpenCodeStand().runner(Scenario.SAYS, place, 20)
    assert isinstance(runner, OpenCodeRunner)
    health = await runner.health()
    assert health.usable
    assert health.version == "1.18.33"
    assert health.detail == f"{place.root / 'bin' / 'opencode'} with fake"
    (place.root / "bin" / "opencode").unlink()
    assert await runner.health() == health
