"""The records of executions."""

from collections.abc import Sequence
from typing import Protocol

from engine_mcp.core.event import Event, ExecutionCreated
from engine_mcp.core.execution import Artifact, Execution
from engine_mcp.core.listing import Page, Query


class ExecutionLog(Protocol):
    """The record of one execution, open for writing under its lease. One append at a time."""

    @property
    def epoch(self) -> int:
        """How often a process took this lease, this one included."""
        ...

    async def append(self, events: Sequence[Event], after: Execution) -> None:
        """Make `events` durable; `after` is the execution they lead to, for the snapshot.

        On return they survive any crash. Raises StorageError where they cannot be written: then
        none of them counts, and the record shows the state before. Cancellation waits for the end
        of the write. A snapshot is written whenever the journal has outgrown the last one.
        """
        ...

    async def save(self, after: Execution) -> None:
        """Write the snapshot now; raises StorageError, which costs speed and not state."""
        ...

    async def keep(self, content: bytes, *, name: str | None, media_type: str) -> Artifact:
        """Keep content beside the snapshot under its digest; durable on return, the same content once."""
        ...

    async def close(self) -> None:
        """Give the lease back; later calls fail. Closing twice does nothing."""
        ...


class Store(Protocol):
    """Keeps the records of all executions of a project."""

    async def create(self, event: ExecutionCreated) -> tuple[Execution, ExecutionLog]:
        """Begin a record with its first event, under a new lease.

        With an idempotency key in the plan: the one execution that ever had this key is looked up
        by `claimed` first; creating claims the key. Raises IdempotencyConflict where another
        process claimed it in between, StorageError where nothing can be written.
        """
        ...

    async def claimed(self, key: str) -> str | None:
        """The id of the execution that holds this idempotency key."""
        ...

    async def open(self, execution_id: str) -> tuple[Execution, ExecutionLog]:
        """Take the lease and read the record, as the newest valid snapshot and the journal after it.

        Raises ExecutionNotFound, ExecutionOwned, RecordCorrupt, RecordNewer or StorageError.
        """
        ...

    async def read(self, execution_id: str) -> Execution:
        """The execution as on record, without a lease; another process may be driving it.

        Raises ExecutionNotFound, RecordCorrupt or RecordNewer.
        """
        ...

    async def events(self, execution_id: str, after: int, limit: int) -> tuple[tuple[int, Event], ...]:
        """Up to `limit` events with a sequence number above `after`, with their numbers (from 1, no gaps)."""
        ...

    async def artifact(self, execution_id: str, digest: str) -> bytes:
        """The content of an artifact; raises ExecutionNotFound, RecordCorrupt where it is not what it was."""
        ...

    async def list(self, query: Query) -> Page:
        """A page of the executions, newest first; unreadable ones are left out and reported by `damaged`."""
        ...

    async def abandoned(self) -> tuple[str, ...]:
        """The ids of executions that are pending or running on record and that nobody drives."""
        ...

    async def owner(self, execution_id: str) -> str | None:
        """The control address of the process that drives the execution; None if nobody does."""
        ...

    def place(self, execution_id: str, digest: str | None = None) -> str:
        """Where a person finds the snapshot, or the artifact of this digest."""
        ...
