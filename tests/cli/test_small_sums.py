"""Figures as people see them: small ones are not told as nothing, caps have a column, doors their time."""

import pytest

from engine_mcp.cli.limits import figure, worth
from engine_mcp.cli.session import Rest
from engine_mcp.cli.tree import print_tree
from engine_mcp.cli.words import next_try, number
from engine_mcp.core.breaker import Breaker, BreakerState
from engine_mcp.core.budget import Resource
from engine_mcp.core.choice import Choice, Level, Tier
from engine_mcp.core.execution import Attempt, AttemptStatus, Execution, Failure, Step
from engine_mcp.core.outlook import CLEAR, Outlook
from engine_mcp.core.plan import Plan, StepSpec, StrategyName
from engine_mcp.core.route import Domain, Route
from tests.cli.shell import Shell

ROUTE = Route(runtime="one", endpoint="somewhere")
DOOR = ROUTE.part(Domain.ENDPOINT)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (-1e-9, "0"),
        (1e-9, "<0.000001"),
        (4e-6, "0.000004"),
        (100, "100"),
        (-1.5, "-1.5"),
    ],
)
def test_only_nothing_is_told_as_nothing(value: float, shown: str) -> None:
    assert number(value) == shown


def test_dollars_are_told_to_the_micro_dollar_and_seconds_to_the_thousandth() -> None:
    assert figure(Resource.COST, 0.000004) == "0.000004"
    assert worth(Resource.COST, 0.0004) == "$0.0004"
    assert figure(Resource.SECONDS, 1.23456) == "1.235"


def test_an_execution_s_budget_has_a_column_for_the_operator_s_cap(shell: Shell) -> None:
    plan = shell.plan("steps:\n  - {id: one, tool: files.list, arguments: {}}\n")
    name = shell.call("run", "--plan", plan, "--json").document["execution_id"]
    told = shell.call("budget", name, ENGINE_MCP_CAPS_EXECUTION_REQUESTS="9")
    lines = [line.split() for line in told.out.splitlines()]
    assert ["spent", "reserved", "limit", "cap", "left"] in lines
    assert ["requests", "1", "0", "-", "9", "8"] in lines
    document = shell.call("budget", name, "--json", ENGINE_MCP_CAPS_EXECUTION_REQUESTS="9").document
    assert document["caps"]["max_requests"] == 9


def tried() -> Step:
    """A step whose attempt on ROUTE failed at 100."""
    choice = Choice(runtime="one", role="developer", level=Level.SIMPLE, tier=Tier.FAST, route=ROUTE)
    failed = Attempt(
        number=1,
        started_at=98,
        ended_at=100,
        epoch=1,
        status=AttemptStatus.FAILED,
        failure=Failure("provider_error", "It went wrong."),
    )
    return Step(spec=StepSpec(id="a", task="x"), attempts=(failed,), tries=1, choice=choice)


def execution() -> Execution:
    step = tried()
    plan = Plan(path="p", steps=(step.spec,), strategy=StrategyName.SINGLE)
    return Execution(id="x", plan=plan, created_at=0, budget=plan.budget, steps={"a": step})


def broken(until: float) -> Outlook:
    held = Breaker(part=DOOR, state=BreakerState.OPEN, failures=5, retry_at=until, code="provider_error")
    return Outlook(breakers={DOOR: held})


def test_the_next_try_is_told_for_when_its_route_is_free() -> None:
    soon = next_try(tried(), execution(), 100, CLEAR)
    assert soon in {"next try in 1.0 s", *(f"next try in 0.{tenth} s" for tenth in range(5, 10))}
    assert next_try(tried(), execution(), 100, broken(130)) in {"next try in 30 s", "next try in 31 s"}
    assert next_try(tried(), execution(), 140, broken(130)) == ""


def test_the_tree_knows_of_what_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    print_tree(Rest(execution=execution(), snapshot="here", now=100, outlook=broken(160)))
    assert "next try in 1 min" in capsys.readouterr().out
