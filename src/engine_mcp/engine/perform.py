"""Performing: an attempt is carried out and becomes exactly one event, whatever happens to it."""

import logging
from dataclasses import replace

import anyio

from engine_mcp.core.budget import Usage
from engine_mcp.core.event import AttemptFailed, AttemptInterrupted, AttemptSucceeded, Event
from engine_mcp.core.execution import Failure, Output
from engine_mcp.core.graph import affected
from engine_mcp.core.passage import is_last
from engine_mcp.core.plan import StepKind
from engine_mcp.engine.agent_step import run_agent
from engine_mcp.engine.attempt import Ended, Running, dated, failed, failure
from engine_mcp.engine.code_step import run_script
from engine_mcp.engine.meter import Meter
from engine_mcp.engine.outputs import kept, written
from engine_mcp.engine.schema import mismatch
from engine_mcp.engine.tool_step import run_tool
from engine_mcp.errors import EngineError, StorageError

_log = logging.getLogger(__name__)
NOTED_S = 5.0


async def perform(attempt: Running, meter: Meter) -> Event:
    """Carry out an attempt; the event says how it ended. Only cancellation and StorageError get out."""
    began = attempt.parts.clock.now() if attempt.began is None else attempt.began
    attempt.began = began
    ended = await _ended(attempt, meter)
    usage = ended.usage + Usage(seconds=max(0.0, attempt.parts.clock.now() - began))
    return await _concluded(attempt, ended, usage)


def interrupted(attempt: Running) -> AttemptInterrupted:
    """The end of an attempt that was told to stop, with what it used."""
    now, started = attempt.parts.clock.now(), attempt.started
    return AttemptInterrupted(at=now, step=started.step, number=started.number, usage=_used(attempt, now))


def spent_up(attempt: Running) -> AttemptFailed:
    """The end of an attempt that was stopped because its share was used up; another one may follow."""
    now, started = attempt.parts.clock.now(), attempt.started
    share = started.reserved.seconds
    late = share and attempt.began is not None and now >= attempt.began + share
    text = "Its share of the seconds is used up." if late else "A limit was passed while it ran."
    return AttemptFailed(
        at=now,
        step=started.step,
        number=started.number,
        failure=failure("spending_limit", text),
        final=False,
        usage=_used(attempt, now),
    )


def _used(attempt: Running, now: float) -> Usage:
    """What a stopped attempt used that is not on record; the wait for a place takes no time of it."""
    seconds = 0.0 if attempt.began is None else max(0.0, now - attempt.began)
    return attempt.used + Usage(seconds=seconds)


async def _ended(attempt: Running, meter: Meter) -> Ended:
    limit = attempt.step.spec.timeout_s
    try:
        with anyio.move_on_after(limit) as clock:
            return await _carried_out(attempt, meter)
        if clock.cancelled_caught:
            text = f"The attempt took longer than timeout_s = {limit} s."
            return Ended(failure=failure("timeout", text), usage=attempt.used)
    except StorageError:
        raise
    except EngineError as error:
        return replace(failed(error), usage=attempt.used)
    except Exception:  # noqa: BLE001 - an attempt's defect must not end the others
        _log.exception("an attempt at %s failed in a way nobody foresaw", attempt.step.spec.id)
    return Ended(failure=failure("internal"), usage=attempt.used)


async def _carried_out(attempt: Running, meter: Meter) -> Ended:
    match attempt.step.spec.kind:
        case StepKind.CODE:
            return await run_script(attempt, meter)
        case StepKind.TOOL:
            return await run_tool(attempt, meter)
        case StepKind.AGENT:
            return await run_agent(attempt, meter)


async def _concluded(attempt: Running, ended: Ended, usage: Usage) -> Event:
    try:
        text = written(ended.value)
    except ValueError as error:
        why = failure("output_invalid", f"The output cannot be kept as JSON: {error}")
        ended, text = replace(ended, value=None, failure=ended.failure or why), "null"
    now, started = attempt.parts.clock.now(), attempt.started
    output = await kept(ended.value, text, attempt.desk)
    why = ended.failure or _unmet(attempt, ended)
    if why is None:
        await _noted(attempt, None)
        return AttemptSucceeded(
            at=now, step=started.step, number=started.number, output=output, usage=usage, report=ended.report
        )
    why = dated(why, now)
    await _noted(attempt, why)
    execution = attempt.desk.execution
    final = is_last(execution, execution.steps[started.step], why, attempt.desk.outlook, now)
    return AttemptFailed(
        at=now,
        step=started.step,
        number=started.number,
        failure=why,
        final=final,
        usage=usage,
        report=ended.report,
        output=output if output != Output() else None,
        affects=affected(execution, started.step) if final else (),
    )


async def _noted(attempt: Running, why: Failure | None) -> None:
    """Note what the end says of the route; that cannot be worth the result itself."""
    try:
        # What it ended with is paid for: a stop comes too late for it.
        with anyio.move_on_after(NOTED_S, shield=True):
            if why is None:
                await attempt.desk.succeeded(attempt.step, attempt.started.at)
            else:
                await attempt.desk.failed(attempt.step, why)
    except StorageError as error:
        _log.warning("what is broken is not noted: %s", error)


def _unmet(attempt: Running, ended: Ended) -> Failure | None:
    schema = attempt.step.spec.output_schema
    if not isinstance(schema, dict):
        return None
    wrong = mismatch(schema, ended.value)
    return failure("output_invalid", f"The output does not meet its schema: {wrong}") if wrong else None
