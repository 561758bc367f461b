"""A loss of power, simulated: every state of the disk that a file system may leave, from what was synced.

`Recorder` notes the operations of a run. `states` replays them on a model, in which a file's content is
certain only up to its last sync, and a folder's entries only up to the folder's own, and gives what
may be found after a loss of power behind each operation: what was not synced is there, gone, cut in
half, or full of zeros; entries that were not synced are there or not, in any of six ways.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from errno import EIO
from pathlib import Path

from tests.store.disks import WatchedDisk

EXECUTION = 3
"""How deep the folder of an execution lies."""

Files = dict[str, bytes | None]
"""What is on the disk: the content by path, None for a folder."""

CONTENTS = ("synced", "all", "half", "zeros")
ENTRIES = ("synced", "all", "first half", "last only", "of executions", "of what holds them")


@dataclass(frozen=True)
class Operation:
    """Something that was done to the disk, or a word of what was told (`tell`)."""

    name: str
    path: str
    content: bytes = b""
    size: int = 0


class Recorder(WatchedDisk):
    """Carries everything out below `root` and notes it, with the paths below it."""

    def __init__(self, root: Path, failing_syncs: frozenset[int] = frozenset()) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self._root = root
        self._failing = failing_syncs
        self._syncs = 0

    def tell(self, word: str) -> None:
        self.operations.append(Operation("tell", word))

    def note(self, name: str, path: Path, content: bytes = b"", size: int = 0) -> None:
        self.operations.append(Operation(name, path.relative_to(self._root).as_posix(), content, size))

    def open(self, path: Path, flags: int) -> int:
        new = flags & os.O_CREAT and not path.exists()
        descriptor = super().open(path, flags)
        if new:
            self.note("make", path)
        return descriptor

    def write(self, descriptor: int, content: bytes | memoryview) -> int:
        taken = super().write(descriptor, content)
        self.note("write", self.paths[descriptor], bytes(content[:taken]))
        return taken

    def sync(self, descriptor: int) -> None:
        path = self.paths[descriptor]
        if path.name.startswith("journal-") and self.operations[-1].name == "write":
            self._syncs += 1
            if self._syncs in self._failing:
                self.note("sync failed", path)
                raise OSError(EIO, os.strerror(EIO))
        super().sync(descriptor)
        self.note("sync", path)

    def truncate(self, descriptor: int, size: int) -> None:
        super().truncate(descriptor, size)
        self.note("truncate", self.paths[descriptor], size=size)

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self.note("rename", target, os.fsencode(source.relative_to(self._root)))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self.note("remove", path)

    def mkdir(self, path: Path) -> None:
        super().mkdir(path)
        self.note("mkdir", path)

    def rmdir(self, path: Path) -> None:
        super().rmdir(path)
        self.note("remove", path)

    def sync_folder(self, path: Path) -> None:
        super().sync_folder(path)
        self.note("sync folder", path)


@dataclass
class _File:
    synced: bytes = b""
    pending: list[tuple[str, bytes, int]] = field(default_factory=list[tuple[str, bytes, int]])

    def content(self, mode: str) -> bytes:
        found = self.synced
        for number, (kind, content, size) in enumerate(self.pending, 1):
            if mode == "synced":
                break
            if mode == "half" and number == len(self.pending):
                content = content[: len(content) // 2]  # noqa: PLW2901 - this one alone
            if mode == "zeros":
                content = bytes(len(content))  # noqa: PLW2901 - as above
            found = found[:size] if kind == "truncate" else found + content
        return found


@dataclass
class _Folder:
    synced: dict[str, "_File | _Folder"] = field(default_factory=dict[str, "_File | _Folder"])
    pending: list[tuple[str, "_File | _Folder | None"]] = field(
        default_factory=list[tuple[str, "_File | _Folder | None"]]
    )

    def entries(self, mode: str, depth: int = 0) -> dict[str, "_File | _Folder"]:
        if mode.startswith("of "):
            mode = "all" if (depth >= EXECUTION) == (mode == "of executions") else "synced"
        count = len(self.pending)
        chosen = {
            "synced": self.pending[:0],
            "all": self.pending,
            "first half": self.pending[: count // 2],
            "last only": self.pending[count - 1 :],
        }[mode]
        found = dict(self.synced)
        for name, what in chosen:
            if what is None:
                found.pop(name, None)
            else:
                found[name] = what
        return found


class _Model:
    def __init__(self) -> None:
        self.root = _Folder()

    def apply(self, operation: Operation) -> None:
        match operation.name:
            case "make":
                self._enter(operation.path, _File())
            case "mkdir":
                self._enter(operation.path, _Folder())
            case "remove":
                self._enter(operation.path, None)
            case "rename":
                source = os.fsdecode(operation.content)
                moved = self._at(source)
                self._enter(source, None)
                self._enter(operation.path, moved)
            case "sync folder":
                folder = self._folder(operation.path)
                folder.synced, folder.pending = folder.entries("all"), []
            case "write" | "truncate":
                self._file(operation.path).pending.append((operation.name, operation.content, operation.size))
            case "sync" | "sync failed":
                # After a failed sync the pages count as clean: the next one brings nothing of them.
                file = self._file(operation.path)
                mode = "all" if operation.name == "sync" else "zeros"
                file.synced, file.pending = file.content(mode), []
            case _:
                pass

    def files(self, contents: str, entries: str) -> Files:
        return dict(_walk(self.root, Path(), contents, entries))

    def _at(self, path: str) -> "_File | _Folder":
        here: _File | _Folder = self.root
        for part in Path(path).parts:
            assert isinstance(here, _Folder)
            here = here.entries("all")[part]
        return here

    def _folder(self, path: str) -> _Folder:
        found = self._at(path)
        assert isinstance(found, _Folder)
        return found

    def _file(self, path: str) -> _File:
        found = self._at(path)
        assert isinstance(found, _File)
        return found

    def _enter(self, path: str, what: "_File | _Folder | None") -> None:
        place = Path(path)
        self._folder(place.parent.as_posix()).pending.append((place.name, what))


def _walk(folder: _Folder, place: Path, contents: str, entries: str) -> Iterator[tuple[str, bytes | None]]:
    for name, what in folder.entries(entries, len(place.parts)).items():
        here = place / name
        if isinstance(what, _File):
            yield here.as_posix(), what.content(contents)
        else:
            yield here.as_posix(), None
            yield from _walk(what, here, contents, entries)


@dataclass(frozen=True)
class State:
    """What may be found on the disk, and what had been told by then."""

    files: Files
    told: tuple[str, ...]
    behind: str

    def put(self, root: Path) -> None:
        for path, content in self.files.items():
            if content is None:
                (root / path).mkdir(parents=True, exist_ok=True)
            else:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(content)


def states(operations: list[Operation]) -> Iterator[State]:
    """Every different state that a loss of power may leave behind one of the operations."""
    model, told = _Model(), list[str]()
    seen: set[int] = set()
    for number, operation in enumerate(operations):
        if operation.name == "tell":
            told.append(operation.path)
        model.apply(operation)
        for contents in CONTENTS:
            for entries in ENTRIES:
                files = model.files(contents, entries)
                key = hash((frozenset(files.items()), tuple(told)))
                if key not in seen:
                    seen.add(key)
                    behind = f"{number} {operation.name} {operation.path}: {contents}, entries {entries}"
                    yield State(files, tuple(told), behind)
