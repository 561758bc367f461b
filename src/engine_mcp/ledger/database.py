"""The ledger's file: shared by all processes of a user, opened when it is needed, written in transactions.

It is not synced with each write: a crash of the machine may take the newest transactions, which the
records still tell, but damages nothing. A damaged file is set aside and begun anew.
"""

import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

from engine_mcp.errors import StorageError
from engine_mcp.ledger.tables import KEPT, TABLES, VERSION

_log = logging.getLogger(__name__)
R = TypeVar("R")
BUSY_S = 5.0
_PAUSE_S = 0.005
_TRIES = 5
_ASIDE = ".corrupt"
_LOCK = ".lock"
_BESIDE = ("-wal", "-shm", "")  # the file itself goes last: what it leaves behind must not join a new one
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Database:
    """One connection to the file, used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Use the file at `path`; nothing is touched before the first call."""
        self._path = path
        self._turn = CapacityLimiter(1)
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self.concern = ""
        """What somebody should know about the file, in one sentence or two; empty if all is well."""

    async def read(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """What `work` finds in one state of the file; a file that is missing is empty, and stays missing.

        Raises StorageError where it cannot be read. Cancellation waits for the end.
        """
        return await to_thread.run_sync(self._found, work, limiter=self._turn)

    async def write(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Do `work` in a transaction of its own, all of it or nothing; others wait until it is done.

        Raises StorageError where it cannot be written: nothing has changed then. Cancellation waits.
        """
        return await to_thread.run_sync(self._done, "BEGIN IMMEDIATE", work, limiter=self._turn)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            self._shut()

    def _found(self, work: Callable[[sqlite3.Connection], R]) -> R:
        with _storing(self._path):
            there = self._path.exists()
        if there:
            return self._done("BEGIN", work)
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
            _equipped(empty, self._path)
            return work(empty)

    def _done(self, begin: str, work: Callable[[sqlite3.Connection], R]) -> R:
        with self._lock, _storing(self._path):
            try:
                return self._transaction(begin, work)
            except sqlite3.DatabaseError as error:
                if not _damaged(error):
                    raise
                self._set_aside(error)
                return self._transaction(begin, work)

    def _transaction(self, begin: str, work: Callable[[sqlite3.Connection], R]) -> R:
        try:
            connection = self._begun(begin)
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            self._shut()  # which rolls back, whatever state the connection is in
            raise
        return result

    def _begun(self, begin: str) -> sqlite3.Connection:
        for _ in range(_TRIES):
            if self._connection is None:
                with self._alone():
                    self._connection = self._opened()
            self._connection.execute(begin)
            if self._in_place():
                return self._connection
            self._shut()
        raise sqlite3.OperationalError("the file is replaced again and again")

    def _opened(self) -> sqlite3.Connection:
        self._path.touch(mode=0o600)
        self._inode = self._path.stat().st_ino
        connection = sqlite3.connect(
            self._path, timeout=BUSY_S, check_same_thread=False, isolation_level=None
        )
        try:
            _known(connection, self._path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            _equipped(connection, self._path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _in_place(self) -> bool:
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def _shut(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _set_aside(self, why: sqlite3.Error) -> None:
        with self._alone():
            if not self._in_place():
                return  # another process was first
            aside = self._beside(_ASIDE)
            for suffix in _BESIDE:
                Path(f"{aside}{suffix}").unlink(missing_ok=True)
                with suppress(FileNotFoundError):
                    self._beside(suffix).rename(f"{aside}{suffix}")
            rows, lost = _salvaged(aside)
            self._connection = connection = self._opened()
            for statement, values in rows:
                connection.execute(statement, values)
            self.concern = (
                f"The ledger {self._path} was damaged ({why}) and has been begun anew; what it was is in "
                f"{aside.name}. {'Set the limits again: not all could be saved.' if lost else ''}"
            ).strip()
            _log.warning("%s `engine-mcp budget --rebuild` counts again what was spent.", self.concern)

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Keep other processes from opening or replacing the file for the time of the block."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._beside(_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _locked(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)


def _locked(descriptor: int) -> None:
    last = time.monotonic() + BUSY_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > last:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def _known(connection: sqlite3.Connection, path: Path) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > VERSION:
        raise StorageError(
            f"The ledger {path} has the schema version {version}; this engine knows up to {VERSION}.",
            hint="Use the engine that wrote it, or a newer one.",
        )
    return version


def _equipped(connection: sqlite3.Connection, path: Path) -> None:
    if _known(connection, path) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    for table in TABLES:
        connection.execute(table)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _salvaged(aside: Path) -> tuple[list[tuple[str, tuple[Any, ...]]], bool]:
    """What can still be read of the tables that no record tells, and whether something is missing."""
    rows: list[tuple[str, tuple[Any, ...]]] = []
    lost = False
    for table in KEPT:
        try:
            with closing(sqlite3.connect(aside, timeout=BUSY_S)) as connection:
                for row in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608 - a name of our own
                    marks = ", ".join("?" * len(row))
                    rows.append((f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row))  # noqa: S608 - as above
        except sqlite3.Error:
            lost = True
    return rows, lost


def _damaged(error: sqlite3.Error) -> bool:
    code: int = getattr(error, "sqlite_errorcode", 0)  # some errors are not of the database, but about it
    return code & 0xFF in _DAMAGED


@contextmanager
def _storing(path: Path) -> Generator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, OverflowError, ValueError) as error:
        raise StorageError(
            f"The ledger {path} cannot be used: {getattr(error, 'strerror', None) or error}.",
            hint=f"Free space on the disk or mend {path.parent}, then resume. Nothing is begun that the "
            "ledger cannot count.",
        ) from error
