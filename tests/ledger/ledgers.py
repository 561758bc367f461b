"""Ledgers to test, and short words for what is posted and held."""

from collections.abc import Mapping
from datetime import UTC, tzinfo
from pathlib import Path

from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.period import QUARTER_S, Change, Period
from engine_mcp.core.spending import Hold, Posting
from engine_mcp.ledger.book import SqliteLedger
from engine_mcp.ledger.memory import MemoryLedger
from engine_mcp.ledger.owners import Owner, Processes

AT = 1_800_014_400.0
"""Noon of the 15th of January 2027, UTC."""

AnyLedger = SqliteLedger | MemoryLedger


class FewProcesses:
    """Processes that live and die as a test says; `me` is the one that writes."""

    def __init__(self) -> None:
        self.me: Owner = (1, 0.0)
        self.dead: set[Owner] = set()

    def own(self) -> Owner:
        return self.me

    def lives(self, owner: Owner) -> bool:
        return owner not in self.dead


def file_ledger(
    folder: Path,
    *,
    zone: tzinfo = UTC,
    caps: Mapping[Period, Limits] | None = None,
    at: float = AT,
    processes: Processes | None = None,
) -> SqliteLedger:
    path = folder / "home" / "ledger.sqlite"
    return SqliteLedger(path, zone, caps or {}, clock=lambda: at, processes=processes)


def tokens(number: int) -> Usage:
    return Usage(tokens_in=number)


def hold(number: int, *, step: str = "s", attempt: int = 1) -> Hold:
    return Hold(step=step, number=attempt, usage=tokens(number))


def posting(
    execution: str = "one",
    after: int = 0,
    upto: int | None = None,
    *,
    spent: int = 0,
    at: float = AT,
    holds: tuple[Hold, ...] = (),
) -> Posting:
    """Post that so many tokens were spent at a time, with the events up to `upto`."""
    return Posting(
        execution_id=execution,
        after=after,
        upto=after if upto is None else upto,
        spent={int(at // QUARTER_S): tokens(spent)} if spent else {},
        holds=holds,
    )


def change(at: float = AT, *, reset: bool = False) -> Change:
    return Change(at=at, by="test", reset=reset)


async def left(ledger: AnyLedger, period: Period, now: float) -> tuple[int, int, int]:
    """The limit on tokens of a period, and what is spent and held of it."""
    for standing in (await ledger.room(now)).standings:
        if standing.period is period and standing.limits.max_tokens is not None:
            return standing.limits.max_tokens, standing.spent.tokens_in, standing.held.tokens_in
    raise AssertionError(f"no limit on tokens in a {period}")
