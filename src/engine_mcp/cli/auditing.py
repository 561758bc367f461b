"""Whether an execution's sums are those of its journal, and a ledger made whole from the records."""

from collections.abc import Iterator
from dataclasses import replace

from pydantic import JsonValue

from engine_mcp.app import App
from engine_mcp.cli.exits import Exit
from engine_mcp.cli.finding import found
from engine_mcp.cli.session import inside
from engine_mcp.cli.voice import document, note, say
from engine_mcp.core.audit import differences
from engine_mcp.core.event import Event, UsageReported
from engine_mcp.core.execution import Execution
from engine_mcp.core.whole import WholeRequest
from engine_mcp.errors import StorageError
from engine_mcp.ledger.rebuild import Rebuilt, rebuilt
from engine_mcp.ports import PriceBook
from engine_mcp.prices.audit import repriced
from engine_mcp.settings import Settings

PAGE = 500


def audit(settings: Settings, name: str, *, as_json: bool) -> Exit:
    """Count an execution's journal again, price its charges again, and tell every difference."""
    execution, told = inside(settings, lambda app: _audited(app, name))
    if as_json:
        listed: list[JsonValue] = [*told]
        document({"execution_id": execution.id, "events": execution.revision, "differences": listed})
    else:
        for text in told:
            say(text)
        if not told:
            say(f"{execution.id}: the same sums over {execution.revision} events.")
    return Exit.FAILED if told else Exit.COMPLETED


async def _audited(app: App, name: str) -> tuple[Execution, tuple[str, ...]]:
    engine = app.engine
    execution = await engine.show(await found(engine, name))
    events: list[Event] = []
    while len(events) < execution.revision:
        page = await engine.events(execution.id, len(events), min(PAGE, execution.revision - len(events)))
        if not page:
            break
        events += (event for _, event in page)
    told = list(differences(execution, events))
    if (book := engine.parts.prices) is not None:
        await book.open()
        told += mispriced(events, book)
    return execution, tuple(told)


def mispriced(events: list[Event], book: PriceBook) -> Iterator[str]:
    """Where a charge is not what the same price list gives for it now, a sentence for each."""
    requests: dict[tuple[str, int], WholeRequest] = {}
    for event in events:
        if not isinstance(event, UsageReported) or event.charge is None:
            continue
        charge = event.charge
        request = requests.setdefault((event.step, event.number), WholeRequest())
        quote = repriced(charge, book, event.at, request.add(charge.usage, charge.model))
        if quote is not None and quote.micros != charge.computed_micros:
            yield (
                f"The step {event.step!r}, attempt {event.number}, was charged {charge.computed_micros}"
                f" micro-dollars for {charge.model}; by {quote.price} it is {quote.micros}."
            )


def rebuild(settings: Settings, *, as_json: bool) -> Exit:
    """Enter in the ledger what the records of the project tell and it does not know."""
    told = inside(settings, _rebuilt)
    if as_json:
        document(
            {
                "executions": told.executions,
                "entries": told.entries,
                "ahead": [*told.ahead],
                "unreadable": [*told.unreadable],
            }
        )
    else:
        say(f"Entered {told.entries} entries of {told.executions} executions.")
        for name in told.ahead:
            note(f"{name}: the ledger knows more of it than its record tells; nothing was changed.")
        for name in told.unreadable:
            note(f"{name}: its record cannot be read.")
    return Exit.RECORD if told.unreadable else Exit.COMPLETED


async def _rebuilt(app: App) -> Rebuilt:
    ledger = app.engine.parts.ledger
    if ledger is None:
        raise StorageError("This engine has no ledger.", hint="Set a place for it with `spending.ledger`.")
    told = await rebuilt(ledger, app.store)
    # Those that are not even listed.
    damaged = await app.store.damaged()
    return replace(told, unreadable=tuple(dict.fromkeys((*told.unreadable, *damaged))))
