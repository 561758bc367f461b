"""Making a record fit to go on with, under its lease: torn ends are cut, damaged files set aside."""

import logging
import os
from pathlib import Path

from engine_mcp.store import snapshot
from engine_mcp.store.disk import TEMPORARY, Disk, opened, put
from engine_mcp.store.journal import SegmentName
from engine_mcp.store.pieces import Pieces, Segment
from engine_mcp.store.record import Record

_log = logging.getLogger(__name__)


def mend(disk: Disk, folder: Path, pieces: Pieces) -> None:
    """Cut what an unfinished write left, keep it beside, and make sure of the rest; raises OSError."""
    for path in folder.rglob(f".*{TEMPORARY}"):
        disk.unlink(path)
    if pieces.spoiled:
        _aside(disk, folder, snapshot.NAME, ".corrupt")
    for part in pieces.headless:
        _aside(disk, folder, str(part.name), ".torn")
    if pieces.segments:
        _cut(disk, folder, pieces.segments[-1])


def quarantine(disk: Disk, folder: Path, record: Record, engine: str) -> None:
    """Set the damaged file aside, the last good state kept in the snapshot; raises OSError."""
    state, kept = record.state, record.pieces.snapshot
    if state is not None and (kept is None or kept.seq < state.revision):
        snapshot.write(disk, folder, snapshot.render(state, record.pieces.epoch, engine))
    if record.damage is not None and record.damage.at is not None:
        _aside(disk, folder, str(record.damage.at), ".corrupt")
        disk.sync_folder(folder)


def _cut(disk: Disk, folder: Path, segment: Segment) -> None:
    path = folder / str(segment.name)
    if segment.rest:
        torn = str(SegmentName(segment.name.epoch, segment.name.ordinal, ".torn"))
        put(disk, folder / torn, segment.rest)
        _log.warning(
            "%s ended in an unfinished write; %d bytes were moved to %s", path, len(segment.rest), torn
        )
    with opened(disk, path, os.O_RDWR) as descriptor:
        if segment.rest:
            disk.truncate(descriptor, segment.size)
        # What was read may have been in the page cache only, and is about to be built upon.
        disk.sync(descriptor)


def _aside(disk: Disk, folder: Path, name: str, suffix: str) -> None:
    _log.warning("%s cannot be used and was renamed to %s", folder / name, name + suffix)
    disk.rename(folder / name, folder / (name + suffix))
