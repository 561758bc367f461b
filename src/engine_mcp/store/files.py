"""The store of a project: a folder for each execution, and what belongs to all of them."""

import re
from contextlib import suppress
from pathlib import Path

from engine_mcp.core.event import Event, ExecutionCreated
from engine_mcp.core.evolve import evolve
from engine_mcp.core.execution import Execution
from engine_mcp.core.listing import Page, Query
from engine_mcp.errors import EngineError, ExecutionNotFound, RecordCorrupt
from engine_mcp.ports import Clock
from engine_mcp.store import artifacts, snapshot
from engine_mcp.store.catalog import Catalog
from engine_mcp.store.disk import Disk, put, remove_tree, storing
from engine_mcp.store.filesystem import concerns, network
from engine_mcp.store.index import Index
from engine_mcp.store.index_file import NAME as INDEX
from engine_mcp.store.keys import Keys
from engine_mcp.store.lease import Lease, holder
from engine_mcp.store.log import FileLog, Place
from engine_mcp.store.pruning import Pruning
from engine_mcp.store.record import Record, events, load
from engine_mcp.store.rescue import mend, quarantine
from engine_mcp.store.retention import Retention
from engine_mcp.store.space import check_space
from engine_mcp.store.threads import Threads

AT_ONCE = 8
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class FileStore:
    """Fulfils `ports.Store` with files under `root`, the project's `.engine-mcp`."""

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock,
        owner: str,
        version: str,
        disk: Disk | None = None,
        floor_bytes: int = 0,
    ) -> None:
        """Keep records in `root`, made when needed; `owner` is this process's control address.

        `version` is the engine's own and stands in every record. Where less than `floor_bytes` would stay
        free, no execution, attempt or artifact is begun (StorageError); what has been begun goes on.
        """
        self._root = root
        self._folder = root / "executions"
        self._clock = clock
        self._owner = owner
        self._version = version
        self._disk = disk or Disk()
        self._floor_bytes = floor_bytes
        self._threads = Threads(AT_ONCE)
        self._live: dict[str, FileLog] = {}
        self._index = Index(root / INDEX, local=lambda: not network(root))
        self._catalog = Catalog(self._folder, self._index, self._state)
        self._keys = Keys(self._disk, root / "keys", self._exists)

    # --- one execution

    async def create(self, event: ExecutionCreated) -> tuple[Execution, FileLog]:
        """Begin a record; see `ports.Store.create`."""
        return await self._threads.run(self._create, event)

    async def claimed(self, key: str) -> str | None:
        """Who holds an idempotency key; see `ports.Store.claimed`."""
        return await self._threads.run(self._keys.holder, key)

    async def open(self, execution_id: str) -> tuple[Execution, FileLog]:
        """Take the lease and read the record; see `ports.Store.open`."""
        return await self._threads.run(self._open, self._folder_of(execution_id))

    async def read(self, execution_id: str) -> Execution:
        """The execution as on record; see `ports.Store.read`."""
        return self._state(execution_id) or await self._threads.run(self._read, self._folder_of(execution_id))

    async def events(self, execution_id: str, after: int, limit: int) -> tuple[tuple[int, Event], ...]:
        """The events behind a number; see `ports.Store.events`."""
        return await self._threads.run(self._events, self._folder_of(execution_id), after, limit)

    async def artifact(self, execution_id: str, digest: str) -> bytes:
        """The content of an artifact; see `ports.Store.artifact`."""
        return await self._threads.run(self._artifact, self._folder_of(execution_id), digest)

    async def owner(self, execution_id: str) -> str | None:
        """The address of the process that drives it; see `ports.Store.owner`."""
        found = await self._threads.run(holder, self._folder_of(execution_id))
        return found.owner if found else None

    def place(self, execution_id: str, digest: str | None = None) -> str:
        """Where a person finds the snapshot, or an artifact."""
        folder = self._folder / execution_id
        return str(folder / snapshot.NAME if digest is None else folder / artifacts.NAME / digest)

    # --- all of them

    async def list(self, query: Query) -> Page:
        """A page of the executions; see `ports.Store.list`."""
        with storing("Listing the executions"):
            return await self._threads.run(self._catalog.page, query)

    async def abandoned(self) -> tuple[str, ...]:
        """The executions that nobody drives and somebody should; see `ports.Store.abandoned`."""
        with storing("Looking for executions without an owner"):
            return await self._threads.run(self._catalog.abandoned)

    async def damaged(self) -> dict[str, str]:
        """Look into every record, and give those that cannot be read, with the reasons, by id."""
        with storing("Looking for damaged records"):
            return await self._threads.run(self._catalog.damaged)

    async def rebuild(self) -> int:
        """Look into every record anew, and give their number."""
        with storing("Rebuilding the index"):
            return await self._threads.run(self._catalog.rebuild)

    async def prune(self, policy: Retention, *, dry_run: bool = False) -> tuple[str, ...]:
        """Remove what the policy does not keep, and give its ids; `dry_run` only tells.

        Unfinished executions, those that somebody drives, and those with a file `keep` beside their
        snapshot stay. Raises StorageError.
        """
        pruning = Pruning(self._disk, self._root, self._catalog, self._keys)
        with storing("Removing old executions"):
            return await self._threads.run(pruning.run, policy, self._clock.now(), dry_run=dry_run)

    def concerns(self) -> tuple[str, ...]:
        """What somebody should know about the place of the records, a sentence each."""
        return concerns(self._root, network(self._root), self._index.fallback)

    def close(self) -> None:
        """Close what belongs to no execution; the next use opens it again."""
        self._threads.close()
        self._index.close()

    # --- in threads

    def _create(self, event: ExecutionCreated) -> tuple[Execution, FileLog]:
        place = self._folder_of(event.execution_id)
        with storing(f"Creating the execution {event.execution_id}"):
            check_space(self._folder, self._floor_bytes, disk=self._disk)
            self._prepare()
            key = event.plan.idempotency_key
            if key is None:
                return self._begin(place, event)
            with self._keys.claimed(key, event.execution_id):
                return self._begin(place, event)

    def _begin(self, folder: Path, event: ExecutionCreated) -> tuple[Execution, FileLog]:
        state = evolve(None, event)
        self._disk.mkdir(folder)
        try:
            log = self._new_log(folder, Lease.take(self._disk, folder))
            try:
                log.append_now((event,), state)
                self._disk.sync_folder(self._folder)
                log.save_now(state)
            except BaseException:
                log.close_now()
                raise
        except BaseException:
            with suppress(OSError):
                remove_tree(self._disk, folder)
            raise
        return state, log

    def _open(self, folder: Path) -> tuple[Execution, FileLog]:
        with storing(f"Opening the record of {folder.name}"):
            lease = Lease.take(self._disk, folder)
            try:
                found = self._mended(folder)
            except BaseException:
                lease.release()
                raise
            log = self._new_log(folder, lease, found)
            self._catalog.put(found.sound())
            return found.sound(), log

    def _mended(self, folder: Path) -> Record:
        found = load(folder)
        if found.damage is not None:
            quarantine(self._disk, folder, found, self._version)
        self._checked(found)
        mend(self._disk, folder, found.pieces)
        return found

    def _new_log(self, folder: Path, lease: Lease, found: Record | None = None) -> FileLog:
        try:
            lease.record(max(lease.epoch, found.pieces.epoch if found else 0) + 1, self._owner)
        except BaseException:
            lease.release()
            raise
        place = Place(
            disk=self._disk,
            folder=folder,
            engine=self._version,
            threads=self._threads,
            changed=self._catalog.put,
            closed=self._closed,
            floor_bytes=self._floor_bytes,
        )
        log = self._live[folder.name] = FileLog(place, lease, found)
        return log

    def _read(self, folder: Path) -> Execution:
        with storing(f"Reading the record of {folder.name}"):
            return self._checked(load(folder))

    def _checked(self, found: Record) -> Execution:
        try:
            return found.sound()
        except RecordCorrupt as error:
            self._catalog.blame(found.name, error.message)
            raise

    def _events(self, folder: Path, after: int, limit: int) -> tuple[tuple[int, Event], ...]:
        with storing(f"Reading the journal of {folder.name}"):
            found = events(folder, after, limit)
        state = self._state(folder.name)
        return found if state is None else tuple(item for item in found if item[0] <= state.revision)

    def _artifact(self, folder: Path, digest: str) -> bytes:
        with storing(f"Reading an artifact of {folder.name}"):
            if not folder.is_dir():
                raise ExecutionNotFound(f"There is no execution {folder.name}.")
            return artifacts.fetch(folder, digest)

    def _exists(self, execution_id: str) -> bool:
        try:
            load(self._folder_of(execution_id))
        except ExecutionNotFound:
            return False
        except EngineError:
            return True
        return True

    def _prepare(self) -> None:
        if self._folder.is_dir():
            return
        missing = [path for path in (*reversed(self._root.parents), self._root) if not path.is_dir()]
        for path in (*missing, self._folder):
            with suppress(FileExistsError):
                self._disk.mkdir(path)
            self._disk.sync_folder(path.parent)
        if not (self._root / ".gitignore").exists():
            put(self._disk, self._root / ".gitignore", b"*\n")

    def _folder_of(self, execution_id: str) -> Path:
        if not _ID.fullmatch(execution_id):
            raise ExecutionNotFound(f"There is no execution {execution_id!r}.")
        return self._folder / execution_id

    def _state(self, execution_id: str) -> Execution | None:
        log = self._live.get(execution_id)
        return log.state if log else None

    def _closed(self, execution_id: str) -> None:
        self._live.pop(execution_id, None)
