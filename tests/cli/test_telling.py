"""What is told of switches, approvals, limits and tries: in lines while it happens, and in the tree."""

from dataclasses import replace

import pytest

from engine_mcp.cli.session import Rest
from engine_mcp.cli.spending import told_breaker
from engine_mcp.cli.tree import print_tree
from engine_mcp.cli.words import next_try, told, until
from engine_mcp.core.breaker import Breaker, BreakerState
from engine_mcp.core.budget import Resource, Usage
from engine_mcp.core.charge import Charge
from engine_mcp.core.event import (
    ApprovalAnswered,
    ApprovalRequested,
    AttemptFailed,
    BudgetWarned,
    RouteSwitched,
)
from engine_mcp.core.execution import (
    Asking,
    Attempt,
    AttemptStatus,
    Execution,
    ExecutionStatus,
    Failure,
    Step,
    StepStatus,
    Switched,
)
from engine_mcp.core.period import Period
from engine_mcp.core.plan import Plan, StepSpec, StrategyName, Unanswered
from engine_mcp.core.route import Domain, Route
from tests.cli.agents import FINE, UNTIL_LATER, agent
from tests.cli.shell import Shell

SWITCH = Switched(
    at=10,
    origin=Route(runtime="claude-code"),
    to=Route(runtime="opencode"),
    domain=Domain.HARNESS,
    code="runtime_missing",
    why="The runtime claude-code failed; the step goes on in opencode.",
)
CHARGE = Charge(
    model="sonnet",
    usage=Usage(tokens_in=900, tokens_out=100, cost_micros=12_000, cost_basis="reported"),
    reported_micros=12_000,
    computed_micros=11_000,
    price="list 2026-11",
)
ASKING = Asking(since=0, until=3600, call="files.write", digest="d", arguments='{"path": "a"}')


def failed(code: str) -> Attempt:
    """An attempt that failed at 100."""
    return Attempt(
        number=1,
        started_at=98,
        ended_at=100,
        epoch=1,
        status=AttemptStatus.FAILED,
        failure=Failure(code, "It went wrong."),
        charges=(CHARGE,),
    )


def execution(**steps: Step) -> Execution:
    specs = tuple(step.spec for step in steps.values())
    plan = Plan(path="/", steps=specs, strategy=StrategyName.PARALLEL)
    return Execution(
        id="x", plan=plan, created_at=0, budget=plan.budget, steps=steps, status=ExecutionStatus.RUNNING
    )


def tried(code: str) -> Step:
    return Step(spec=StepSpec(id="a", task="x"), attempts=(failed(code),), tries=1)


def test_a_change_of_route_is_told_with_its_reason() -> None:
    event = RouteSwitched(at=10, step="a", switch=SWITCH)
    assert told(event, execution()) == f"a: ⇢ opencode: {SWITCH.why}"


def test_an_approval_is_told_with_what_is_called_and_how_long_it_can_be_given() -> None:
    line = told(ApprovalRequested(at=0, step="a", asking=ASKING), execution())
    assert line is not None
    assert line.startswith('a: waits for approval to call files.write({"path": "a"}), until ')
    assert line.endswith(", in 1 h 0 min")
    long = told(
        ApprovalRequested(at=0, step="a", asking=Asking(since=0, call="c", arguments="x" * 999)), execution()
    )
    assert long == f"a: waits for approval to call c({'x' * 200}…)"
    answer = ApprovalAnswered(at=0, step="a", answer=Unanswered.SKIP, by="timeout")
    assert told(answer, execution()) == "a: answer to its approval: skip (timeout)"


@pytest.mark.parametrize(
    ("period", "step", "whose"),
    [(None, "", ""), (Period.DAY, "", " of this day"), (None, "a", " of the step 'a'")],
)
def test_a_limit_that_is_passed_is_told_with_whose_it_is(
    period: Period | None, step: str, whose: str
) -> None:
    event = BudgetWarned(
        at=0, resource=Resource.TOKENS, limit=2_000_000, used=2_000_001, period=period, step=step
    )
    assert told(event, execution()) == f"budget: the limit of 2000000 tokens{whose} was passed: 2000001"


@pytest.mark.req("002:L45")
def test_a_failure_is_told_with_its_next_try_or_with_what_it_keeps_from_running() -> None:
    failure = Failure("provider_error", "It went wrong.")
    event = AttemptFailed(at=100, step="a", number=1, failure=failure, final=False)
    line = told(event, execution(a=tried("provider_error")))
    assert line is not None
    assert line.partition("; next try in ")[2] in {f"0.{tenth} s" for tenth in range(5, 10)} | {"1.0 s"}
    last = AttemptFailed(at=100, step="a", number=1, failure=failure, affects=("b", "c"))
    line = told(last, execution(a=tried("provider_error")))
    assert line == "a: failed, after 2.0 s: provider_error: It went wrong.; keeps from running: b, c"


def test_what_waits_for_a_quota_has_no_next_try_to_tell() -> None:
    assert next_try(tried("quota_exhausted"), execution(), 100) == ""
    assert next_try(tried("provider_error"), execution(), 100).startswith("next try in ")
    assert next_try(tried("provider_error"), execution(), 200) == ""


def test_the_tree_shows_switches_charges_approvals_and_next_tries(capsys: pytest.CaptureFixture[str]) -> None:
    spec = StepSpec(id="b", task="x")
    switched = Step(spec=spec, status=StepStatus.PENDING, switches=(SWITCH,))
    asking = Step(spec=StepSpec(id="c", task="x"), status=StepStatus.AWAITING_APPROVAL, asking=ASKING)
    state = execution(a=tried("provider_error"), b=switched, c=asking)
    print_tree(Rest(execution=state, snapshot="here", now=100))
    drawn = capsys.readouterr().out
    assert (
        "charge  sonnet: 1000 tokens, $0.012 reported, reported $0.012, computed $0.011, list 2026-11"
        in drawn
    )
    assert "next try in " in drawn
    assert f"⇢ opencode: {SWITCH.why}" in drawn
    assert 'waits for approval to call files.write({"path": "a"}), until ' in drawn


def test_the_tree_shows_what_a_killed_attempt_is_taken_to_have_used_beside_its_charges(
    capsys: pytest.CaptureFixture[str],
) -> None:
    beside = Usage(tokens_in=500, cost_micros=7000, cost_basis="estimated")
    lost = replace(
        failed("x"), status=AttemptStatus.LOST, failure=None, usage=CHARGE.usage + beside, charges=(CHARGE,)
    )
    state = execution(a=Step(spec=StepSpec(id="a", task="x"), attempts=(lost,)))
    print_tree(Rest(execution=state, snapshot="here", now=100))
    assert "charge  500 tokens, $0.007 estimated" in capsys.readouterr().out
    exact = execution(a=Step(spec=StepSpec(id="a", task="x"), attempts=(replace(lost, usage=CHARGE.usage),)))
    print_tree(Rest(execution=exact, snapshot="here", now=100))
    assert capsys.readouterr().out.count("charge  ") == 1


def test_an_attempt_that_was_stopped_at_its_share_is_not_said_to_have_failed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    event = AttemptFailed(
        at=100, step="a", number=1, failure=Failure("spending_limit", "It is used up."), final=False
    )
    line = told(event, execution(a=tried("spending_limit")))
    assert line is not None
    assert line.startswith("a: attempt 1 used up its share and goes on, after 2.0 s: spending_limit: ")
    print_tree(Rest(execution=execution(a=tried("spending_limit")), snapshot="here", now=100))
    drawn = capsys.readouterr().out
    assert "attempt 1  stopped  " in drawn
    assert "failed" not in drawn


@pytest.mark.parametrize(
    ("state", "retry_at", "said"),
    [
        (BreakerState.OPEN, 9000.0, "(tried again 1970-"),
        (BreakerState.OPEN, 5.0, "(tried again now)"),
        (BreakerState.OPEN, None, "(stays so until somebody resumes with it mended)"),
        (BreakerState.HALF_OPEN, None, "(is being tried out)"),
    ],
)
def test_what_is_broken_is_told_with_when_it_is_tried_again(
    state: BreakerState, retry_at: float | None, said: str
) -> None:
    breaker = Breaker(part="pool p", state=state, retry_at=retry_at, code="unauthorized", evidence="No.")
    line = told_breaker(breaker, 10)
    assert line.startswith("pool p: unauthorized: No. (")
    assert said in line


def test_a_time_that_has_come_is_told_as_now() -> None:
    assert until(5, 10) == "until now"


def test_a_plan_that_may_leave_its_account_goes_on_with_another_and_shows_it(shell: Shell) -> None:
    variables = agent(shell, UNTIL_LATER, FINE) | {"ENGINE_MCP_RUNTIMES_ORDER": "command,command:other"}
    allowed = ["--fallback", "family", "--fallback", "pool", "--fallback", "tier"]
    told = shell.call("run", "say fine", *allowed, **variables)
    assert told.code == 0
    assert "main: ⇢ command:other: The account 'command' failed with quota_exhausted" in told.err
    name = told.err.partition("execution ")[2].split()[0]
    assert "⇢ command:other: The account 'command' failed" in shell.call("show", name).out
    wrong = shell.call("run", "a task", "--fallback", "moon", "--json")
    assert (wrong.code, "--fallback" in wrong.document["error"]["message"]) == (2, True)
