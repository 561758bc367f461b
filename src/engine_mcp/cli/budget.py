"""`budget`: the limits of an execution, what is spent and what is left; and other limits."""

from pathlib import Path
from typing import TypedDict, Unpack

import click

from engine_mcp.app import App
from engine_mcp.cli import options
from engine_mcp.cli.exits import Exit
from engine_mcp.cli.finding import found
from engine_mcp.cli.session import Rest, at_rest, inside
from engine_mcp.cli.voice import document, say
from engine_mcp.core.admission import reserved, spent
from engine_mcp.core.budget import Limits, Resource, remaining
from engine_mcp.server.account import account
from engine_mcp.settings import load


class Given(TypedDict):
    """What the command line says."""

    execution_id: str
    reset: bool
    budget: Limits
    path: Path | None
    as_json: bool


@click.command()
@options.execution_id
@click.option("--reset", is_flag=True, help="Go back to the limits of the plan first.")
@options.budget
@options.project
@options.json
def budget(**given: Unpack[Given]) -> Exit:
    """Show what an execution has used, and change its limits.

    Only the limits given here change. ID may be cut short as long as it is unique.
    """
    settings = load(given["path"])
    rest = inside(settings, lambda app: _changed(app, given))
    if given["as_json"]:
        document(account(rest.execution, now=rest.now))
    else:
        _print_account(rest)
    return Exit.COMPLETED


async def _changed(app: App, given: Given) -> Rest:
    engine = app.engine
    name = await found(engine, given["execution_id"])
    if given["reset"] or given["budget"] != Limits():
        execution = await engine.set_budget(name, given["budget"], reset=given["reset"])
    else:
        execution = await engine.show(name)
    return at_rest(app, execution)


def _print_account(rest: Rest) -> None:
    execution = rest.execution
    used, held = spent(execution, rest.now), reserved(execution.running)
    say(f"{'':<10}{'spent':>12}{'reserved':>12}{'limit':>12}{'left':>12}")
    for kind in Resource:
        limit, left = execution.budget.of(kind), remaining(execution.budget, used + held, kind)
        amounts = (used.of(kind), held.of(kind), limit, left)
        say(f"{kind:<10}" + "".join(f"{_number(value):>12}" for value in amounts))
    for warning in execution.warnings:
        say(f"warning   {warning}")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}".rstrip("0").rstrip(".")
