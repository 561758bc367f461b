"""The files that a record consists of, as they lie in the folder of an execution."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from engine_mcp.core.event import Event
from engine_mcp.core.execution import Execution
from engine_mcp.errors import ExecutionNotFound
from engine_mcp.store import lines, snapshot
from engine_mcp.store.codec import Raw, decode_event, decode_state
from engine_mcp.store.journal import SegmentName, segment_name
from engine_mcp.store.lines import Line
from engine_mcp.store.migrations import Schema
from engine_mcp.store.snapshot import Snapshot

_TRIES = 3
_HEAD = re.compile(rb'\{"seq":\d+,"batch":\d+,"epoch":\d+,"schema":(\d+),"engine":"([^"]*)","state":')


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as read: its head, whole lines in order, and the bytes behind them."""

    name: SegmentName
    schema: int
    head: Line
    lines: tuple[Line, ...]
    rest: bytes
    damaged: bool

    @property
    def last(self) -> int:
        """The number of the last event on record here, the head's included."""
        return self.lines[-1].seq if self.lines else self.head.seq

    @property
    def size(self) -> int:
        """How many bytes of the file are whole."""
        return sum(len(line.text) for line in (self.head, *self.lines))

    def state(self, schema: Schema) -> Execution | None:
        """The state that the head holds; raises ValueError."""
        raw = cast("Raw | None", self.head.content()["state"])
        return None if raw is None else decode_state(schema.state(self.schema, raw))

    def event(self, line: Line, schema: Schema) -> Event:
        """The event of one of the lines; raises ValueError."""
        return decode_event(schema.event(self.schema, cast("Raw", line.content()["event"])))


@dataclass(frozen=True, slots=True)
class Headless:
    """A segment whose head is not whole: torn when it was begun, or damaged later."""

    name: SegmentName
    damaged: bool


@dataclass(frozen=True, slots=True)
class Pieces:
    """Everything found; `spoiled` where there is a snapshot that cannot be used, segments in order."""

    snapshot: Snapshot | None
    spoiled: bool
    segments: tuple[Segment, ...]
    headless: tuple[Headless, ...]
    corrupt: tuple[str, ...]
    epoch: int

    def history(self) -> Iterator[tuple[Segment, Line]]:
        """Every line that counts, in order: none that a later head overrides."""
        limits = [segment.head.seq for segment in self.segments[1:]]
        for index, segment in enumerate(self.segments):
            limit = min(limits[index:], default=segment.last)
            yield from ((segment, line) for line in segment.lines if line.seq <= limit)


def gather(folder: Path, schema: Schema) -> Pieces:
    """Read every file of the record; raises ExecutionNotFound, RecordNewer or OSError."""
    for _ in range(_TRIES):
        try:
            return _gathered(folder, schema)
        except FileNotFoundError:
            continue  # its owner has just set a file aside, or it is gone as a whole
        except NotADirectoryError:
            break
    raise ExecutionNotFound(f"There is no execution {folder.name}.")


def _gathered(folder: Path, schema: Schema) -> Pieces:
    # The snapshot first: a journal that is read later is never behind it.
    content = _content(folder / snapshot.NAME)
    found = None if content is None else snapshot.read(content, schema)
    names = sorted(filter(None, (segment_name(path.name) for path in folder.iterdir())))
    read = [_segment(folder, name, schema) for name in names if not name.aside]
    return Pieces(
        snapshot=found,
        spoiled=content is not None and found is None,
        segments=tuple(segment for segment in read if isinstance(segment, Segment)),
        headless=tuple(segment for segment in read if isinstance(segment, Headless)),
        corrupt=tuple(str(name) for name in names if name.aside == ".corrupt"),
        epoch=max((name.epoch for name in names), default=0),
    )


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _segment(folder: Path, name: SegmentName, schema: Schema) -> Segment | Headless:
    scan = lines.scan((folder / str(name)).read_bytes())
    head = _HEAD.match(scan.lines[0].text) if scan.lines else None
    if head is None:
        return Headless(name, scan.damaged)
    version = int(head.group(1))
    schema.check(version, head.group(2).decode())
    return Segment(name, version, scan.lines[0], scan.lines[1:], scan.rest, scan.damaged)
