"""Limits, usage and admission: sums of whole numbers, and a start only below every limit."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.core.admission import (
    Admission,
    Purse,
    deadline,
    passed,
    pauses,
    reserved,
    spent,
)
from engine_mcp.core.budget import Limits, OnExceed, Resource, Usage, reached, remaining
from engine_mcp.core.execution import Attempt, AttemptStatus, Execution, ExecutionStatus, Step, StepStatus
from engine_mcp.core.plan import Plan, StepSpec, StrategyName

AGENT = StepSpec(id="agent", task="t")
CODE = StepSpec(id="code", code="c")
TOOL = StepSpec(id="tool", tool="t")
PAUSE, WARN = OnExceed.PAUSE, OnExceed.WARN
LIMITS = ("max_tokens", "max_cost_usd", "max_seconds", "max_requests")

usages = st.builds(
    Usage,
    tokens_in=st.integers(0, 10**9),
    tokens_out=st.integers(0, 10**9),
    cache_read=st.integers(0, 10**9),
    cache_write=st.integers(0, 10**9),
    requests=st.integers(0, 1000),
    cost_micros=st.integers(0, 10**12),
    cost_basis=st.sampled_from(["none", "reported", "computed", "estimated", "unpriced"]),
)


def execution(
    budget: Limits, used: Usage | None = None, *specs: StepSpec, active_s: float = 0.0
) -> Execution:
    """A running execution that has used this much; it has been running since the second 100."""
    return Execution(
        id="e",
        plan=Plan(path="p", steps=specs or (TOOL,), strategy=StrategyName.PARALLEL),
        created_at=0,
        budget=budget,
        status=ExecutionStatus.RUNNING,
        steps={spec.id: Step(spec=spec) for spec in specs or (TOOL,)},
        usage=used or Usage(),
        running_since=100.0,
        active_s=active_s,
    )


# --- limits and usage


@given(usages, usages, usages)
def test_usage_adds_up_in_any_order(one: Usage, two: Usage, three: Usage) -> None:
    assert one + two == two + one
    assert (one + two) + three == one + (two + three)
    assert one + Usage() == Usage() + one == one


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("none", "reported", "reported"),
        ("reported", "computed", "computed"),
        ("estimated", "computed", "estimated"),
        ("unpriced", "reported", "unpriced"),
    ],
)
def test_the_basis_of_a_sum_is_the_one_that_is_least_sure(one: str, other: str, both: str) -> None:
    total = Usage(cost_basis=one, requests=1) + Usage(cost_basis=other, requests=1)
    assert total.cost_basis == both


def test_every_kind_of_token_counts_and_money_is_in_dollars() -> None:
    used = Usage(tokens_in=1, tokens_out=2, cache_read=4, cache_write=8, cost_micros=1_500_000, requests=3)
    told = {kind: used.of(kind) for kind in Resource}
    assert told == {
        Resource.TOKENS: 15,
        Resource.COST: 1.5,
        Resource.SECONDS: 0.0,
        Resource.REQUESTS: 3,
    }


@pytest.mark.parametrize(("kind", "name"), [*zip(Resource, LIMITS, strict=True)])
def test_each_resource_has_a_limit_of_its_own(kind: Resource, name: str) -> None:
    limits = replace(Limits(), **{name: 2})
    assert limits.limited
    assert [limits.of(other) for other in Resource] == [2 if other is kind else None for other in Resource]
    assert remaining(limits, Usage(), kind) == 2
    assert reached(limits, Usage()) is None
    full = Usage(tokens_in=2, cost_micros=2_000_000, seconds=2.0, requests=2)
    assert reached(limits, full) is kind
    assert remaining(limits, full + full, kind) == 0


def test_without_a_limit_nothing_is_ever_reached() -> None:
    assert not Limits().limited
    assert not Limits(on_exceed=PAUSE).limited
    assert reached(Limits(), Usage(requests=10**9)) is None
    assert remaining(Limits(), Usage(), Resource.TOKENS) is None


def test_a_limit_of_nothing_is_reached_at_once() -> None:
    assert Limits(max_requests=0).limited
    assert reached(Limits(max_requests=0), Usage()) is Resource.REQUESTS


def test_merging_changes_what_is_given_and_nothing_else() -> None:
    merged = Limits(max_tokens=1, max_requests=2, on_exceed=WARN).merged(
        Limits(max_tokens=0, max_seconds=3.0)
    )
    assert merged == Limits(max_tokens=0, max_requests=2, max_seconds=3.0, on_exceed=WARN)


@pytest.mark.parametrize(("said", "held"), [(None, True), (PAUSE, True), (WARN, False)])
def test_a_limit_pauses_unless_somebody_said_otherwise(said: OnExceed | None, held: bool) -> None:  # noqa: FBT001 - a case
    assert pauses(Limits(on_exceed=said)) is held


# --- admission


@pytest.mark.req("002:L196")
@pytest.mark.parametrize(
    ("spec", "budget", "used", "held", "verdict"),
    [
        (TOOL, Limits(), Usage(requests=99), 9, Admission.START),
        (TOOL, Limits(max_requests=2), Usage(requests=1), 0, Admission.START),
        (TOOL, Limits(max_requests=2), Usage(requests=1), 1, Admission.WAIT),
        (TOOL, Limits(max_requests=2), Usage(requests=2), 1, Admission.EXHAUSTED),
        (TOOL, Limits(max_requests=0), Usage(), 0, Admission.EXHAUSTED),
        (TOOL, Limits(max_requests=0, on_exceed=WARN), Usage(), 0, Admission.START),
        (TOOL, Limits(max_tokens=1), Usage(tokens_in=5), 0, Admission.START),
        (CODE, Limits(max_requests=0, max_tokens=0, max_cost_usd=0), Usage(), 0, Admission.START),
        (CODE, Limits(max_seconds=5), Usage(), 0, Admission.EXHAUSTED),
        (CODE, Limits(max_seconds=10), Usage(), 0, Admission.START),
        (AGENT, Limits(max_tokens=10), Usage(tokens_out=9), 0, Admission.START),
        (AGENT, Limits(max_tokens=10), Usage(tokens_out=10), 0, Admission.EXHAUSTED),
        (AGENT, Limits(max_cost_usd=0.5), Usage(cost_micros=500_000), 0, Admission.EXHAUSTED),
        (AGENT, Limits(max_cost_usd=0.5), Usage(cost_micros=499_999), 0, Admission.START),
        (AGENT, Limits(max_requests=1, max_tokens=1), Usage(tokens_in=1), 1, Admission.EXHAUSTED),
    ],
)
def test_an_attempt_starts_only_below_every_limit(
    spec: StepSpec, budget: Limits, used: Usage, held: int, verdict: Admission
) -> None:
    running = execution(budget, used, spec)
    purse = Purse(running, 105.0, held=Usage(requests=held))
    assert purse.admit(running.steps[spec.id]) is verdict


def tried(spec: StepSpec, *used: Usage) -> Step:
    attempts = tuple(
        Attempt(number=number, started_at=0, epoch=1, status=AttemptStatus.FAILED, usage=usage)
        for number, usage in enumerate(used, 1)
    )
    return Step(spec=spec, attempts=attempts)


@pytest.mark.parametrize(
    ("own", "all_of_it", "verdict"),
    [
        (Limits(max_requests=3), Limits(), Admission.START),
        (Limits(max_requests=2), Limits(), Admission.EXHAUSTED),
        (Limits(max_requests=2), Limits(max_requests=99), Admission.EXHAUSTED),
        (Limits(max_requests=2), Limits(on_exceed=WARN), Admission.START),
        (Limits(max_requests=2, on_exceed=WARN), Limits(), Admission.START),
        (
            Limits(max_requests=2, on_exceed=PAUSE),
            Limits(on_exceed=WARN),
            Admission.EXHAUSTED,
        ),
        (Limits(max_requests=9), Limits(max_requests=0), Admission.EXHAUSTED),
        (Limits(max_seconds=7), Limits(), Admission.EXHAUSTED),
    ],
)
def test_a_step_has_limits_of_its_own_over_all_its_attempts(
    own: Limits, all_of_it: Limits, verdict: Admission
) -> None:
    step = tried(replace(TOOL, budget=own), Usage(requests=1, seconds=3), Usage(requests=1, seconds=4))
    assert Purse(execution(all_of_it), 105.0).admit(step) is verdict


def test_a_running_attempt_holds_what_it_may_still_use() -> None:
    attempt = Attempt(number=1, started_at=0, epoch=1, reserved=Usage(requests=1))
    running = [Step(spec=TOOL, status=StepStatus.RUNNING, attempts=(attempt,))] * 3
    assert reserved(running) == Usage(requests=3)
    assert reserved([]) == Usage()
    assert [share(spec, Limits()).requests for spec in (AGENT, TOOL, CODE)] == [0, 1, 0]


def share(spec: StepSpec, limits: Limits, *, used: int = 0, held: int = 0, places: int = 1) -> Usage:
    """What an attempt reserves where so many micro-dollars are used and held."""
    running = execution(limits, Usage(cost_micros=used), spec)
    return Purse(running, 105.0, held=Usage(cost_micros=held)).need(Step(spec=spec), places)


def test_an_agent_reserves_its_share_of_the_money_that_nobody_holds() -> None:
    limits = Limits(max_cost_usd=1.0)
    assert share(AGENT, limits).cost_micros == 1_000_000
    assert share(AGENT, limits, used=300_000, held=100_000, places=3).cost_micros == 200_000
    assert share(AGENT, limits, used=999_999, places=4).cost_micros == 1
    assert share(TOOL, limits).cost_micros == 0
    assert share(AGENT, replace(limits, on_exceed=WARN)).cost_micros == 0


def test_an_agent_reserves_no_more_than_its_step_may_spend() -> None:
    spec = replace(AGENT, budget=Limits(max_cost_usd=0.25, max_tokens=900))
    reserve = share(spec, Limits(max_cost_usd=1.0, max_tokens=5000))
    assert (reserve.cost_micros, reserve.tokens_out) == (250_000, 900)


@given(st.integers(1, 10**9), st.lists(st.integers(1, 8), min_size=1, max_size=8))
def test_shares_never_add_up_to_more_than_there_is(limit: int, places: list[int]) -> None:
    limits, held = Limits(max_cost_usd=limit / 1e6), 0
    for count in places:
        if held < limit:
            held += share(AGENT, limits, held=held, places=count).cost_micros
    assert held <= limit


def test_seconds_are_those_the_execution_has_been_running() -> None:
    running = execution(Limits(max_seconds=20), Usage(seconds=999), active_s=7)
    assert spent(running, 105.0).seconds == 12
    assert deadline(running, [], 105.0) == 113.0
    assert deadline(execution(Limits()), [], 105.0) is None
    assert deadline(replace(running, running_since=None), [], 105.0) is None
    assert deadline(execution(Limits(max_seconds=5), active_s=9), [], 105.0) == 100.0
    assert deadline(execution(Limits(max_seconds=5, on_exceed=WARN)), [], 105.0) is None


def running_step(seconds: float | None, started_at: float, before: float = 0.0) -> Step:
    """A step under way with its own limit of seconds, of which an attempt before took some."""
    spec = replace(TOOL, budget=Limits(max_seconds=seconds))
    now = Attempt(number=2, started_at=started_at, epoch=1)
    attempts = (*tried(spec, Usage(seconds=before)).attempts, now)
    return Step(spec=spec, status=StepStatus.RUNNING, attempts=attempts)


def test_the_first_limit_of_seconds_to_be_reached_is_the_deadline() -> None:
    free, limited = execution(Limits()), execution(Limits(max_seconds=20))
    steps = [running_step(None, 101.0), running_step(9.0, 104.0, before=3.0), running_step(30.0, 101.0)]
    assert deadline(free, steps, 105.0) == 110.0
    assert deadline(limited, steps, 105.0) == 110.0
    assert deadline(limited, steps[:1], 105.0) == 120.0
    assert deadline(free, [Step(spec=steps[1].spec)], 105.0) == 114.0
    assert deadline(execution(Limits(on_exceed=WARN)), steps, 105.0) is None


def test_a_limit_is_passed_when_more_is_used_than_it_says() -> None:
    used = Usage(requests=3, tokens_in=5)
    limits = Limits(max_requests=2, max_tokens=5, max_seconds=4, on_exceed=WARN)
    running = execution(limits, used)
    assert passes(running, 104.0) == [Resource.REQUESTS]
    assert passes(running, 104.1) == [Resource.SECONDS, Resource.REQUESTS]
    warned = replace(running, warned=frozenset({"requests"}))
    assert passes(warned, 104.1) == [Resource.SECONDS]
    assert passes(execution(Limits(on_exceed=WARN), used), 999.0) == []
    assert passes(execution(replace(limits, on_exceed=PAUSE), used), 104.1) == []


def passes(running: Execution, now: float) -> list[Resource]:
    return [found.resource for found in passed(running, (), now)]
