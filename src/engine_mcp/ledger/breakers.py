"""Breakers in the ledger's file: one row for each part that is not closed or has counted failures."""

import sqlite3
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from engine_mcp.core.breaker import Breaker, BreakerState
from engine_mcp.ledger.database import Database


class SqliteBreakers:
    """Fulfils `ports.Breakers`; every method raises StorageError where the file cannot be used."""

    def __init__(self, path: Path) -> None:
        """Use the ledger's file at `path`, which is created by the first write."""
        self._database = Database(path)

    async def read(self) -> Mapping[str, Breaker]:
        """Every breaker on file, by its part."""
        return await self._database.read(_found)

    async def write(self, before: Breaker | None, after: Breaker) -> bool:
        """Put `after` in the place of `before`, where that is what stands there."""
        return await self._database.write(lambda file: _replaced(file, before, after))

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self._database.close()


def unremarkable(breaker: Breaker | None) -> bool:
    """Whether nothing needs to be kept of a breaker: it is as if nobody had ever asked for it."""
    return breaker is None or (breaker.state is BreakerState.CLOSED and not breaker.failures)


def _found(file: sqlite3.Connection) -> dict[str, Breaker]:
    rows = file.execute("SELECT part, body FROM breakers ORDER BY part")
    return {part: _shape().validate_json(body) for part, body in rows}


def _replaced(file: sqlite3.Connection, before: Breaker | None, after: Breaker) -> bool:
    there = _found(file).get(after.part)
    if there != (None if unremarkable(before) else before):
        return False
    if unremarkable(after):
        file.execute("DELETE FROM breakers WHERE part = ?", (after.part,))
    else:
        body = _shape().dump_json(after).decode()
        file.execute("INSERT OR REPLACE INTO breakers VALUES (?, ?)", (after.part, body))
    return True


@cache
def _shape() -> TypeAdapter[Breaker]:
    return TypeAdapter(Breaker)
