"""The fold: what each event makes of an execution. An event that does not fit raises and changes nothing."""

from collections.abc import Iterable
from dataclasses import replace
from functools import singledispatch

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core import event as ev
from engine_mcp.core.budget import Resource, Usage
from engine_mcp.core.change import changed
from engine_mcp.core.execution import (
    Attempt,
    AttemptStatus,
    Execution,
    ExecutionStatus,
    Failure,
    Output,
    Step,
    StepStatus,
    StopMode,
    Stopping,
)
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.session import in_new_session, in_same_session
from engine_mcp.core.transitions import EXECUTION, STEP, change
from engine_mcp.errors import IllegalTransition

PARTIAL = 16_000
"""Characters kept of what an attempt streamed before it ended without success."""
_LOST = CATALOGUE["attempt_lost"]
_STRENGTH = (StopMode.AFTER_STEP, StopMode.PAUSE, StopMode.NOW, StopMode.CANCEL)


def evolve(execution: Execution | None, event: ev.Event) -> Execution:
    """The execution after `event`; None stands for no execution yet, which only a creation fits."""
    if isinstance(event, ev.ExecutionCreated):
        if execution is not None:
            msg = f"The execution {execution.id} was created twice."
            raise IllegalTransition(msg)
        return _created(event)
    if execution is None:
        msg = f"The record begins with {event.kind} and not with its creation."
        raise IllegalTransition(msg)
    return changed(_apply(event, execution), revision=execution.revision + 1, updated_at=event.at)


def fold(execution: Execution | None, events: Iterable[ev.Event]) -> Execution:
    """The execution after all `events`; raises IllegalTransition where there is none."""
    for event in events:
        execution = evolve(execution, event)
    if execution is None:
        msg = "There are no events to make an execution of."
        raise IllegalTransition(msg)
    return execution


def _created(event: ev.ExecutionCreated) -> Execution:
    return Execution(
        id=event.execution_id,
        plan=event.plan,
        created_at=event.at,
        updated_at=event.at,
        budget=event.budget,
        revision=1,
        steps={spec.id: Step(spec=spec, choice=event.choices.get(spec.id)) for spec in event.plan.steps},
    )


@singledispatch
def _apply(event: ev.Event, execution: Execution) -> Execution:
    msg = f"Nothing is known of the event {event.kind} on {execution.id}."
    raise IllegalTransition(msg)


def _with_step(execution: Execution, step: Step, usage: Usage | None = None) -> Execution:
    steps = {**execution.steps, step.spec.id: step}
    return changed(execution, steps=steps, usage=execution.usage if usage is None else usage)


def _step(execution: Execution, step_id: str) -> Step:
    step = execution.steps.get(step_id)
    if step is None:
        msg = f"The execution {execution.id} has no step {step_id!r}."
        raise IllegalTransition(msg)
    return step


def _driven(execution: Execution, step_id: str) -> Step:
    if execution.status is not ExecutionStatus.RUNNING:
        msg = f"The step {step_id!r} cannot change: the execution {execution.id} is {execution.status}."
        raise IllegalTransition(msg)
    return _step(execution, step_id)


def _running(execution: Execution, step_id: str, number: int) -> tuple[Step, Attempt]:
    step = _step(execution, step_id)
    attempt = step.attempt
    if attempt is None or attempt.number != number or attempt.status is not AttemptStatus.RUNNING:
        msg = f"The attempt {number} of the step {step_id!r} is not running."
        raise IllegalTransition(msg)
    return step, attempt


@_apply.register
def _(event: ev.ExecutionStarted, execution: Execution) -> Execution:
    status = change(EXECUTION, execution.status, ExecutionStatus.RUNNING)
    return changed(execution, status=status, epoch=event.epoch, running_since=event.at)


@_apply.register
def _(event: ev.ExecutionResumed, execution: Execution) -> Execution:
    return changed(
        execution,
        status=change(EXECUTION, execution.status, ExecutionStatus.PENDING),
        steps=_reopened(event, execution),
        budget=execution.budget.merged(event.budget),
        warned=frozenset[Resource](),
        stopping=None,
        reason=None,
        ended_at=None,
    )


def _reopened(event: ev.ExecutionResumed, execution: Execution) -> dict[str, Step]:
    steps, failed = execution.steps, execution.status is ExecutionStatus.FAILED
    if event.steps:
        kept = {name: step for name, step in steps.items() if step.status is StepStatus.COMPLETED}
        steps = kept | {spec.id: Step(spec=spec) for spec in event.steps if spec.id not in kept}
    reopened = {name: _reopen(step, event, failed=failed) for name, step in steps.items()}
    for name, choice in event.choices.items():
        if name in reopened:
            reopened[name] = changed(reopened[name], choice=choice)
    return reopened


def _reopen(step: Step, event: ev.ExecutionResumed, *, failed: bool) -> Step:
    """The step as it goes on; what failed is tried again only once the whole execution has `failed`."""
    ended = step.status in {StepStatus.FAILED, StepStatus.SKIPPED}
    if step.spec.id in event.redo:
        return _anew(step, _rerouted(step.spec, event))
    if ended and failed:
        anew = _anew(step, _rerouted(step.spec, event))
        return anew if step.session is None else in_same_session(anew, step)
    if step.settled:
        return step
    if step.status is StepStatus.AWAITING_APPROVAL:
        return _answered(step, event)
    return changed(step, spec=_rerouted(step.spec, event), status=StepStatus.PENDING)


def _anew(step: Step, spec: StepSpec) -> Step:
    return Step(spec=spec, attempts=step.attempts, approved=step.approved, choice=step.choice)


def _rerouted(spec: StepSpec, event: ev.ExecutionResumed) -> StepSpec:
    if event.runtime is None and event.model is None:
        return spec
    return replace(spec, runtime=event.runtime or spec.runtime, model=event.model or spec.model)


def _answered(step: Step, event: ev.ExecutionResumed) -> Step:
    step = changed(step, spec=_rerouted(step.spec, event))
    if step.spec.id in event.approve:
        return changed(step, status=StepStatus.PENDING, approved=True)
    if step.spec.id in event.deny:
        entry = CATALOGUE["approval_denied"]
        failure = Failure("approval_denied", f"The step {step.spec.id!r} was not approved.", entry.remedy)
        return changed(step, status=StepStatus.FAILED, failure=failure)
    return step


@_apply.register
def _(event: ev.StopRequested, execution: Execution) -> Execution:
    now = execution.stopping
    if now is not None and _STRENGTH.index(now.mode) >= _STRENGTH.index(event.mode):
        return execution
    return changed(execution, stopping=Stopping(mode=event.mode, reason=event.reason))


@_apply.register
def _(event: ev.BudgetSet, execution: Execution) -> Execution:
    budget = event.budget if event.replaces else execution.budget.merged(event.budget)
    return changed(execution, budget=budget, warned=frozenset[Resource]())


@_apply.register
def _(event: ev.BudgetWarned, execution: Execution) -> Execution:
    text = f"The budget's {event.resource} limit of {event.limit:g} was passed: {event.used:g}."
    return changed(
        execution,
        warned=execution.warned | {event.resource},
        warnings=(*execution.warnings, text),
    )


@_apply.register
def _(event: ev.ApprovalRequested, execution: Execution) -> Execution:
    step = _driven(execution, event.step)
    return _with_step(
        execution, changed(step, status=change(STEP, step.status, StepStatus.AWAITING_APPROVAL))
    )


@_apply.register
def _(event: ev.StepSkipped, execution: Execution) -> Execution:
    step = _driven(execution, event.step)
    status = change(STEP, step.status, StepStatus.SKIPPED)
    return _with_step(execution, changed(step, status=status, failure=event.failure))


@_apply.register
def _(event: ev.AttemptStarted, execution: Execution) -> Execution:
    step = _driven(execution, event.step)
    if event.number != len(step.attempts) + 1:
        msg = (
            f"The step {event.step!r} has had {len(step.attempts)} attempts; {event.number} is not the next."
        )
        raise IllegalTransition(msg)
    attempt = Attempt(
        number=event.number,
        started_at=event.at,
        epoch=execution.epoch,
        seed=event.seed,
        clock_ms=event.clock_ms,
        runtime=event.runtime,
        model=event.model,
        session=event.session,
        reserved=event.reserved,
    )
    status = change(STEP, step.status, StepStatus.RUNNING)
    step = step if event.session == step.session else in_new_session(step, event.session)
    return _with_step(
        execution,
        changed(
            step, status=status, attempts=(*step.attempts, attempt), progress=None, requests=0, used=Usage()
        ),
    )


@_apply.register
def _(event: ev.SessionOpened, execution: Execution) -> Execution:
    step, attempt = _running(execution, event.step, event.number)
    attempt = changed(attempt, session=event.session)
    return _with_step(
        execution, changed(step, session=event.session, attempts=(*step.attempts[:-1], attempt))
    )


@_apply.register
def _(event: ev.MessageRecorded, execution: Execution) -> Execution:
    step, _attempt = _running(execution, event.step, event.number)
    return _with_step(execution, changed(step, messages=(*step.messages, event.message)))


@_apply.register
def _(event: ev.TextStreamed, execution: Execution) -> Execution:
    step, attempt = _running(execution, event.step, event.number)
    attempt = changed(attempt, partial=((attempt.partial or "") + event.text)[-PARTIAL:])
    return _with_step(execution, changed(step, attempts=(*step.attempts[:-1], attempt)))


@_apply.register
def _(event: ev.UsageReported, execution: Execution) -> Execution:
    step, _attempt = _running(execution, event.step, event.number)
    return _with_step(execution, changed(step, used=step.used + event.usage), execution.usage + event.usage)


@_apply.register
def _(event: ev.CallStarted, execution: Execution) -> Execution:
    step, _attempt = _running(execution, event.step, event.number)
    return _with_step(execution, changed(step, unanswered={**step.unanswered, event.ordinal: event.digest}))


@_apply.register
def _(event: ev.CallRecorded, execution: Execution) -> Execution:
    step, _attempt = _running(execution, event.step, event.number)
    calls = {**step.calls, event.call.ordinal: event.call}
    unanswered = step.unanswered
    if event.call.ordinal in unanswered:
        unanswered = {ordinal: held for ordinal, held in unanswered.items() if ordinal != event.call.ordinal}
    step = changed(step, calls=calls, unanswered=unanswered, requests=step.requests + event.requests)
    return _with_step(execution, step, execution.usage + Usage(requests=event.requests))


@_apply.register
def _(event: ev.ArtifactWritten, execution: Execution) -> Execution:
    kept = tuple(item for item in execution.artifacts if item.name != event.artifact.name)
    return changed(execution, artifacts=(*kept, event.artifact))


@_apply.register
def _(event: ev.ProgressReported, execution: Execution) -> Execution:
    return _with_step(execution, changed(_step(execution, event.step), progress=event.progress))


Ending = ev.AttemptSucceeded | ev.AttemptFailed | ev.AttemptInterrupted | ev.AttemptLost


def _ended(execution: Execution, event: Ending, status: AttemptStatus, to: StepStatus) -> Step:
    """The step once its running attempt has ended so, with what that cost."""
    step, attempt = _running(execution, event.step, event.number)
    usage = step.used + Usage(requests=step.requests)
    if not isinstance(event, ev.AttemptLost):
        usage += event.usage
    ended = changed(attempt, status=status, ended_at=event.at, usage=usage, **_told(event))
    return changed(step, status=change(STEP, step.status, to), attempts=(*step.attempts[:-1], ended))


def _told(event: Ending) -> dict[str, object]:
    match event:
        case ev.AttemptSucceeded():
            return {"report": event.report}
        case ev.AttemptFailed():
            return {"report": event.report, "failure": event.failure}
        case ev.AttemptLost():
            return {"failure": Failure("attempt_lost", _LOST.cause, _LOST.remedy)}
        case ev.AttemptInterrupted():
            return {}


@_apply.register
def _(event: ev.AttemptSucceeded, execution: Execution) -> Execution:
    step = _ended(execution, event, AttemptStatus.SUCCEEDED, StepStatus.COMPLETED)
    step = changed(
        in_new_session(step, step.session),
        attempts=(*step.attempts[:-1], changed(step.attempts[-1], partial=None)),
        output=event.output,
        failure=None,
        tries=0,
        requests=0,
        used=Usage(),
    )
    return _with_step(execution, step, execution.usage + event.usage)


@_apply.register
def _(event: ev.AttemptFailed, execution: Execution) -> Execution:
    to = StepStatus.FAILED if event.final else StepStatus.PENDING
    step = _ended(execution, event, AttemptStatus.FAILED, to)
    failure = event.failure if event.final else None
    step = changed(step, tries=step.tries + 1, failure=failure, output=event.output or _partial(step))
    return _with_step(execution, step, execution.usage + event.usage)


@_apply.register
def _(event: ev.AttemptInterrupted, execution: Execution) -> Execution:
    step = _ended(execution, event, AttemptStatus.INTERRUPTED, StepStatus.INTERRUPTED)
    return _with_step(execution, changed(step, output=_partial(step)), execution.usage + event.usage)


def _partial(step: Step) -> Output | None:
    """What the last attempt had written, as an output that is not a result."""
    text = step.attempts[-1].partial
    return Output(value=text) if text else None


@_apply.register
def _(event: ev.AttemptLost, execution: Execution) -> Execution:
    step = _ended(execution, event, AttemptStatus.LOST, StepStatus.INTERRUPTED)
    return _with_step(execution, changed(step, output=_partial(step)))


def _closed(execution: Execution, status: ExecutionStatus, at: float, reason: str | None) -> Execution:
    if execution.running:
        msg = f"The execution {execution.id} still has running attempts."
        raise IllegalTransition(msg)
    return changed(
        execution,
        status=change(EXECUTION, execution.status, status),
        reason=reason,
        stopping=None,
        active_s=execution.active_seconds(at),
        running_since=None,
        ended_at=at,
    )


@_apply.register
def _(event: ev.ExecutionPaused, execution: Execution) -> Execution:
    return _closed(execution, ExecutionStatus.PAUSED, event.at, event.reason)


@_apply.register
def _(event: ev.ExecutionInterrupted, execution: Execution) -> Execution:
    return _closed(execution, ExecutionStatus.INTERRUPTED, event.at, event.reason)


@_apply.register
def _(event: ev.ExecutionCompleted, execution: Execution) -> Execution:
    return _closed(execution, ExecutionStatus.COMPLETED, event.at, None)


@_apply.register
def _(event: ev.ExecutionFailed, execution: Execution) -> Execution:
    return _closed(execution, ExecutionStatus.FAILED, event.at, event.reason)


@_apply.register
def _(event: ev.ExecutionCancelled, execution: Execution) -> Execution:
    return _closed(execution, ExecutionStatus.CANCELLED, event.at, event.reason)
