"""What follows a failed attempt, and whether a route is free: the table of faults in every situation."""

from dataclasses import replace

import pytest

from engine_mcp.core.breaker import OPEN_S, QUOTA_S, TRIAL_S, Breaker, BreakerState
from engine_mcp.core.execution import Attempt, AttemptStatus, Failure, Step
from engine_mcp.core.fallback import (
    MOST_SWITCHES,
    PATIENCE_S,
    Case,
    Fail,
    Retry,
    Switch,
    Wait,
    after_failure,
    before_start,
)
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.retry import LONGEST_WAIT_S, delay, due_at
from engine_mcp.core.route import Allowed, Domain, Route
from engine_mcp.core.treatment import TREATMENTS, FallBack

NOW = 10_000.0
CLAUDE = Route(
    runtime="claude-code",
    family="claude",
    endpoint="api",
    pool="claude plan",
    model="claude-opus-5-5",
    tier="strong",
)
OPENCODE = replace(CLAUDE, runtime="opencode")
KEY = replace(CLAUDE, pool="key 12345678")
BEDROCK = replace(CLAUDE, endpoint="bedrock eu", pool="aws eu")
MIRROR = replace(CLAUDE, endpoint="mirror")
OLDER = replace(CLAUDE, model="claude-opus-5")
WEAKER = replace(CLAUDE, model="claude-sonnet-5-5", tier="standard")
API = replace(CLAUDE, runtime="api", family="api")
ALL = (OPENCODE, KEY, BEDROCK, MIRROR, OLDER, WEAKER, API)
EVERYTHING = frozenset(Allowed)
POOL = frozenset({Allowed.POOL})
WORDS = "it did not\n work"


def step(tries: int = 1, most: int = 3) -> Step:
    """A step whose newest attempt is under way; the failed tries on its route count it."""
    attempts = [
        Attempt(number=number, started_at=NOW - 9, epoch=1, ended_at=NOW - 5, status=AttemptStatus.FAILED)
        for number in range(1, tries)
    ]
    attempts.append(Attempt(number=tries, started_at=NOW - 4, epoch=1))
    spec = StepSpec(id="a", task="do it", max_attempts=most)
    return Step(spec=spec, attempts=tuple(attempts), tries=tries - 1)


def case(code: str, *, tries: int = 1, most: int = 3, retry_at: float | None = None) -> Case:
    """An attempt on CLAUDE that failed just now; no other route is known yet."""
    failure = Failure(code, WORDS, retry_at=retry_at)
    return Case(step=step(tries, most), route=CLAUDE, now=NOW, key="e", failure=failure)


def ended(judged: Case) -> Case:
    """The same case once the end of the attempt is on record."""
    *before, last = judged.step.attempts
    last = replace(last, status=AttemptStatus.FAILED, ended_at=NOW, failure=judged.failure)
    over = replace(judged.step, attempts=(*before, last), tries=judged.step.tries + 1)
    return replace(judged, step=over, failure=None)


def open_breaker(
    route: Route, domain: Domain, code: str, retry_at: float | None = NOW + 20
) -> dict[str, Breaker]:
    """What is known while a part of a route is broken."""
    part = route.part(domain)
    held = Breaker(
        part=part, state=BreakerState.OPEN, retry_at=retry_at, code=code, evidence=WORDS, changed_at=NOW
    )
    return {part: held}


def to(verdict: object) -> Route | None:
    """Where a switch goes."""
    return verdict.to if isinstance(verdict, Switch) else None


def ahead(verdict: object) -> object:
    """Where or when a step goes on."""
    match verdict:
        case Switch(to=route):
            return route
        case Retry(at=moment) | Wait(until=moment):
            return moment
        case _:
            return None


@pytest.mark.req("003:L30", "002:L110", "002:L95")
@pytest.mark.parametrize(
    ("code", "tries", "others", "allowed", "goes_to"),
    [
        # A missing or failing runtime: another one, with the same model on the same account.
        ("runtime_missing", 1, (OLDER, OPENCODE), (), OPENCODE),
        ("runtime_failed", 2, (OPENCODE,), (), OPENCODE),
        ("runtime_stalled", 2, (OPENCODE,), (), OPENCODE),
        ("runtime_missing", 1, (API,), (), None),
        ("runtime_missing", 1, (API,), (Allowed.FAMILY,), API),
        # An account that is used up: another one, where the plan allows it.
        ("quota_exhausted", 1, (OPENCODE, KEY), (), None),
        ("quota_exhausted", 1, (OPENCODE, KEY), (Allowed.POOL,), KEY),
        ("credit_exhausted", 1, (OPENCODE, KEY), (Allowed.POOL,), KEY),
        ("unauthorized", 2, (OPENCODE, KEY), (Allowed.POOL,), KEY),
        ("unauthorized", 2, (OPENCODE, KEY), (), None),
        # A model that has too much to do: the same one elsewhere, else a sibling.
        ("overloaded", 3, (OPENCODE, WEAKER), (), None),
        ("overloaded", 3, (OPENCODE, OLDER), (), OLDER),
        ("overloaded", 3, (OLDER, MIRROR), (), MIRROR),
        ("overloaded", 3, (OPENCODE, WEAKER, BEDROCK), (Allowed.TIER, Allowed.POOL), BEDROCK),
        ("overloaded", 3, (OPENCODE, WEAKER), (Allowed.TIER,), WEAKER),
        # A model that is not there: the next of its kind.
        ("model_unavailable", 1, (OPENCODE, OLDER), (), OLDER),
        ("model_unavailable", 1, (OPENCODE, WEAKER), (), None),
        # An endpoint that fails: another one.
        ("provider_error", 3, (OPENCODE, OLDER, MIRROR), (), MIRROR),
        ("unreachable", 3, (OPENCODE, BEDROCK), (), None),
        ("unreachable", 3, (OPENCODE, BEDROCK), (Allowed.POOL,), BEDROCK),
        # Of two that would do, the one that leaves less.
        ("runtime_failed", 2, (replace(KEY, runtime="opencode"), OPENCODE), (Allowed.POOL,), OPENCODE),
    ],
)
def test_a_fault_leads_to_a_route_without_the_part_that_broke_and_within_what_is_allowed(
    code: str, tries: int, others: tuple[Route, ...], allowed: tuple[Allowed, ...], goes_to: Route | None
) -> None:
    verdict = after_failure(replace(case(code, tries=tries), others=others, allowed=frozenset(allowed)))
    assert to(verdict) == goes_to
    if isinstance(verdict, Switch):
        assert verdict.domain is TREATMENTS[code].domain


@pytest.mark.req("002:L110", "002:L46", "002:L172", "002:L173", "002:L174", "002:L175", "002:L176")
@pytest.mark.parametrize(
    ("code", "retries", "ends"),
    [
        ("runtime_missing", 0, Fail),
        ("runtime_failed", 2, Fail),
        ("runtime_stalled", 2, Fail),
        ("rate_limited", 2, Fail),
        ("quota_exhausted", 0, Wait),
        ("credit_exhausted", 0, Wait),
        ("overloaded", 2, Fail),
        ("provider_error", 2, Fail),
        ("unreachable", 2, Fail),
        ("host_network", 2, Fail),
        ("unauthorized", 1, Fail),
        ("permission", 1, Fail),
        ("resource_exceeded", 1, Fail),
        ("model_unavailable", 0, Fail),
        ("crash", 2, Fail),
    ],
)
def test_without_another_route_a_fault_is_tried_again_as_often_as_its_class_allows(
    code: str, retries: int, ends: type[object]
) -> None:
    verdicts = [after_failure(case(code, tries=tries)) for tries in range(1, retries + 2)]
    assert [type(verdict) for verdict in verdicts] == [Retry] * retries + [ends]


@pytest.mark.parametrize(
    ("code", "retries"),
    [
        ("runtime_failed", 1),
        ("runtime_stalled", 1),
        ("unauthorized", 1),
        ("overloaded", 2),
        ("unreachable", 2),
    ],
)
def test_another_route_is_taken_once_the_tries_on_this_one_are_used_up(code: str, retries: int) -> None:
    offered = [
        replace(case(code, tries=tries), others=ALL, allowed=EVERYTHING) for tries in range(1, retries + 2)
    ]
    assert [type(after_failure(one)) for one in offered] == [Retry] * retries + [Switch]


@pytest.mark.req("002:L110")
@pytest.mark.parametrize(
    "code", [code for code, rule in TREATMENTS.items() if rule.fall_back is FallBack.NEVER]
)
@pytest.mark.parametrize("tries", [1, 2, 3])
def test_budget_approval_refusal_and_a_step_s_own_failure_never_lead_elsewhere(code: str, tries: int) -> None:
    verdict = after_failure(replace(case(code, tries=tries), others=ALL, allowed=EVERYTHING))
    assert isinstance(verdict, Retry | Fail)


@pytest.mark.parametrize(
    ("retry_at", "reached", "reason"),
    [(NOW + 7200, NOW + 7200, "quota"), (None, NOW + QUOTA_S, "quota")],
)
def test_a_used_up_quota_is_waited_for_until_it_resets(
    retry_at: float | None, reached: float, reason: str
) -> None:
    verdict = after_failure(case("quota_exhausted", retry_at=retry_at))
    assert isinstance(verdict, Wait)
    assert verdict.reason == reason
    assert verdict.until == reached + delay(1, "e:a")


@pytest.mark.parametrize("retry_at", [NOW + 7200, None, NOW - 60])
def test_a_step_goes_on_once_the_quota_it_lacked_should_be_there_again(retry_at: float | None) -> None:
    judged = ended(replace(case("quota_exhausted", retry_at=retry_at), others=(KEY,)))
    verdict = after_failure(judged)
    assert isinstance(verdict, Wait)
    assert verdict.until is not None
    early = replace(judged, now=verdict.until - 1)
    assert after_failure(early) == verdict
    assert to(after_failure(replace(early, allowed=POOL))) == KEY
    there = replace(judged, now=verdict.until, allowed=POOL)
    again = after_failure(there)
    assert isinstance(again, Retry)
    assert again.at <= verdict.until
    shut = replace(there, breakers=open_breaker(CLAUDE, Domain.POOL, "quota_exhausted", there.now + 99))
    assert to(after_failure(shut)) == KEY


def test_without_credit_a_step_waits_until_somebody_acts() -> None:
    assert after_failure(case("credit_exhausted", retry_at=NOW + 99)) == Wait(until=None, reason="billing")


@pytest.mark.req("002:L91")
@pytest.mark.parametrize(
    ("asked", "deadline", "allowed", "verdict"),
    [
        (PATIENCE_S, None, POOL, Retry),
        (PATIENCE_S + 1, None, POOL, Switch),
        (PATIENCE_S + 1, None, frozenset[Allowed](), Retry),
        (LONGEST_WAIT_S, None, frozenset[Allowed](), Retry),
        (LONGEST_WAIT_S + 1, None, frozenset[Allowed](), Wait),
        (20.0, NOW + 10, POOL, Switch),
        (20.0, NOW + 10, frozenset[Allowed](), Wait),
        (20.0, NOW + 30, POOL, Retry),
        (0.0, NOW - 10, POOL, Retry),
    ],
)
def test_a_rate_limit_is_waited_for_unless_that_takes_too_long(
    asked: float, deadline: float | None, allowed: frozenset[Allowed], verdict: type[object]
) -> None:
    asking = case("rate_limited", retry_at=NOW + asked)
    judged = after_failure(replace(asking, others=(KEY,), allowed=allowed, deadline=deadline))
    assert isinstance(judged, verdict)
    assert ahead(judged) == (KEY if verdict is Switch else NOW + asked + delay(1, "e:a"))


@pytest.mark.parametrize("asked", [5.0, PATIENCE_S, PATIENCE_S + 1, LONGEST_WAIT_S, 2 * LONGEST_WAIT_S])
@pytest.mark.parametrize("allowed", [POOL, frozenset[Allowed]()])
def test_whether_a_rate_limit_is_already_known_of_the_account_changes_no_time_and_no_route(
    asked: float, allowed: frozenset[Allowed]
) -> None:
    unknown = replace(case("rate_limited", retry_at=NOW + asked), others=(KEY,), allowed=allowed)
    known = replace(unknown, breakers=open_breaker(CLAUDE, Domain.POOL, "rate_limited", NOW + asked))
    assert ahead(after_failure(known)) == ahead(after_failure(unknown))


def test_what_another_step_was_told_of_a_rate_limit_counts_as_well() -> None:
    told = open_breaker(CLAUDE, Domain.POOL, "rate_limited", NOW + 40)
    judged = replace(case("rate_limited", retry_at=NOW + 10), breakers=told)
    assert after_failure(judged) == Retry(at=NOW + 40 + delay(1, "e:a"))


@pytest.mark.req("002:L91")
@pytest.mark.parametrize("tries", [1, 2])
@pytest.mark.parametrize("retry_at", [None, NOW + 30, NOW - 30])
def test_a_retry_is_due_when_the_retry_policy_says_so(tries: int, retry_at: float | None) -> None:
    judged = case("rate_limited", tries=tries, retry_at=retry_at)
    over = ended(judged)
    assert after_failure(judged) == after_failure(over) == Retry(at=due_at(over.step, "e"))


def test_a_verdict_needs_a_failure() -> None:
    with pytest.raises(ValueError, match="No attempt at the step 'a' has failed"):
        after_failure(replace(case("crash"), failure=None))
    with pytest.raises(ValueError, match="has failed"):
        after_failure(Case(step=Step(spec=StepSpec(id="a", task="do it")), route=CLAUDE, now=NOW))


def test_a_runtime_that_was_asked_for_is_kept() -> None:
    missing = replace(case("runtime_missing"), others=ALL, allowed=EVERYTHING, forced=True)
    assert isinstance(after_failure(missing), Fail)
    busy = replace(
        case("overloaded", tries=3), others=(API, OPENCODE, OLDER), allowed=EVERYTHING, forced=True
    )
    assert to(after_failure(busy)) == OLDER


def test_a_step_leaves_a_domain_once() -> None:
    once = replace(case("runtime_failed", tries=3), others=(OPENCODE,))
    assert to(after_failure(once)) == OPENCODE
    assert isinstance(after_failure(replace(once, switches=(Domain.HARNESS,))), Fail)
    assert to(after_failure(replace(once, switches=(Domain.MODEL,)))) == OPENCODE


def test_failures_change_the_routes_of_an_execution_only_so_often() -> None:
    many = replace(case("runtime_failed", tries=3), others=(OPENCODE,))
    assert to(after_failure(replace(many, switched=MOST_SWITCHES - 1))) == OPENCODE
    assert isinstance(after_failure(replace(many, switched=MOST_SWITCHES)), Fail)
    shut = replace(many, step=step(1), others=(KEY,), allowed=POOL)
    shut = replace(shut, breakers=open_breaker(CLAUDE, Domain.POOL, "quota_exhausted"))
    assert to(after_failure(shut)) == KEY
    assert isinstance(after_failure(replace(shut, switched=MOST_SWITCHES)), Wait)


@pytest.mark.req("002:L95")
@pytest.mark.parametrize("domain", [Domain.HARNESS, Domain.ENDPOINT, Domain.POOL, Domain.MODEL])
def test_a_route_with_an_open_breaker_is_not_taken(domain: Domain) -> None:
    other = Route(
        runtime="opencode",
        family="claude",
        endpoint="mirror",
        pool="key",
        model="claude-opus-4",
        tier="strong",
    )
    missing = replace(case("runtime_missing"), others=(other,), allowed=EVERYTHING)
    assert to(after_failure(missing)) == other
    broken = open_breaker(other, domain, "overloaded")
    assert isinstance(after_failure(replace(missing, breakers=broken)), Fail)
    healing = replace(missing, breakers=open_breaker(other, domain, "overloaded", NOW))
    assert to(after_failure(healing)) == other


def test_a_machine_without_a_network_makes_no_route_better() -> None:
    offline = open_breaker(CLAUDE, Domain.HOST, "host_network")
    judged = replace(case("host_network"), others=ALL, allowed=EVERYTHING, breakers=offline)
    assert after_failure(judged) == Wait(until=NOW + 20 + delay(1, "e:a"), reason="breaker")


def test_a_step_whose_own_failure_meets_a_shut_door_waits_before_it() -> None:
    shut = open_breaker(CLAUDE, Domain.POOL, "quota_exhausted", NOW + 7200)
    judged = replace(case("crash"), breakers=shut)
    assert after_failure(judged) == Wait(until=NOW + 7200 + delay(1, "e:a"), reason="quota")
    assert to(after_failure(replace(judged, others=(KEY,), allowed=POOL))) == KEY
    assert isinstance(after_failure(replace(judged, step=step(3))), Fail)


@pytest.mark.req("002:L92", "002:L95")
@pytest.mark.parametrize(
    ("domain", "code", "retry_at", "goes_to", "waits"),
    [
        (Domain.HARNESS, "runtime_missing", NOW + 20, OPENCODE, Wait(until=NOW + 20, reason="breaker")),
        (Domain.MODEL, "overloaded", NOW + 20, MIRROR, Wait(until=NOW + 20, reason="breaker")),
        (Domain.ENDPOINT, "unreachable", NOW + 20, MIRROR, Wait(until=NOW + 20, reason="breaker")),
        (Domain.POOL, "quota_exhausted", NOW + 7200, KEY, Wait(until=NOW + 7200, reason="quota")),
        (Domain.POOL, "credit_exhausted", None, KEY, Wait(until=None, reason="billing")),
        (Domain.POOL, "unauthorized", None, KEY, Wait(until=None, reason="auth")),
        (Domain.POOL, "rate_limited", NOW + 20, None, Wait(until=NOW + 20, reason="breaker")),
        (Domain.POOL, "rate_limited", NOW + 90, KEY, Wait(until=NOW + 90, reason="breaker")),
        (Domain.POOL, "rate_limited", NOW + 7200, KEY, Wait(until=NOW + 7200, reason="quota")),
        (Domain.HOST, "host_network", NOW + 20, None, Wait(until=NOW + 20, reason="breaker")),
        (Domain.MODEL, "a code of a later version", NOW + 20, None, Wait(until=NOW + 20, reason="breaker")),
        (Domain.MODEL, "a code of a later version", None, None, Wait(until=None, reason="breaker")),
    ],
)
def test_a_step_that_finds_its_route_shut_goes_round_or_waits(
    domain: Domain, code: str, retry_at: float | None, goes_to: Route | None, waits: Wait
) -> None:
    shut = open_breaker(CLAUDE, domain, code, retry_at)
    fresh = Step(spec=StepSpec(id="a", task="do it"))
    start = Case(step=fresh, route=CLAUDE, now=NOW, breakers=shut, key="e")
    until = None if waits.until is None else waits.until + delay(1, "e:a")
    assert before_start(start) == replace(waits, until=until)
    offered = replace(start, others=ALL, allowed=frozenset({Allowed.POOL}), switched=MOST_SWITCHES)
    assert to(before_start(offered)) == goes_to
    assert before_start(replace(offered, now=NOW + 1e6)) is None or retry_at is None


def test_a_route_without_a_breaker_is_free() -> None:
    start = Case(step=Step(spec=StepSpec(id="a", task="do it")), route=CLAUDE, now=NOW)
    assert before_start(start) is None
    elsewhere = open_breaker(BEDROCK, Domain.MODEL, "overloaded")
    assert before_start(replace(start, breakers=elsewhere)) is None
    counting = Breaker(part=CLAUDE.part(Domain.MODEL), failures=4, code="overloaded")
    assert before_start(replace(start, breakers={counting.part: counting})) is None


def test_while_one_attempt_tries_a_broken_part_the_others_look_again_soon() -> None:
    part = CLAUDE.part(Domain.MODEL)
    trial = Breaker(part=part, state=BreakerState.HALF_OPEN, code="overloaded", changed_at=NOW - 10)
    start = Case(
        step=Step(spec=StepSpec(id="a", task="x")), route=CLAUDE, now=NOW, breakers={part: trial}, key="e"
    )
    assert before_start(start) == Wait(until=NOW + OPEN_S + delay(1, "e:a"), reason="breaker")
    assert before_start(replace(start, now=NOW - 10 + TRIAL_S)) is None


def test_of_several_shut_doors_the_one_that_is_shut_longest_counts() -> None:
    doors = open_breaker(CLAUDE, Domain.MODEL, "overloaded") | open_breaker(
        CLAUDE, Domain.POOL, "credit_exhausted", None
    )
    start = Case(step=Step(spec=StepSpec(id="a", task="x")), route=CLAUDE, now=NOW, breakers=doors)
    assert before_start(start) == Wait(until=None, reason="billing")


def test_a_switch_says_in_a_sentence_what_broke_and_where_the_step_goes() -> None:
    verdict = after_failure(replace(case("quota_exhausted"), others=(KEY,), allowed=POOL))
    assert isinstance(verdict, Switch)
    assert verdict.why == (
        "The account 'claude plan' failed with quota_exhausted (“it did not work”); "
        "the step goes on in claude-code with claude-opus-5-5 on key 12345678."
    )
    bare = Route(runtime="opencode", family="claude", pool="claude plan", tier="strong")
    verdict = after_failure(
        Case(
            step=step(),
            route=replace(bare, runtime="claude-code"),
            others=(bare,),
            now=NOW,
            failure=Failure("runtime_missing", ""),
        )
    )
    assert isinstance(verdict, Switch)
    assert verdict.why == (
        "The runtime claude-code failed with runtime_missing; the step goes on in opencode on claude plan."
    )


@pytest.mark.parametrize(
    ("code", "tries", "begins"),
    [
        ("provider_error", 3, "The endpoint api failed with provider_error (“"),
        ("overloaded", 3, "The model claude-opus-5-5 at api failed with overloaded (“"),
    ],
)
def test_what_broke_is_named_and_long_words_are_cut(code: str, tries: int, begins: str) -> None:
    judged = replace(case(code, tries=tries), others=(MIRROR,), failure=Failure(code, "word " * 500))
    verdict = after_failure(judged)
    assert isinstance(verdict, Switch)
    assert verdict.why.startswith(begins)
    assert "…”);" in verdict.why
    assert len(verdict.why) < 350


@pytest.mark.parametrize(
    ("code", "begins"),
    [
        ("provider_error", "The endpoint of claude-code failed"),
        ("quota_exhausted", "The account of claude-code failed"),
        ("overloaded", "The model claude-opus-5-5 at claude-code failed"),
    ],
)
def test_where_nobody_can_tell_what_a_route_is_made_of_its_runtime_is_named(code: str, begins: str) -> None:
    vague = replace(CLAUDE, endpoint="", pool="")
    judged = replace(case(code, tries=3), route=vague, others=(vague, API), allowed=EVERYTHING)
    verdict = after_failure(judged)
    assert isinstance(verdict, Switch)
    assert (verdict.to, verdict.why[: len(begins)]) == (API, begins)


@pytest.mark.parametrize(
    ("code", "tries", "said"),
    [
        ("runtime_failed", 3, "after 3 tries in claude-code; no other route is free and allowed."),
        ("refused", 1, "after 1 try in claude-code; no other route would mend that."),
    ],
)
def test_the_end_of_a_step_is_told_in_a_sentence_with_the_evidence(code: str, tries: int, said: str) -> None:
    why = f"The step failed with {code} (“it did not work”) {said}"
    assert after_failure(case(code, tries=tries)) == Fail(why=why)
