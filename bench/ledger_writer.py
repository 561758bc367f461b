"""A process that pays, again and again: it reserves and posts, in the ledger or in a bare SQLite file.

`python -m bench.ledger_writer '{"kind": "ledger", "file": ..., "name": ..., "seconds": ...}'` says that it is
ready, begins once its input ends, and prints its numbers as JSON. `bare` does the least that would do:
two transactions with an insert and an update each, on a file with a write-ahead log that is not synced
with each write.
"""

import json
import sqlite3
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

from bench import workload
from bench.children import Numbers
from bench.figures import percentile
from engine_mcp.core.budget import Limits, OnExceed, Usage
from engine_mcp.core.period import QUARTER_S, Change, Period
from engine_mcp.core.spending import Hold, Posting
from engine_mcp.ledger.book import SqliteLedger

BUSY_S = 60.0
RESERVED, USED = 100, 60
PLENTY = Limits(max_tokens=10**12, max_cost_usd=10**6, on_exceed=OnExceed.PAUSE)
TABLES = (
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, name, tokens INTEGER)",
    "CREATE TABLE sums (id INTEGER PRIMARY KEY, tokens INTEGER)",
    "INSERT INTO sums VALUES (1, 0)",
)
Pay = Callable[[], Awaitable[None]]


async def prepare(kind: str, file: Path) -> None:
    """Make the file, with limits on the day and the month where it is a ledger."""
    if kind == "ledger":
        ledger = SqliteLedger(file, UTC, {})
        for period in Period:
            change = Change(at=time.time(), by="bench", period=period)
            await ledger.limit(period, PLENTY, change)
        ledger.close()
        return
    connection = _opened(file)
    for statement in TABLES:
        connection.execute(statement)
    connection.close()


async def paid(kind: str, file: Path) -> int:
    """The tokens that the file says were used."""
    if kind == "ledger":
        ledger = SqliteLedger(file, UTC, {})
        # what came before midnight is of the same month, unless the month ended too
        spent = await ledger.spent(Period.MONTH, time.time())
        ledger.close()
        return spent.tokens_in
    connection = _opened(file)
    (found,) = connection.execute("SELECT tokens FROM sums").fetchone()
    connection.close()
    return int(found)


@asynccontextmanager
async def payer(work: dict[str, Any]) -> AsyncGenerator[Pay]:
    """What pays once: reserves, and posts what was used of that."""
    if work["kind"] == "bare":
        connection = _opened(Path(work["file"]))
        yield _bare(connection, work["name"])
        connection.close()
        return
    ledger = SqliteLedger(Path(work["file"]), UTC, {})
    yield _Account(ledger, work["name"]).pay
    ledger.close()


class _Account:
    """One execution that reserves for a step, and posts what it used before the next."""

    def __init__(self, ledger: SqliteLedger, name: str) -> None:
        self._ledger, self._name, self._posted = ledger, name, 0

    async def pay(self) -> None:
        now, at = time.time(), self._posted
        hold = Hold(step="step", number=at + 1, usage=Usage(tokens_out=RESERVED, cost_micros=RESERVED))
        before = Posting(execution_id=self._name, after=at, upto=at)
        if await self._ledger.reserve(before, [hold], now) is not None:
            raise RuntimeError("the ledger refused although there is plenty")
        spent = {int(now // QUARTER_S): Usage(tokens_in=USED, cost_micros=USED)}
        if not await self._ledger.post(Posting(execution_id=self._name, after=at, upto=at + 1, spent=spent)):
            raise RuntimeError("the ledger stands where nobody put it")
        self._posted = at + 1


def _opened(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=BUSY_S, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _bare(connection: sqlite3.Connection, name: str) -> Pay:
    async def pay() -> None:
        for tokens in (0, USED):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO entries (name, tokens) VALUES (?, ?)", (name, tokens))
            connection.execute("UPDATE sums SET tokens = tokens + ? WHERE id = 1", (tokens,))
            connection.execute("COMMIT")

    return pay


async def written(work: dict[str, Any]) -> Numbers:
    """Pay for some seconds: how often, how long it took in the worst of a hundred cases, and the tokens."""
    took: list[float] = []
    async with payer(work) as pay:
        await pay()  # which opens the file
        print("ready", flush=True)
        sys.stdin.read()
        began = now = time.perf_counter()
        while now < began + work["seconds"]:
            await pay()
            before, now = now, time.perf_counter()
            took.append(now - before)
    return {
        "per_s": len(took) / (now - began),
        "p50_ms": percentile(took, 50) * 1000,
        "p99_ms": percentile(took, 99) * 1000,
        "tokens": (len(took) + 1) * USED,
    }


def main() -> None:
    """Pay as asked."""
    work = json.loads(sys.argv[1])
    print(json.dumps(workload.run(lambda: written(work))))


if __name__ == "__main__":
    main()
