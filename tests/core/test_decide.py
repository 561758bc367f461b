"""The decision: the first rule that has anything to say, for every rule and every kind of stop."""

from dataclasses import replace

import pytest

from engine_mcp.core import event as ev
from engine_mcp.core.budget import Limits, OnExceed, Resource, Usage
from engine_mcp.core.decide import decide, settle
from engine_mcp.core.effect import Effect, Halt, Note, Start, WakeAt
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution, ExecutionStatus, Output, RecordedCall, StopMode
from engine_mcp.core.retry import delay
from tests.core.story import AT, begun, created, driven, failed, running, spec, succeeded

A, B, C = spec("a"), spec("b"), spec("c", "a")
NOW, AFTER, PAUSE, CANCEL = StopMode.NOW, StopMode.AFTER_STEP, StopMode.PAUSE, StopMode.CANCEL
WARN = OnExceed.WARN


def asked(mode: StopMode) -> ev.StopRequested:
    return ev.StopRequested(at=AT, mode=mode, reason="asked")


def started(effects: tuple[Effect, ...]) -> list[str]:
    return [effect.event.step for effect in effects if isinstance(effect, Start)]


def noted(effects: tuple[Effect, ...]) -> list[str]:
    return [effect.event.kind for effect in effects if isinstance(effect, Note)]


# --- who may start


def test_nothing_is_decided_before_somebody_drives_or_after_the_end() -> None:
    assert decide(fold(None, [created(A)]), AT) == ()
    over = running(A, after=(begun("a"), succeeded("a"), ev.ExecutionCompleted(at=AT)))
    assert decide(over, AT) == ()


@pytest.mark.req("003:L38", "003:L40")
def test_everything_ready_starts_at_once_as_far_as_there_is_room() -> None:
    steps = [spec(f"s{number}") for number in range(6)]
    assert started(decide(running(*steps), AT)) == ["s0", "s1", "s2", "s3"]
    narrow = fold(None, [created(*steps, parallelism=2), driven(), begun("s3")])
    assert started(decide(narrow, AT)) == ["s0"]


@pytest.mark.req("002:L34")
def test_a_step_starts_the_moment_its_last_dependency_has_ended() -> None:
    both = spec("d", "a", "b")
    before = running(A, B, both, after=(begun("a"), begun("b"), succeeded("b")))
    assert decide(before, AT) == ()
    assert started(decide(fold(before, [succeeded("a")]), AT)) == ["d"]


def test_a_start_carries_what_makes_it_repeatable() -> None:
    execution = running(spec("a", task="t", runtime="r", model="m"))
    (effect,) = decide(execution, AT + 0.5)
    assert isinstance(effect, Start)
    event = effect.event
    assert (event.at, event.number, event.runtime, event.model) == (AT + 0.5, 1, "r", "m")
    assert event.clock_ms == int((AT + 0.5) * 1000)
    assert event.reserved == Usage()
    assert decide(execution, AT + 0.5) == (effect,)


def test_an_attempt_that_would_replay_sees_the_chance_and_the_clock_of_the_one_before() -> None:
    call = RecordedCall(ordinal=0, name="t", digest="d", at_ms=0, output=Output())
    stopped = (
        ev.AttemptInterrupted(at=AT, step="a", number=1),
        ev.ExecutionInterrupted(at=AT, reason="asked"),
        ev.ExecutionResumed(at=AT),
        driven(2),
    )
    recorded = ev.CallRecorded(at=AT, step="a", number=1, call=call)
    (again,) = decide(running(A, after=(begun("a"), recorded, *stopped)), AT + 99)
    (anew,) = decide(running(A, after=(begun("a"), *stopped)), AT + 99)
    assert isinstance(again, Start)
    assert isinstance(anew, Start)
    assert (again.event.number, again.event.seed, again.event.clock_ms) == (2, 7, 8)
    assert anew.event.number == 2
    assert anew.event.seed != 7
    assert anew.event.clock_ms == (AT + 99) * 1000


# --- retries


@pytest.mark.req("002:L46", "002:L91", "002:L172")
def test_a_retry_waits_until_it_is_due_and_wakes_then() -> None:
    execution = running(A, after=(begun("a"), failed("a", "crash", final=False)))
    due = AT + 1 + delay(1, "e:a")
    assert decide(execution, AT + 1) == (WakeAt(due),)
    assert started(decide(execution, due)) == ["a"]


def test_a_retry_is_waited_for_even_if_another_step_has_no_budget_left() -> None:
    poor = spec("b", tool="t", budget=Limits(max_requests=0))
    execution = running(A, poor, after=(begun("a"), failed("a", "crash", final=False)))
    assert decide(execution, AT + 1) == (WakeAt(AT + 1 + delay(1, "e:a")),)


def test_others_start_while_a_retry_waits() -> None:
    execution = running(A, B, after=(begun("a"), failed("a", "crash", final=False)))
    effects = decide(execution, AT + 1)
    assert started(effects) == ["b"]
    assert WakeAt(AT + 1 + delay(1, "e:a")) in effects


def test_after_a_lack_of_resources_a_step_waits_until_it_is_alone_and_stays_so() -> None:
    lacking = (begun("a"), begun("b"), failed("a", "storage", final=False))
    waits = running(A, B, spec("d"), after=lacking)
    assert started(decide(waits, AT + 99)) == ["d"]
    alone = fold(waits, [succeeded("b")])
    assert started(decide(alone, AT + 99)) == ["a"]
    assert decide(fold(alone, [begun("a", 2)]), AT + 99) == ()


# --- the end


@pytest.mark.req("002:L42", "002:L43", "002:L111")
@pytest.mark.parametrize(
    ("optional", "kind", "reason"),
    [(True, "execution_completed", None), (False, "execution_failed", "failed: a")],
)
def test_the_failure_of_an_optional_step_fails_nothing(optional: bool, kind: str, reason: str | None) -> None:  # noqa: FBT001 - a case
    step = spec("a", optional=optional)
    execution = running(step, B, after=(begun("a"), begun("b"), failed("a"), succeeded("b")))
    (effect,) = decide(execution, AT)
    assert isinstance(effect, Note)
    assert effect.event.kind == kind
    assert getattr(effect.event, "reason", None) == reason


def test_the_end_tells_the_totals() -> None:
    execution = running(A, after=(begun("a"), succeeded("a", usage=Usage(requests=3))))
    assert decide(execution, AT) == (Note(ev.ExecutionCompleted(at=AT, usage=Usage(requests=3))),)


@pytest.mark.req("002:L44", "002:L45", "003:L40")
def test_what_depends_on_a_failure_is_skipped_to_the_last_and_the_rest_goes_on() -> None:
    execution = running(A, B, C, spec("d", "c"), spec("e", "b"), after=(begun("a"), failed("a")))
    settled = settle(execution, AT)
    skipped = [event for event in settled.events if isinstance(event, ev.StepSkipped)]
    assert [event.step for event in skipped] == ["c", "d"]
    assert {event.failure.code for event in skipped} == {"dependency_failed"}
    assert "needs a, which did not complete" in skipped[0].failure.message
    assert started(settled.effects) == ["b"]


# --- approval


@pytest.mark.req("002:L28", "002:L108")
def test_a_step_that_needs_approval_asks_and_the_execution_rests_when_nothing_else_runs() -> None:
    gated = spec("g", requires_approval=True)
    settled = settle(running(gated, B), AT)
    assert [event.kind for event in settled.events] == ["approval_requested", "attempt_started"]
    resting = settle(fold(settled.execution, [succeeded("b")]), AT)
    assert resting.events == (ev.ExecutionPaused(at=AT, reason="approval"),)
    go = (ev.ExecutionResumed(at=AT, approve=("g",)), driven(2))
    assert started(settle(fold(resting.execution, go), AT).effects) == ["g"]
    again = settle(fold(resting.execution, [ev.ExecutionResumed(at=AT), driven(2)]), AT)
    assert again.events == (ev.ExecutionPaused(at=AT, reason="approval"),)


def test_a_denied_step_fails_and_what_needs_it_is_skipped() -> None:
    gated = spec("a", requires_approval=True)
    resting = settle(running(gated, C), AT).execution
    no = fold(resting, [ev.ExecutionResumed(at=AT, deny=("a",)), driven(2)])
    settled = settle(no, AT)
    assert [event.kind for event in settled.events] == ["step_skipped", "execution_failed"]


# --- budget


TOOLS = [spec(name, tool="t") for name in "abc"]


@pytest.mark.req("002:L196")
def test_what_is_reserved_counts_until_it_is_settled() -> None:
    limited = settle(running(*TOOLS, budget=Limits(max_requests=2)), AT)
    assert started(limited.effects) == ["a", "b"]
    free = settle(fold(limited.execution, [succeeded("a")]), AT)
    assert started(free.effects) == ["c"]
    spent = settle(fold(limited.execution, [succeeded("a", usage=Usage(requests=1))]), AT)
    assert spent.effects == ()
    done = settle(fold(spent.execution, [succeeded("b", usage=Usage(requests=1))]), AT)
    assert done.events == (ev.ExecutionPaused(at=AT, reason="budget"),)
    more = (ev.ExecutionResumed(at=AT, budget=Limits(max_requests=3)), driven(2))
    assert started(settle(fold(done.execution, more), AT).effects) == ["c"]


def test_a_step_without_budget_waits_and_others_go_on() -> None:
    poor = spec("a", tool="t", budget=Limits(max_requests=0))
    settled = settle(running(poor, B), AT)
    assert started(settled.effects) == ["b"]
    assert settle(fold(settled.execution, [succeeded("b")]), AT).events[-1].kind == "execution_paused"


def test_a_step_whose_own_budget_is_spent_goes_on_with_another_one() -> None:
    poor = spec("a", tool="t", budget=Limits(max_requests=1))
    spent = failed("a", "tool_transient", final=False, usage=Usage(requests=1))
    resting = settle(running(poor, after=(begun("a"), spent)), AT + 99).execution
    assert resting.reason == "budget"
    other = replace(poor, budget=Limits(max_requests=2))
    go_on = (ev.ExecutionResumed(at=AT + 99, steps=(other,)), driven(2))
    assert started(settle(fold(resting, go_on), AT + 99).effects) == ["a"]


def test_at_the_limit_of_seconds_everything_stops_and_before_it_wakes() -> None:
    execution = running(A, budget=Limits(max_seconds=10), after=(begun("a"),))
    assert decide(execution, AT + 1) == (WakeAt(AT + 10),)
    settled = settle(execution, AT + 10)
    assert settled.events == (ev.StopRequested(at=AT + 10, mode=PAUSE, reason="budget"),)
    assert settled.effects == (Halt("a"),)
    stopped = ev.AttemptInterrupted(at=AT + 11, step="a", number=1)
    rest = settle(fold(settled.execution, [stopped]), AT + 11)
    assert rest.events == (ev.ExecutionPaused(at=AT + 11, reason="budget"),)


def test_a_limit_of_seconds_that_is_reached_by_the_last_step_pauses_nothing() -> None:
    execution = running(A, budget=Limits(max_seconds=10), after=(begun("a"), succeeded("a")))
    assert noted(decide(execution, AT + 99)) == ["execution_completed"]


def test_a_limit_that_warns_is_told_once_and_nothing_stops() -> None:
    limits = Limits(max_requests=0, max_seconds=5, on_exceed=WARN)
    execution = running(*TOOLS, budget=limits, after=(begun("a"), succeeded("a", usage=Usage(requests=1))))
    settled = settle(execution, AT + 6)
    warned = [event for event in settled.events if isinstance(event, ev.BudgetWarned)]
    assert [(event.resource, event.limit, event.used) for event in warned] == [
        (Resource.SECONDS, 5, 6),
        (Resource.REQUESTS, 0, 1),
    ]
    assert started(settled.effects) == ["b", "c"]
    last = settle(fold(settled.execution, [succeeded("b", usage=Usage(requests=1))]), AT + 9)
    assert last.events == ()


# --- stops


@pytest.mark.req("000:5.1.3", "004:L29")
@pytest.mark.parametrize(
    ("mode", "effects"),
    [(NOW, (Halt("a"),)), (PAUSE, (Halt("a"),)), (CANCEL, (Halt("a"),)), (AFTER, ())],
)
def test_a_stop_halts_what_runs_or_waits_for_it_and_starts_nothing(
    mode: StopMode, effects: tuple[Effect, ...]
) -> None:
    execution = running(A, B, after=(begun("a"), asked(mode)))
    assert decide(execution, AT + 999) == effects


@pytest.mark.parametrize(
    ("mode", "status"),
    [
        (NOW, ExecutionStatus.INTERRUPTED),
        (AFTER, ExecutionStatus.INTERRUPTED),
        (PAUSE, ExecutionStatus.PAUSED),
        (CANCEL, ExecutionStatus.CANCELLED),
    ],
)
def test_once_nothing_runs_a_stop_is_finished(mode: StopMode, status: ExecutionStatus) -> None:
    execution = running(A, B, after=(begun("a"), asked(mode), succeeded("a")))
    settled = settle(execution, AT).execution
    assert (settled.status, settled.reason) == (status, "asked")


@pytest.mark.parametrize("mode", StopMode)
def test_a_stop_that_comes_when_everything_is_done_finds_it_done(mode: StopMode) -> None:
    execution = running(A, after=(begun("a"), asked(mode), succeeded("a")))
    assert settle(execution, AT).execution.status is ExecutionStatus.COMPLETED


@pytest.mark.parametrize(
    ("mode", "status"),
    [
        (NOW, ExecutionStatus.INTERRUPTED),
        (AFTER, ExecutionStatus.INTERRUPTED),
        (CANCEL, ExecutionStatus.CANCELLED),
    ],
)
def test_what_waits_for_a_place_is_stopped_at_once(mode: StopMode, status: ExecutionStatus) -> None:
    execution = fold(None, [created(A), asked(mode)])
    assert settle(execution, AT).execution.status is status


@pytest.mark.parametrize("mode", StopMode)
@pytest.mark.parametrize(
    "rest", [ev.ExecutionPaused(at=AT, reason="budget"), ev.ExecutionInterrupted(at=AT, reason="asked")]
)
def test_what_rests_is_moved_by_nothing_but_a_cancel(rest: ev.Event, mode: StopMode) -> None:
    execution = running(A, after=(rest, asked(mode)))
    kinds = noted(decide(execution, AT))
    assert kinds == (["execution_cancelled"] if mode is CANCEL else [])


@pytest.mark.parametrize("mode", StopMode)
def test_what_has_ended_is_moved_by_no_stop(mode: StopMode) -> None:
    over: list[Execution] = [
        running(A, after=(begun("a"), succeeded("a"), ev.ExecutionCompleted(at=AT), asked(mode))),
        running(A, after=(begun("a"), failed("a"), ev.ExecutionFailed(at=AT, reason="a"), asked(mode))),
        running(A, after=(ev.ExecutionCancelled(at=AT, reason="asked"), asked(mode))),
    ]
    assert [decide(execution, AT) for execution in over] == [(), (), ()]


def test_a_settled_execution_says_everything_that_led_there() -> None:
    settled = settle(running(A, B), AT)
    assert settled.execution == fold(running(A, B), settled.events)
    assert settle(settled.execution, AT) == replace(settled, events=(), effects=())


@pytest.mark.parametrize("mode", [NOW, AFTER, PAUSE])
def test_what_waits_for_a_place_is_interrupted_by_any_stop_but_a_cancel(mode: StopMode) -> None:
    waiting = settle(fold(None, [created(A), asked(mode)]), AT).execution
    assert (waiting.status, waiting.reason) == (ExecutionStatus.INTERRUPTED, "asked")
