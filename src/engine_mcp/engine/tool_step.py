"""Tool steps: one call of a tool adapter."""

import hashlib

from engine_mcp.core.budget import Usage
from engine_mcp.core.event import CallStarted
from engine_mcp.core.execution import AttemptStatus, Step
from engine_mcp.core.permission import allows_step
from engine_mcp.engine.attempt import Ended, Running, failure
from engine_mcp.engine.bench import Bench
from engine_mcp.engine.meter import Meter, admit
from engine_mcp.engine.outputs import dumps
from engine_mcp.engine.tool_call import call_tool
from engine_mcp.ports import ToolAdapter

_CUT_OFF = frozenset({AttemptStatus.LOST, AttemptStatus.INTERRUPTED})


async def run_tool(attempt: Running, meter: Meter) -> Ended:
    """Carry out an attempt at a tool step."""
    spec = attempt.step.spec
    tool = attempt.parts.tools.get(spec.tool or "")
    if tool is None:
        return Ended(failure=failure("unknown_tool", f"No tool is named {spec.tool!r}."))
    if not allows_step(spec.permissions, tool.spec):
        return Ended(failure=failure("denied", f"The step's permissions do not allow {spec.tool!r}."))
    once = tool.spec.changes and spec.requires_approval
    if once and _was_made(attempt.step, attempt.started.number):
        # Whoever approved it approved of one call.
        return Ended(failure=failure("outcome_unknown"))
    held = attempt.started.reserved.requests
    await admit(attempt, meter, tool.spec.requests, reserved=held)
    attempt.used += Usage(requests=tool.spec.requests)
    if once:
        await _tell(attempt, tool)
    result = await call_tool(tool, spec.arguments, Bench(attempt))
    return Ended(value=result.value, failure=result.failure, usage=attempt.used)


def _was_made(step: Step, number: int) -> bool:
    """Whether the attempt before was cut off after it had begun its call, of which nothing else is known."""
    last = next((attempt for attempt in step.attempts if attempt.number == number - 1), None)
    return last is not None and last.status in _CUT_OFF and last.number in step.unanswered


async def _tell(attempt: Running, tool: ToolAdapter) -> None:
    """Have it on record that the call is made, before it is; the number of the attempt is its ordinal."""
    started = attempt.started
    text = f"{tool.spec.name}\0{dumps(attempt.step.spec.arguments)}"
    await attempt.desk.say(
        CallStarted(
            at=attempt.parts.clock.now(),
            step=started.step,
            number=started.number,
            ordinal=started.number,
            name=tool.spec.name,
            digest=hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest(),
        )
    )
