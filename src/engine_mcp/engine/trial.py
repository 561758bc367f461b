"""Trials: before an attempt goes where something was broken, it is tried out whether it still is."""

from dataclasses import replace

from engine_mcp.core.agent import AgentReport, AgentTask
from engine_mcp.core.brief import Prompt
from engine_mcp.core.execution import Failure
from engine_mcp.core.passage import trial_of
from engine_mcp.core.plan import Mode, Permissions
from engine_mcp.core.route import Domain, Route
from engine_mcp.core.session import named
from engine_mcp.engine.aside import Aside
from engine_mcp.engine.attempt import Running, failure
from engine_mcp.ports import AgentHost, Runner

_WORDS = "Answer with the word OK and nothing else."
ASK = Prompt(system="", text=_WORDS, again=_WORDS)
NOTHING = Permissions(mode=Mode.NONE, allowed_tools=())


async def tried_out(attempt: Running, runner: Runner, host: AgentHost) -> Failure | None:
    """What is still broken on the route that the attempt is the trial of; None if nothing is, or it is none.

    A runtime that was missing is asked for its version; anything else for one word, which is charged.
    """
    choice = attempt.step.choice
    parts = _on_trial(attempt, choice.route) if choice is not None and choice.route is not None else ()
    if not parts:
        return None
    health = await runner.health(fresh=True)
    if not health.usable:
        return failure("runtime_missing", health.detail, health.remedy)
    if not _was_missing(attempt, parts):
        ended = await runner.run(_question(attempt), Aside(host.affordable, host.report))
        host.report(AgentReport(usage=ended.usage, model=ended.model))
        if ended.failure is not None:
            return ended.failure
    await attempt.desk.succeeded(attempt.step, attempt.started.at)
    return None


def _was_missing(attempt: Running, parts: tuple[Domain, ...]) -> bool:
    """Whether all that was broken is that the runtime was not there: that it is there now says enough."""
    choice, breakers = attempt.step.choice, attempt.desk.outlook.breakers
    if parts != (Domain.HARNESS,) or choice is None or choice.route is None:
        return False
    breaker = breakers.get(choice.route.part(Domain.HARNESS))
    return breaker is not None and breaker.code == "runtime_missing"


def _on_trial(attempt: Running, route: Route) -> tuple[Domain, ...]:
    mine = trial_of(attempt.desk.execution.id, attempt.step.spec.id)
    trials = attempt.desk.outlook.trials
    return tuple(domain for domain in Domain if trials.get(route.part(domain)) == mine)


def _question(attempt: Running) -> AgentTask:
    started, spec = attempt.started, attempt.step.spec
    plain = replace(spec, task=_WORDS, permissions=NOTHING, output_schema=None, skills=())
    return AgentTask(
        execution_id=attempt.desk.execution.id,
        step=plain,
        number=started.number,
        project=attempt.desk.execution.plan.path,
        prompt=ASK,
        model=started.model,
        session=named(f"{attempt.desk.execution.id}:{spec.id}:{started.number}:trial"),
        reserved=started.reserved,
    )
