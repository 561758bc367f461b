"""Agent steps: an attempt on a runner, with its news as events."""

import json
import re
from collections.abc import Iterator

from pydantic import JsonValue

from engine_mcp.core.agent import AgentReport, AgentResult, AgentTask
from engine_mcp.core.brief import Prompt
from engine_mcp.core.session import begun
from engine_mcp.core.window import Window
from engine_mcp.engine.agent_host import AgentDesk
from engine_mcp.engine.attempt import Ended, Running, failure
from engine_mcp.engine.briefing import briefing
from engine_mcp.engine.charging import Charging
from engine_mcp.engine.meter import Meter, admit
from engine_mcp.engine.output_tool import OutputTool
from engine_mcp.engine.schema import mismatch
from engine_mcp.engine.trial import tried_out
from engine_mcp.engine.warden import Warden
from engine_mcp.errors import EngineError, StorageError
from engine_mcp.ports import Runner

_FENCE = re.compile(r"^ {0,3}(`{3,})([^`\n]*)$", re.MULTILINE)
_KINDS = frozenset({"", "json"})


async def run_agent(attempt: Running, meter: Meter) -> Ended:
    """Carry out an attempt at an agent step."""
    runner = attempt.parts.runners.get(attempt.started.runtime or "")
    if runner is None:
        return Ended(failure=failure("runtime_unavailable"))
    held = attempt.started.reserved.requests
    await admit(attempt, meter, held, reserved=held)
    if attempt.parts.prices is not None:
        await attempt.parts.prices.open()
    briefed = await briefing(attempt)
    prompt = await attempt.parts.library.prompt(briefed.brief)
    charging = Charging(book=attempt.parts.prices, clock=attempt.parts.clock, tells=runner.tells_cost)
    warden = Warden(attempt.started.reserved, charging, runner.bounds, attempt.started.model or "")
    host = AgentDesk(attempt, meter, warden, [OutputTool(briefed.whole)] if briefed.whole else [])
    try:
        broken = await tried_out(attempt, runner, host)
        if broken is not None:
            return Ended(failure=broken, usage=attempt.used + charging.rest())
        result = await _told(runner, _task(attempt, prompt), host, warden)
        await _learned(attempt, result)
    finally:
        host.close()
        attempt.used += charging.rest()
    return Ended(value=_shaped(attempt, result), failure=result.failure, usage=attempt.used)


async def _learned(attempt: Running, result: AgentResult) -> None:
    """Keep what the runtime says of its models' windows."""
    windows, choice = attempt.parts.windows, attempt.step.choice
    if windows is None or choice is None or choice.route is None:
        return
    for model, tokens in result.windows.items():
        told = Window(tokens=tokens, source="runtime")
        await windows.learn(model, told, endpoint=choice.route.endpoint)


async def _told(runner: Runner, task: AgentTask, host: AgentDesk, warden: Warden) -> AgentResult:
    """Run the attempt while its news are told; the runner's own error, if any, is raised as it is."""
    ended = AgentResult()
    try:
        with warden.scope:
            ended = await runner.run(task, host)
            host.report(AgentReport(usage=ended.usage, model=ended.model))
    except ExceptionGroup as error:
        raise _bare(error) from error
    if warden.scope.cancelled_caught:
        return AgentResult(output=ended.output, failure=warden.verdict)
    return ended


def _bare(error: Exception) -> Exception:
    """The engine's own error that the groups of a runner wrapped, if there is one."""
    found = list(_leaves(error))
    for kind in (StorageError, EngineError):
        for leaf in found:
            if isinstance(leaf, kind):
                return leaf
    return error


def _leaves(error: Exception) -> Iterator[Exception]:
    if not isinstance(error, ExceptionGroup):
        yield error
        return
    inner: tuple[Exception, ...] = error.exceptions  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - what a group of errors holds
    for one in inner:
        yield from _leaves(one)


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


def _shaped(attempt: Running, result: AgentResult) -> JsonValue:
    """The output as its schema wants it: runtimes without structured output write JSON as text."""
    schema, output = attempt.step.spec.output_schema, result.output
    if not isinstance(schema, dict) or not isinstance(output, str) or not mismatch(schema, output):
        return output
    found: list[JsonValue] = []
    for text in (output, *reversed(list(_fenced(output)))):
        try:
            found.append(json.loads(text))
        except (ValueError, RecursionError):
            continue
        if not mismatch(schema, found[-1]):
            return found[-1]
    return found[0] if found else output


def _fenced(text: str) -> Iterator[str]:
    """What stands in the blocks that are fenced as JSON or as nothing, in their order."""
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif not fence[2].strip() and len(fence[1]) >= len(opened[1]):
            if opened[2].strip().casefold() in _KINDS:
                yield text[opened.end() : fence.start()]
            opened = None
