"""`status`: how an execution stands, or what there is."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

import click
from pydantic import JsonValue

from engine_mcp.app import App
from engine_mcp.cli import options
from engine_mcp.cli.exits import Exit
from engine_mcp.cli.finding import seen
from engine_mcp.cli.session import inside
from engine_mcp.cli.shown import shown
from engine_mcp.cli.spending import Books, books, lines_of, shown_breaker
from engine_mcp.cli.summary import summary
from engine_mcp.cli.voice import document, note, say
from engine_mcp.cli.words import moment
from engine_mcp.core.breaker import Breaker
from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.core.listing import Listed, Page, Query
from engine_mcp.core.period import Period
from engine_mcp.server.results import JsonObject, ListedExecution
from engine_mcp.server.times import utc
from engine_mcp.settings import load

TITLE = 60


class Given(TypedDict):
    """What the command line says."""

    execution_id: str | None
    status: str | None
    text: str
    limit: int
    path: Path | None
    as_json: bool


@click.command()
@click.argument("execution_id", metavar="[ID]", required=False)
@click.option(
    "--status",
    type=click.Choice([str(status) for status in ExecutionStatus]),
    help="Only those in this status.",
)
@click.option("--text", default="", help="Only those with this in their task or id.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many, newest first."
)
@options.project
@options.json
def status(**given: Unpack[Given]) -> Exit:
    """Show how an execution stands, or list them all.

    Below the list stand what they spent together and what is broken. ID may be cut short as long as it is
    unique.
    """
    settings = load(given["path"])
    if given["execution_id"] is None:
        chosen = ExecutionStatus(given["status"]) if given["status"] else None
        query = Query(status=chosen, text=given["text"], limit=given["limit"])
        _print_sight(inside(settings, lambda app: _seen(app, query)), as_json=given["as_json"])
        return Exit.COMPLETED
    name = given["execution_id"]
    rest = inside(settings, lambda app: seen(app, name))
    if given["as_json"]:
        document(shown(rest, settings))
    else:
        say(summary(rest, settings))
    return Exit.COMPLETED


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sight:
    """What there is: executions, what they spend together, what is broken, and the time."""

    page: Page
    books: Books
    breakers: tuple[Breaker, ...]
    now: float


async def _seen(app: App, query: Query) -> _Sight:
    engine = app.engine
    breakers = await engine.treasury.breakers()
    return _Sight(
        page=await engine.list(query),
        books=await books(app, Period),
        breakers=tuple(breakers[part] for part in sorted(breakers)),
        now=engine.parts.clock.now(),
    )


def _print_sight(sight: _Sight, *, as_json: bool) -> None:
    page = sight.page
    if as_json:
        rows: list[JsonValue] = [_row(row) for row in page.rows]
        broken: list[JsonValue] = [shown_breaker(breaker) for breaker in sight.breakers]
        spent = sight.books.shown()["periods"]
        document({"executions": rows, "total": page.total, "breakers": broken, "spending": spent})
        return
    for row in page.rows:
        title = row.title.partition("\n")[0][:TITLE]
        say(f"{row.id}  {row.status:<11}  {row.done:>3}/{row.steps:<3}  {moment(row.updated_at)}  {title}")
    if len(page.rows) < page.total:
        note(f"{page.total - len(page.rows)} more: use --limit, --status or --text.")
    for line in lines_of(sight.books, sight.breakers, sight.now):
        say(line)


def _row(row: Listed) -> JsonObject:
    return ListedExecution(
        execution_id=row.id,
        status=row.status,
        title=row.title,
        created_at=utc(row.created_at),
        updated_at=utc(row.updated_at),
        steps=row.steps,
        done=row.done,
        reason=row.reason,
    ).dumped()
