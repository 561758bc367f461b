"""Recovery: what is made of an execution whose process is gone, and of one that is asked to go on."""

from dataclasses import replace

from engine_mcp.core.doubt import in_doubt
from engine_mcp.core.event import (
    ApprovalAnswered,
    AttemptLost,
    Event,
    ExecutionInterrupted,
    ExecutionResumed,
    SummaryRequested,
)
from engine_mcp.core.evolve import OWNER_DIED, evolve
from engine_mcp.core.execution import Execution, ExecutionStatus, StepStatus
from engine_mcp.core.graph import descendants
from engine_mcp.core.plan import Unanswered, check_steps
from engine_mcp.core.request import Resume
from engine_mcp.core.shrinking import restored, summarized
from engine_mcp.errors import ExecutionFinished, InvalidArgument

_ACTIVE = frozenset({ExecutionStatus.PENDING, ExecutionStatus.RUNNING})


def lost(execution: Execution, now: float) -> tuple[Event, ...]:
    """The events that settle an execution that is active on record and that nobody drives."""
    if execution.status not in _ACTIVE:
        return ()
    attempts = tuple(
        AttemptLost(at=now, step=step.spec.id, number=step.attempts[-1].number, usage=in_doubt(step))
        for step in execution.running
    )
    return (*attempts, ExecutionInterrupted(at=now, reason=OWNER_DIED))


def resumed(execution: Execution, request: Resume, now: float) -> ExecutionResumed:
    """The event of going on; raises an EngineError that says why the execution cannot."""
    _check_status(execution, request)
    _check_answers(execution, request)
    _check_step_budgets(execution, request)
    redo = _redo(execution, request)
    if request.steps:
        _check_replacement(execution, request)
    event = ExecutionResumed(
        at=now,
        budget=request.budget,
        approve=request.approve,
        deny=request.deny,
        runtime=request.runtime,
        model=request.model,
        steps=request.steps,
        step_budgets=request.step_budgets,
        redo=redo,
        window=request.window,
        restore=restored(execution, request.restore),
    )
    after = evolve(execution, event)
    return replace(event, summarize=summarized(after, request.summarize, request.runtime))


def answers(execution: Execution, request: Resume, now: float) -> tuple[Event, ...]:
    """The events that an execution which runs can take of a request: answers, and a wish for summaries.

    Raises InvalidArgument where no step asks, NothingToSummarize where none has a conversation.
    """
    _check_answers(execution, request)
    wanted = summarized(execution, request.summarize)
    asked = (SummaryRequested(at=now, steps=wanted),) if wanted else ()
    return asked + tuple(
        ApprovalAnswered(at=now, step=name, answer=answer, by="resume")
        for answer, names in ((Unanswered.APPROVE, request.approve), (Unanswered.DENY, request.deny))
        for name in names
    )


def _check_status(execution: Execution, request: Resume) -> None:
    if execution.status is ExecutionStatus.CANCELLED:
        raise ExecutionFinished(f"The execution {execution.id} was cancelled for good.", field="execution_id")
    if execution.status is ExecutionStatus.COMPLETED and request.from_step is None:
        raise ExecutionFinished(f"The execution {execution.id} is completed.", field="execution_id")


def _check_answers(execution: Execution, request: Resume) -> None:
    for field, ids in (("approve", request.approve), ("deny", request.deny)):
        for name in ids:
            step = execution.steps.get(name)
            if step is None or step.status is not StepStatus.AWAITING_APPROVAL:
                raise InvalidArgument(f"The step {name!r} does not wait for approval.", field=field)
    if both := set(request.approve) & set(request.deny):
        raise InvalidArgument(f"{', '.join(sorted(both))} cannot be approved and denied.", field="deny")


def _check_step_budgets(execution: Execution, request: Resume) -> None:
    left = [name for name, step in execution.steps.items() if step.status is not StepStatus.COMPLETED]
    for name in request.step_budgets:
        if name not in left:
            text = f"The step {name!r} is not still to be completed; those are: {', '.join(left) or 'none'}."
            raise InvalidArgument(text, field="step_budgets")


def _redo(execution: Execution, request: Resume) -> tuple[str, ...]:
    if request.from_step is None:
        return ()
    if request.steps:
        raise InvalidArgument("Give either `steps` or `from_step`.", field="from_step")
    if request.from_step not in execution.steps:
        known = ", ".join(execution.steps)
        text = f"There is no step {request.from_step!r}; the steps are: {known}."
        raise InvalidArgument(text, field="from_step")
    specs = [step.spec for step in execution.steps.values()]
    doomed = descendants(specs, request.from_step)
    return tuple(name for name in execution.steps if name in doomed)


def _check_replacement(execution: Execution, request: Resume) -> None:
    kept = {name: step.spec for name, step in execution.steps.items() if step.status is StepStatus.COMPLETED}
    for index, spec in enumerate(request.steps):
        if spec.id in kept:
            text = f"The step {spec.id!r} is completed and cannot be replaced."
            raise InvalidArgument(text, field=f"steps[{index}].id", hint="Use `from_step` to run it again.")
    check_steps((*kept.values(), *request.steps))
