"""The commands, in processes of their own, with their results and exit codes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.plans import APPROVAL, BUDGET, HELD, QUICK
from tests.cli.shell import Shell


@pytest.mark.req("SPEC:11.run", "002:L187")
def test_a_plan_runs_to_its_end_and_its_result_is_one_document(shell: Shell) -> None:
    told = shell.call("run", "--plan", shell.plan(QUICK), "--json")
    assert told.code == 0
    assert told.document["status"] == "completed"
    assert told.document["output"] == 3
    assert [step["status"] for step in told.document["steps"]] == ["completed"] * 3
    assert Path(told.document["snapshot"]).is_file()


def test_a_person_is_told_the_id_first_and_the_result_last(shell: Shell) -> None:
    told = shell.call("run", "--plan", shell.plan(QUICK))
    name = told.err.partition("execution ")[2].split()[0]
    snapshot = shell.executions / name / "snapshot.json"
    assert told.err.splitlines()[1] == f"snapshot  {snapshot}"
    assert {"left: started", "sum: started"} <= set(told.err.splitlines())
    assert "sum: completed in " in told.err
    assert "completed: 3 of 3 steps" in told.out
    assert f"execution {name}" in told.out
    assert "\n\n3\n\n" in told.out
    assert "resume" not in told.out


def test_a_script_gets_its_context_and_its_path(shell: Shell) -> None:
    (shell.project / "note.txt").write_text("from the project")
    code = "return [input.a, await files.read('note.txt')];"
    (shell.project / "context.json").write_text('{"a": 2}')
    script = str(shell.plan(code, "script.js"))
    contexts = ('{"a": 1}', "@context.json", "[1]")
    told, read, refused = shell.all_of(
        [["run", "--code", script, "--json", "--context", each] for each in contexts]
    )
    assert told.document["output"] == [1, "from the project"]
    assert read.document["output"][0] == 2
    assert refused.code == 2


def test_a_tool_is_called_with_typed_arguments(shell: Shell) -> None:
    (shell.project / "note.txt").write_text("0123456789")
    told = shell.call("run", "--tool", "files.read", "--arg", "path=note.txt", "--arg", "limit=4", "--json")
    assert told.document["output"] == "0123"


def test_files_are_written_only_in_the_mode_that_allows_it(shell: Shell) -> None:
    code = "return await files.write('new.txt', 'text');"
    assert shell.run(code).document["steps"][0]["error"]["code"] == "denied"
    assert shell.run(code, "--mode", "write").code == 0
    assert (shell.project / "new.txt").read_text() == "text"


@pytest.mark.req("002:L93", "002:L94")
def test_a_failure_is_told_with_code_hint_and_the_command_that_goes_on(shell: Shell) -> None:
    script = shell.plan("return nothing.at.all;", "script.js")
    told = shell.call("run", "--code", script)
    assert told.code == 1
    assert "main: js_error: ReferenceError: nothing is not defined (line 1)" in told.out
    assert "resume    " in told.out
    again = shell.call("resume", told.err.partition("execution ")[2].split()[0], "--json")
    assert (again.code, again.document["steps"][0]["attempts"]) == (1, 2)


def test_the_same_key_gives_the_same_execution(shell: Shell) -> None:
    first = shell.run("return Math.random();", "--idempotency-key", "one")
    second = shell.run("return Math.random();", "--idempotency-key", "one")
    assert first.document == second.document
    other = shell.run("return 2;", "--idempotency-key", "one")
    assert (other.code, other.document["error"]["code"]) == (2, "idempotency_conflict")


@pytest.mark.req("002:L28", "002:L108")
def test_approval_is_waited_for_and_given_by_the_command_that_is_printed(shell: Shell) -> None:
    told = shell.call("run", "--plan", shell.plan(APPROVAL))
    assert told.code == 3
    assert "paused (approval): 0 of 1 steps" in told.out
    assert "waiting   ask needs approval" in told.out
    command = told.out.partition("resume    ")[2].split()
    assert command[-2:] == ["--approve", "ask"]
    assert shell.type([*command, "--json"]).document["output"] == "approved"


def test_a_denied_step_fails_its_execution(shell: Shell) -> None:
    told = shell.call("run", "--plan", shell.plan(APPROVAL), "--json")
    denied = shell.call("resume", told.document["execution_id"], "--deny", "ask", "--json")
    assert (denied.code, denied.document["steps"][0]["error"]["code"]) == (1, "approval_denied")


@pytest.mark.req("SPEC:4.from-the-command-line-it-pauses")
def test_over_budget_it_pauses_and_the_command_that_is_printed_raises_the_limit(shell: Shell) -> None:
    told = shell.call("run", "--plan", shell.plan(BUDGET))
    assert told.code == 3
    assert "paused (budget)" in told.out
    command = told.out.partition("resume    ")[2].split()
    assert command[-2] == "--max-seconds"
    ended = shell.type([*command[:-1], "60", "--json"])
    assert (ended.code, ended.document["output"]) == (0, "done")


def test_limits_of_the_command_line_replace_those_of_the_plan(shell: Shell) -> None:
    told = shell.call("run", "--plan", shell.plan(BUDGET), "--max-seconds", "50", "--json")
    assert told.code == 0
    assert told.document["budget"] == {"max_seconds": 50, "on_exceed": "pause"}


def test_with_warn_it_goes_on_and_says_so(shell: Shell) -> None:
    told = shell.call("run", "--plan", shell.plan(BUDGET), "--on-exceed", "warn", "--json")
    assert told.code == 0
    assert "seconds limit of 1 was passed" in told.document["warnings"][0]


@pytest.mark.req("SPEC:11.budget")
def test_the_budget_is_shown_and_set(shell: Shell) -> None:
    name = shell.call("run", "--plan", shell.plan(APPROVAL), "--json").document["execution_id"]
    told, shown, reset = shell.all_of(
        [
            ["budget", name, "--max-requests", "7", "--json"],
            ["budget", name],
            ["budget", name, "--reset", "--json"],
        ]
    )
    assert (told.document["limits"]["max_requests"], told.document["remaining"]["requests"]) == (7, 7)
    assert "requests" in shown.out
    assert "max_requests" not in reset.document["limits"]


@pytest.mark.req("SPEC:11.status", "000:6.2.3")
def test_executions_are_listed_newest_first_and_filtered(shell: Shell) -> None:
    first = shell.run("return 1;").document["execution_id"]
    second = shell.run("throw new Error('no');").document["execution_id"]
    listed, failed, lines, none = shell.all_of(
        [
            ["status", "--json"],
            ["status", "--status", "failed", "--json"],
            ["status", "--limit", "1"],
            ["status", "--text", "nothing like it", "--json"],
        ]
    )
    assert [row["execution_id"] for row in listed.document["executions"]] == [second, first]
    assert listed.document["total"] == 2
    assert [row["execution_id"] for row in failed.document["executions"]] == [second]
    assert (lines.out.split()[:2], len(lines.out.splitlines())) == ([second, "failed"], 1)
    assert "1 more" in lines.err
    assert none.document["executions"] == []


@pytest.mark.req("000:6.3.1", "000:6.3.3")
def test_an_id_may_be_cut_short_as_long_as_it_is_unique(shell: Shell) -> None:
    first, second = (shell.run("return 1;").document["execution_id"] for _ in range(2))
    same = next(length for length in range(37) if first[:length] != second[:length])
    unknown = ("ffff", "not-an-id", "%", "")
    told, several, *missing = shell.all_of(
        [["status", name, "--json"] for name in (first[:same], first[: same - 1], *unknown)]
    )
    assert told.document["execution_id"] == first
    assert (several.code, several.document["error"]["code"]) == (2, "invalid_argument")
    assert first in several.document["error"]["message"]
    assert second in several.document["error"]["message"]
    assert len(missing) == len(unknown)
    for told in missing:
        assert (told.code, told.document["error"]["code"]) == (6, "execution_not_found")


@pytest.mark.req("001:L14")
def test_status_of_one_tells_what_to_type_next(shell: Shell) -> None:
    name = shell.call("run", "--plan", shell.plan(APPROVAL), "--json").document["execution_id"]
    told = shell.call("status", name)
    assert told.code == 0
    assert f"resume {name} --approve ask" in told.out


@pytest.mark.req("SPEC:11.show")
def test_an_execution_is_shown_as_a_tree_and_with_its_complete_state(shell: Shell) -> None:
    name = shell.call("run", "--plan", shell.plan(QUICK), "--json").document["execution_id"]
    shown, complete = shell.all_of([["show", name], ["show", name, "--json"]])
    tree, state = shown.out, complete.document
    assert "├── sum  completed  after left, right" in tree
    assert "attempt 1  succeeded" in tree
    assert "output  3" in tree
    assert state["execution_id"] == state["state"]["id"] == name
    assert state["state"]["steps"]["sum"]["output"]["value"] == 3


def test_an_artifact_is_printed_as_it_is(shell: Shell) -> None:
    code = "await tools.artifact({name: 'a.txt', text: 'grüße\\n'}); return 'x'.repeat(40000);"
    document = shell.run(code).document
    name = document["execution_id"]
    assert shell.call("show", name, "--artifact", "a.txt").out == "grüße\n"
    digest = document["artifact"]["digest"]
    assert len(json.loads(shell.call("show", name, "--artifact", digest).out)) == 40000
    shown, missing = shell.all_of([["show", name], ["show", name, "--artifact", "b.txt"]])
    assert "a.txt" in shown.out
    assert missing.code == 2
    assert "Its artifacts are: a.txt" in missing.err


def test_an_execution_is_cancelled_from_another_process(shell: Shell) -> None:
    with shell.started("run", "--plan", shell.plan(HELD), "--json") as call:
        name = call.execution_id
        call.until("second: started")
        other = shell.call("interrupt", name, "--mode", "cancel", "--json")
        assert (other.code, other.document["status"]) == (0, "cancelled")
        told = call.end()
    assert (told.code, told.document["status"]) == (5, "cancelled")
    refused = shell.call("resume", name, "--json").document["error"]
    assert refused["code"] == "execution_finished"
    assert "from_step" not in refused["hint"]


@pytest.mark.req("SPEC:11.limits-from-another-process")
def test_what_runs_elsewhere_can_be_seen_and_limited_but_not_resumed(shell: Shell) -> None:
    with shell.started("run", "--plan", shell.plan(HELD), "--json") as call:
        name = call.execution_id
        call.until("second: started")
        assert shell.call("status", name, "--json").document["status"] == "running"
        owned = shell.call("resume", name, "--json")
        assert (owned.code, owned.document["error"]["code"]) == (7, "execution_owned")
        limited = shell.call("budget", name, "--max-seconds", "300")
        assert limited.code == 0, limited.err
        (shell.project / "go").touch()
        told = call.end()
    assert (told.code, told.document["budget"]["max_seconds"]) == (0, 300)


def test_the_same_key_shows_what_another_process_still_drives(shell: Shell) -> None:
    words = ["run", "--plan", str(shell.plan(HELD)), "--idempotency-key", "held", "--json"]
    with shell.started(*words) as call:
        name = call.execution_id
        call.until("second: started")
        told = shell.call(*words)
        assert (told.code, told.document["execution_id"], told.document["status"]) == (7, name, "running")
        (shell.project / "go").touch()
        assert call.end().code == 0
    assert shell.call(*words).document["output"] == "third after second after kept"


def test_where_no_record_can_be_kept_nothing_is_started(shell: Shell) -> None:
    told = shell.call("run", "--plan", shell.plan(QUICK), "--json", ENGINE_MCP_STATE="/dev/null/state")
    assert (told.code, told.document["error"]["code"]) == (8, "storage")


def test_after_step_lets_the_running_step_end(shell: Shell) -> None:
    with shell.started("run", "--plan", shell.plan(HELD), "--json") as call:
        name = call.execution_id
        call.until("second: started")
        other = shell.call("interrupt", name, "--mode", "after_step")
        assert "will stop: after_step" in other.out
        (shell.project / "go").touch()
        told = call.end()
    assert (told.code, told.document["step_counts"]) == (4, {"completed": 2, "pending": 1})


def test_a_finished_execution_can_neither_be_interrupted_nor_resumed_but_from_a_step(shell: Shell) -> None:
    name = shell.run("return 1;").document["execution_id"]
    interrupted, resumed, again = shell.all_of(
        [["interrupt", name], ["resume", name], ["resume", name, "--from-step", "main", "--json"]]
    )
    assert (interrupted.code, resumed.code) == (9, 9)
    assert (again.code, again.document["steps"][0]["attempts"]) == (0, 2)


def test_a_damaged_record_has_an_exit_code_of_its_own(shell: Shell) -> None:
    name = shell.call("run", "--plan", shell.plan(QUICK), "--json").document["execution_id"]
    journal = next((shell.executions / name).glob("journal-*.jsonl"))
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], lines[1].replace(b"a", b"b"), *lines[2:]]))
    told = shell.call("resume", name, "--from-step", "left", "--json")
    assert (told.code, told.document["error"]["code"]) == (8, "record_corrupt")
    doctor = shell.call("doctor", "--json")
    assert doctor.code == 10
    assert name in " ".join(check["detail"] for check in doctor.document["checks"] if not check["ok"])


@pytest.mark.req("SPEC:11.doctor")
def test_the_doctor_looks_at_everything_and_names_what_is_missing(shell: Shell) -> None:
    told, shown = shell.all_of([["doctor", "--json"], ["doctor"]])
    assert (told.code, told.document["ok"]) == (0, True)
    assert {"version", "settings", "sandbox", "record", "space", "files.read"} <= {
        check["name"] for check in told.document["checks"]
    }
    assert shown.out.startswith("ok   version")
    broken = shell.call("doctor", ENGINE_MCP_STATE="/dev/null/state")
    assert broken.code == 10
    assert "BAD" in broken.out


@pytest.mark.req("SPEC:11.prune", "000:6.4.3", "000:4.3.3")
def test_old_executions_are_pruned_once_it_is_no_dry_run(shell: Shell) -> None:
    name = shell.run("return 1;").document["execution_id"]
    waiting = shell.call("run", "--plan", shell.plan(APPROVAL), "--json").document["execution_id"]
    assert shell.call("prune", "--json").document == {"removed": [], "dry_run": False}
    keeps_none = replace(shell, more={**shell.more, "ENGINE_MCP_RETENTION_COUNT": "0"})
    dry, pruned, listed = keeps_none.all_of(
        [["prune", "--dry-run", "--json"], ["prune"], ["status", "--json"]]
    )
    assert dry.document == {"removed": [name], "dry_run": True}
    assert name in pruned.out
    assert [row["execution_id"] for row in listed.document["executions"]] == [waiting]


def test_another_project_is_named_by_its_path_and_so_is_it_in_the_command_that_goes_on(
    shell: Shell, tmp_path: Path
) -> None:
    other = tmp_path / "the other"
    other.mkdir()
    told = shell.call("run", "--plan", shell.plan(APPROVAL), "--path", other)
    assert f"--path '{other}'" in told.out
    assert list((other / ".engine-mcp/executions").iterdir())
    assert not shell.executions.exists()
    assert shell.call("status", "--path", other, "--json").document["total"] == 1


def test_nobody_reading_the_output_is_no_reason_for_a_traceback(shell: Shell) -> None:
    with shell.started("run", "--plan", shell.plan(QUICK)) as call:
        assert call.process.stdout is not None
        call.process.stdout.close()
        call.process.stdout = None
        told = call.process.communicate(timeout=40)[1]
        assert call.process.returncode == 141
    assert b"Traceback" not in told


ANY = [
    ["status"],
    ["prune"],
    ["doctor"],
    ["status", "ffff"],
    ["show", "ffff"],
    ["interrupt", "ffff"],
    ["resume", "ffff"],
    ["budget", "ffff"],
    ["run"],
    ["run", "a task"],
    ["run", "--plan", "/nowhere"],
    ["no-such-command"],
    ["status", "--limit", "0"],
]


@pytest.mark.req("SPEC:11.speaks-json")
def test_with_json_there_is_exactly_one_document_whatever_happens(shell: Shell) -> None:
    calls = shell.all_of([[*words, "--json"] for words in ANY])
    assert len(calls) == len(ANY)
    for told in calls:
        assert told.document
        assert "Traceback" not in told.err
        if told.code:
            assert set(told.document["error"]) >= {"code", "message", "hint"} or not told.document["ok"]


def test_serve_ends_well_when_nobody_is_there(shell: Shell) -> None:
    told = shell.call("serve")
    assert (told.code, told.out) == (0, "")
