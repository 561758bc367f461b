"""Paths inside a project: parsed, freed of links that stay inside, and opened without leaving it."""

import errno
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

from engine_mcp.tools.beneath import FOLDER, Beneath, best
from engine_mcp.tools.refusals import Denied, ToolFailed, shown, telling

STATE = ".engine-mcp"
MOST_LINKS = 40
TRIES = 8

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads: the names from the project's directory to it, none of them a link when looked at.

    Valid while its `Project.place` is open; what is there may change or be missing.
    """

    root: int
    parts: Parts
    beneath: Beneath

    @property
    def path(self) -> str:
        """The path relative to the project's directory, `.` for the directory itself."""
        return os.fsencode("/".join(self.parts)).decode(errors="replace") or "."

    @property
    def name(self) -> str:
        """The last name of the path; `.` for the project's directory."""
        return self.parts[-1] if self.parts else "."

    @contextmanager
    def opened(self, parts: Parts, flags: int) -> Generator[int]:
        """Open what the names lead to, following no link; raises OSError."""
        descriptor = self.beneath(self.root, "/".join(parts) or ".", flags)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def folder(self, flags: int = FOLDER) -> Generator[int]:
        """Open the folder that the last name stands in; raises OSError."""
        with self.opened(self.parts[:-1], flags) as descriptor:
            yield descriptor


@dataclass(frozen=True, slots=True)
class Project:
    """A project's directory (absolute, resolved) that no path leads out of.

    Paths are relative to it, or absolute and inside it. Symbolic links that stay inside are followed;
    everything else that would leave, and the engine's own state, is Denied. Whatever goes wrong with a path,
    in the blocks of its methods too, is raised as an EngineError that names the path.
    """

    root: str
    beneath: Beneath = best

    @contextmanager
    def opened(self, path: str, flags: int) -> Generator[int]:
        """A descriptor of what the path names, opened for reading."""
        with telling(path), self._rooted() as root:
            descriptor = self._open(root, path, flags)
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    @contextmanager
    def place(self, path: str) -> Generator[Place]:
        """Where the path leads, whether or not there is something."""
        with telling(path), self._rooted() as root:
            yield Place(root, self._resolved(root, path), self.beneath)

    @contextmanager
    def _rooted(self) -> Generator[int]:
        root = os.open(self.root, FOLDER | os.O_CLOEXEC)
        try:
            yield root
        finally:
            os.close(root)

    def _open(self, root: int, path: str, flags: int) -> int:
        parts = self._parts(path)
        for attempt in range(TRIES):
            straight = attempt == 0 and ".." not in parts
            try:
                found = _allowed(parts, path) if straight else self._resolved(root, path)
                return self.beneath(root, "/".join(found) or ".", flags)
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)

    def _parts(self, path: str) -> Parts:
        if "\0" in path:
            raise ToolFailed(f"{shown(path)}: no name holds a NUL character.", field="path")
        if not _encodable(path):
            text = f"{shown(path)}: a path is UTF-8 text; this one holds half of a character."
            raise ToolFailed(text, field="path", hint="Rename the file, or use another one.")
        return _names(self._relative(path, path))

    def _relative(self, target: str, path: str) -> str:
        if not target.startswith("/"):
            return target
        if not PurePosixPath(target).is_relative_to(self.root):
            raise _outside(path)
        return str(PurePosixPath(target).relative_to(self.root))

    def _resolved(self, root: int, path: str) -> Parts:
        """The names that lead to the same place without links and without `..`."""
        clean: list[str] = []
        ahead = list(reversed(self._parts(path)))
        links = 0
        while ahead:
            name = ahead.pop()
            if name == "..":
                if not clean:
                    raise _outside(path)
                clean.pop()
            elif (target := self._link(root, clean, name)) is None:
                clean.append(name)
            else:
                links += 1
                if links > MOST_LINKS:
                    raise _endless(path)
                clean = [] if target.startswith("/") else clean
                ahead += reversed(_names(self._relative(target, path)))
        return _allowed(tuple(clean), path)

    def _link(self, root: int, folders: Sequence[str], name: str) -> str | None:
        """Where the link leads; None if it is none, or is not there: who opens it is told."""
        try:
            folder = self.beneath(root, "/".join(folders) or ".", FOLDER)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return os.readlink(name, dir_fd=folder)
        except OSError as error:
            if error.errno in {errno.EINVAL, errno.ENOENT}:
                return None
            raise
        finally:
            os.close(folder)


def reserved(parts: Sequence[str], name: str) -> bool:
    """Whether one of the names is `name`, as a file system that ignores case sees it."""
    return any(part.casefold() == name for part in parts)


def _allowed(parts: Parts, path: str) -> Parts:
    if reserved(parts, STATE):
        text = f"{shown(path)}: {STATE} holds the engine's own state, which no tool may touch."
        raise Denied(
            text, field="path", hint="Use another path; artifacts are written with the tool artifact."
        )
    return parts


def _names(path: str) -> Parts:
    return tuple(name for name in path.split("/") if name not in {"", "."})


def _encodable(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _endless(path: str) -> ToolFailed:
    return ToolFailed(
        f"{shown(path)}: its symbolic links lead in a circle.",
        field="path",
        hint="Use the path of the file itself; files.list shows which entries are links.",
    )


def _outside(path: str) -> Denied:
    return Denied(
        f"{shown(path)}: the path leads out of the project.",
        field="path",
        hint="Use a path inside the project's directory, relative to it.",
    )
