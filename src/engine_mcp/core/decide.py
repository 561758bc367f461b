"""The decision: what must be done next, given the state and the time. Pure; called after every event."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core import event as ev
from engine_mcp.core.admission import Admission, admit, deadline, need, passed, pauses, reserved, spent
from engine_mcp.core.budget import Usage
from engine_mcp.core.effect import Effect, Halt, Note, Start, WakeAt
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import (
    Execution,
    ExecutionStatus,
    Failure,
    Step,
    StepStatus,
    StopMode,
    Stopping,
)
from engine_mcp.core.graph import Board, blocked, board, ready
from engine_mcp.core.retry import due_at, must_run_alone
from engine_mcp.core.session import session_of

_ACTIVE = frozenset({ExecutionStatus.PENDING, ExecutionStatus.RUNNING})
_RESTING = frozenset({ExecutionStatus.PAUSED, ExecutionStatus.INTERRUPTED})


@dataclass(frozen=True, slots=True)
class Settled:
    """An execution with nothing left to decide: the events that led there, and what to carry out."""

    execution: Execution
    events: tuple[ev.Event, ...]
    effects: tuple[Effect, ...]


def settle(execution: Execution, now: float) -> Settled:
    """Decide and fold until there is nothing more to note; the effects are to be carried out in order.

    They may be carried out only once the events are durable.
    """
    events: list[ev.Event] = []
    while True:
        effects = decide(execution, now)
        fresh = [effect.event for effect in effects if isinstance(effect, Note | Start)]
        events += fresh
        if fresh:
            execution = fold(execution, fresh)
        if not any(isinstance(effect, Note) for effect in effects):
            return Settled(execution, tuple(events), effects)


def decide(execution: Execution, now: float) -> tuple[Effect, ...]:
    """What must be done next; the first rule that has anything to say decides.

    An answer with a note in it consists of notes: they change what the next decision sees. Any other
    is complete, and with it the execution waits for the next event.
    """
    stopping = execution.stopping
    if stopping is not None and _can_stop(execution, stopping.mode):
        return tuple(_wind_down(board(execution), stopping, now))
    if execution.status is not ExecutionStatus.RUNNING:
        return ()
    steps = board(execution)
    for rule in _RULES:
        if effects := tuple(rule(steps, now)):
            return effects
    return ()


def _can_stop(execution: Execution, mode: StopMode) -> bool:
    return execution.status in _ACTIVE or (mode is StopMode.CANCEL and execution.status in _RESTING)


def _wind_down(steps: Board, stopping: Stopping, now: float) -> Iterator[Effect]:
    if running := steps.of(StepStatus.RUNNING):
        if stopping.mode is not StopMode.AFTER_STEP:
            yield from (Halt(step.spec.id) for step in running)
        return
    if steps.execution.status is ExecutionStatus.RUNNING and steps.settled:
        yield from _finish(steps, now)
        return
    match stopping.mode:
        case StopMode.CANCEL:
            yield Note(ev.ExecutionCancelled(at=now, reason=stopping.reason))
        case StopMode.PAUSE if steps.execution.status is ExecutionStatus.RUNNING:
            yield Note(ev.ExecutionPaused(at=now, reason=stopping.reason))
        case StopMode.NOW | StopMode.AFTER_STEP | StopMode.PAUSE:
            yield Note(ev.ExecutionInterrupted(at=now, reason=stopping.reason))


def _finish(steps: Board, now: float) -> Iterator[Effect]:
    if not steps.settled:
        return
    failed = [step.spec.id for step in steps.of(StepStatus.FAILED) if not step.spec.optional]
    if failed:
        yield Note(ev.ExecutionFailed(at=now, reason=f"failed: {', '.join(failed)}"))
    else:
        yield Note(ev.ExecutionCompleted(at=now, usage=steps.execution.usage))


def _warn(steps: Board, now: float) -> Iterator[Effect]:
    execution = steps.execution
    if pauses(execution.budget):
        return
    for kind in passed(execution, now):
        used = spent(execution, now)
        limit = execution.budget.of(kind)
        yield Note(ev.BudgetWarned(at=now, resource=kind, limit=limit or 0, used=used.of(kind)))


def _run_out_of_time(steps: Board, now: float) -> Iterator[Effect]:
    until = deadline(steps.execution, steps.of(StepStatus.RUNNING), now)
    if until is not None and now >= until:
        yield Note(ev.StopRequested(at=now, mode=StopMode.PAUSE, reason="budget"))


def _skip(steps: Board, now: float) -> Iterator[Effect]:
    entry = CATALOGUE["dependency_failed"]
    for step, causes in blocked(steps):
        message = f"The step {step.spec.id!r} needs {', '.join(causes)}, which did not complete."
        failure = Failure("dependency_failed", message, entry.remedy)
        yield Note(ev.StepSkipped(at=now, step=step.spec.id, failure=failure))


def _go_on(steps: Board, now: float) -> Iterator[Effect]:
    waiting = ready(steps)
    asking = [step for step in waiting if step.spec.requires_approval and not step.approved]
    if asking:
        yield from (Note(ev.ApprovalRequested(at=now, step=step.spec.id)) for step in asking)
    elif waiting or steps.of(StepStatus.RUNNING):
        yield from _start_or_wait(steps, waiting, now)
    else:
        yield Note(ev.ExecutionPaused(at=now, reason="approval"))


def _start_or_wait(steps: Board, waiting: tuple[Step, ...], now: float) -> Iterator[Effect]:
    execution = steps.execution
    running = steps.of(StepStatus.RUNNING)
    held, retries, exhausted = reserved(running), list[float](), False
    places = max(1, min(len(waiting), execution.plan.parallelism - len(running)))
    for step in waiting:
        admission = admit(execution, step, held, now)
        exhausted = exhausted or admission is Admission.EXHAUSTED
        due = due_at(step, execution.id)
        if admission is not Admission.START:
            continue
        if due > now:
            retries.append(due)
        elif _has_room(running, step, execution.plan.parallelism):
            share = need(execution, step, held, places=places, now=now)
            yield _start(execution, step, share, now)
            running.append(step)
            held += share
            places = max(1, places - 1)
    if exhausted and not running and not retries:
        yield Note(ev.ExecutionPaused(at=now, reason="budget"))
        return
    until = deadline(execution, running, now)
    if times := [*retries, until] if until is not None else retries:
        yield WakeAt(min(times))


def _has_room(running: list[Step], step: Step, parallelism: int) -> bool:
    if len(running) >= parallelism or any(must_run_alone(other) for other in running):
        return False
    return not (running and must_run_alone(step))


def _start(execution: Execution, step: Step, share: Usage, now: float) -> Start:
    spec, last = step.spec, step.attempt
    number = len(step.attempts) + 1
    seed, clock_ms = zlib.crc32(f"{execution.id}:{spec.id}:{number}".encode()), int(now * 1000)
    if last is not None and step.calls:
        # A replay must see the randomness and the clock that led to the recorded calls.
        seed, clock_ms = last.seed, last.clock_ms
    return Start(
        ev.AttemptStarted(
            at=now,
            step=spec.id,
            number=number,
            seed=seed,
            clock_ms=clock_ms,
            runtime=step.choice.runtime if step.choice is not None else spec.runtime,
            model=step.choice.model if step.choice is not None else spec.model,
            session=session_of(execution, step),
            reserved=share,
        )
    )


_RULES: tuple[Callable[[Board, float], Iterator[Effect]], ...] = (
    _warn,
    _finish,
    _run_out_of_time,
    _skip,
    _go_on,
)
