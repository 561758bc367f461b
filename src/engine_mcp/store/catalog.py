"""What is known of all executions together, from the index where it can be trusted."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from engine_mcp.core.execution import Execution
from engine_mcp.core.listing import Listed, Page, Query
from engine_mcp.errors import EngineError, ExecutionNotFound
from engine_mcp.store.index import Index
from engine_mcp.store.lease import holder
from engine_mcp.store.record import load
from engine_mcp.store.rows import ACTIVE, FINISHED, listed


class Catalog:
    """The executions in a folder; `live` gives the state of one that this process drives."""

    def __init__(self, folder: Path, index: Index, live: Callable[[str], Execution | None]) -> None:
        """Look into `folder` for everything that the index does not know."""
        self._folder = folder
        self._index = index
        self._live = live
        self._seen: dict[str, frozenset[tuple[str, int]]] = {}

    def page(self, query: Query) -> Page:
        """A page of the executions as they are now, newest first; raises OSError."""
        self._refresh()
        page = self._index.page(query)
        return replace(page, rows=tuple(map(self._now, page.rows)))

    def damaged(self) -> dict[str, str]:
        """Look into every record, and give those that cannot be read, with the reasons; raises OSError."""
        self.rebuild()
        return self._index.faults()

    def abandoned(self) -> tuple[str, ...]:
        """The pending and running executions that nobody drives, newest first; raises OSError."""
        self._refresh()
        active = (row.id for row in self._index.those(ACTIVE))
        return tuple(name for name in active if self._live(name) is None and not holder(self._folder / name))

    def unborn(self) -> tuple[str, ...]:
        """What lies among the executions and is none, or not yet; raises OSError."""
        self._refresh()
        return tuple(sorted(self._names() - self._index.ids()))

    def finished(self) -> tuple[Listed, ...]:
        """The executions that have ended for good; raises OSError."""
        self._refresh()
        return self._index.those(FINISHED)

    def rebuild(self) -> int:
        """Look into every execution anew, and give their number; raises OSError."""
        self._index.clear()
        self._refresh()
        return len(self._index.ids())

    def put(self, execution: Execution) -> None:
        """Note the state of an execution whose lease the caller holds."""
        self._index.put([execution])

    def drop(self, names: Iterable[str]) -> None:
        """Forget executions that are gone."""
        self._index.drop(names)

    def blame(self, name: str, why: str) -> None:
        """Note that an execution cannot be read."""
        self._index.drop([name])
        self._index.blame([(name, why)])

    def _now(self, row: Listed) -> Listed:
        state = self._live(row.id)
        return listed(state) if state else row

    def _refresh(self) -> None:
        if self._index.fallback:
            self._index.close()  # nobody else's changes are in it: try the file again, or begin empty
        known = self._index.ids()
        there = self._names()
        self._index.drop(known - there)
        self._look(sorted(there - known))
        active = self._index.those(ACTIVE)
        driven = [(row, state) for row in active if (state := self._live(row.id)) is not None]
        self._index.offer(state for row, state in driven if state.status is not row.status)
        self._look(row.id for row in active if self._live(row.id) is None and self._changed(row.id))

    def _names(self) -> set[str]:
        try:
            return {path.name for path in self._folder.iterdir()}
        except FileNotFoundError:
            return set()

    def _changed(self, name: str) -> bool:
        """Whether somebody wrote to the record since the last look."""
        try:
            journal = (self._folder / name).glob("journal-*")
            sizes = frozenset((path.name, path.stat().st_size) for path in journal)
        except FileNotFoundError:
            return True
        seen, self._seen[name] = self._seen.get(name), sizes
        return sizes != seen

    def _look(self, names: Iterable[str]) -> None:
        good: list[Execution] = []
        bad: list[tuple[str, str]] = []
        for name in names:
            try:
                good.append(self._live(name) or load(self._folder / name).sound())
            except ExecutionNotFound:
                # It is just being created or removed, or its creation never came to an end.
                self._seen.pop(name, None)
            except (EngineError, OSError) as error:
                bad.append((name, str(error)))
        self._index.drop(name for name, _ in bad)
        self._index.offer(good)
        self._index.blame(bad)
