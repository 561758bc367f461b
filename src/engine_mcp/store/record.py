"""Reading the record of one execution: the newest valid snapshot, and the journal behind it."""

from dataclasses import dataclass
from pathlib import Path

from engine_mcp.core.event import Event
from engine_mcp.core.evolve import evolve
from engine_mcp.core.execution import Execution
from engine_mcp.errors import ExecutionNotFound, IllegalTransition, RecordCorrupt
from engine_mcp.store.journal import SegmentName
from engine_mcp.store.migrations import SCHEMA, Schema
from engine_mcp.store.pieces import Pieces, Segment, gather
from engine_mcp.store.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with a journal, and the file at fault if it is still in its place."""

    why: str
    at: SegmentName | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A record as read: the last good state, and how many bytes of journal the snapshot does not cover."""

    name: str
    state: Execution | None
    pieces: Pieces
    tail: int
    damage: Damage | None = None

    def sound(self) -> Execution:
        """The state of a record without damage; raises RecordCorrupt."""
        if self.state is not None and self.damage is None:
            return self.state
        why = self.damage.why if self.damage else "nothing is in it"
        kept = "No good state is left."
        if self.state is not None:
            kept = f"The last good state is that of event {self.state.revision} ({self.state.status})."
        raise RecordCorrupt(f"The record of {self.name} is damaged: {why}. {kept}")


def load(folder: Path, schema: Schema = SCHEMA) -> Record:
    """Read and check the whole record; raises ExecutionNotFound, RecordNewer or OSError."""
    pieces = gather(folder, schema)
    state, tail, unfit = _state(pieces, schema)
    damage = _damage(pieces) or _ahead(pieces) or unfit
    if state is None and damage is None:
        raise ExecutionNotFound(f"The execution {folder.name} was never created.")
    return Record(folder.name, state, pieces, tail, damage)


def events(folder: Path, after: int, limit: int, schema: Schema = SCHEMA) -> tuple[tuple[int, Event], ...]:
    """Up to `limit` events with numbers above `after`, with their numbers; raises what `load` raises."""
    pieces = gather(folder, schema)
    if damage := _damage(pieces):
        raise RecordCorrupt(f"The record of {folder.name} is damaged: {damage.why}.")
    if not any(True for _ in pieces.history()):
        raise ExecutionNotFound(f"The execution {folder.name} was never created.")
    wanted = ((segment, line) for segment, line in pieces.history() if line.seq > after)
    try:
        return tuple(
            (line.seq, segment.event(line, schema))
            for (segment, line), _ in zip(wanted, range(limit), strict=False)
        )
    except ValueError as error:
        raise RecordCorrupt(f"The record of {folder.name} holds an event that none knows.") from error


def _damage(pieces: Pieces) -> Damage | None:
    """What is wrong with the files themselves."""
    if pieces.corrupt:
        return Damage(f"{', '.join(pieces.corrupt)} was set aside")
    for segment in pieces.headless:
        if segment.damaged:
            return Damage(f"{segment.name} has lost its head", segment.name)
    reached = 0
    for index, segment in enumerate(pieces.segments):
        if segment.head.seq > reached:
            return _gap(pieces, index, reached)
        reached = segment.last
    newest = pieces.segments[-1] if pieces.segments else None
    if newest is not None and newest.damaged:
        return Damage(f"{newest.name} is damaged behind event {newest.last}", newest.name)
    return None


def _gap(pieces: Pieces, index: int, reached: int) -> Damage:
    after = pieces.segments[index].name
    before = pieces.segments[index - 1].name if index else None
    between = [
        part.name for part in pieces.headless if (before is None or part.name > before) and part.name < after
    ]
    at = between[0] if between else before
    missing = f"events {reached + 1} to {pieces.segments[index].head.seq} are missing"
    return Damage(f"{missing} from {at}" if at else missing, at)


def _ahead(pieces: Pieces) -> Damage | None:
    """Whether the journal ends before its snapshot does, which folds only what was on record."""
    if pieces.snapshot is None:
        return None
    if not pieces.segments:
        return Damage("its journal is gone")
    newest = pieces.segments[-1]
    if pieces.snapshot.epoch >= newest.name.epoch and pieces.snapshot.seq > newest.last:
        return Damage(f"{newest.name} ends at event {newest.last}, before its snapshot", newest.name)
    return None


def _state(pieces: Pieces, schema: Schema) -> tuple[Execution | None, int, Damage | None]:
    newest = pieces.segments[-1] if pieces.segments else None
    snapshot = _kept(pieces.snapshot, newest, schema)
    if newest is None or (snapshot is not None and snapshot.revision > newest.last):
        return snapshot, 0, None
    try:
        state = snapshot or newest.state(schema)
    except ValueError:
        return None, 0, Damage(f"the head of {newest.name} is no state", newest.name)
    tail = 0
    for line in newest.lines:
        if state is not None and line.seq <= state.revision:
            continue
        try:
            state = evolve(state, newest.event(line, schema))
        except (ValueError, IllegalTransition):
            return state, tail, Damage(f"event {line.seq} in {newest.name} does not fit", newest.name)
        tail += len(line.text)
    return state, tail, None


def _kept(snapshot: Snapshot | None, newest: Segment | None, schema: Schema) -> Execution | None:
    """The snapshot's state, unless it belongs to what the newest segment overrides, or cannot be read."""
    if snapshot is None:
        return None
    if newest is not None and (snapshot.epoch < newest.name.epoch or snapshot.seq < newest.head.seq):
        return None
    try:
        return snapshot.execution(schema)
    except ValueError:
        return None
