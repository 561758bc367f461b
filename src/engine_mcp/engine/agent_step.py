"""Agent steps: an attempt on a runner, with its news as events."""

from engine_mcp.core.agent import AgentReport, AgentTask
from engine_mcp.core.event import ProgressReported
from engine_mcp.engine.attempt import Ended, Running, failure
from engine_mcp.engine.meter import Meter, admit
from engine_mcp.engine.outputs import dependency_outputs
from engine_mcp.ports import Runner


async def run_agent(attempt: Running, meter: Meter) -> Ended:
    """Carry out an attempt at an agent step."""
    runner = runner_of(attempt)
    if runner is None:
        return Ended(failure=failure("runtime_unavailable"))
    await admit(attempt, meter, attempt.started.reserved.requests)
    result = await runner.run(await _task(attempt), lambda news: _note(attempt, news))
    return Ended(value=result.output, failure=result.failure, usage=attempt.used + result.usage)


def runner_of(attempt: Running) -> Runner | None:
    """The runner that the attempt names, or the first one there is."""
    runners = attempt.parts.runners
    if attempt.started.runtime is not None:
        return runners.get(attempt.started.runtime)
    return next(iter(runners.values()), None)


async def _task(attempt: Running) -> AgentTask:
    plan = attempt.desk.execution.plan
    return AgentTask(
        execution_id=attempt.desk.execution.id,
        step=attempt.step.spec,
        project=plan.path,
        number=attempt.started.number,
        context=plan.context,
        outputs=await dependency_outputs(attempt.step, attempt.desk),
        session=attempt.started.session,
        reserved=attempt.started.reserved,
    )


def _note(attempt: Running, news: AgentReport) -> None:
    attempt.used += news.usage
    if news.progress is not None:
        at, step = attempt.parts.clock.now(), attempt.started.step
        attempt.desk.post(ProgressReported(at=at, step=step, progress=news.progress))
