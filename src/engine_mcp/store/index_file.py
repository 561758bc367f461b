"""The file under the index: opened when it is needed, and begun anew when it cannot be trusted.

It is written without waiting for the disk. So it is trusted only while the machine has not been
started anew, while nothing is wrong with it, and while no write to it had to be given up.
"""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil

NAME = "index.sqlite"
VERSION = 1
_BUSY_S = 0.25
_STALE = ".stale"
_BESIDE = ("", "-wal", "-shm", "-journal")
_TABLES = """
CREATE TABLE IF NOT EXISTS executions (
    id PRIMARY KEY, status, title, created_at, updated_at, steps, done, reason, revision, words, fault
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_status ON executions (status, id);
CREATE TABLE IF NOT EXISTS origin (version, boot);
"""

Value = str | int | float | None


class IndexFile:
    """A database that is always there: on disk, or else in this process's memory."""

    def __init__(self, path: Path, *, local: Callable[[], bool]) -> None:
        """Use the file at `path`; a file system that is not `local` shares no memory, so no WAL there."""
        self._path = path
        self._local = local
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self.fallback = ""
        """Why the database is in memory, if it is."""

    def rows(self, wanted: str, values: Sequence[Value]) -> list[Any]:
        """The rows that a statement selects."""
        return self._used(lambda connection: connection.execute(wanted, values).fetchall())

    def change(self, statement: str, values: Sequence[Sequence[Value]]) -> None:
        """Carry out one statement with each of these values, or with none of them."""
        self._used(lambda connection: _written(connection, statement, values))

    def mark_stale(self) -> None:
        """Have whoever uses the file next begin it anew, because a change did not reach it."""
        with suppress(OSError):
            self._beside(_STALE).touch(mode=0o600)

    def close(self) -> None:
        """Close it; the next use opens it again, from disk if it can."""
        with self._lock:
            self._shut()
            self.fallback = ""

    def _used(self, work: Callable[[sqlite3.Connection], list[Any]]) -> list[Any]:
        with self._lock:
            try:
                return work(self._opened())
            except (sqlite3.Error, OSError) as error:
                if not _busy(error):
                    return self._anew(work)
                self.mark_stale()
                return self._in_memory(work, error)

    def _anew(self, work: Callable[[sqlite3.Connection], list[Any]]) -> list[Any]:
        self._shut()
        try:
            for suffix in _BESIDE:
                self._beside(suffix).unlink(missing_ok=True)
            return work(self._opened())
        except (sqlite3.Error, OSError) as error:
            return self._in_memory(work, error)

    def _in_memory(self, work: Callable[[sqlite3.Connection], list[Any]], error: Exception) -> list[Any]:
        self._shut()
        self.fallback = str(error)
        return work(self._opened())

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and (self.fallback or self._in_place()):
            return self._connection
        self._shut()
        self._connection = connection = self._connected()
        connection.executescript(_TABLES)
        if not self.fallback:
            self._inode = self._path.stat().st_ino
            self._trusted(connection)
        return connection

    def _connected(self) -> sqlite3.Connection:
        if self.fallback:
            return sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._path.touch(mode=0o600)
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None
        )
        connection.execute(f"PRAGMA journal_mode = {'WAL' if self._local() else 'DELETE'}")
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    def _trusted(self, connection: sqlite3.Connection) -> None:
        origin = (VERSION, _boot())
        connection.execute("BEGIN IMMEDIATE")
        stale = self._beside(_STALE)
        if stale.exists() or connection.execute("SELECT version, boot FROM origin").fetchall() != [origin]:
            connection.execute("DELETE FROM executions")
            connection.execute("DELETE FROM origin")
            connection.execute("INSERT INTO origin VALUES (?, ?)", origin)
            stale.unlink(missing_ok=True)
        connection.commit()

    def _in_place(self) -> bool:
        if self._beside(_STALE).exists():
            return False
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def _shut(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)


def _written(connection: sqlite3.Connection, statement: str, values: Sequence[Sequence[Value]]) -> list[Any]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(statement, values)
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
    return []


def _busy(error: Exception) -> bool:
    code: int = getattr(error, "sqlite_errorcode", 0)  # some errors are not of the database, but about it
    return code & 0xFF == sqlite3.SQLITE_BUSY


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return str(round(psutil.boot_time(), -1))
