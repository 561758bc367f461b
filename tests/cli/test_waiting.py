"""Executions that wait: for a quota, an account, a price or an approval; and who answers them."""

import shlex
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from engine_mcp.cli.session import Rest
from engine_mcp.cli.waiting import waits
from engine_mcp.core.choice import Choice, Level, Tier
from engine_mcp.core.execution import Execution, ExecutionStatus, Step
from engine_mcp.core.plan import Plan, StepSpec, StrategyName
from engine_mcp.settings import load
from tests.cli.agents import FINE, NO_ACCESS, NO_CREDIT, UNTIL_LATER, UNTIL_SOON, agent, turns
from tests.cli.shell import Shell

ASK_AND_WORK = """\
strategy: parallel
steps:
  - id: ask
    requires_approval: true
    approval_timeout_s: 3600
    code: return "approved";
  - id: work
    limits: {max_calls: 20000}
    code: |
      while ((await files.stat("go")) === null) await sleep(200);
      return "worked";
"""
CALLS = """\
strategy: parallel
steps:
  - id: note
    permissions: {mode: write}
    code: await files.write("note.txt", "hello"); return "noted";
"""
ASKS = {"ENGINE_MCP_PERMISSIONS_ASK": "files.write"}


def test_a_plan_file_says_what_may_be_left_and_what_becomes_of_unanswered_approvals(shell: Shell) -> None:
    plan = shell.plan("""\
fallback: [pool]
auto_resume: true
steps:
  - {id: ask, requires_approval: true, approval_timeout_s: 900, if_unanswered: skip, code: return 1;}
""")
    name = shell.call("run", "--plan", plan, "--fallback", "tier", "--json", "--max-seconds", "9")
    state = shell.call("show", name.document["execution_id"], "--json").document["state"]
    assert (state["plan"]["fallback"], state["plan"]["auto_resume"]) == (["tier"], True)
    spec = state["steps"]["ask"]["spec"]
    assert (spec["approval_timeout_s"], spec["if_unanswered"]) == (900, "skip")
    wrong = shell.call("run", "--plan", shell.plan("fallback: [moon]\ncode: return 1;\n"), "--json")
    assert (wrong.code, "line 1, fallback" in wrong.document["error"]["message"]) == (2, True)


@pytest.mark.parametrize(
    ("reply", "reason", "code", "hint"),
    [
        (UNTIL_LATER, "quota", "quota_exhausted", "Wait until it resets"),
        (NO_CREDIT, "billing", "credit_exhausted", "Add credit"),
    ],
    ids=["quota", "billing"],
)
@pytest.mark.req("002:L94")
def test_a_pause_tells_what_it_waits_for_and_what_helps(
    shell: Shell, reply: Mapping[str, JsonValue], reason: str, code: str, hint: str
) -> None:
    told = shell.call("run", "say fine", **agent(shell, reply))
    assert told.code == 3
    assert f"paused ({reason})" in told.out
    assert f"waiting   main: {code}: " in told.out
    assert hint in told.out
    assert hint in told.err
    assert ("It can go on 20" in told.out) == (reason == "quota")
    command = shlex.split(told.err.partition("To go on: ")[2].splitlines()[0])
    ended = shell.type([*command, "--json"], **agent(shell, reply, FINE))
    assert (ended.code, ended.document["output"]) == (0, "fine")


def test_without_access_nothing_is_tried_again_until_somebody_says_so(shell: Shell) -> None:
    variables = agent(shell, NO_ACCESS, NO_ACCESS, FINE)
    assert shell.call("run", "say fine", **variables).code == 1
    told = shell.call("run", "say fine", **variables)
    assert (told.code, turns(shell)) == (3, 2)
    assert "waiting   main: unauthorized: command ended with exit code 1: Invalid API key." in told.out
    assert "Log the runtime in" in told.err
    name = told.err.partition("execution ")[2].split()[0]
    assert shell.call("resume", name, **variables).code == 0


def test_what_is_broken_is_listed_until_it_is_mended(shell: Shell) -> None:
    variables = agent(shell, NO_CREDIT, FINE)
    name = shell.call("run", "say fine", "--json", **variables).document["execution_id"]
    told = shell.call("status")
    assert "broken: " in told.out
    assert "credit_exhausted" in told.out
    [broken] = shell.call("status", "--json").document["breakers"]
    assert (broken["state"], broken["code"], "retry_at" in broken) == ("open", "credit_exhausted", False)
    other = shell.call("run", "say fine too", **variables)
    assert "waiting   main: credit_exhausted: " in other.out
    assert turns(shell) == 1
    assert shell.call("resume", name, **variables).code == 0
    assert "broken: " not in shell.call("status").out


def test_with_auto_resume_it_stays_and_goes_on_when_the_time_comes(shell: Shell) -> None:
    variables = agent(shell, UNTIL_SOON, FINE)
    told = shell.call("run", "say fine", "--auto-resume", "--json", **variables)
    assert "Waiting (quota) until " in told.err
    assert (told.code, told.document["output"]) == (0, "fine")
    assert shell.attempts(told.document["execution_id"]) == {"main": 2}


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["text", "json"])
def test_ctrl_c_leaves_it_paused_and_it_goes_on_by_itself_no_more(
    shell: Shell, words: tuple[str, ...]
) -> None:
    variables = agent(shell, UNTIL_LATER, FINE)
    with shell.started("run", "say fine", "--auto-resume", *words, **variables) as call:
        name = call.execution_id
        call.until("Ctrl-C leaves it paused")
        call.send(signal.SIGINT)
        told = call.end()
    assert told.code == 3
    assert "Traceback" not in told.err
    assert "It can go on 20" in told.out
    assert "by itself" not in told.out
    document = shell.call("status", name, "--json").document
    assert (document["status"], document["reason"]) == ("paused", "quota")
    assert "It can go on 20" in document["waiting"]["message"]
    assert shell.call("resume", name, **variables).code == 0


def test_what_has_no_price_is_told_with_its_model_and_the_price_file(tmp_path: Path) -> None:
    spec = StepSpec(id="a", task="x")
    choice = Choice(
        runtime="api", role="developer", level=Level.SIMPLE, tier=Tier.FAST, model="new-1", priced=False
    )
    execution = Execution(
        id="x",
        plan=Plan(path="/", steps=(spec,), strategy=StrategyName.SINGLE),
        created_at=0,
        budget=spec.budget,
        status=ExecutionStatus.PAUSED,
        reason="unpriced",
        steps={"a": Step(spec=spec, choice=choice)},
    )
    settings = load(tmp_path, environ={"HOME": str(tmp_path)})
    found = waits(Rest(execution=execution, snapshot="", now=0), settings)
    assert found is not None
    assert found.told == ("a: nobody knows what new-1 costs on api.",)
    assert found.hint.endswith(f"The price file is {tmp_path}/.config/engine-mcp/prices.yaml.")
    done = replace(execution, status=ExecutionStatus.COMPLETED)
    assert waits(Rest(execution=done, snapshot="", now=0), settings) is None


@pytest.mark.req("002:L28", "002:L108")
@pytest.mark.parametrize(("answer", "code"), [("--approve", 0), ("--deny", 1)])
def test_an_approval_is_answered_while_another_process_goes_on(shell: Shell, answer: str, code: int) -> None:
    with shell.started("run", "--plan", shell.plan(ASK_AND_WORK), "--json") as call:
        name = call.execution_id
        assert "ask: waits for approval, until " in call.until("ask: waits for approval") + call.until("in ")
        call.until("work: started")
        other = shell.call("resume", name, answer, "ask", "--json")
        assert (other.code, other.document["status"]) == (0, "running")
        assert "It is passed on" in other.err
        call.until("ask: answer to its approval: ")
        again = shell.call("resume", name, answer, "ask", "--json")
        assert (again.code, again.document["error"]["code"]) == (2, "invalid_argument")
        (shell.project / "go").touch()
        told = call.end()
    assert told.code == code
    assert {step["id"]: step["status"] for step in told.document["steps"]}["work"] == "completed"


def test_a_call_that_waits_is_shown_with_its_arguments(shell: Shell) -> None:
    told = shell.call("run", "--plan", shell.plan(CALLS), **ASKS)
    assert told.code == 3
    wanted = 'note needs approval to call files.write({"path":"note.txt"'
    assert wanted in told.out.replace('": "', '":"')
    name = told.err.partition("execution ")[2].split()[0]
    tree = shell.call("show", name, **ASKS).out
    assert "waits for approval to call files.write(" in tree
    assert shell.call("resume", name, "--approve", "note", **ASKS).code == 0
    assert (shell.project / "note.txt").read_text() == "hello"
