"""Agent steps: an attempt on a runner, with its news as events."""

import json
import re

import anyio
from pydantic import JsonValue

from engine_mcp.core.admission import pauses
from engine_mcp.core.agent import AgentResult, AgentTask
from engine_mcp.core.brief import Prompt
from engine_mcp.core.event import StopRequested
from engine_mcp.core.execution import StopMode
from engine_mcp.core.session import begun
from engine_mcp.engine.agent_host import AgentDesk
from engine_mcp.engine.attempt import Ended, Running, failure
from engine_mcp.engine.briefing import briefing
from engine_mcp.engine.meter import Meter, admit
from engine_mcp.engine.output_tool import OutputTool
from engine_mcp.engine.schema import mismatch
from engine_mcp.ports import Runner

_FENCED = re.compile(r"^```(?:json)?[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


async def run_agent(attempt: Running, meter: Meter) -> Ended:
    """Carry out an attempt at an agent step."""
    runner = attempt.parts.runners.get(attempt.started.runtime or "")
    if runner is None:
        return Ended(failure=failure("runtime_unavailable"))
    held = attempt.started.reserved.requests
    await admit(attempt, meter, held, reserved=held)
    briefed = await briefing(attempt)
    prompt = await attempt.parts.library.prompt(briefed.brief)
    host = AgentDesk(attempt, meter, [OutputTool(briefed.whole)] if briefed.whole else [])
    result = await _told(host, runner, _task(attempt, prompt))
    attempt.used += result.usage
    if result.failure is not None and result.failure.code == "spending_limit":
        await _pause_for_budget(attempt)
    return Ended(value=_shaped(attempt, result), failure=result.failure, usage=attempt.used)


async def _told(host: AgentDesk, runner: Runner, task: AgentTask) -> AgentResult:
    """Run the attempt while its news are told; the runner's own error, if any, is raised as it is."""
    ended: AgentResult | Exception = AgentResult()
    async with anyio.create_task_group() as beside:
        beside.start_soon(host.telling)
        try:
            ended = await runner.run(task, host)
        except Exception as error:  # noqa: BLE001 - raised below: a group would wrap it
            ended = error
        finally:
            host.tell()
        beside.cancel_scope.cancel()
    if isinstance(ended, Exception):
        raise ended
    return ended


def _task(attempt: Running, prompt: Prompt) -> AgentTask:
    started, execution = attempt.started, attempt.desk.execution
    return AgentTask(
        execution_id=execution.id,
        step=attempt.step.spec,
        number=started.number,
        project=execution.plan.path,
        prompt=prompt,
        model=started.model,
        session=started.session,
        begun=begun(attempt.step, started.session),
        reserved=started.reserved,
    )


async def _pause_for_budget(attempt: Running) -> None:
    """Have the execution pause where its budget says so: the session goes on once there is more."""
    limits = attempt.desk.execution.budget.merged(attempt.step.spec.budget)
    if not (limits.limited and pauses(limits)):
        return
    now = attempt.parts.clock.now()
    attempt.desk.post(StopRequested(at=now, mode=StopMode.PAUSE, reason="budget"))
    await anyio.sleep_forever()


def _shaped(attempt: Running, result: AgentResult) -> JsonValue:
    """The output as its schema wants it: runtimes without structured output write JSON as text."""
    schema, output = attempt.step.spec.output_schema, result.output
    if not isinstance(schema, dict) or not isinstance(output, str) or not mismatch(schema, output):
        return output
    for text in (output, *reversed(_FENCED.findall(output))):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            continue
    return output
