"""Laws of the policy of faults: they hold for every failure in every situation."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.core.breaker import Breaker, BreakerState, blocks, counted, tried
from engine_mcp.core.execution import Attempt, AttemptStatus, Failure, Step
from engine_mcp.core.fallback import (
    MOST_SWITCHES,
    Case,
    Fail,
    Retry,
    Switch,
    Verdict,
    Wait,
    after_failure,
    before_start,
)
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.retry import LONGEST_DELAY_S, LONGEST_WAIT_S, asked_until
from engine_mcp.core.route import Allowed, Domain, Route
from engine_mcp.core.treatment import TREATMENTS, FallBack, treatment

NOW = 10_000.0
ROUTES = st.builds(
    Route,
    runtime=st.sampled_from(["claude-code", "opencode"]),
    family=st.sampled_from(["claude", "claude", "api"]),
    endpoint=st.sampled_from(["api", "mirror", ""]),
    pool=st.sampled_from(["plan", "key", ""]),
    model=st.sampled_from(["opus", "sonnet", None]),
    tier=st.sampled_from(["strong", "standard"]),
)
CODES = st.sampled_from(sorted(TREATMENTS))
ASKED = st.none() | st.floats(NOW - 100, NOW + 2 * LONGEST_WAIT_S)
ALLOWED = st.frozensets(st.sampled_from(list(Allowed)))
FAILURES = st.builds(Failure, code=CODES, message=st.text(max_size=200), retry_at=ASKED)


@st.composite
def breakers(draw: st.DrawFn, routes: tuple[Route, ...]) -> dict[str, Breaker]:
    """What is known of some parts of these routes."""
    parts = sorted({route.part(domain) for route in routes for domain in Domain} - {""})
    known = [
        Breaker(
            part=part,
            state=draw(st.sampled_from(BreakerState)),
            retry_at=draw(st.none() | st.floats(NOW - 100, NOW + 5000)),
            changed_at=draw(st.floats(NOW - 400, NOW)),
            code=draw(CODES),
            evidence="seen",
        )
        for part in draw(st.lists(st.sampled_from(parts), max_size=4, unique=True))
    ]
    return {held.part: held for held in known}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A failed attempt in any situation."""
    routes = tuple(draw(st.lists(ROUTES, min_size=1, max_size=6)))
    tries, most = draw(st.integers(1, 4)), draw(st.integers(0, 4))
    attempt = Attempt(number=tries, started_at=NOW - 5, epoch=1)
    spec = StepSpec(id="a", task="do it", max_attempts=most)
    return Case(
        step=Step(spec=spec, attempts=(attempt,), tries=tries - 1),
        route=routes[0],
        others=routes[1:],
        now=NOW,
        allowed=draw(ALLOWED),
        breakers=draw(breakers(routes)),
        switches=tuple(draw(st.lists(st.sampled_from(Domain), max_size=2))),
        switched=draw(st.integers(0, MOST_SWITCHES)),
        forced=draw(st.booleans()),
        deadline=draw(st.none() | st.floats(NOW - 10, NOW + 1000)),
        key=draw(st.text(max_size=5)),
        failure=draw(FAILURES),
    )


def check_switch(case: Case, switch: Switch) -> None:
    """Raise AssertionError where a switch goes anywhere it must not."""
    here, there = case.route, switch.to
    assert there in case.others
    assert there.family == here.family or Allowed.FAMILY in case.allowed
    assert there.pool == here.pool or Allowed.POOL in case.allowed
    assert there.tier == here.tier or Allowed.TIER in case.allowed
    assert there.runtime == here.runtime or not case.forced
    assert here.part(switch.domain) != there.part(switch.domain)
    assert switch.domain not in {Domain.HOST, Domain.REQUEST, Domain.POLICY, Domain.TASK}
    assert not list(case.blocked(there))
    assert switch.domain not in case.switches
    assert "\n" not in switch.why
    assert switch.why.endswith(".")


def check_times(case: Case, verdict: Verdict | None) -> None:
    """Raise AssertionError where a time is not ahead, or further away than anybody asked for."""
    shut = list(case.blocked(case.route))
    if isinstance(verdict, Retry):
        assert verdict.at > case.now
        assert verdict.at <= case.now + LONGEST_WAIT_S + LONGEST_DELAY_S
        assert all(held.retry_at is not None or held.state is not BreakerState.OPEN for _, held in shut)
        assert verdict.at >= asked_until(case.failed, case.ended) + 0.5
    if isinstance(verdict, Wait):
        assert verdict.until is None or verdict.until > case.now
        assert verdict.reason in {"quota", "billing", "auth", "breaker"}


@pytest.mark.req("003:L30", "002:L95", "002:L110")
@given(cases())
def test_no_verdict_leaves_what_the_plan_allows_or_goes_where_something_is_known_to_be_broken(
    case: Case,
) -> None:
    verdict = after_failure(case)
    check_times(case, verdict)
    if isinstance(verdict, Switch):
        check_switch(case, verdict)
        assert case.switched < MOST_SWITCHES
    if treatment(case.failed.code).fall_back is FallBack.NEVER and not list(case.blocked(case.route)):
        assert isinstance(verdict, Retry | Wait | Fail)


@pytest.mark.req("003:L30", "002:L92")
@given(cases())
def test_a_step_starts_only_where_nothing_is_known_to_be_broken(case: Case) -> None:
    verdict = before_start(case)
    assert (verdict is None) == (not list(case.blocked(case.route)))
    check_times(case, verdict)
    if isinstance(verdict, Switch):
        check_switch(case, verdict)


@given(cases())
def test_the_same_case_gets_the_same_verdict(case: Case) -> None:
    assert after_failure(case) == after_failure(case)
    assert before_start(case) == before_start(case)


def over(case: Case) -> Case:
    """The case once the end of its attempt is on record, while nothing is known of any other."""
    failed = replace(
        case.step.attempts[-1], status=AttemptStatus.FAILED, ended_at=case.now, failure=case.failure
    )
    step = replace(case.step, attempts=(failed,), tries=case.step.tries + 1)
    return replace(case, step=step, failure=None, breakers={})


@given(cases(), st.floats(0, 0.99))
def test_a_time_that_was_named_does_not_recede_while_it_comes_nearer(case: Case, part: float) -> None:
    case = over(case)
    verdict = after_failure(case)
    named = ahead(verdict)
    if named is None:
        return
    between = ahead(after_failure(replace(case, now=case.now + part * (named - case.now))))
    assert between is None or between == named
    there = after_failure(replace(case, now=named))
    assert isinstance(there, Retry | Switch)
    assert not isinstance(there, Retry) or there.at <= named


def ahead(verdict: Verdict) -> float | None:
    """The time that a verdict names."""
    match verdict:
        case Retry(at=moment) | Wait(until=moment):
            return moment
        case Switch() | Fail():
            return None


@dataclass
class Walk:
    """A step on which every attempt fails, as an engine would carry out the verdicts."""

    case: Case
    failures: list[Failure]
    breakers: dict[str, Breaker] = field(default_factory=dict[str, Breaker])
    started: list[float] = field(default_factory=list[float])
    waits: int = 0

    def walk(self) -> Fail | Wait:
        """Go on until the step fails or waits for what only time or a person can bring."""
        while True:
            verdict = before_start(self.case)
            if verdict is None:
                self._try()
                verdict = after_failure(self.case)
                self._record(verdict)
            match verdict:
                case Fail():
                    return verdict
                case Wait(until=None) | Wait(reason="quota"):
                    return verdict
                case Wait(until=until):
                    self.waits += 1
                    self._at(until or 0.0)
                case Retry(at=at):
                    self._at(at)
                case Switch():
                    self._go(verdict)

    def _try(self) -> None:
        self.started.append(self.case.now)
        for domain in Domain:
            if (held := self.breakers.get(self.case.route.part(domain))) is not None:
                self._know(tried(held, self.case.now))
        failure = self.failures[len(self.started) % len(self.failures)]
        rule = treatment(failure.code)
        part = self.case.route.part(rule.domain)
        after = counted(self.breakers.get(part), part, failure, rule, self.case.now)
        if after is not None:
            self._know(after)
        attempt = Attempt(number=len(self.started), started_at=self.case.now, epoch=1)
        step = replace(self.case.step, attempts=(*self.case.step.attempts, attempt))
        self.case = replace(self.case, step=step, failure=failure)

    def _know(self, held: Breaker) -> None:
        self.breakers[held.part] = held
        known: Mapping[str, Breaker] = dict(self.breakers)
        self.case = replace(self.case, breakers=known)

    def _record(self, verdict: Verdict) -> None:
        check_times(self.case, verdict)
        step = self.case.step
        last = replace(
            step.attempts[-1], status=AttemptStatus.FAILED, ended_at=self.case.now, failure=self.case.failure
        )
        step = replace(step, attempts=(*step.attempts[:-1], last), tries=step.tries + 1)
        self.case = replace(self.case, step=step)

    def _at(self, at: float) -> None:
        assert at > self.case.now
        self.case = replace(self.case, now=at)

    def _go(self, switch: Switch) -> None:
        check_switch(self.case, switch)
        others = (*(route for route in self.case.others if route != switch.to), self.case.route)
        self.case = replace(
            self.case,
            route=switch.to,
            others=others,
            step=replace(self.case.step, tries=0),
            switches=(*self.case.switches, switch.domain),
            switched=self.case.switched + 1,
        )


@pytest.mark.req("003:L30", "002:L92", "002:L110")
@given(
    st.lists(ROUTES, min_size=1, max_size=8),
    st.lists(FAILURES, min_size=1, max_size=6),
    ALLOWED,
    st.integers(0, 4),
)
def test_a_step_that_always_fails_comes_to_an_end_without_a_storm_of_attempts(
    routes: list[Route], failures: list[Failure], allowed: frozenset[Allowed], most: int
) -> None:
    step = Step(spec=StepSpec(id="a", task="do it", max_attempts=most))
    start = Case(step=step, route=routes[0], others=tuple(routes[1:]), now=NOW, allowed=allowed)
    walk = Walk(start, failures)
    walk.walk()
    assert len(walk.started) <= max(1, most) * (1 + len(walk.case.switches))
    assert len(walk.case.switches) == len(set(walk.case.switches))
    assert walk.waits <= 2 * len(walk.started) + 2


@pytest.mark.req("002:L92")
@given(st.lists(ROUTES, min_size=1, max_size=4), CODES)
def test_many_steps_on_one_broken_route_soon_stop_trying(routes: list[Route], code: str) -> None:
    route, held = routes[0], dict[str, Breaker]()
    attempts = 0
    for number in range(20):
        step = Step(spec=StepSpec(id=str(number), task="do it"))
        if before_start(Case(step=step, route=route, now=NOW + number / 100, breakers=held)) is None:
            attempts += 1
            rule = treatment(code)
            part = route.part(rule.domain)
            after = counted(held.get(part), part, Failure(code, "no"), rule, NOW + number / 100)
            held |= {after.part: after} if after is not None else {}
    assert attempts <= 5 or not any(blocks(one, NOW + 1) for one in held.values())
    assert attempts == 20 or any(blocks(one, NOW + 1) for one in held.values())
