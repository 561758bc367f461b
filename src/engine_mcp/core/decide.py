"""The decision: what must be done next, given the state and the time. Pure; called after every event."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine_mcp.core import event as ev
from engine_mcp.core.admission import Admission, admit, deadline, need, passed, pauses, spent
from engine_mcp.core.effect import Effect, Halt, Note, Start, WakeAt
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution, ExecutionStatus, Failure, Step, StepStatus, StopMode
from engine_mcp.core.graph import blocked, ready
from engine_mcp.core.retry import due_at, must_run_alone
from engine_mcp.errors import CATALOGUE

_ACTIVE = frozenset({ExecutionStatus.PENDING, ExecutionStatus.RUNNING})
_RESTING = frozenset({ExecutionStatus.PAUSED, ExecutionStatus.INTERRUPTED})


@dataclass(frozen=True, slots=True)
class Settled:
    """An execution with nothing left to decide: the events that led there, and what to carry out."""

    execution: Execution
    events: tuple[ev.Event, ...]
    effects: tuple[Effect, ...]


def settle(execution: Execution, now: float) -> Settled:
    """Decide and fold until a decision brings no event; the effects are to be carried out in order.

    They may be carried out only once the events are durable.
    """
    events: list[ev.Event] = []
    effects: list[Effect] = []
    while True:
        decided = decide(execution, now)
        fresh = [effect.event for effect in decided if isinstance(effect, Note | Start)]
        effects += [effect for effect in decided if not isinstance(effect, Note | WakeAt)]
        if not fresh:
            effects += [effect for effect in decided if isinstance(effect, WakeAt)]
            return Settled(execution, tuple(events), tuple(effects))
        events += fresh
        execution = fold(execution, fresh)


def decide(execution: Execution, now: float) -> tuple[Effect, ...]:
    """What must be done next; the first rule that has anything to say decides.

    An empty answer means: wait for the next event.
    """
    if execution.stopping is not None and _can_stop(execution, execution.stopping.mode):
        return tuple(_wind_down(execution, execution.stopping.mode, now))
    if execution.status is not ExecutionStatus.RUNNING:
        return ()
    for rule in _RULES:
        if effects := tuple(rule(execution, now)):
            return effects
    return ()


def _can_stop(execution: Execution, mode: StopMode) -> bool:
    return execution.status in _ACTIVE or (mode is StopMode.CANCEL and execution.status in _RESTING)


def _wind_down(execution: Execution, mode: StopMode, now: float) -> Iterator[Effect]:
    if execution.running:
        if mode is not StopMode.AFTER_STEP:
            yield from (Halt(step.spec.id) for step in execution.running)
        return
    if execution.status is ExecutionStatus.RUNNING and _all_settled(execution):
        yield from _finish(execution, now)
        return
    reason = execution.stopping.reason if execution.stopping else ""
    match mode:
        case StopMode.CANCEL:
            yield Note(ev.ExecutionCancelled(at=now, reason=reason))
        case StopMode.PAUSE:
            yield Note(ev.ExecutionPaused(at=now, reason=reason))
        case StopMode.NOW | StopMode.AFTER_STEP:
            yield Note(ev.ExecutionInterrupted(at=now, reason=reason))


def _all_settled(execution: Execution) -> bool:
    return all(step.settled for step in execution.steps.values())


def _finish(execution: Execution, now: float) -> Iterator[Effect]:
    if not _all_settled(execution):
        return
    failed = [
        step.spec.id
        for step in execution.steps.values()
        if step.status is StepStatus.FAILED and not step.spec.optional
    ]
    if failed:
        yield Note(ev.ExecutionFailed(at=now, reason=f"failed: {', '.join(failed)}"))
    else:
        yield Note(ev.ExecutionCompleted(at=now))


def _warn(execution: Execution, now: float) -> Iterator[Effect]:
    if pauses(execution.budget):
        return
    used = spent(execution, now)
    for kind in passed(execution, now):
        limit = execution.budget.of(kind)
        yield Note(ev.BudgetWarned(at=now, resource=kind, limit=limit or 0, used=used.of(kind)))


def _run_out_of_time(execution: Execution, now: float) -> Iterator[Effect]:
    until = deadline(execution)
    if until is not None and now >= until and pauses(execution.budget):
        yield Note(ev.StopRequested(at=now, mode=StopMode.PAUSE, reason="budget"))


def _skip(execution: Execution, now: float) -> Iterator[Effect]:
    entry = CATALOGUE["dependency_failed"]
    for step, causes in blocked(execution):
        message = f"The step {step.spec.id!r} needs {', '.join(causes)}, which did not complete."
        failure = Failure("dependency_failed", message, entry.remedy)
        yield Note(ev.StepSkipped(at=now, step=step.spec.id, failure=failure))


def _ask(execution: Execution, now: float) -> Iterator[Effect]:
    for step in ready(execution):
        if step.spec.requires_approval and not step.approved:
            yield Note(ev.ApprovalRequested(at=now, step=step.spec.id))


def _go_on(execution: Execution, now: float) -> Iterator[Effect]:
    waiting = ready(execution)
    verdicts = {step.spec.id: admit(execution, step, now) for step in waiting}
    due = [step for step in waiting if verdicts[step.spec.id] is Admission.START]
    now_due = [step for step in due if due_at(step, execution.id) <= now]
    started = _startable(execution, now_due)
    if started:
        yield _start(execution, started[0], now)
        return
    if later := [due_at(step, execution.id) for step in due if due_at(step, execution.id) > now]:
        yield WakeAt(min(later))
    elif not execution.running:
        exhausted = Admission.EXHAUSTED in verdicts.values()
        yield Note(ev.ExecutionPaused(at=now, reason="budget" if exhausted else "approval"))
    if (until := deadline(execution)) is not None and pauses(execution.budget):
        yield WakeAt(until)


def _startable(execution: Execution, due: list[Step]) -> list[Step]:
    running = execution.running
    if any(must_run_alone(step) for step in running):
        return []
    if len(running) >= execution.plan.parallelism:
        return []
    return [step for step in due if not (running and must_run_alone(step))]


def _start(execution: Execution, step: Step, now: float) -> Start:
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
            runtime=spec.runtime,
            model=spec.model,
            session=last.session if last is not None else None,
            reserved=need(step),
        )
    )


_RULES: tuple[Callable[[Execution, float], Iterator[Effect]], ...] = (
    _finish,
    _warn,
    _run_out_of_time,
    _skip,
    _ask,
    _go_on,
)
