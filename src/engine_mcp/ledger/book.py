"""The ledger in a file that all processes of a user share."""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import tzinfo
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.period import Change, Period, Room, bounds
from engine_mcp.core.sharing import refused
from engine_mcp.core.spending import Hold, Posting
from engine_mcp.ledger import entries
from engine_mcp.ledger.amounts import Amounts, total, usage_of
from engine_mcp.ledger.database import Database
from engine_mcp.ledger.owners import MachineProcesses, Processes
from engine_mcp.ledger.standings import Terms

DAY_S = 86_400


class SqliteLedger:
    """Fulfils `ports.Ledger`; every method raises StorageError where the file cannot be used.

    A hold counts in the period of `now` as long as its process lives, whenever it was made: it may be
    spent today. The hold of a process that died counts in the periods in which it was last known to
    live, since what it spent may not be posted, until whoever recovers its execution posts that.
    """

    def __init__(
        self,
        path: Path,
        zone: tzinfo,
        caps: Mapping[Period, Limits],
        *,
        clock: Callable[[], float] = time.time,
        processes: Processes | None = None,
    ) -> None:
        """Use the file at `path`, which the first write creates; days begin and end in `zone`.

        `caps` are the operator's, which always pause. `clock` dates what is posted.
        """
        self._database = Database(path)
        self._terms = Terms(zone, caps)
        self._clock = clock
        self._processes = processes or MachineProcesses()
        self._swept: int | None = None

    @property
    def concern(self) -> str:
        """What somebody should know about the file; empty if all is well with it."""
        return self._database.concern

    async def posted(self, execution_id: str) -> int:
        """The number of the last event of the execution that is counted here."""
        return await self._database.read(lambda file: entries.revision(file, execution_id))

    async def post(self, posting: Posting) -> bool:
        """Enter what was spent and is held, if the ledger stands at `posting.after`."""
        return await self._database.write(lambda file: self._entered(file, posting, self._clock()))

    async def reserve(
        self, posting: Posting, holds: Sequence[Hold], now: float, *, pauses: bool = True
    ) -> Room | None:
        """Post and hold more, if every limit that pauses leaves room for it; see `ports.Ledger`.

        A hold of an attempt that holds something already adds to it. `pauses` says what limits do that do
        not say it themselves. Where the ledger does not stand at `posting.after`, nothing happens and the
        answer is the room.
        """

        def reserved(file: sqlite3.Connection) -> Room | None:
            entered, room = self._entered(file, posting, now), self._seen(file, now)
            if not entered or refused(room, holds, pauses=pauses):
                return room
            entries.hold(file, posting.execution_id, holds, self._processes.own(), now)
            return None

        return await self._database.write(reserved)

    async def abandoned(self) -> Sequence[str]:
        """The executions whose holds belong to a process that is gone."""
        found = await self._database.read(entries.holders)
        return tuple({name for name, owner in found if not self._processes.lives(owner)})

    async def room(self, now: float) -> Room:
        """The shared limits and the operator's caps as they stand."""
        return await self._database.read(lambda file: self._room(file, now))

    async def spent(self, period: Period, now: float) -> Usage:
        """What was spent in the period that holds `now`; all tokens are told as `tokens_in`."""
        begin, end = bounds(period, now, self._terms.zone)
        return usage_of(await self._database.read(lambda file: entries.spent(file, begin, end)))

    async def limit(self, period: Period, limits: Limits, change: Change) -> None:
        """Set limits and enter the change, with what stood before, stands now and was spent at its time."""
        await self._database.write(lambda file: self._limited(file, period, limits, change))

    async def changes(self, period: Period | None, limit: int) -> Sequence[Change]:
        """The newest changes of shared limits, the newest first."""
        return await self._database.read(lambda file: _changes(file, period, limit))

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self._database.close()

    def _entered(self, file: sqlite3.Connection, posting: Posting, at: float) -> bool:
        if entries.revision(file, posting.execution_id) != posting.after:
            return False
        entries.enter(file, posting, at)
        entries.drop_holds(file, posting.execution_id)
        entries.hold(file, posting.execution_id, posting.holds, self._processes.own(), at)
        self._sweep(file, at)
        return True

    def _seen(self, file: sqlite3.Connection, now: float) -> Room:
        """The room, once it is noted which processes live: should they die today, their holds count today."""
        today, _ = bounds(Period.DAY, now, self._terms.zone)
        entries.confirm(file, filter(self._processes.lives, entries.owners(file, today)), now)
        return self._room(file, now)

    def _room(self, file: sqlite3.Connection, now: float) -> Room:
        def tally(begin: float, end: float) -> tuple[Amounts, Amounts]:
            older = filter(self._processes.lives, entries.owners(file, begin))
            carried = total(entries.held_by(file, owner, begin) for owner in older)
            return entries.spent(file, begin, end), total((entries.held(file, begin), carried))

        return self._terms.room(_limits(file), now, tally)

    def _limited(self, file: sqlite3.Connection, period: Period, limits: Limits, change: Change) -> None:
        before = _limits(file).get(period, Limits())
        after = (Limits() if change.reset else before).merged(limits)
        spent = usage_of(entries.spent(file, *bounds(period, change.at, self._terms.zone)))
        entry = replace(change, period=period, before=before, after=after, spent=spent)
        body = _limits_shape().dump_json(after).decode()
        file.execute("INSERT OR REPLACE INTO limits VALUES (?, ?)", (str(period), body))
        audit = _change_shape().dump_json(entry).decode()
        file.execute("INSERT INTO changes (period, body) VALUES (?, ?)", (str(period), audit))

    def _sweep(self, file: sqlite3.Connection, at: float) -> None:
        """Once a day: drop what is too old to be asked for, and holds that cannot count any more."""
        if self._swept == (day := int(at // DAY_S)):
            return
        self._swept = day
        entries.forget(file, at)
        month, _ = bounds(Period.MONTH, at, self._terms.zone)
        for owner in entries.owners(file, month):
            if not self._processes.lives(owner):
                entries.drop_held_by(file, owner, month)


def _limits(file: sqlite3.Connection) -> dict[Period, Limits]:
    rows = file.execute("SELECT period, body FROM limits")
    return {Period(period): _limits_shape().validate_json(body) for period, body in rows}


def _changes(file: sqlite3.Connection, period: Period | None, limit: int) -> tuple[Change, ...]:
    wanted = "SELECT body FROM changes WHERE ?1 IS NULL OR period = ?1 ORDER BY id DESC LIMIT ?2"
    rows = file.execute(wanted, (None if period is None else str(period), max(0, limit)))
    return tuple(_change_shape().validate_json(body) for (body,) in rows)


@cache
def _limits_shape() -> TypeAdapter[Limits]:
    return TypeAdapter(Limits)


@cache
def _change_shape() -> TypeAdapter[Change]:
    return TypeAdapter(Change)
