"""`budget`: limits, what is spent and what is left, of an execution or of all of them together."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

import click

from engine_mcp.app import App
from engine_mcp.cli import auditing, options, spending
from engine_mcp.cli.entries import print_entries
from engine_mcp.cli.exits import Exit
from engine_mcp.cli.finding import found
from engine_mcp.cli.limits import figure
from engine_mcp.cli.session import Rest, at_rest, inside
from engine_mcp.cli.voice import document, say
from engine_mcp.core.admission import reserved, spent
from engine_mcp.core.budget import Limits, Resource, remaining
from engine_mcp.core.period import Period
from engine_mcp.server.account import Asked, account
from engine_mcp.server.amounts import shown_limits
from engine_mcp.settings import Settings, load

ENTRIES = 20


class Given(TypedDict):
    """What the command line says."""

    execution_id: str | None
    day: bool
    month: bool
    reset: bool
    entries: int | None
    audit: bool
    rebuild: bool
    budget: Limits
    path: Path | None
    as_json: bool


@click.command()
@click.argument("execution_id", metavar="[ID]", required=False)
@click.option("--day", is_flag=True, help="Today, over all executions of all projects.")
@click.option("--month", is_flag=True, help="This month, over all executions of all projects.")
@click.option(
    "--reset", is_flag=True, help="Go back to the limits of the plan first; of a day or month: to none."
)
@click.option(
    "--entries",
    type=click.IntRange(min=0),
    metavar="N",
    help=f"Entries or changes shown; default: {ENTRIES}.",
)
@click.option(
    "--audit", is_flag=True, help="Count the execution's journal again, and hold it against its sums."
)
@click.option(
    "--rebuild", is_flag=True, help="Enter in the ledger what the records tell and it does not know."
)
@options.budget
@options.project
@options.json
def budget(**given: Unpack[Given]) -> Exit:
    """Show what was used, and change limits.

    With ID those of an execution; else today and this month, over all executions. Only the limits given
    here change. ID may be cut short as long as it is unique.
    """
    _check(given)
    settings, name = load(given["path"]), given["execution_id"]
    if given["rebuild"]:
        return auditing.rebuild(settings, as_json=given["as_json"])
    if name is None:
        return _of_periods(settings, given)
    if given["audit"]:
        return auditing.audit(settings, name, as_json=given["as_json"])
    return _of_execution(settings, name, given)


def _check(given: Given) -> None:
    """Refuse what does not go together."""
    name, sets = given["execution_id"], given["reset"] or given["budget"] != Limits()
    scoped = given["day"] or given["month"]
    alone = name is not None or scoped or sets or given["entries"] is not None
    if given["rebuild"] and (alone or given["audit"]):
        raise click.UsageError("--rebuild stands alone: it is about all executions of the project.")
    if name is not None and scoped:
        raise click.UsageError("--day and --month are about all executions: leave out ID.")
    if given["audit"] and (name is None or sets):
        raise click.UsageError("--audit needs ID, and changes no limits.")
    if name is None and sets and given["day"] == given["month"]:
        raise click.UsageError("Say whose limits these are: ID, --day or --month.")


def _of_periods(settings: Settings, given: Given) -> Exit:
    periods = [period for period in Period if given[period.value]] or [*Period]
    sets = given["reset"] or given["budget"] != Limits()
    count = ENTRIES if given["entries"] is None else given["entries"]

    async def looked(app: App) -> spending.Books:
        if sets:
            limits, reset = given["budget"], given["reset"]
            await app.engine.treasury.limit(periods[0], limits, spending.BY, reset=reset)
        return await spending.books(app, periods, count)

    books = inside(settings, looked)
    if given["as_json"]:
        document(books.shown())
    else:
        spending.print_books(books)
    return Exit.COMPLETED


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """An execution as it was left, and the operator's limits on each."""

    rest: Rest
    caps: Limits


def _of_execution(settings: Settings, name: str, given: Given) -> Exit:
    looked = inside(settings, lambda app: _changed(app, name, given))
    rest, count = looked.rest, ENTRIES if given["entries"] is None else given["entries"]
    if given["as_json"]:
        found = account(rest.execution, now=rest.now, asked=Asked(limit=count))
        document({**found, "caps": shown_limits(looked.caps).dumped()})
        return Exit.COMPLETED
    _print_account(rest, looked.caps)
    print_entries(rest, count)
    return Exit.COMPLETED


async def _changed(app: App, text: str, given: Given) -> _Looked:
    engine = app.engine
    name = await found(engine, text)
    if given["reset"] or given["budget"] != Limits():
        execution = await engine.set_budget(name, given["budget"], reset=given["reset"])
    else:
        execution = await engine.show(name)
    return _Looked(rest=await at_rest(app, execution), caps=engine.treasury.caps)


def _print_account(rest: Rest, caps: Limits) -> None:
    execution = rest.execution
    used, held = spent(execution, rest.now), reserved(execution.running)
    say(f"{'':<10}" + "".join(f"{head:>12}" for head in ("spent", "reserved", "limit", "cap", "left")))
    for kind in Resource:
        left = [
            rest_of
            for limits in (execution.budget, caps)
            if (rest_of := remaining(limits, used + held, kind)) is not None
        ]
        limit, cap = execution.budget.of(kind), caps.of(kind)
        amounts = (used.of(kind), held.of(kind), limit, cap, min(left, default=None))
        say(f"{kind:<10}" + "".join(f"{'-' if one is None else figure(kind, one):>12}" for one in amounts))
    for warning in execution.warnings:
        say(f"warning   {warning}")
