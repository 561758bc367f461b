"""Questions: what only a person can decide about an execution, and what is done with the answer."""

from collections.abc import Iterator
from dataclasses import dataclass

import anyio

from engine_mcp.core.execution import Execution, Step, StepStatus, StopMode
from engine_mcp.core.request import Resume
from engine_mcp.engine.engine import Engine
from engine_mcp.errors import ExecutionFinished, ExecutionRunning, IllegalTransition
from engine_mcp.server.fitting import cut
from engine_mcp.server.times import utc
from engine_mcp.server.view import ACTIVE

APPROVE, DENY = "approve", "deny"
GO_ON, PAUSE = "go on", "pause here"
TEXT_BYTES, ARGUMENTS_BYTES = 600, 1000
_TIMES, _AGAIN_S = 5, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked about an execution, of its step if it names one; `key` tells it from all others."""

    key: str
    execution_id: str
    text: str
    choices: tuple[str, ...]
    step: str = ""


def questions(execution: Execution, known: int) -> list[Question]:
    """What can be decided now; the first `known` warnings have been passed over."""
    return [*_approvals(execution), *_limits(execution, known)]


def matching(execution: Execution, key: str) -> Question | None:
    """The question with this key, if it can still be answered; more may have been asked since."""
    found = {question.key: question for question in _approvals(execution)}.get(key)
    if found is None and execution.status in ACTIVE and key.startswith(about_limits(execution.id)):
        return Question(key=key, execution_id=execution.id, text="", choices=(GO_ON, PAUSE))
    return found


def about_limits(execution_id: str) -> str:
    """How the keys of all questions about the limits of an execution begin."""
    return f"{execution_id} limit "


def _approvals(execution: Execution) -> Iterator[Question]:
    for step in execution.steps.values():
        if step.status is StepStatus.AWAITING_APPROVAL and step.asking is not None:
            asking = step.asking
            yield Question(
                key=f"{execution.id} approval {step.spec.id} {asking.since:.6f} {asking.digest}",
                execution_id=execution.id,
                text=_approval(execution, step),
                choices=(APPROVE, DENY),
                step=step.spec.id,
            )


def _approval(execution: Execution, step: Step) -> str:
    """The step, the call if it is one, with its arguments, and until when it waits."""
    asking, spec = step.asking, step.spec
    call = asking.call if asking is not None else ""
    what = f"wants to call {cut(call, TEXT_BYTES)}" if call else "waits for approval"
    lines = [f"The step {spec.id!r} of the execution {execution.id} {what}."]
    if asking is not None and asking.arguments:
        lines.append(f"Arguments: {cut(asking.arguments, ARGUMENTS_BYTES)}")
    elif work := spec.task or spec.code or spec.tool:
        lines.append(cut(work, TEXT_BYTES))
    if asking is not None and asking.until is not None:
        lines.append(f"Without an answer by {utc(asking.until)}: {spec.if_unanswered}.")
    return "\n".join(lines)


def _limits(execution: Execution, known: int) -> Iterator[Question]:
    new = execution.warnings[known:]
    if not new or execution.status not in ACTIVE:
        return
    named = "\n".join(cut(text, TEXT_BYTES) for text in new[-3:])
    yield Question(
        key=f"{about_limits(execution.id)}{len(execution.warnings)}",
        execution_id=execution.id,
        text=f"{named}\nThe execution {execution.id} goes on meanwhile.",
        choices=(GO_ON, PAUSE),
    )


async def carry_out(engine: Engine, question: Question, answer: str) -> None:
    """Do what was decided; raises the EngineError that prevents it."""
    if answer == PAUSE:
        await engine.interrupt(question.execution_id, StopMode.PAUSE, "budget")
    elif question.step:
        steps = (question.step,)
        await _resume(engine, question, Resume(approve=steps) if answer == APPROVE else Resume(deny=steps))


async def _resume(engine: Engine, question: Question, request: Resume) -> None:
    """Answer a step; an execution that starts or comes to rest at this moment is asked again."""
    for _ in range(_TIMES):
        asked = questions(await engine.show(question.execution_id), 0)
        if question.key not in {each.key for each in asked}:
            return
        try:
            await engine.resume(question.execution_id, request)
        except (ExecutionFinished, ExecutionRunning, IllegalTransition):
            await anyio.sleep(_AGAIN_S)
        else:
            return
