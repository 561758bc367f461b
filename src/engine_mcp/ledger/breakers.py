"""Breakers in the ledger's file: one row for each part that is not closed or has counted failures."""

import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from engine_mcp.core.breaker import Breaker, BreakerState, given_up
from engine_mcp.errors import StorageError
from engine_mcp.ledger.database import Database
from engine_mcp.ledger.owners import MachineProcesses, Processes


class SqliteBreakers:
    """Fulfils `ports.Breakers`; every method raises StorageError where the file cannot be used.

    A half-open breaker is kept with the process that tries it out. Once that is gone, the trial is given up.
    """

    def __init__(self, path: Path, *, processes: Processes | None = None) -> None:
        """Use the ledger's file at `path`, which is created by the first write."""
        self._database = Database(path)
        self._processes = processes or MachineProcesses()

    async def read(self) -> Mapping[str, Breaker]:
        """Every breaker on file, by its part."""
        found, left = await self._database.read(self._looked)
        if left:
            with suppress(StorageError):  # they are tried all the same, once their time is over
                return await self._database.write(lambda file: _freed(file, left))
        return found

    async def write(self, before: Breaker | None, after: Breaker) -> bool:
        """Put `after` in the place of `before`, where that is what stands there."""
        trier = self._processes.own() if after.state is BreakerState.HALF_OPEN else None
        return await self._database.write(lambda file: _replaced(file, before, replace(after, trier=trier)))

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self._database.close()

    def _looked(self, file: sqlite3.Connection) -> tuple[dict[str, Breaker], list[Breaker]]:
        """The breakers on file, and those among them whose trial a dead process has left."""
        found = _found(file)
        trials = [one for one in found.values() if one.state is BreakerState.HALF_OPEN]
        return found, [one for one in trials if one.trier and not self._processes.lives(one.trier)]


def unremarkable(breaker: Breaker | None) -> bool:
    """Whether nothing needs to be kept of a breaker: it is as if nobody had ever asked for it."""
    return breaker is None or (breaker.state is BreakerState.CLOSED and not breaker.failures)


def _found(file: sqlite3.Connection) -> dict[str, Breaker]:
    rows = file.execute("SELECT part, body FROM breakers ORDER BY part")
    return {part: _shape().validate_json(body) for part, body in rows}


def _freed(file: sqlite3.Connection, left: list[Breaker]) -> dict[str, Breaker]:
    for breaker in left:
        _replaced(file, breaker, replace(given_up(breaker, breaker.changed_at), trier=None))
    return _found(file)


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
