"""What the events of attempts make of their step; `core.evolve` folds them with all others."""

from functools import singledispatch

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core import event as ev
from engine_mcp.core.admission import own_warning, passed_of
from engine_mcp.core.budget import Resource, Usage
from engine_mcp.core.change import changed
from engine_mcp.core.charge import merged
from engine_mcp.core.execution import (
    Attempt,
    AttemptStatus,
    Execution,
    ExecutionStatus,
    Failure,
    Output,
    Step,
    StepStatus,
)
from engine_mcp.core.period import limit_name, passed_text
from engine_mcp.core.session import in_new_session, with_originals
from engine_mcp.core.transitions import STEP, change
from engine_mcp.errors import IllegalTransition

PARTIAL = 16_000
"""Characters kept of what an attempt streamed before it ended without success."""
_LOST = CATALOGUE["attempt_lost"]


@singledispatch
def apply(event: ev.Event, execution: Execution) -> Execution:
    """The execution after an event of an attempt; raises IllegalTransition for any that does not fit."""
    msg = f"Nothing is known of the event {event.kind} on {execution.id}."
    raise IllegalTransition(msg)


def with_step(execution: Execution, step: Step, usage: Usage | None = None) -> Execution:
    """The execution with a step in its new state, and with the usage if one is given."""
    steps = {**execution.steps, step.spec.id: step}
    return changed(execution, steps=steps, usage=execution.usage if usage is None else usage)


def _step(execution: Execution, step_id: str) -> Step:
    step = execution.steps.get(step_id)
    if step is None:
        msg = f"The execution {execution.id} has no step {step_id!r}."
        raise IllegalTransition(msg)
    return step


def driven(execution: Execution, step_id: str) -> Step:
    """A step of an execution that runs; raises IllegalTransition."""
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


@apply.register
def _(event: ev.AttemptStarted, execution: Execution) -> Execution:
    step = driven(execution, event.step)
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
    return with_step(
        execution,
        changed(
            step, status=status, attempts=(*step.attempts, attempt), progress=None, requests=0, used=Usage()
        ),
    )


@apply.register
def _(event: ev.SessionOpened, execution: Execution) -> Execution:
    step, attempt = _running(execution, event.step, event.number)
    attempt = changed(attempt, session=event.session)
    return with_step(execution, changed(step, session=event.session, attempts=(*step.attempts[:-1], attempt)))


@apply.register
def _(event: ev.MessageRecorded, execution: Execution) -> Execution:
    step, _attempt = _running(execution, event.step, event.number)
    return with_step(execution, changed(step, messages=(*step.messages, event.message)))


@apply.register
def _(event: ev.ResultsMasked, execution: Execution) -> Execution:
    step, _attempt = _running(execution, event.step, event.number)
    return with_step(execution, changed(step, shape=event.shape))


@apply.register
def _(event: ev.SummaryStarted, execution: Execution) -> Execution:
    step, attempt = _running(execution, event.step, event.number)
    if event.source == "assumed":
        text = f"The window of the model {attempt.model} is not known: {event.window:,} tokens are assumed."
        execution = _warned(execution, text)
    return with_step(execution, step)


@apply.register
def _(event: ev.SummaryFinished, execution: Execution) -> Execution:
    step, _attempt = _running(execution, event.step, event.number)
    if event.summary is None:
        return with_step(execution, changed(step, summarize=False))
    if event.summary.fallback:
        text = f"A summary of the step {event.step!r} was written by code:"
        if not any(known.startswith(text) for known in execution.warnings):  # the first reason says enough
            execution = _warned(execution, f"{text} {event.summary.fallback}")
    summaries, shape = (*step.summaries, event.summary), event.summary.shape
    return with_step(execution, changed(step, summaries=summaries, shape=shape, summarize=False))


@apply.register
def _(event: ev.SummaryRequested, execution: Execution) -> Execution:
    steps = {name: changed(_step(execution, name), summarize=True) for name in event.steps}
    return changed(execution, steps={**execution.steps, **steps})


@apply.register
def _(event: ev.SummariesUndone, execution: Execution) -> Execution:
    steps = {name: with_originals(_step(execution, name)) for name in event.steps}
    return changed(execution, steps={**execution.steps, **steps})


@apply.register
def _(event: ev.TextStreamed, execution: Execution) -> Execution:
    step, attempt = _running(execution, event.step, event.number)
    attempt = changed(attempt, partial=((attempt.partial or "") + event.text)[-PARTIAL:])
    return with_step(execution, changed(step, attempts=(*step.attempts[:-1], attempt)))


@apply.register
def _(event: ev.UsageReported, execution: Execution) -> Execution:
    step, attempt = _running(execution, event.step, event.number)
    step = changed(step, used=step.used + event.usage)
    if event.charge is not None:
        attempt = changed(attempt, charges=merged(attempt.charges, event.charge))
        step = changed(step, attempts=(*step.attempts[:-1], attempt))
        unpriced = event.usage.cost_basis == "unpriced" and event.usage.amount(Resource.TOKENS) > 0
        if unpriced and event.charge.model and not event.charge.price:
            text = f"The model {event.charge.model} has no price here: what it costs is not counted."
            execution = _warned(execution, text)
    return with_step(execution, step, execution.usage + event.usage)


def _warned(execution: Execution, text: str) -> Execution:
    if text in execution.warnings:
        return execution
    return changed(execution, warnings=(*execution.warnings, text))


@apply.register
def _(event: ev.CallStarted, execution: Execution) -> Execution:
    step, _attempt = _running(execution, event.step, event.number)
    return with_step(execution, changed(step, unanswered={**step.unanswered, event.ordinal: event.digest}))


@apply.register
def _(event: ev.CallRecorded, execution: Execution) -> Execution:
    step, _attempt = _running(execution, event.step, event.number)
    calls = {**step.calls, event.call.ordinal: event.call}
    unanswered = step.unanswered
    if event.call.ordinal in unanswered:
        unanswered = {ordinal: held for ordinal, held in unanswered.items() if ordinal != event.call.ordinal}
    step = changed(step, calls=calls, unanswered=unanswered, requests=step.requests + event.requests)
    return with_step(execution, step, execution.usage + Usage(requests=event.requests))


@apply.register
def _(event: ev.ProgressReported, execution: Execution) -> Execution:
    return with_step(execution, changed(_step(execution, event.step), progress=event.progress))


Ending = ev.AttemptSucceeded | ev.AttemptFailed | ev.AttemptInterrupted | ev.AttemptLost


def _ended(execution: Execution, event: Ending, status: AttemptStatus, to: StepStatus) -> Step:
    """The step once its running attempt has ended so, with what that cost."""
    step, attempt = _running(execution, event.step, event.number)
    usage = step.used + Usage(requests=step.requests) + event.usage
    ended = changed(attempt, status=status, ended_at=event.at, usage=usage, **_told(event))
    return changed(step, status=change(STEP, step.status, to), attempts=(*step.attempts[:-1], ended))


def _settled(execution: Execution, step: Step, usage: Usage) -> Execution:
    """The execution with a step whose attempt has ended, and the warnings that come of what it cost."""
    after = with_step(execution, step, execution.usage + usage)
    standing = own_warning(execution, step)
    if standing is None:
        return after
    for found in passed_of(execution, standing, step.spec.id):
        kind, name = found.resource, limit_name(found.resource, step=found.step)
        text = passed_text(kind, standing.limits.of(kind) or 0, standing.spent.of(kind), step=found.step)
        after = changed(after, warned=after.warned | {name}, warnings=(*after.warnings, text))
    return after


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


@apply.register
def _(event: ev.AttemptSucceeded, execution: Execution) -> Execution:
    step = _ended(execution, event, AttemptStatus.SUCCEEDED, StepStatus.COMPLETED)
    step = changed(
        in_new_session(step, step.session),
        summaries=step.summaries,
        attempts=(*step.attempts[:-1], changed(step.attempts[-1], partial=None)),
        output=event.output,
        failure=None,
        tries=0,
        requests=0,
        used=Usage(),
        asking=None,
    )
    return _settled(execution, step, event.usage)


@apply.register
def _(event: ev.AttemptFailed, execution: Execution) -> Execution:
    to = StepStatus.FAILED if event.final else StepStatus.PENDING
    step = _ended(execution, event, AttemptStatus.FAILED, to)
    failure = event.failure if event.final else None
    output = event.output or _partial(step)
    # A share that was used up says nothing against another attempt.
    tries = step.tries + (event.final or event.failure.code != "spending_limit")
    step = changed(step, tries=tries, failure=failure, output=output, asking=None)
    return _settled(execution, step, event.usage)


@apply.register
def _(event: ev.AttemptInterrupted, execution: Execution) -> Execution:
    step = _ended(execution, event, AttemptStatus.INTERRUPTED, _stopped(execution, event))
    return _settled(execution, changed(step, output=_partial(step)), event.usage)


def _stopped(execution: Execution, event: Ending) -> StepStatus:
    """The status of a step whose attempt did not come to an end: it may have stopped to ask for approval."""
    asks = _step(execution, event.step).asking is not None
    return StepStatus.AWAITING_APPROVAL if asks else StepStatus.INTERRUPTED


def _partial(step: Step) -> Output | None:
    """What the last attempt had written, as an output that is not a result."""
    text = step.attempts[-1].partial
    return Output(value=text) if text else None


@apply.register
def _(event: ev.AttemptLost, execution: Execution) -> Execution:
    step = _ended(execution, event, AttemptStatus.LOST, _stopped(execution, event))
    return _settled(execution, changed(step, output=_partial(step)), event.usage)
