"""Tool steps: one call of a tool adapter."""

from engine_mcp.core.budget import Usage
from engine_mcp.core.permission import allows_step
from engine_mcp.engine.attempt import Ended, Running, failure
from engine_mcp.engine.bench import Bench
from engine_mcp.engine.meter import Meter, admit
from engine_mcp.engine.tool_call import call_tool


async def run_tool(attempt: Running, meter: Meter) -> Ended:
    """Carry out an attempt at a tool step."""
    spec = attempt.step.spec
    tool = attempt.parts.tools.get(spec.tool or "")
    if tool is None:
        return Ended(failure=failure("unknown_tool", f"No tool is named {spec.tool!r}."))
    if not allows_step(spec.permissions, tool.spec):
        return Ended(failure=failure("denied", f"The step's permissions do not allow {spec.tool!r}."))
    held = attempt.started.reserved.requests
    await admit(attempt, meter, tool.spec.requests, reserved=held)
    attempt.used += Usage(requests=tool.spec.requests)
    result = await call_tool(tool, spec.arguments, Bench(attempt))
    return Ended(value=result.value, failure=result.failure, usage=attempt.used)
