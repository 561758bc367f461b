"""What holds at every single event of every execution."""

from collections.abc import Callable

from engine_mcp.core import event as ev
from engine_mcp.core.admission import pauses, reserved
from engine_mcp.core.budget import Limits, Resource
from engine_mcp.core.execution import SETTLED, Execution, ExecutionStatus, StepStatus
from engine_mcp.core.plan import StepKind
from engine_mcp.core.retry import due_at, must_run_alone
from engine_mcp.core.transitions import EXECUTION, STEP

Law = Callable[[Execution, ev.Event, Execution], None]


def check(before: Execution, event: ev.Event, after: Execution) -> None:
    """Raise AssertionError if the event broke a law."""
    for law in LAWS:
        law(before, event, after)


def events_are_numbered_without_gaps(before: Execution, event: ev.Event, after: Execution) -> None:
    assert after.revision == before.revision + 1
    assert after.updated_at == event.at >= before.updated_at


def statuses_change_along_the_tables(before: Execution, event: ev.Event, after: Execution) -> None:
    del event
    assert after.status is before.status or after.status in EXECUTION[before.status]
    assert after.steps.keys() == before.steps.keys()
    for name, step in after.steps.items():
        old = before.steps[name].status
        assert step.status is old or step.status in STEP[old], f"{name} went from {old} to {step.status}"


def only_a_running_execution_has_running_steps(before: Execution, event: ev.Event, after: Execution) -> None:
    del before, event
    assert not after.running or after.status is ExecutionStatus.RUNNING


def no_more_run_than_may(before: Execution, event: ev.Event, after: Execution) -> None:
    del before, event
    assert len(after.running) <= after.plan.parallelism
    assert len(after.running) == 1 or not any(must_run_alone(step) for step in after.running)


def a_start_follows_its_dependencies(before: Execution, event: ev.Event, after: Execution) -> None:
    if not isinstance(event, ev.AttemptStarted):
        return
    step = after.steps[event.step]
    assert all(before.steps[dep].satisfied for dep in step.spec.depends_on)
    assert before.stopping is None
    assert event.at >= due_at(before.steps[event.step], before.id)
    assert not step.spec.requires_approval or step.approved
    assert [attempt.number for attempt in step.attempts] == list(range(1, event.number + 1))


def what_is_done_is_done(before: Execution, event: ev.Event, after: Execution) -> None:
    del event
    for name, step in before.steps.items():
        if step.status is StepStatus.COMPLETED:
            assert after.steps[name] is step


def recorded_calls_last_until_their_step_has_ended(
    before: Execution, event: ev.Event, after: Execution
) -> None:
    del event
    for name, step in before.steps.items():
        if step.status not in SETTLED and after.steps[name].status not in SETTLED:
            assert step.calls.items() <= after.steps[name].calls.items()


def tries_are_not_forgotten_while_they_go_on(before: Execution, event: ev.Event, after: Execution) -> None:
    del event
    for name, step in before.steps.items():
        if step.status not in SETTLED and after.steps[name].status not in SETTLED:
            assert after.steps[name].tries >= step.tries
        assert len(after.steps[name].attempts) >= len(step.attempts)


def nothing_starts_beyond_a_limit_that_pauses(before: Execution, event: ev.Event, after: Execution) -> None:
    if not isinstance(event, ev.AttemptStarted) or not pauses(before.budget):
        return
    limits, used = before.budget, before.usage
    assert _below(limits, Resource.SECONDS, before.active_seconds(event.at))
    kind = after.steps[event.step].spec.kind
    if kind is StepKind.CODE:
        return
    held = reserved(after.running)
    assert limits.max_requests is None or used.requests + held.requests <= limits.max_requests
    if kind is StepKind.AGENT:
        assert _below(limits, Resource.TOKENS, used.of(Resource.TOKENS))
        assert _below(limits, Resource.COST, used.of(Resource.COST))


def _below(limits: Limits, resource: Resource, used: float) -> bool:
    limit = limits.of(resource)
    return limit is None or used < limit


def a_limit_is_warned_of_once(before: Execution, event: ev.Event, after: Execution) -> None:
    if not isinstance(event, ev.BudgetWarned):
        return
    assert not pauses(before.budget)
    assert event.resource not in before.warned
    assert event.used > event.limit
    assert event.resource in after.warned


def an_end_is_the_end_of_every_step(before: Execution, event: ev.Event, after: Execution) -> None:
    del before
    if isinstance(event, ev.ExecutionCompleted | ev.ExecutionFailed):
        assert all(step.settled for step in after.steps.values())
        failed = any(
            step.status is StepStatus.FAILED and not step.spec.optional for step in after.steps.values()
        )
        assert failed == isinstance(event, ev.ExecutionFailed)


LAWS: tuple[Law, ...] = (
    events_are_numbered_without_gaps,
    statuses_change_along_the_tables,
    only_a_running_execution_has_running_steps,
    no_more_run_than_may,
    a_start_follows_its_dependencies,
    what_is_done_is_done,
    recorded_calls_last_until_their_step_has_ended,
    tries_are_not_forgotten_while_they_go_on,
    nothing_starts_beyond_a_limit_that_pauses,
    a_limit_is_warned_of_once,
    an_end_is_the_end_of_every_step,
)
