"""Every file operation of the record, one method each, so that a test can count, fail and cut each."""

import os
import secrets
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from errno import ENOSPC
from pathlib import Path

from engine_mcp.errors import StorageError

FILE_MODE = 0o600
FOLDER_MODE = 0o700
APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
TEMPORARY = ".tmp"


class Disk:
    """The operating system's file operations; each raises OSError. Paths are absolute."""

    def open(self, path: Path, flags: int) -> int:
        """Open a file, private to its owner and closed in children that are executed."""
        return os.open(path, flags | os.O_CLOEXEC, FILE_MODE)

    def write(self, descriptor: int, content: bytes | memoryview) -> int:
        """Write at the descriptor's position; gives how many bytes were taken, maybe not all."""
        return os.write(descriptor, content)

    def sync(self, descriptor: int) -> None:
        """Return once content and size of the file are on the disk."""
        _sync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file to `size` bytes."""
        os.ftruncate(descriptor, size)

    def close(self, descriptor: int) -> None:
        """Close the descriptor; whatever locks it held are gone."""
        os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Put `source` in the place of `target`, atomically."""
        source.rename(target)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def mkdir(self, path: Path) -> None:
        """Make a folder, private to its owner."""
        path.mkdir(mode=FOLDER_MODE)

    def rmdir(self, path: Path) -> None:
        """Remove an empty folder."""
        path.rmdir()

    def sync_folder(self, path: Path) -> None:
        """Return once the folder's entries are on the disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def free(self, path: Path) -> int:
        """How many bytes may still be written to the file system of `path`."""
        told = os.statvfs(path)
        return told.f_bavail * told.f_frsize if told.f_blocks else sys.maxsize  # some tell nothing


def _sync(descriptor: int) -> None:
    if sys.platform == "darwin":  # only this reaches the medium there
        import fcntl  # noqa: PLC0415 - named by one system alone

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(descriptor)


def write_all(disk: Disk, descriptor: int, content: bytes) -> None:
    """Write all of `content`, however many writes that takes."""
    rest = memoryview(content)
    while rest:
        taken = disk.write(descriptor, rest)
        if taken == 0:
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        rest = rest[taken:]


def put(disk: Disk, path: Path, content: bytes) -> None:
    """Make `content` the whole of the file: after a crash all of it is there, or what was there before.

    Which of the two is certain only once the folder is synced.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        with opened(disk, temporary, CREATE) as descriptor:
            write_all(disk, descriptor, content)
            disk.sync(descriptor)
        disk.rename(temporary, path)
    except OSError:
        with suppress(OSError):
            disk.unlink(temporary)
        raise


@contextmanager
def opened(disk: Disk, path: Path, flags: int) -> Generator[int]:
    """Open a file for the time of the block."""
    descriptor = disk.open(path, flags)
    try:
        yield descriptor
    finally:
        disk.close(descriptor)


def remove_tree(disk: Disk, folder: Path) -> None:
    """Remove a folder with everything in it; what is gone already is no error."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            remove_tree(disk, path)
        else:
            disk.unlink(path)
    disk.rmdir(folder)


@contextmanager
def storing(what: str) -> Generator[None]:
    """Turn an error of the operating system into StorageError, saying what could not be done."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{what} failed: {error.strerror or error}.") from error
