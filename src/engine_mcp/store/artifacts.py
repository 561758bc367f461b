"""Artifacts: large values beside the snapshot, each in a file named by the sha256 of its content."""

import os
import re
from codecs import getincrementaldecoder
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from engine_mcp.core.execution import Artifact
from engine_mcp.errors import InvalidArgument, RecordCorrupt
from engine_mcp.store.disk import Disk, put
from engine_mcp.store.space import check_space

NAME = "artifacts"
EXCERPT_CHARS = 200
SPARE_BYTES = 4 << 20
"""Room that an artifact must leave, so that the journal can still say that the disk is full."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MENTION = re.compile(rb"[0-9a-f]{64}")


def keep(
    disk: Disk, folder: Path, content: bytes, name: str | None, media_type: str, floor_bytes: int = 0
) -> Artifact:
    """Write the content under its digest, durably and once; `floor_bytes` are to stay free after it.

    Raises OSError, or StorageError before anything is written where there is no room.
    """
    digest = sha256(content).hexdigest()
    path = folder / NAME / digest
    if not _kept(path, digest):
        check_space(folder, max(SPARE_BYTES, floor_bytes), len(content), disk)
        with suppress(FileExistsError):
            disk.mkdir(path.parent)
            disk.sync_folder(folder)
        put(disk, path, content)
        disk.sync_folder(path.parent)
    return Artifact(
        digest=digest, size=len(content), media_type=media_type, name=name, excerpt=excerpt(content)
    )


def fetch(folder: Path, digest: str) -> bytes:
    """The content with this digest; raises RecordCorrupt or InvalidArgument where there is none."""
    path = folder / NAME / digest
    try:
        content = path.read_bytes() if _DIGEST.fullmatch(digest) else None
    except FileNotFoundError:
        content = None
    if content is None:
        if digest in mentioned(folder):
            raise RecordCorrupt(f"The artifact {digest} of {folder.name} is missing.")
        raise InvalidArgument(f"The execution {folder.name} has no artifact {digest}.", field="artifact")
    if sha256(content).hexdigest() != digest:
        raise RecordCorrupt(f"The artifact {digest} of {folder.name} is not what it was.")
    return content


def mentioned(folder: Path) -> set[str]:
    """Every digest that the snapshot or the journal names, and maybe more."""
    files = [path for path in folder.iterdir() if path.name.startswith(("journal-", "snapshot"))]
    return {found.decode() for path in files for found in _MENTION.findall(path.read_bytes())}


def sweep(disk: Disk, folder: Path, before: float) -> None:
    """Remove what nothing names and what was last written before that time (Unix seconds)."""
    place = folder / NAME
    if not place.is_dir():
        return
    named = mentioned(folder)
    for path in place.iterdir():
        if path.name not in named and path.stat().st_mtime < before:
            disk.unlink(path)


def _kept(path: Path, digest: str) -> bool:
    try:
        if sha256(path.read_bytes()).hexdigest() != digest:
            return False
        os.utime(path)  # young again: nothing names it yet
    except FileNotFoundError:
        return False
    return True


def excerpt(content: bytes) -> str:
    """The first characters of a text; nothing of anything else."""
    decoder = getincrementaldecoder("utf-8")()
    try:
        return decoder.decode(content[: 4 * EXCERPT_CHARS])[:EXCERPT_CHARS]
    except UnicodeDecodeError:
        return ""
