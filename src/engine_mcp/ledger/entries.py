"""What the ledger's file says of executions: what they spent by quarters of an hour, and what they hold."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from engine_mcp.core.period import QUARTER_S
from engine_mcp.core.spending import Hold, Posting
from engine_mcp.ledger.amounts import Amounts, amounts
from engine_mcp.ledger.owners import Owner

KEPT_S = 400 * 86_400
_SPEND = """
INSERT INTO spent VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
tokens = tokens + excluded.tokens, micros = micros + excluded.micros,
microseconds = microseconds + excluded.microseconds, requests = requests + excluded.requests
"""
_HOLD = """
INSERT INTO holds VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
tokens = tokens + excluded.tokens, micros = micros + excluded.micros,
microseconds = microseconds + excluded.microseconds, requests = requests + excluded.requests
"""
_SPENT = """
SELECT sum(tokens), sum(micros), sum(microseconds), sum(requests) FROM spent
WHERE quarter >= ? AND quarter < ?
"""
_HELD = "SELECT sum(tokens), sum(micros), sum(microseconds), sum(requests) FROM holds WHERE seen >= ?"
_HELD_BY = """
SELECT sum(tokens), sum(micros), sum(microseconds), sum(requests) FROM holds
WHERE pid = ? AND started = ? AND seen < ?
"""
_FORGET = ("DELETE FROM spent WHERE quarter < ?", "DELETE FROM accounts WHERE quarter < ?")


def revision(file: sqlite3.Connection, execution_id: str) -> int:
    """The number of the last event of the execution that was entered."""
    row = file.execute("SELECT revision FROM accounts WHERE execution = ?", (execution_id,)).fetchone()
    return 0 if row is None else int(row[0])


def enter(file: sqlite3.Connection, posting: Posting, at: float) -> None:
    """Count what was spent; `at` (Unix seconds) is when the execution was heard of."""
    rows = [(quarter, *amounts(usage)) for quarter, usage in posting.spent.items()]
    file.executemany(_SPEND, rows)
    quarter = max(int(at // QUARTER_S), *posting.spent, 0)
    account = (posting.execution_id, posting.upto, quarter)
    file.execute("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?)", account)


def hold(file: sqlite3.Connection, execution_id: str, holds: Sequence[Hold], owner: Owner, at: float) -> None:
    """Hold more for attempts of the execution."""
    rows = [(execution_id, one.step, one.number, *owner, at, *amounts(one.usage)) for one in holds]
    file.executemany(_HOLD, rows)


def drop_holds(file: sqlite3.Connection, execution_id: str) -> None:
    """Hold nothing for the execution any more."""
    file.execute("DELETE FROM holds WHERE execution = ?", (execution_id,))


def spent(file: sqlite3.Connection, begin: float, end: float) -> Amounts:
    """What was spent between two times, to the quarter of an hour."""
    return _only(file, _SPENT, (int(begin // QUARTER_S), int(end // QUARTER_S)))


def held(file: sqlite3.Connection, since: float) -> Amounts:
    """What is held by processes that were known to live at this time or later."""
    return _only(file, _HELD, (since,))


def owners(file: sqlite3.Connection, until: float) -> list[Owner]:
    """The processes that hold something and were last known to live before this time."""
    rows = file.execute("SELECT DISTINCT pid, started FROM holds WHERE seen < ?", (until,))
    return [(int(pid), float(started)) for pid, started in rows]


def held_by(file: sqlite3.Connection, owner: Owner, until: float) -> Amounts:
    """What the process holds that was last known to live before this time."""
    return _only(file, _HELD_BY, (*owner, until))


def confirm(file: sqlite3.Connection, living: Iterable[Owner], at: float) -> None:
    """Note that these processes live."""
    rows = [(at, *owner, at) for owner in living]
    file.executemany("UPDATE holds SET seen = ? WHERE pid = ? AND started = ? AND seen < ?", rows)


def drop_held_by(file: sqlite3.Connection, owner: Owner, until: float) -> None:
    """Drop what a process held that was last known to live before this time."""
    file.execute("DELETE FROM holds WHERE pid = ? AND started = ? AND seen < ?", (*owner, until))


def forget(file: sqlite3.Connection, at: float) -> None:
    """Drop what was spent too long ago, and the accounts of which nothing was heard since."""
    oldest = int((at - KEPT_S) // QUARTER_S)
    for statement in _FORGET:
        file.execute(statement, (oldest,))


def _only(file: sqlite3.Connection, wanted: str, values: Sequence[Any]) -> Amounts:
    tokens, micros, microseconds, requests = file.execute(wanted, values).fetchone()
    return tokens or 0, micros or 0, microseconds or 0, requests or 0


def holders(file: sqlite3.Connection) -> list[tuple[str, Owner]]:
    """The executions that hold something, each with the process that does."""
    rows = file.execute("SELECT DISTINCT execution, pid, started FROM holds")
    return [(name, (pid, started)) for name, pid, started in rows]
