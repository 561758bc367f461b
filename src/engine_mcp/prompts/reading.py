"""Reading files that others wrote: bounded, never a device, and of a project nothing outside of it."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LARGEST = 64 << 10
"""Bytes of a role, a skill or a template."""
MOST_NAMES = 1000
"""Names of a folder that are looked at."""
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Outside(OSError):
    """A path leads out of the directory that it must stay in."""


class Irregular(OSError):
    """A path leads to something else than an ordinary file."""


@dataclass(frozen=True, slots=True)
class Content:
    """The beginning of a file, and the size of all of it in bytes."""

    head: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Place:
    """A folder to look in; with `within`, nothing is read that lies outside of that directory."""

    folder: Path
    within: Path | None = None

    def names(self) -> list[str]:
        """The names in the folder, sorted; none where there is no such folder."""
        try:
            if self.within is not None:
                parts_inside(self.folder, self.within)
            return sorted(path.name for path in self.folder.iterdir())[:MOST_NAMES]
        except OSError:
            return []

    def read(self, name: str, most: int = LARGEST) -> Content:
        """Up to `most` bytes of a file; raises OSError."""
        path = self.folder / name
        return beginning(path, most) if self.within is None else beginning_within(path, self.within, most)

    def text(self, name: str) -> str | None:
        """The text of a file, None where there is none; raises OSError, ValueError where it is no text."""
        try:
            content = self.read(name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if content.size > LARGEST:
            raise ValueError(f"it is larger than {LARGEST >> 10} KiB")
        try:
            return content.head.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"it is not UTF-8 text: byte {error.start} cannot be read") from None


def beginning(path: Path, most: int) -> Content:
    """The beginning of a file of the user's own, wherever its links lead; raises OSError."""
    descriptor = os.open(os.path.realpath(path), _READ)
    try:
        return _content(descriptor, most)
    finally:
        os.close(descriptor)


def beginning_within(path: Path, root: Path, most: int) -> Content:
    """The beginning of a file inside `root`; raises OSError, Outside where a link or the path leads out."""
    *folders, name = parts_inside(path, root) or (".",)
    at = os.open(os.path.realpath(root), _FOLDER)
    try:
        for folder in folders:
            # The path was free of links when it was looked at: one that is there now was put there since.
            inner = os.open(folder, _FOLDER, dir_fd=at)
            os.close(at)
            at = inner
        descriptor = os.open(name, _READ, dir_fd=at)
        try:
            return _content(descriptor, most)
        finally:
            os.close(descriptor)
    finally:
        os.close(at)


def parts_inside(path: Path, root: Path) -> tuple[str, ...]:
    """The names from `root` to where the path leads, links followed; raises Outside where it leads out."""
    top, real = Path(os.path.realpath(root)), Path(os.path.realpath(path))
    if not real.is_relative_to(top):
        raise Outside(f"{path} lies outside {root}")
    return real.relative_to(top).parts


def _content(descriptor: int, most: int) -> Content:
    found = os.fstat(descriptor)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError("it is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise Irregular("it is no ordinary file")
    head = b"".join(_chunks(descriptor, most))
    with suppress(OSError):
        found = os.fstat(descriptor)
    return Content(head=head, size=max(found.st_size, len(head)))


def _chunks(descriptor: int, most: int) -> Iterator[bytes]:
    left = most
    while left > 0 and (chunk := os.read(descriptor, left)):
        left -= len(chunk)
        yield chunk
