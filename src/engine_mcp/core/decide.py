"""The decision: what must be done next, given the state and the time. Pure; called after every event."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core import event as ev
from engine_mcp.core.admission import deadline, passed
from engine_mcp.core.approval import TIMEOUT, asked, first_until, overdue
from engine_mcp.core.effect import Effect, Halt, Note, Start
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import (
    Execution,
    ExecutionStatus,
    Failure,
    StepStatus,
    StopMode,
    Stopping,
)
from engine_mcp.core.graph import Board, blocked, board, ready
from engine_mcp.core.outlook import CLEAR, Outlook
from engine_mcp.core.starting import start_or_wait

_ACTIVE = frozenset({ExecutionStatus.PENDING, ExecutionStatus.RUNNING})
_RESTING = frozenset({ExecutionStatus.PAUSED, ExecutionStatus.INTERRUPTED})


@dataclass(frozen=True, slots=True)
class Settled:
    """An execution with nothing left to decide: the events that led there, and what to carry out."""

    execution: Execution
    events: tuple[ev.Event, ...]
    effects: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class _View:
    """What the rules look at: the steps by status, the time, and the world outside."""

    steps: Board
    now: float
    outlook: Outlook


def settle(execution: Execution, now: float, outlook: Outlook = CLEAR) -> Settled:
    """Decide and fold until there is nothing more to note; the effects are to be carried out in order.

    They may be carried out only once the events are durable.
    """
    events: list[ev.Event] = []
    while True:
        effects = decide(execution, now, outlook)
        fresh = [effect.event for effect in effects if isinstance(effect, Note | Start)]
        events += fresh
        if fresh:
            execution = fold(execution, fresh)
        if not any(isinstance(effect, Note) for effect in effects):
            return Settled(execution, tuple(events), effects)


def decide(execution: Execution, now: float, outlook: Outlook = CLEAR) -> tuple[Effect, ...]:
    """What must be done next; the first rule that has anything to say decides.

    An answer with a note in it consists of notes: they change what the next decision sees. Any other
    is complete, and with it the execution waits for the next event.
    """
    stopping = execution.stopping
    if stopping is not None and _can_stop(execution, stopping.mode):
        return tuple(_wind_down(board(execution), stopping, now))
    if execution.status is not ExecutionStatus.RUNNING:
        return ()
    view = _View(board(execution), now, outlook)
    for rule in _RULES:
        if effects := tuple(rule(view)):
            return effects
    return ()


def _can_stop(execution: Execution, mode: StopMode) -> bool:
    return execution.status in _ACTIVE or (mode is StopMode.CANCEL and execution.status in _RESTING)


def _wind_down(steps: Board, stopping: Stopping, now: float) -> Iterator[Effect]:
    if running := steps.of(StepStatus.RUNNING):
        for step in running:
            # One that waits for an approval would not end by itself.
            if stopping.mode is not StopMode.AFTER_STEP or step.asking is not None:
                yield Halt(step.spec.id)
        return
    if steps.execution.status is ExecutionStatus.RUNNING and steps.settled:
        yield from _finish(_View(steps, now, CLEAR))
        return
    match stopping.mode:
        case StopMode.CANCEL:
            yield Note(ev.ExecutionCancelled(at=now, reason=stopping.reason))
        case StopMode.PAUSE if steps.execution.status is ExecutionStatus.RUNNING:
            yield Note(ev.ExecutionPaused(at=now, reason=stopping.reason))
        case StopMode.NOW | StopMode.AFTER_STEP | StopMode.PAUSE:
            yield Note(ev.ExecutionInterrupted(at=now, reason=stopping.reason))


def _finish(view: _View) -> Iterator[Effect]:
    steps, now = view.steps, view.now
    if not steps.settled:
        return
    failed = [step.spec.id for step in steps.of(StepStatus.FAILED) if not step.spec.optional]
    if failed:
        yield Note(ev.ExecutionFailed(at=now, reason=f"failed: {', '.join(failed)}"))
    else:
        yield Note(ev.ExecutionCompleted(at=now, usage=steps.execution.usage))


def _warn(view: _View) -> Iterator[Effect]:
    running = view.steps.of(StepStatus.RUNNING)
    for found in passed(view.steps.execution, running, view.now, view.outlook):
        standing, kind = found.standing, found.resource
        yield Note(
            ev.BudgetWarned(
                at=view.now,
                resource=kind,
                limit=standing.limits.of(kind) or 0,
                used=standing.spent.of(kind),
                period=standing.period,
                until=standing.resets_at,
                step=found.step,
            )
        )


def _run_out_of_time(view: _View) -> Iterator[Effect]:
    running = view.steps.of(StepStatus.RUNNING)
    until = deadline(view.steps.execution, running, view.now, view.outlook)
    if until is not None and view.now >= until:
        yield Note(ev.StopRequested(at=view.now, mode=StopMode.PAUSE, reason="budget"))


def _skip(view: _View) -> Iterator[Effect]:
    for step, causes in blocked(view.steps):
        message = f"The step {step.spec.id!r} needs {', '.join(causes)}, which did not complete."
        failure = Failure("dependency_failed", message, CATALOGUE["dependency_failed"].remedy)
        yield Note(ev.StepSkipped(at=view.now, step=step.spec.id, failure=failure))
    for step in view.steps.of(StepStatus.PENDING):
        if step.failure is not None:  # it is known already that nothing can carry it out
            yield Note(ev.StepSkipped(at=view.now, step=step.spec.id, failure=step.failure))


def _stop_asking(view: _View) -> Iterator[Effect]:
    """Give up the approvals whose time is up."""
    for step in overdue(view.steps.of(StepStatus.AWAITING_APPROVAL), view.now):
        answer = step.spec.if_unanswered
        yield Note(ev.ApprovalAnswered(at=view.now, step=step.spec.id, answer=answer, by=TIMEOUT))


def _go_on(view: _View) -> Iterator[Effect]:
    steps, now = view.steps, view.now
    waiting = ready(steps)
    asking = [step for step in waiting if step.spec.requires_approval and not step.approved]
    if asking:
        for step in asking:
            yield Note(ev.ApprovalRequested(at=now, step=step.spec.id, asking=asked(step, now)))
    elif waiting or steps.of(StepStatus.RUNNING):
        yield from start_or_wait(steps, waiting, now, view.outlook)
    else:
        until = first_until(steps.of(StepStatus.AWAITING_APPROVAL))
        yield Note(ev.ExecutionPaused(at=now, reason="approval", until=until))


_RULES: tuple[Callable[[_View], Iterator[Effect]], ...] = (
    _warn,
    _finish,
    _run_out_of_time,
    _skip,
    _stop_asking,
    _go_on,
)
