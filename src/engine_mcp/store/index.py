"""The index: what lists show of every execution. It is derived; losing it costs a look into each."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from engine_mcp.core.execution import Execution, ExecutionStatus
from engine_mcp.core.listing import Listed, Page, Query
from engine_mcp.store.index_file import IndexFile, Value
from engine_mcp.store.rows import folded, listed, words

_THOSE = """
SELECT id, status, title, created_at, updated_at, steps, done, reason FROM executions
WHERE status IN (SELECT value FROM json_each(?)) ORDER BY id DESC
"""
_COUNT = """
SELECT count(*) FROM executions
WHERE fault IS NULL AND (?1 IS NULL OR status = ?1) AND (?2 = '' OR instr(words, ?2) > 0)
"""
PAGE = """
SELECT id, status, title, created_at, updated_at, steps, done, reason FROM executions
WHERE fault IS NULL AND (?1 IS NULL OR status = ?1) AND (?2 = '' OR instr(words, ?2) > 0)
AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4
"""
_PUT = "INSERT OR REPLACE INTO executions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)"
_OFFER = """
INSERT OR REPLACE INTO executions SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, NULL
WHERE NOT EXISTS (SELECT 1 FROM executions WHERE id = ?1 AND revision > ?9)
"""
_BLAME = "INSERT OR IGNORE INTO executions (id, words, fault) VALUES (?, '', ?)"


class Index:
    """The rows of one project, for any number of threads and processes. No method raises."""

    def __init__(self, path: Path, *, local: Callable[[], bool]) -> None:
        """Keep the rows in the file at `path`, or in memory if it cannot be used."""
        self._file = IndexFile(path, local=local)

    @property
    def fallback(self) -> str:
        """Why the index is in memory, if it is: then nobody else's changes are in it."""
        return self._file.fallback

    def put(self, executions: Iterable[Execution]) -> None:
        """Add or replace the rows of executions whose lease the caller holds: nobody knows better."""
        self._many(_PUT, [_values(execution) for execution in executions])
        if self._file.fallback:
            self._file.mark_stale()

    def offer(self, executions: Iterable[Execution]) -> None:
        """Add or replace the rows of executions as somebody read them, unless later states are known."""
        self._many(_OFFER, [_values(execution) for execution in executions])

    def blame(self, faults: Iterable[tuple[str, str]]) -> None:
        """Note executions that cannot be read, by id, with the reason; known rows stay as they are."""
        self._many(_BLAME, list(faults))

    def drop(self, ids: Iterable[str]) -> None:
        """Remove rows."""
        self._many("DELETE FROM executions WHERE id = ?", [(name,) for name in ids])

    def clear(self) -> None:
        """Remove all rows."""
        self._many("DELETE FROM executions", [()])

    def ids(self) -> set[str]:
        """Every id in the index, unreadable ones too."""
        return {str(name) for (name,) in self._rows("SELECT id FROM executions")}

    def faults(self) -> dict[str, str]:
        """The executions that cannot be read, with the reasons, by id."""
        wanted = "SELECT id, fault FROM executions WHERE fault IS NOT NULL ORDER BY id"
        return {str(name): str(why) for name, why in self._rows(wanted)}

    def those(self, statuses: Iterable[ExecutionStatus]) -> tuple[Listed, ...]:
        """Every execution with one of these statuses, newest first."""
        return tuple(map(_row, self._rows(_THOSE, [json.dumps(sorted(statuses))])))

    def page(self, query: Query) -> Page:
        """A page of the executions, newest first."""
        status = None if query.status is None else str(query.status)
        matching = [status, _text(folded(query.text))]
        total = self._rows(_COUNT, matching)[0][0]
        rows = self._rows(PAGE, [*matching, query.after, query.limit])
        return Page(rows=tuple(map(_row, rows)), total=int(total))

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._file.close()

    def _rows(self, wanted: str, values: Sequence[Value] = ()) -> list[Any]:
        return self._file.rows(wanted, values)

    def _many(self, change: str, values: Sequence[Sequence[Value]]) -> None:
        if values:
            self._file.change(change, values)


def _values(execution: Execution) -> tuple[Value, ...]:
    row = listed(execution)
    shown = (row.id, str(row.status), _text(row.title), row.created_at, row.updated_at, row.steps, row.done)
    return (*shown, row.reason and _text(row.reason), execution.revision, _text(words(execution)))


def _text(text: str) -> str:
    """Text that SQLite takes: without halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode()


def _row(values: Sequence[Any]) -> Listed:
    name, status, title, created_at, updated_at, steps, done, reason = values
    return Listed(
        id=name,
        status=ExecutionStatus(status),
        title=title,
        created_at=created_at,
        updated_at=updated_at,
        steps=steps,
        done=done,
        reason=reason,
    )
