"""The journal of one execution: segments of lines, each complete in itself, the newest one appended to.

A segment begins with a head: schema, engine, and the state after the event whose number it bears (null
and 0 in the first one). So a head overrides every older line with a higher number: what a failed
sync may or may not have left behind, and what a process wrote after its lease was lost.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from engine_mcp.core.event import Event
from engine_mcp.core.execution import Execution
from engine_mcp.store.codec import encode_event, encode_state
from engine_mcp.store.disk import APPEND, Disk, write_all
from engine_mcp.store.lines import sealed
from engine_mcp.store.migrations import SCHEMA

SEGMENT_BYTES = 256 << 10
HEADS_PER_SEGMENT = 4

_NAME = re.compile(r"journal-(\d+)-(\d+)\.jsonl(\.torn|\.corrupt)?")


class SegmentName(NamedTuple):
    """The place of a segment in the order of writing; `aside` is how a damaged one was renamed."""

    epoch: int
    ordinal: int
    aside: str = ""

    def __str__(self) -> str:
        """Give the name of its file."""
        return f"journal-{self.epoch:04d}-{self.ordinal:04d}.jsonl{self.aside}"


def segment_name(name: str) -> SegmentName | None:
    """What the name of a file says; None if it is no segment's."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    epoch, ordinal, aside = found.groups()
    return SegmentName(int(epoch), int(ordinal), aside or "")


class Journal:
    """The writing end, for the process that holds the lease; not safe for several threads at once."""

    def __init__(self, disk: Disk, folder: Path, epoch: int, engine: str) -> None:
        """Write segments of `epoch` into `folder`; the first append begins one."""
        self._disk = disk
        self._folder = folder
        self._epoch = epoch
        self._engine = engine
        self._ordinal = 0
        self._descriptor: int | None = None
        self._size = 0
        self._limit = 0

    def append(self, state: Execution | None, events: Sequence[Event]) -> int:
        """Make `events`, which follow on `state`, durable, and give the size of their lines.

        Raises OSError or StorageError where they cannot be: then none of them counts, the descriptor
        is left for good, and the next append begins a segment that overrides what may be on disk.
        """
        first = state.revision + 1 if state else 1
        lines = b"".join(
            sealed(first + index, first, self._epoch, b'event":' + encode_event(event))
            for index, event in enumerate(events)
        )
        if self._descriptor is None or self._size > self._limit:
            self._begin(first, state, lines)
        else:
            self._extend(self._descriptor, lines)
        return len(lines)

    def close(self) -> None:
        """Close the newest segment; everything in it is durable already."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self._disk.close(descriptor)

    def _begin(self, first: int, state: Execution | None, lines: bytes) -> None:
        head = self._head(first, state)
        self.close()
        self._ordinal += 1
        path = self._folder / str(SegmentName(self._epoch, self._ordinal))
        descriptor = self._disk.open(path, APPEND)
        try:
            write_all(self._disk, descriptor, head + lines)
            self._disk.sync(descriptor)
            self._disk.sync_folder(self._folder)
        except BaseException:
            self._disk.close(descriptor)
            with suppress(OSError):
                self._disk.unlink(path)
            raise
        self._descriptor = descriptor
        self._size = len(head) + len(lines)
        self._limit = max(SEGMENT_BYTES, HEADS_PER_SEGMENT * len(head))

    def _head(self, first: int, state: Execution | None) -> bytes:
        members = b'schema":%d,"engine":"%b","state":%b' % (
            SCHEMA.version,
            self._engine.encode(),
            encode_state(state) if state else b"null",
        )
        return sealed(first - 1, first, self._epoch, members)

    def _extend(self, descriptor: int, lines: bytes) -> None:
        try:
            write_all(self._disk, descriptor, lines)
            self._disk.sync(descriptor)
        except BaseException:
            with suppress(OSError):
                self._disk.truncate(descriptor, self._size)
            with suppress(OSError):
                self.close()
            raise
        self._size += len(lines)
