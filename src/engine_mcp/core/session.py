"""Sessions: where an attempt of an agent step goes on, or the name of the one it begins."""

import hashlib

from engine_mcp.core.change import changed
from engine_mcp.core.execution import Execution, RecordedCall, Step
from engine_mcp.core.plan import StepKind
from engine_mcp.core.retry import OVERFLOW
from engine_mcp.core.summary import Shape


def session_of(execution: Execution, step: Step) -> str | None:
    """The session of the next attempt: the last one's, or a new name where there is none to go on with.

    A session belongs to the runtime it began on. None for steps that are no agent's.
    """
    if step.spec.kind is not StepKind.AGENT:
        return None
    last = step.attempt
    runtime = step.choice.runtime if step.choice is not None else step.spec.runtime
    if step.session is not None and last is not None and last.runtime == runtime and not _overflowed(step):
        return step.session
    # Not the attempt's number: a step that replaces another of its name begins to count anew.
    return named(f"{execution.id}:{step.spec.id}:{execution.revision}")


def _overflowed(step: Step) -> bool:
    """Whether the session has grown too long for the model, and is not held here, where it can shrink."""
    last = step.attempt
    failed = last is not None and last.failure is not None and last.failure.code == OVERFLOW
    return failed and not step.messages


def named(seed: str) -> str:
    """A UUID that follows from `seed`: chosen before anything is started, and the same after a crash."""
    digits = hashlib.sha256(seed.encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}"


def begun(step: Step, session: str | None) -> bool:
    """Whether an attempt before the newest one was to work in this session."""
    return session is not None and any(attempt.session == session for attempt in step.attempts[:-1])


def in_new_session(step: Step, session: str | None) -> Step:
    """The step without what was said and called in another session: it is of no use in this one."""
    no_calls, none_open = dict[int, RecordedCall](), dict[int, str]()
    anew = changed(step, session=session, messages=(), calls=no_calls, unanswered=none_open)
    return changed(anew, shape=Shape(), summaries=(), summarize=False)


def with_originals(step: Step) -> Step:
    """The step with all of its conversation shown again."""
    # What was thought behind a summary cannot be sent behind the originals: the API binds it to what it saw.
    shape = Shape() if step.shape == Shape() else Shape(retold=len(step.messages))
    return changed(step, shape=shape, summaries=(), summarize=False)


def in_same_session(anew: Step, step: Step) -> Step:
    """A step that is asked for again, going on where its last attempt ended."""
    return changed(
        anew,
        session=step.session,
        messages=step.messages,
        shape=step.shape,
        summaries=step.summaries,
        calls=step.calls,
        unanswered=step.unanswered,
    )
