"""The record of one execution, open for writing under its lease."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from anyio import CancelScope

from engine_mcp.core.event import AttemptStarted, Event
from engine_mcp.core.execution import Artifact, Execution
from engine_mcp.errors import EngineError, StorageError
from engine_mcp.store import artifacts, snapshot
from engine_mcp.store.disk import Disk, storing
from engine_mcp.store.journal import Journal
from engine_mcp.store.lease import Lease
from engine_mcp.store.record import Record
from engine_mcp.store.rows import ACTIVE
from engine_mcp.store.space import check_space
from engine_mcp.store.threads import Threads

SNAPSHOT_BYTES = 64 << 10
"""The least that the journal grows by before a snapshot is written by itself."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a log writes to, and whom it tells: of a waking or resting execution, and of its own end.

    `floor_bytes` are to stay free for what has been begun; below that nothing new is.
    """

    disk: Disk
    folder: Path
    engine: str
    threads: Threads
    changed: Callable[[Execution], None]
    closed: Callable[[str], None]
    floor_bytes: int = 0


class FileLog:
    """Fulfils `ports.ExecutionLog` with files."""

    def __init__(self, place: Place, lease: Lease, record: Record | None = None) -> None:
        """Go on behind a record, or begin one."""
        self._place = place
        self._lease = lease
        self._state = record.sound() if record else None
        self._tail = record.tail if record else 0
        kept = record.pieces.snapshot if record else None
        self._snapshot_size = kept.size if kept else 0
        self._journal = Journal(place.disk, place.folder, lease.epoch, place.engine)
        self._lock = Lock()
        self._open = True

    @property
    def epoch(self) -> int:
        """How often a process took this lease, this one included."""
        return self._lease.epoch

    @property
    def state(self) -> Execution | None:
        """The execution after the last event that counts; None before the first."""
        return self._state

    async def append(self, events: Sequence[Event], after: Execution) -> None:
        """Make events durable; see `ports.ExecutionLog.append`."""
        await self._place.threads.run(self.append_now, events, after)

    async def save(self, after: Execution) -> None:
        """Write the snapshot; see `ports.ExecutionLog.save`."""
        await self._place.threads.run(self.save_now, after)

    async def keep(self, content: bytes, *, name: str | None, media_type: str) -> Artifact:
        """Keep an artifact; see `ports.ExecutionLog.keep`."""
        return await self._place.threads.run(self._keep, content, name, media_type)

    async def close(self) -> None:
        """Give the lease back; see `ports.ExecutionLog.close`."""
        with CancelScope(shield=True):
            await self._place.threads.run(self.close_now)

    def append_now(self, events: Sequence[Event], after: Execution) -> None:
        """`append`, in the calling thread."""
        with self._lock, storing(f"Writing the journal of {after.id}"):
            before = self._ready(after, len(events))
            if any(isinstance(event, AttemptStarted) for event in events):
                check_space(self._place.folder, self._place.floor_bytes, disk=self._place.disk)
            wakes = before is not None and _rests(before) and not _rests(after)
            if wakes:  # whoever looks for executions that nobody drives must not miss it
                self._place.changed(after)
            self._tail += self._journal.append(before, events)
            self._state = after
            if wakes or _rests(after):
                self._place.changed(after)
            if self._tail > max(SNAPSHOT_BYTES, self._snapshot_size):
                self._save_in_passing(after)

    def save_now(self, after: Execution) -> None:
        """`save`, in the calling thread."""
        with self._lock, storing(f"Writing the snapshot of {after.id}"):
            self._ready(after, 0)
            self._save(after)

    def close_now(self) -> None:
        """`close`, in the calling thread."""
        with self._lock:
            if not self._open:
                return
            self._open = False
            self._place.closed(self._place.folder.name)
            with suppress(OSError):  # everything in it is durable already
                self._journal.close()
            self._lease.release()

    def _ready(self, after: Execution, events: int) -> Execution | None:
        if not self._open:
            raise StorageError(f"The record of {after.id} is closed.")
        counted = self._state.revision if self._state else 0
        if after.revision != counted + events:
            raise EngineError(
                f"The record of {after.id} holds {counted} events; with {events} more it cannot be "
                f"at {after.revision}."
            )
        return self._state

    def _save(self, after: Execution) -> None:
        content = snapshot.render(after, self.epoch, self._place.engine)
        snapshot.write(self._place.disk, self._place.folder, content)
        self._snapshot_size = len(content)
        self._tail = 0

    def _save_in_passing(self, after: Execution) -> None:
        try:
            self._save(after)
        except (OSError, StorageError) as error:
            _log.warning("the snapshot of %s could not be written: %s", after.id, error)
            self._tail = 0  # not at every event; the journal holds it all

    def _keep(self, content: bytes, name: str | None, media_type: str) -> Artifact:
        with storing(f"Keeping an artifact of {self._place.folder.name}"):
            if not self._open:
                raise StorageError(f"The record of {self._place.folder.name} is closed.")
            place = self._place
            return artifacts.keep(place.disk, place.folder, content, name, media_type, place.floor_bytes)


def _rests(execution: Execution) -> bool:
    return execution.status not in ACTIVE
