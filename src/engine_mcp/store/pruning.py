"""Removing executions that are not kept, and what belongs to none."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from engine_mcp.errors import EngineError, ExecutionNotFound
from engine_mcp.store import artifacts
from engine_mcp.store.catalog import Catalog
from engine_mcp.store.disk import Disk, remove_tree
from engine_mcp.store.keys import Keys
from engine_mcp.store.lease import Lease
from engine_mcp.store.record import load
from engine_mcp.store.retention import KEEP, Retention
from engine_mcp.store.rows import FINISHED

YOUNG_S = 3600.0
"""What nothing names may belong to work under way, until it is so old."""


class Pruning:
    """One look through the records of a project."""

    def __init__(self, disk: Disk, root: Path, catalog: Catalog, keys: Keys) -> None:
        """Remove under `root`."""
        self._disk = disk
        self._folder = root / "executions"
        self._trash = root / "trash"
        self._catalog = catalog
        self._keys = keys

    def run(self, policy: Retention, now: float, *, dry_run: bool) -> tuple[str, ...]:
        """Remove what the policy does not keep, and give its ids; raises OSError."""
        finished = self._catalog.finished()
        expired = policy.expired(finished, now)
        if dry_run:
            return tuple(name for name in expired if self._may_go(name))
        gone = tuple(name for name in expired if self._remove(name))
        for row in finished:
            self._sweep_artifacts(row.id, now)
        self._sweep_unborn(now)
        self._keys.sweep()
        self._empty_trash()
        self._catalog.drop(gone)
        return gone

    def _may_go(self, name: str) -> bool:
        with self._leased(name) as folder:
            return folder is not None and self._is_finished(folder)

    def _remove(self, name: str) -> bool:
        with self._leased(name) as folder:
            if folder is None or not self._is_finished(folder):
                return False
            self._discard(folder)
            return True

    def _is_finished(self, folder: Path) -> bool:
        if (folder / KEEP).exists():
            return False
        try:
            return load(folder).sound().status in FINISHED
        except EngineError:
            return False

    def _discard(self, folder: Path) -> None:
        with suppress(FileExistsError):
            self._disk.mkdir(self._trash)
        # In one step, and under its lease: nobody sees a part of it, nobody takes it up meanwhile.
        self._disk.rename(folder, self._trash / f"{folder.name}-{token_hex(4)}")

    def _sweep_artifacts(self, name: str, now: float) -> None:
        if (self._folder / name / artifacts.NAME).is_dir():
            with self._leased(name) as folder:
                if folder is not None and self._is_finished(folder):
                    artifacts.sweep(self._disk, folder, now - YOUNG_S)

    def _sweep_unborn(self, now: float) -> None:
        """Remove what is left of executions whose creation never came to its end."""
        for name in self._catalog.unborn():
            folder = self._folder / name
            with suppress(FileNotFoundError):
                if folder.stat().st_mtime < now - YOUNG_S and self._is_unborn(folder):
                    with self._leased(name) as leased:
                        if leased is not None:
                            self._discard(leased)

    def _is_unborn(self, folder: Path) -> bool:
        try:
            load(folder)
        except ExecutionNotFound:
            return True
        except EngineError:
            return False
        return False

    def _empty_trash(self) -> None:
        if self._trash.is_dir():
            # First it must be certain that they are no executions any more.
            self._disk.sync_folder(self._folder)
            for path in self._trash.iterdir():
                with suppress(FileNotFoundError):  # another process is at it too
                    remove_tree(self._disk, path)

    @contextmanager
    def _leased(self, name: str) -> Generator[Path | None]:
        """The folder, under its lease for the time of the block; None if somebody else has it."""
        folder = self._folder / name
        try:
            lease = Lease.take(self._disk, folder)
        except EngineError:
            yield None
            return
        try:
            yield folder
        finally:
            lease.release()
