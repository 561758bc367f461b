"""The store in memory: the same contract, for tests and measurements; nothing survives the process."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from anyio.lowlevel import checkpoint

from engine_mcp.core.event import Event, ExecutionCreated
from engine_mcp.core.evolve import evolve
from engine_mcp.core.execution import Artifact, Execution
from engine_mcp.core.listing import Page, Query
from engine_mcp.errors import (
    EngineError,
    ExecutionNotFound,
    ExecutionOwned,
    IdempotencyConflict,
    InvalidArgument,
    StorageError,
)
from engine_mcp.store.artifacts import excerpt
from engine_mcp.store.rows import ACTIVE, listed, matches


@dataclass
class _Kept:
    state: Execution
    events: list[Event]
    artifacts: dict[str, bytes] = field(default_factory=dict[str, bytes])
    epoch: int = 1
    log: "MemoryLog | None" = None


class MemoryLog:
    """Fulfils `ports.ExecutionLog` in memory."""

    def __init__(self, kept: _Kept) -> None:
        """Write to a record whose lease was just taken."""
        self._kept = kept
        self._epoch = kept.epoch

    @property
    def epoch(self) -> int:
        """How often this lease was taken."""
        return self._epoch

    async def append(self, events: Sequence[Event], after: Execution) -> None:
        """Count these events."""
        await checkpoint()
        kept = self._open(after.id)
        if after.revision != len(kept.events) + len(events):
            raise EngineError(f"The record of {after.id} holds {len(kept.events)} events.")
        kept.events.extend(events)
        kept.state = after

    async def save(self, after: Execution) -> None:
        """Do nothing: the state is there."""
        await checkpoint()
        if after.revision != len(self._open(after.id).events):
            raise EngineError(f"The record of {after.id} is not at event {after.revision}.")

    async def keep(self, content: bytes, *, name: str | None, media_type: str) -> Artifact:
        """Keep content under its digest."""
        await checkpoint()
        kept = self._open(self._kept.state.id)
        digest = sha256(content).hexdigest()
        kept.artifacts[digest] = content
        return Artifact(
            digest=digest, size=len(content), media_type=media_type, name=name, excerpt=excerpt(content)
        )

    async def close(self) -> None:
        """Give the lease back."""
        if self._kept.log is self:
            self._kept.log = None

    def _open(self, execution_id: str) -> _Kept:
        if self._kept.log is not self:
            raise StorageError(f"The record of {execution_id} is closed.")
        return self._kept


class MemoryStore:
    """Fulfils `ports.Store` in memory. To play a restart, `abandon` what a process left behind."""

    def __init__(self, *, owner: str = "memory") -> None:
        """Hold nothing yet; `owner` is the address that leases show."""
        self._owner = owner
        self._kept: dict[str, _Kept] = {}
        self._keys: dict[str, str] = {}

    async def create(self, event: ExecutionCreated) -> tuple[Execution, MemoryLog]:
        """Begin a record with its first event."""
        await checkpoint()
        if event.execution_id in self._kept:
            raise StorageError(f"The execution {event.execution_id} exists already.")
        key = event.plan.idempotency_key
        if key is not None:
            held = self._keys.setdefault(key, event.execution_id)
            if held != event.execution_id:
                raise IdempotencyConflict(f"The key {key!r} belongs to the execution {held}.")
        state = evolve(None, event)
        kept = self._kept[event.execution_id] = _Kept(state, [event])
        kept.log = MemoryLog(kept)
        return state, kept.log

    async def claimed(self, key: str) -> str | None:
        """The execution that holds this idempotency key."""
        await checkpoint()
        return self._keys.get(key)

    async def open(self, execution_id: str) -> tuple[Execution, MemoryLog]:
        """Take the lease."""
        await checkpoint()
        kept = self._found(execution_id)
        if kept.log is not None:
            raise ExecutionOwned(f"The execution {execution_id} is being driven.")
        kept.epoch += 1
        kept.log = MemoryLog(kept)
        return kept.state, kept.log

    async def read(self, execution_id: str) -> Execution:
        """The execution as on record."""
        await checkpoint()
        return self._found(execution_id).state

    async def events(self, execution_id: str, after: int, limit: int) -> tuple[tuple[int, Event], ...]:
        """Events with their numbers."""
        await checkpoint()
        kept = self._found(execution_id).events
        first = max(after, 0)
        return tuple(enumerate(kept[first : first + limit], first + 1))

    async def artifact(self, execution_id: str, digest: str) -> bytes:
        """The content of an artifact."""
        await checkpoint()
        kept = self._found(execution_id).artifacts
        if digest not in kept:
            raise InvalidArgument(f"The execution {execution_id} has no artifact {digest}.", field="artifact")
        return kept[digest]

    async def list(self, query: Query) -> Page:
        """A page of the executions, newest first."""
        await checkpoint()
        states = (self._kept[name].state for name in sorted(self._kept, reverse=True))
        found = [listed(state) for state in states if matches(state, query)]
        behind = [row for row in found if query.after is None or row.id < query.after]
        return Page(rows=tuple(behind[: query.limit]), total=len(found))

    async def abandoned(self) -> tuple[str, ...]:
        """The pending and running executions that nobody drives."""
        await checkpoint()
        names = sorted(self._kept, reverse=True)
        return tuple(name for name in names if self._is_abandoned(self._kept[name]))

    async def owner(self, execution_id: str) -> str | None:
        """The address of whoever drives the execution."""
        await checkpoint()
        kept = self._kept.get(execution_id)
        return self._owner if kept and kept.log else None

    def place(self, execution_id: str, digest: str | None = None) -> str:
        """A name that is no path."""
        return f"memory:{execution_id}" if digest is None else f"memory:{execution_id}/{digest}"

    def abandon(self, execution_id: str) -> None:
        """Take the lease away, as the death of its process would."""
        self._found(execution_id).log = None

    def _is_abandoned(self, kept: _Kept) -> bool:
        return kept.log is None and kept.state.status in ACTIVE

    def _found(self, execution_id: str) -> _Kept:
        kept = self._kept.get(execution_id)
        if kept is None:
            raise ExecutionNotFound(f"There is no execution {execution_id}.")
        return kept
