"""What each event makes of an execution, and that one that does not fit raises and changes nothing."""

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.core import event as ev
from engine_mcp.core.budget import Limits, OnExceed, Resource, Usage
from engine_mcp.core.evolve import evolve, fold
from engine_mcp.core.execution import (
    Artifact,
    AttemptStatus,
    Execution,
    ExecutionStatus,
    Failure,
    Output,
    Progress,
    RecordedCall,
    ScriptReport,
    StepStatus,
    StopMode,
    Stopping,
)
from engine_mcp.core.script import Outcome
from engine_mcp.errors import IllegalTransition
from tests.core.laws import statuses_change_along_the_tables
from tests.core.simulator import Simulator, World
from tests.core.story import AT, begun, created, driven, failed, running, spec, succeeded
from tests.core.worlds import any_limits, stops, worlds

E, S = ExecutionStatus, StepStatus
A, B = spec("a"), spec("b", "a")
RUNS = running(A, B, after=(begun("a"),))
REPORT = ScriptReport(outcome=Outcome.VALUE)
SPENT = Usage(requests=2, tokens_in=3, seconds=1.5)


def call(ordinal: int = 0) -> RecordedCall:
    return RecordedCall(ordinal=ordinal, name="t", digest="d", at_ms=5, output=Output(value=ordinal))


def recorded(ordinal: int = 0, number: int = 1, requests: int = 1) -> ev.CallRecorded:
    return ev.CallRecorded(at=AT, step="a", number=number, call=call(ordinal), requests=requests)


# --- the life of an execution


def test_a_creation_is_the_beginning() -> None:
    execution = fold(None, [created(A, B, budget=Limits(max_requests=3))])
    assert (execution.id, execution.status, execution.revision, execution.epoch) == ("e", E.PENDING, 1, 0)
    assert (execution.created_at, execution.updated_at) == (AT, AT)
    assert execution.budget == Limits(max_requests=3)
    assert [(step.spec, step.status) for step in execution.steps.values()] == [(A, S.PENDING), (B, S.PENDING)]


def test_a_start_counts_the_process_and_the_time() -> None:
    execution = fold(None, [created(A), driven(epoch=7)])
    assert (execution.status, execution.epoch, execution.running_since) == (E.RUNNING, 7, AT)
    assert execution.active_seconds(AT + 5) == 5


@pytest.mark.parametrize(
    ("event", "status", "reason"),
    [
        (ev.ExecutionPaused(at=AT + 9, reason="budget"), E.PAUSED, "budget"),
        (ev.ExecutionInterrupted(at=AT + 9, reason="asked"), E.INTERRUPTED, "asked"),
        (ev.ExecutionCompleted(at=AT + 9), E.COMPLETED, None),
        (ev.ExecutionFailed(at=AT + 9, reason="failed: a"), E.FAILED, "failed: a"),
        (ev.ExecutionCancelled(at=AT + 9, reason="asked"), E.CANCELLED, "asked"),
    ],
)
@pytest.mark.req("004:L75", "004:L76", "004:L78")
def test_a_rest_stops_the_clock_and_says_why(
    event: ev.Event, status: ExecutionStatus, reason: str | None
) -> None:
    asked = ev.StopRequested(at=AT, mode=StopMode.NOW, reason="asked")
    execution = evolve(running(A, after=(asked,)), event)
    assert (execution.status, execution.reason, execution.ended_at) == (status, reason, AT + 9)
    assert execution.stopping is None
    assert execution.running_since is None
    assert execution.active_seconds(AT + 1000) == 9


@pytest.mark.req("004:L77")
def test_the_time_between_a_rest_and_a_resume_does_not_count() -> None:
    rest = ev.ExecutionPaused(at=AT + 9, reason="budget")
    later = ev.ExecutionStarted(at=AT + 100, epoch=2, owner="o")
    resumed = ev.ExecutionResumed(at=AT + 99)
    assert running(A, after=(rest, resumed, later)).active_seconds(AT + 101) == 10


@pytest.mark.parametrize(
    ("modes", "left"),
    [
        ([StopMode.NOW], StopMode.NOW),
        ([StopMode.AFTER_STEP, StopMode.NOW], StopMode.NOW),
        ([StopMode.NOW, StopMode.AFTER_STEP], StopMode.NOW),
        ([StopMode.PAUSE, StopMode.AFTER_STEP], StopMode.PAUSE),
        ([StopMode.NOW, StopMode.PAUSE], StopMode.NOW),
        ([StopMode.NOW, StopMode.CANCEL, StopMode.NOW], StopMode.CANCEL),
    ],
)
def test_of_several_stops_the_strongest_counts(modes: list[StopMode], left: StopMode) -> None:
    asked = tuple(ev.StopRequested(at=AT, mode=mode, reason=str(mode)) for mode in modes)
    assert running(A, after=asked).stopping == Stopping(mode=left, reason=str(left))


def test_of_two_equal_stops_the_first_says_why() -> None:
    asked = (ev.StopRequested(at=AT, mode=StopMode.NOW, reason=reason) for reason in ("budget", "asked"))
    assert running(A, after=tuple(asked)).stopping == Stopping(mode=StopMode.NOW, reason="budget")


# --- resume


def rested(*after: ev.Event, reason: str = "asked") -> Execution:
    return running(A, B, after=(*after, ev.ExecutionInterrupted(at=AT + 2, reason=reason)))


def test_a_resume_clears_what_stopped_it_and_raises_what_it_is_given() -> None:
    before = replace(rested(), warned=frozenset({Resource.TOKENS}), budget=Limits(max_tokens=1))
    execution = evolve(before, ev.ExecutionResumed(at=AT + 3, budget=Limits(max_requests=5)))
    assert (execution.status, execution.reason, execution.ended_at) == (E.PENDING, None, None)
    assert execution.stopping is None
    assert execution.warned == frozenset()
    assert execution.budget == Limits(max_tokens=1, max_requests=5)


@pytest.mark.req("002:L60", "000:5.2.3")
def test_a_step_that_was_stopped_goes_on_with_its_calls_and_tries() -> None:
    stopped = ev.AttemptInterrupted(at=AT, step="a", number=2)
    before = rested(begun("a"), recorded(), failed("a", "crash", final=False), begun("a", 2), stopped)
    step = evolve(before, ev.ExecutionResumed(at=AT + 3)).steps["a"]
    assert (step.status, step.tries, len(step.attempts)) == (S.PENDING, 1, 2)
    assert step.calls == {0: call()}


def test_a_step_that_waits_for_its_next_try_goes_on_with_its_calls_and_tries() -> None:
    before = rested(begun("a"), recorded(), failed("a", "crash", final=False))
    step = evolve(before, ev.ExecutionResumed(at=AT + 3)).steps["a"]
    assert (step.status, step.tries, step.calls) == (S.PENDING, 1, {0: call()})


def test_what_failed_stays_failed_while_the_execution_has_not() -> None:
    skipped = ev.StepSkipped(at=AT, step="b", failure=Failure("dependency_failed", "a"))
    execution = evolve(rested(begun("a"), failed("a"), skipped), ev.ExecutionResumed(at=AT + 3))
    assert [step.status for step in execution.steps.values()] == [S.FAILED, S.SKIPPED]


def test_what_failed_is_tried_anew_once_the_execution_has() -> None:
    skipped = ev.StepSkipped(at=AT, step="b", failure=Failure("dependency_failed", "a"))
    over = ev.ExecutionFailed(at=AT, reason="a")
    before = running(A, B, after=(begun("a"), recorded(), failed("a"), skipped, over))
    execution = evolve(before, ev.ExecutionResumed(at=AT + 3, runtime="r", model="m"))
    for name, attempts in (("a", 1), ("b", 0)):
        step = execution.steps[name]
        assert (step.status, step.failure, step.tries, len(step.attempts)) == (S.PENDING, None, 0, attempts)
        assert step.calls == {}
        assert (step.spec.runtime, step.spec.model) == ("r", "m")


@pytest.mark.req("000:4.4.1")
def test_what_is_completed_stays_unless_it_is_to_be_done_again() -> None:
    before = running(A, B, after=(begun("a"), succeeded("a"), ev.ExecutionCompleted(at=AT)))
    kept = evolve(before, ev.ExecutionResumed(at=AT, redo=("b",)))
    assert kept.steps["a"] is before.steps["a"]
    anew = evolve(before, ev.ExecutionResumed(at=AT, redo=("a", "b"))).steps["a"]
    assert (anew.status, anew.output, len(anew.attempts)) == (S.PENDING, None, 1)


@pytest.mark.req("002:L108")
def test_an_answer_moves_the_step_that_waits_for_it() -> None:
    asking = ev.ApprovalRequested(at=AT, step="a")
    before = running(A, B, after=(asking, ev.ExecutionPaused(at=AT, reason="approval")))
    assert before.steps["a"].status is S.AWAITING_APPROVAL
    approved = evolve(before, ev.ExecutionResumed(at=AT, approve=("a",))).steps["a"]
    denied = evolve(before, ev.ExecutionResumed(at=AT, deny=("a",))).steps["a"]
    silent = evolve(before, ev.ExecutionResumed(at=AT)).steps["a"]
    assert (approved.status, approved.approved) == (S.PENDING, True)
    assert denied.status is S.FAILED
    assert denied.failure is not None
    assert denied.failure.code == "approval_denied"
    assert (silent.status, silent.approved) == (S.AWAITING_APPROVAL, False)


def test_other_steps_replace_those_that_are_not_completed() -> None:
    before = running(A, B, spec("c"), after=(begun("a"), succeeded("a"), begun("b"), failed("b")))
    over = evolve(
        evolve(before, ev.StepSkipped(at=AT, step="c", failure=Failure("dependency_failed", "b"))),
        ev.ExecutionFailed(at=AT, reason="b"),
    )
    other = spec("b", "a", max_attempts=9)
    steps = evolve(over, ev.ExecutionResumed(at=AT, steps=(other, spec("d", "b")))).steps
    assert [*steps] == ["a", "b", "d"]
    assert steps["a"] is over.steps["a"]
    assert (steps["b"].spec, steps["b"].status, steps["b"].tries) == (other, S.PENDING, 0)


# --- budget


def test_limits_are_changed_one_by_one_or_all_at_once() -> None:
    before = running(A, budget=Limits(max_requests=1, max_tokens=2, on_exceed=OnExceed.WARN))
    warning = ev.BudgetWarned(at=AT, resource=Resource.REQUESTS, limit=1, used=3)
    warned = evolve(before, warning)
    assert warned.warned == {Resource.REQUESTS}
    assert warned.warnings == ("The budget's requests limit of 1 was passed: 3.",)
    merged = evolve(warned, ev.BudgetSet(at=AT, budget=Limits(max_requests=9)))
    assert merged.budget == Limits(max_requests=9, max_tokens=2, on_exceed=OnExceed.WARN)
    assert merged.warned == frozenset()
    assert merged.warnings == warned.warnings
    assert evolve(warned, ev.BudgetSet(at=AT, budget=Limits(), replaces=True)).budget == Limits()


# --- attempts


def test_an_attempt_is_on_record_with_what_makes_it_repeatable() -> None:
    started = ev.AttemptStarted(
        at=AT, step="a", number=1, seed=7, clock_ms=8, runtime="r", model="m", session="s", reserved=SPENT
    )
    step = running(A, after=(started,)).steps["a"]
    attempt = step.attempt
    assert attempt is not None
    assert (step.status, attempt.status, attempt.epoch) == (S.RUNNING, AttemptStatus.RUNNING, 1)
    for name in ("number", "seed", "clock_ms", "runtime", "model", "session", "reserved"):
        assert getattr(attempt, name) == getattr(started, name), name
    assert attempt.started_at == AT


@pytest.mark.parametrize(
    ("event", "status", "how", "charged"),
    [
        (replace(succeeded("a", usage=SPENT), report=REPORT), S.COMPLETED, AttemptStatus.SUCCEEDED, True),
        (replace(failed("a", usage=SPENT), report=REPORT), S.FAILED, AttemptStatus.FAILED, True),
        (failed("a", final=False, usage=SPENT), S.PENDING, AttemptStatus.FAILED, True),
        (
            ev.AttemptInterrupted(at=AT + 1, step="a", number=1, usage=SPENT),
            S.INTERRUPTED,
            AttemptStatus.INTERRUPTED,
            True,
        ),
        (ev.AttemptLost(at=AT + 1, step="a", number=1), S.INTERRUPTED, AttemptStatus.LOST, False),
    ],
)
@pytest.mark.req("002:L136", "002:L137", "002:L138", "002:L155")
def test_an_attempt_ends_in_one_of_five_ways_and_is_charged(
    event: ev.Event,
    status: StepStatus,
    how: AttemptStatus,
    charged: bool,  # noqa: FBT001 - a case
) -> None:
    execution = running(A, after=(begun("a"), recorded(requests=4), event))
    step, attempt = execution.steps["a"], execution.steps["a"].attempt
    assert attempt is not None
    assert (step.status, attempt.status, attempt.ended_at) == (status, how, AT + 1)
    called = Usage(requests=4)
    assert attempt.usage == (called + SPENT if charged else called)
    assert execution.usage == attempt.usage
    assert attempt.report == getattr(event, "report", None)


def test_a_success_is_the_result_and_the_end_of_the_recorded_calls() -> None:
    before = running(A, after=(begun("a"), recorded(), failed("a", "crash", final=False), begun("a", 2)))
    step = evolve(before, succeeded("a", 2)).steps["a"]
    assert step.output == Output(value="a is done")
    assert step.calls == {}
    assert step.failure is None


@pytest.mark.req("002:L140", "002:L141")
def test_a_failure_counts_as_a_try_and_the_last_one_is_the_steps() -> None:
    once = running(A, after=(begun("a"), recorded(), failed("a", "crash", final=False)))
    assert (once.steps["a"].tries, once.steps["a"].failure) == (1, None)
    assert once.steps["a"].calls == {0: call()}
    twice = fold(once, [begun("a", 2), failed("a", "crash", 2)]).steps["a"]
    assert twice.tries == 2
    assert twice.failure == Failure("crash", "it failed")
    assert [tried.failure for tried in twice.attempts] == [Failure("crash", "it failed")] * 2


@pytest.mark.parametrize("code", ["attempt_lost"])
def test_a_lost_attempt_is_no_try_and_says_what_it_is(code: str) -> None:
    step = evolve(RUNS, ev.AttemptLost(at=AT, step="a", number=1)).steps["a"]
    assert step.tries == 0
    assert step.attempts[0].failure is not None
    assert step.attempts[0].failure.code == code


def test_a_recorded_call_counts_at_once_and_only_once() -> None:
    execution = fold(RUNS, [recorded(0), recorded(1, requests=0)])
    assert execution.steps["a"].calls == {0: call(0), 1: call(1)}
    assert execution.usage.requests == execution.steps["a"].requests == 1
    started = ev.CallStarted(at=AT, step="a", number=1, ordinal=2, name="t", digest="d")
    after = evolve(execution, started)
    assert after.steps["a"].unanswered == {2: "d"}
    assert after.steps["a"].calls == execution.steps["a"].calls
    assert evolve(after, recorded(2)).steps["a"].unanswered == {}


def test_progress_is_the_newest_one_and_begins_anew_with_each_attempt() -> None:
    told = [ev.ProgressReported(at=AT, step="a", progress=Progress(done=done)) for done in (1, 2)]
    execution = fold(RUNS, told)
    assert execution.steps["a"].progress == Progress(done=2)
    again = fold(execution, [failed("a", "crash", final=False), begun("a", 2)])
    assert again.steps["a"].progress is None


def test_the_newest_artifact_of_a_name_is_the_one_shown() -> None:
    kept = [
        Artifact(digest=digest, size=1, name=name) for digest, name in (("1", "x"), ("2", "y"), ("3", "x"))
    ]
    execution = fold(RUNS, [ev.ArtifactWritten(at=AT, step="a", artifact=artifact) for artifact in kept])
    assert [artifact.digest for artifact in execution.artifacts] == ["2", "3"]


# --- what does not fit


WAITS = fold(None, [created(A, B)])
DONE = running(A, B, after=(begun("a"), succeeded("a")))
PAUSED = running(A, B, after=(ev.ExecutionPaused(at=AT, reason="budget"),))
CANCELLED = running(A, B, after=(ev.ExecutionCancelled(at=AT, reason="asked"),))
SKIP = ev.StepSkipped(at=AT, step="b", failure=Failure("dependency_failed", "a"))


@pytest.mark.req("004:L30", "002:L181", "002:L133")
@pytest.mark.parametrize(
    ("before", "event"),
    [
        (WAITS, created(A)),
        (RUNS, driven()),
        (CANCELLED, driven()),
        (WAITS, begun("a")),
        (PAUSED, begun("a")),
        (PAUSED, SKIP),
        (WAITS, ev.ApprovalRequested(at=AT, step="a")),
        (RUNS, begun("nobody")),
        (RUNS, begun("a", 2)),
        (RUNS, begun("b", 2)),
        (RUNS, begun("b", 0)),
        (DONE, begun("a", 2)),
        (RUNS, succeeded("a", 2)),
        (RUNS, succeeded("b")),
        (RUNS, succeeded("nobody")),
        (DONE, succeeded("a")),
        (DONE, failed("a")),
        (DONE, ev.AttemptInterrupted(at=AT, step="a", number=1)),
        (DONE, ev.AttemptLost(at=AT, step="a", number=1)),
        (DONE, recorded()),
        (RUNS, recorded(number=2)),
        (DONE, ev.CallStarted(at=AT, step="a", number=1, ordinal=0, name="t", digest="d")),
        (RUNS, ev.ProgressReported(at=AT, step="nobody", progress=Progress(done=1))),
        (RUNS, replace(SKIP, step="a")),
        (DONE, replace(SKIP, step="a")),
        (DONE, ev.ApprovalRequested(at=AT, step="a")),
        (RUNS, ev.ExecutionPaused(at=AT, reason="budget")),
        (RUNS, ev.ExecutionInterrupted(at=AT, reason="asked")),
        (RUNS, ev.ExecutionCompleted(at=AT)),
        (RUNS, ev.ExecutionFailed(at=AT, reason="b")),
        (RUNS, ev.ExecutionCancelled(at=AT, reason="asked")),
        (PAUSED, ev.ExecutionCompleted(at=AT)),
        (PAUSED, ev.ExecutionPaused(at=AT, reason="budget")),
        (RUNS, ev.ExecutionResumed(at=AT)),
        (CANCELLED, ev.ExecutionResumed(at=AT)),
        (RUNS, cast("ev.Event", SimpleNamespace(kind="unheard_of", at=AT))),
    ],
)
def test_an_event_that_does_not_fit_raises_and_changes_nothing(before: Execution, event: ev.Event) -> None:
    known = copy.deepcopy(before)
    with pytest.raises(IllegalTransition) as caught:
        evolve(before, event)
    assert caught.value.code == "illegal_transition"
    assert before == known


def test_a_record_that_does_not_begin_with_its_creation_is_none() -> None:
    with pytest.raises(IllegalTransition, match="begins with execution_started"):
        fold(None, [driven()])
    with pytest.raises(IllegalTransition, match="no events"):
        fold(None, [])


steps_drawn = st.sampled_from([f"s{number}" for number in range(4)])
numbers = st.integers(1, 3)
any_event = st.one_of(
    st.just(driven()),
    st.builds(begun, steps_drawn, numbers),
    st.builds(succeeded, steps_drawn, numbers),
    st.builds(failed, steps_drawn, number=numbers, final=st.booleans()),
    st.builds(ev.AttemptInterrupted, at=st.just(AT), step=steps_drawn, number=numbers),
    st.builds(ev.AttemptLost, at=st.just(AT), step=steps_drawn, number=numbers),
    st.builds(ev.ApprovalRequested, at=st.just(AT), step=steps_drawn),
    st.builds(ev.StepSkipped, at=st.just(AT), step=steps_drawn, failure=st.just(Failure("crash", "no"))),
    st.builds(ev.StopRequested, at=st.just(AT), mode=st.sampled_from(StopMode), reason=st.just("asked")),
    st.builds(ev.ExecutionResumed, at=st.just(AT), redo=st.lists(steps_drawn).map(tuple)),
    st.builds(ev.ExecutionPaused, at=st.just(AT), reason=st.just("asked")),
    st.builds(ev.ExecutionInterrupted, at=st.just(AT), reason=st.just("asked")),
    st.builds(ev.ExecutionCancelled, at=st.just(AT), reason=st.just("asked")),
    st.builds(ev.ExecutionFailed, at=st.just(AT), reason=st.just("a")),
    st.builds(ev.ExecutionCompleted, at=st.just(AT)),
)


@pytest.mark.req("004:L66")
@given(worlds(limits=any_limits), stops, st.floats(0, 1), any_event)
def test_any_event_at_any_moment_keeps_to_the_tables_or_changes_nothing(
    world: World, asked: dict[int, StopMode], moment: float, event: ev.Event
) -> None:
    simulator = Simulator(world)
    simulator.finish(asked)
    before = fold(None, simulator.events[: 1 + int(moment * (len(simulator.events) - 1))])
    known = copy.deepcopy(before)
    try:
        after = evolve(before, event)
    except IllegalTransition:
        after = before
    else:
        statuses_change_along_the_tables(before, event, after)
        assert not after.running or after.status is E.RUNNING
        assert after.revision == before.revision + 1
    assert before == known
