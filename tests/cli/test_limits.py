"""At a limit: whose it is, what to type, and that the command that is printed goes on."""

import shlex
from dataclasses import replace

import pytest

from engine_mcp.cli.limits import met
from engine_mcp.core.budget import Limits, OnExceed, Usage
from engine_mcp.core.execution import Execution, Step
from engine_mcp.core.outlook import CLEAR
from engine_mcp.core.plan import Plan, StepSpec, StrategyName
from tests.cli.plans import BUDGET
from tests.cli.shell import Shell, Told

TWO_CALLS = """\
strategy: parallel
steps:
  - {id: one, tool: files.list, arguments: {}}
  - {id: two, tool: files.list, arguments: {}, depends_on: [one]}
"""
OF_STEP = """\
strategy: parallel
steps:
  - id: first
    code: return "kept";
  - id: long
    depends_on: [first]
    budget: {max_seconds: 0.5}
    code: |
      for (let i = 0; i < 60; i++) await sleep(20);
      return `after ${outputs.first}`;
"""


def printed(told: Told) -> list[list[str]]:
    """The commands that are printed on standard error, one after another."""
    line = told.err.partition("To go on: ")[2].splitlines()[0]
    return [shlex.split(command) for command in line.split(" && ")]


@pytest.mark.req("003:L48", "SPEC:4.from-the-command-line-it-pauses")
@pytest.mark.parametrize("words", [(), ("--json",)], ids=["text", "json"])
def test_without_a_terminal_the_exact_command_is_told_beside_the_result(
    shell: Shell, words: tuple[str, ...]
) -> None:
    told = shell.call("run", "--plan", shell.plan(BUDGET), *words)
    assert told.code == 3
    assert "The limit of 1 seconds is reached." in told.err
    [command] = printed(told)
    assert command[-2:] == ["--max-seconds", "3"]
    ended = shell.type([*command[:-1], "60", "--json"])
    assert (ended.code, ended.document["output"]) == (0, "done")


def test_the_document_names_what_is_waited_for_with_its_code_and_command(shell: Shell) -> None:
    waiting = shell.call("run", "--plan", shell.plan(BUDGET), "--json").document["waiting"]
    assert waiting["code"] == "budget_exceeded"
    assert waiting["message"] == "The limit of 1 seconds is reached."
    assert waiting["command"].endswith(" --max-seconds 3")
    assert "engine-mcp budget" in waiting["hint"]


def test_a_step_s_own_limit_is_raised_for_that_step(shell: Shell) -> None:
    told = shell.call("run", "--plan", shell.plan(OF_STEP), "--json")
    assert told.code == 3
    assert "The limit of 0.5 seconds of the step 'long' is reached." in told.err
    [command] = printed(told)
    assert command[-4:] == ["--step", "long", "--max-seconds", "2"]
    ended = shell.type([*command[:-1], "60", "--json"])
    assert (ended.code, ended.document["output"]) == (0, "after kept")
    assert shell.attempts(ended.document["execution_id"])["first"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--step", "third", "--max-seconds", "9"), "those are: long"),
        (("--step", "first", "--max-seconds", "9"), "those are: long"),
        (("--step", "long"), "--step is for a limit"),
    ],
)
def test_a_step_that_cannot_get_a_limit_is_told(shell: Shell, words: tuple[str, ...], said: str) -> None:
    name = shell.call("run", "--plan", shell.plan(OF_STEP), "--json").document["execution_id"]
    told = shell.call("resume", name, *words, "--json")
    assert told.code == 2
    assert said in told.document["error"]["message"]


def test_a_cap_is_told_with_the_setting_that_holds_it_and_no_limit_goes_round_it(shell: Shell) -> None:
    capped = {"ENGINE_MCP_CAPS_EXECUTION_SECONDS": "0.5"}
    told = shell.call("run", "--plan", shell.plan(BUDGET), "--max-seconds", "50", "--json", **capped)
    assert told.code == 3
    assert "The operator's cap of 0.5 seconds is reached." in told.err
    assert "caps.execution_seconds (ENGINE_MCP_CAPS_EXECUTION_SECONDS)" in told.err
    [command] = printed(told)
    assert command[-1] == told.document["execution_id"]
    assert shell.type([*command, "--json"], **capped).code == 3
    assert shell.type([*command, "--json"]).code == 0


def test_the_limit_of_a_day_is_raised_where_it_stands_and_the_execution_goes_on(shell: Shell) -> None:
    shell.call("budget", "--day", "--max-requests", "1")
    told = shell.call("run", "--plan", shell.plan(TWO_CALLS), "--json")
    assert told.code == 3
    assert "The limit of 1 requests on this day, which all executions share, is reached." in told.err
    assert "until" in told.document["waiting"]
    raise_it, go_on = printed(told)
    assert raise_it[-4:] == ["budget", "--day", "--max-requests", "2"]
    assert shell.type(raise_it).code == 0
    ended = shell.type([*go_on, "--json"])
    assert (ended.code, ended.document["status"]) == (0, "completed")


def test_of_several_limits_those_that_are_reached_count_and_else_the_fullest() -> None:
    spec = StepSpec(id="a", code="x", budget=Limits(max_requests=4))
    plan = Plan(path="/", steps=(spec,), strategy=StrategyName.SINGLE)
    execution = Execution(
        id="x",
        plan=plan,
        created_at=0,
        budget=Limits(max_tokens=100, max_requests=10, max_cost_usd=0.5),
        steps={"a": Step(spec=spec)},
        usage=Usage(tokens_in=99, requests=5),
    )
    [fullest] = met(execution, 0, CLEAR)
    assert fullest.told == "Too little is left of the limit of 100 tokens."
    assert fullest.enough == 200
    spent = replace(execution, usage=Usage(tokens_in=120, cost_micros=500_001))
    tokens, cost = met(spent, 0, CLEAR)
    assert (tokens.enough, cost.enough) == (240, 1.01)
    assert cost.told == "The limit of $0.5 is reached."
    assert cost.raised(2.5) == Limits(max_cost_usd=2.5)
    warns = replace(spent, budget=Limits(max_tokens=1, on_exceed=OnExceed.WARN))
    assert met(warns, 0, CLEAR) == ()
