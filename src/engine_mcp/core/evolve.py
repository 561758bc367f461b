"""The fold: what each event makes of an execution. An event that does not fit raises and changes nothing."""

from collections.abc import Iterable
from dataclasses import replace
from functools import singledispatch

from engine_mcp.core import event as ev
from engine_mcp.core.approval import answered
from engine_mcp.core.attempts import apply, driven, with_step
from engine_mcp.core.change import changed
from engine_mcp.core.execution import (
    Asking,
    Execution,
    ExecutionStatus,
    Step,
    StepStatus,
    StopMode,
    Stopping,
)
from engine_mcp.core.period import limit_name, passed_text
from engine_mcp.core.plan import StepSpec, Unanswered
from engine_mcp.core.rerouting import rerouted
from engine_mcp.core.session import in_same_session, with_originals
from engine_mcp.core.transitions import EXECUTION, STEP, change
from engine_mcp.core.window import WindowLimits
from engine_mcp.errors import IllegalTransition

OWNER_DIED = "owner died"
"""The reason of an interruption by the death of the process."""
_DOORS = frozenset({"quota", "billing", "auth"})
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
        steps={
            spec.id: Step(spec=spec, choice=event.choices.get(spec.id), failure=event.missing.get(spec.id))
            for spec in event.plan.steps
        },
    )


@singledispatch
def _apply(event: ev.Event, execution: Execution) -> Execution:
    return apply(event, execution)


@_apply.register
def _(event: ev.ExecutionStarted, execution: Execution) -> Execution:
    status = change(EXECUTION, execution.status, ExecutionStatus.RUNNING)
    return changed(execution, status=status, epoch=event.epoch, running_since=event.at)


@_apply.register
def _(event: ev.ExecutionResumed, execution: Execution) -> Execution:
    return changed(
        execution,
        status=change(EXECUTION, execution.status, ExecutionStatus.PENDING),
        plan=replace(execution.plan, window=execution.plan.window.merged(event.window)),
        steps=_reopened(event, execution),
        budget=execution.budget.merged(event.budget),
        warned=frozenset[str](),
        stopping=None,
        until=None,
        reason=None,
        ended_at=None,
    )


def _reopened(event: ev.ExecutionResumed, execution: Execution) -> dict[str, Step]:
    steps, failed = execution.steps, execution.status is ExecutionStatus.FAILED
    if event.steps:
        kept = {name: step for name, step in steps.items() if step.status is StepStatus.COMPLETED}
        steps = kept | {spec.id: Step(spec=spec) for spec in event.steps if spec.id not in kept}
    reopened = {name: _reopen(step, event, failed=failed) for name, step in steps.items()}
    if execution.reason in _DOORS:  # what kept attempts away is over, or somebody says so
        reopened = {name: step if step.settled else changed(step, tries=0) for name, step in reopened.items()}
    return _amended(reopened, event)


def _reopen(step: Step, event: ev.ExecutionResumed, *, failed: bool) -> Step:
    """The step as it goes on; what failed is tried again only once the whole execution has `failed`."""
    ended = step.status in {StepStatus.FAILED, StepStatus.SKIPPED}
    if step.spec.id in event.redo:
        return _anew(step, _rerouted(step.spec, event))
    if ended and failed and not _was_denied(step):
        anew = _anew(step, _rerouted(step.spec, event))
        return anew if step.session is None else in_same_session(anew, step)
    if step.settled:
        return step
    if step.status is StepStatus.AWAITING_APPROVAL:
        return _answered(step, event)
    return changed(step, spec=_rerouted(step.spec, event), status=StepStatus.PENDING)


def _amended(steps: dict[str, Step], event: ev.ExecutionResumed) -> dict[str, Step]:
    """The steps with what changes as they go on."""
    fresh = dict(steps)
    for name in event.step_budgets.keys() & fresh.keys():
        spec = fresh[name].spec
        spec = replace(spec, budget=spec.budget.merged(event.step_budgets[name]))
        fresh[name] = changed(fresh[name], spec=spec)
    for name in event.missing.keys() & fresh.keys():
        fresh[name] = changed(fresh[name], failure=event.missing[name])
    for name in event.choices.keys() & fresh.keys():
        fresh[name] = changed(fresh[name], choice=event.choices[name])
    for name, step in fresh.items():
        if step.spec.window != WindowLimits() and not step.settled:  # what is asked for now is stronger
            window = step.spec.window.merged(event.window)
            fresh[name] = changed(step, spec=replace(step.spec, window=window))
    for name in set(event.restore) & fresh.keys():
        fresh[name] = with_originals(fresh[name])
    for name in set(event.summarize) & fresh.keys():
        fresh[name] = changed(fresh[name], summarize=True)
    return fresh


def _was_denied(step: Step) -> bool:
    """Whether somebody refused the step: that is final, unless the step itself is asked for again."""
    return step.failure is not None and step.failure.code == "approval_denied"


def _anew(step: Step, spec: StepSpec) -> Step:
    return Step(spec=spec, attempts=step.attempts, approved=step.approved, choice=step.choice)


def _rerouted(spec: StepSpec, event: ev.ExecutionResumed) -> StepSpec:
    if event.runtime is None and event.model is None:
        return spec
    return replace(spec, runtime=event.runtime or spec.runtime, model=event.model or spec.model)


def _answered(step: Step, event: ev.ExecutionResumed) -> Step:
    step = changed(step, spec=_rerouted(step.spec, event))
    if step.spec.id in event.approve:
        return answered(step, Unanswered.APPROVE)
    if step.spec.id in event.deny:
        return answered(step, Unanswered.DENY)
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
    return changed(execution, budget=budget, warned=frozenset[str]())


@_apply.register
def _(event: ev.BudgetWarned, execution: Execution) -> Execution:
    text = passed_text(event.resource, event.limit, event.used, period=event.period or "", step=event.step)
    return changed(
        execution,
        warned=execution.warned | {limit_name(event.resource, event.period, event.step, event.until)},
        warnings=(*execution.warnings, text),
    )


@_apply.register
def _(event: ev.ApprovalRequested, execution: Execution) -> Execution:
    step = driven(execution, event.step)
    asking = event.asking or Asking(since=event.at)
    if step.status is StepStatus.RUNNING:  # a call waits; the step does once its attempt has stopped
        return with_step(execution, changed(step, asking=step.asking or asking))
    status = change(STEP, step.status, StepStatus.AWAITING_APPROVAL)
    return with_step(execution, changed(step, status=status, asking=asking))


@_apply.register
def _(event: ev.ApprovalAnswered, execution: Execution) -> Execution:
    step = answered(driven(execution, event.step), event.answer, by=event.by)
    return with_step(execution, step)


@_apply.register
def _(event: ev.RouteSwitched, execution: Execution) -> Execution:
    return with_step(execution, rerouted(driven(execution, event.step), event.switch))


@_apply.register
def _(event: ev.StepSkipped, execution: Execution) -> Execution:
    step = driven(execution, event.step)
    status = change(STEP, step.status, StepStatus.SKIPPED)
    return with_step(execution, changed(step, status=status, failure=event.failure))


@_apply.register
def _(event: ev.ArtifactWritten, execution: Execution) -> Execution:
    kept = tuple(item for item in execution.artifacts if item.name != event.artifact.name)
    return changed(execution, artifacts=(*kept, event.artifact))


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
        until=None,
    )


@_apply.register
def _(event: ev.ExecutionPaused, execution: Execution) -> Execution:
    paused = _closed(execution, ExecutionStatus.PAUSED, event.at, event.reason)
    warnings = (*paused.warnings, event.why) if event.why else paused.warnings
    return changed(paused, until=event.until, warnings=warnings)


@_apply.register
def _(event: ev.ExecutionInterrupted, execution: Execution) -> Execution:
    closed = _closed(execution, ExecutionStatus.INTERRUPTED, event.at, event.reason)
    if event.reason != OWNER_DIED:
        return closed
    # Nobody knows how long it lived after its last event; the time until it was found is not its own.
    return changed(closed, active_s=execution.active_seconds(execution.updated_at))


@_apply.register
def _(event: ev.ExecutionCompleted, execution: Execution) -> Execution:
    return _closed(execution, ExecutionStatus.COMPLETED, event.at, None)


@_apply.register
def _(event: ev.ExecutionFailed, execution: Execution) -> Execution:
    return _closed(execution, ExecutionStatus.FAILED, event.at, event.reason)


@_apply.register
def _(event: ev.ExecutionCancelled, execution: Execution) -> Execution:
    return _closed(execution, ExecutionStatus.CANCELLED, event.at, event.reason)
