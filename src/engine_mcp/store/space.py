"""Space: whether a file system has room for what is about to be begun on it."""

from pathlib import Path

from engine_mcp.errors import StorageError
from engine_mcp.store.disk import Disk


def short_of_space(path: Path, floor_bytes: int, size: int = 0, disk: Disk | None = None) -> str | None:
    """Why `size` bytes should not be written at a path, in a sentence; None where there is room.

    `floor_bytes` are to stay free. The path need not exist yet. One system call; raises OSError.
    """
    if floor_bytes + size <= 0:
        return None
    place = next(known for known in (path, *path.parents) if known.exists())
    free = (disk or Disk()).free(place)
    if free >= floor_bytes + size:
        return None
    wanted = f"{size} bytes are to be written and {floor_bytes}" if size else f"{floor_bytes} bytes"
    return f"No space left at {path}: {free} bytes are free; {wanted} are to stay free."


def check_space(path: Path, floor_bytes: int, size: int = 0, disk: Disk | None = None) -> None:
    """Raise StorageError where there is no room; see `short_of_space`."""
    why = short_of_space(path, floor_bytes, size, disk)
    if why is not None:
        raise StorageError(why, hint="Free space on this file system, then try again or resume.")
