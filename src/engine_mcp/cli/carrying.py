"""What `run` and `resume` have in common: carry on, report, and ask whoever sits there to go on."""

import sys

import click

from engine_mcp.app import App
from engine_mcp.cli.exits import Exit, of_status
from engine_mcp.cli.session import Begin, Rest, carried
from engine_mcp.cli.summary import summary
from engine_mcp.cli.voice import document, say
from engine_mcp.cli.watching import watch
from engine_mcp.core.admission import spent
from engine_mcp.core.budget import Limits, Resource, reached
from engine_mcp.core.execution import Execution, ExecutionStatus, StepStatus
from engine_mcp.core.request import Resume
from engine_mcp.engine.driver import ACTIVE
from engine_mcp.server.view import view
from engine_mcp.settings import Settings


def carry(settings: Settings, begin: Begin, *, as_json: bool) -> Exit:
    """Carry an execution as far as it goes; returns the exit code that tells how far that was."""

    def report(rest: Rest) -> None:
        if as_json:
            document(view(rest.execution, now=rest.now, snapshot=rest.snapshot))
        else:
            say(summary(rest, settings))

    while True:
        rest = carried(settings, begin, watch(), report)
        request = None if as_json else _permission(rest.execution)
        if request is None:
            return _exit(rest)
        begin = _resuming(rest.execution.id, request)


def _exit(rest: Rest) -> Exit:
    if rest.execution.status in ACTIVE and not rest.stopped:
        return Exit.OWNED
    return of_status(rest.execution.status)


def _resuming(execution_id: str, request: Resume) -> Begin:
    async def begin(app: App) -> Execution:
        return await app.engine.resume(execution_id, request)

    return begin


def _permission(execution: Execution) -> Resume | None:
    """What a person at the terminal grants an execution that waits; None to leave it paused."""
    if execution.status is not ExecutionStatus.PAUSED or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    if execution.reason == "budget":
        return _more_budget(execution)
    waiting = [name for name, step in execution.steps.items() if step.status is StepStatus.AWAITING_APPROVAL]
    answers = {name: _answer(name) for name in waiting}
    approve = tuple(name for name, answer in answers.items() if answer == "y")
    deny = tuple(name for name, answer in answers.items() if answer == "n")
    return Resume(approve=approve, deny=deny) if approve or deny else None


def _answer(step: str) -> str:
    kinds = click.Choice(["y", "n", "later"])
    answer: str = click.prompt(f"Approve the step {step}?", type=kinds, default="later", err=True)
    return answer


def _more_budget(execution: Execution) -> Resume | None:
    kind = reached(execution.budget, spent(execution, execution.updated_at))
    limit = execution.budget.of(kind) if kind else None
    if kind is None or limit is None:
        return None
    question = f"The limit of {limit:g} {kind} is reached. A new limit, or nothing to leave it paused"
    raised: float = click.prompt(question, type=float, default=0.0, show_default=False, err=True)
    return Resume(budget=_limited(kind, raised)) if raised > limit else None


def _limited(kind: Resource, limit: float) -> Limits:
    match kind:
        case Resource.TOKENS:
            return Limits(max_tokens=int(limit))
        case Resource.COST:
            return Limits(max_cost_usd=limit)
        case Resource.SECONDS:
            return Limits(max_seconds=limit)
        case Resource.REQUESTS:
            return Limits(max_requests=int(limit))
