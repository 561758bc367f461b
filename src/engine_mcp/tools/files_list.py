"""`files.list`: what is in a folder, and in the folders in it."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import anyio.from_thread
from pydantic import JsonValue

from engine_mcp.core.plan import Mode
from engine_mcp.core.tool import Health, ToolResult, ToolSpec
from engine_mcp.ports import Workbench
from engine_mcp.tools.arguments import PATH, given, number
from engine_mcp.tools.beneath import Beneath, best, confinement
from engine_mcp.tools.glob import Fits, compiled
from engine_mcp.tools.kinds import kind_of
from engine_mcp.tools.paths import STATE, Parts, Place, Project
from engine_mcp.tools.refusals import answered

MOST = 20_000
DEEPEST = 1000
LARGEST = (8 << 20) - 1024
NOT_ENTERED = frozenset({".git"})
_SCAN = os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK

_SPEC = ToolSpec(
    name="files.list",
    description=(
        "List a folder of the project; returns {entries: [{path, type, size}], truncated, skipped}. path is "
        "relative to the project's directory, as files.read takes it; type is file, directory, symlink or "
        "other; size is in bytes, 0 for all but files. Entries are sorted by name, each folder followed by "
        "what is in it. Symbolic links are listed and not followed, .git is listed and not entered. "
        "truncated: there are more entries. skipped: how many files and folders were left out, because they "
        "cannot be read or have names that are not UTF-8."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "path": {**PATH, "default": "."},
            "recursive": {
                "type": "boolean",
                "description": "Whether to enter folders; by default only if the pattern has a slash.",
            },
            "pattern": {
                "type": "string",
                "minLength": 1,
                "maxLength": 1024,
                "description": (
                    "Glob: *, ?, [a-z], {a,b}, and ** for any folders. Without a slash it is about names, as "
                    "in *.py, else about paths from the listed folder, as in src/**/*.{js,ts}."
                ),
            },
            "limit": {"type": "integer", "minimum": 1, "maximum": MOST, "default": MOST},
            "hidden": {
                "type": "boolean",
                "default": True,
                "description": "Whether names that begin with a dot are listed and entered.",
            },
            "max_depth": {
                "type": "integer",
                "minimum": 1,
                "maximum": DEEPEST,
                "default": DEEPEST,
                "description": "How many levels of folders to list; 1 is the folder itself.",
            },
        },
        "additionalProperties": False,
    },
    mode=Mode.READ,
)


@dataclass(frozen=True, slots=True)
class FilesList:
    """Lists folders; `beneath` is how it opens them."""

    beneath: Beneath = best

    @property
    def spec(self) -> ToolSpec:
        """What scripts call as `files.list(path, options)`."""
        return _SPEC

    async def execute(self, arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        """List in a thread."""
        return await answered(partial(_list, Project(bench.tree.root, self.beneath), arguments))

    def estimated_s(self, arguments: Mapping[str, JsonValue]) -> float | None:
        """A moment for one folder; nobody knows what is in it."""
        return None if _recursive(arguments) else 0.05

    async def health(self) -> Health:
        """Whether paths can be confined here."""
        return confinement()


@dataclass(frozen=True, slots=True)
class _Entry:
    parts: Parts
    kind: str
    size: int
    wanted: bool

    def shown(self) -> dict[str, JsonValue]:
        return {"path": "/".join(self.parts), "type": self.kind, "size": self.size}


@dataclass(slots=True)
class _Walk:
    """One listing under way; `skipped` grows with what cannot be listed."""

    place: Place
    fits: Fits
    hidden: bool
    depth: int
    skipped: int = field(default=0)

    def entries(self) -> Iterator[_Entry]:
        """Every entry in order; OSError where the first folder cannot be opened."""
        open_folders = [iter(self._folder(self.place.parts))]
        while open_folders:
            entry = next(open_folders[-1], None)
            if entry is None:
                open_folders.pop()
                continue
            if entry.wanted:
                yield entry
            if self._enters(entry, len(open_folders)):
                open_folders.append(iter(self._inner(entry.parts)))

    def _enters(self, entry: _Entry, depth: int) -> bool:
        return entry.kind == "directory" and depth < self.depth and entry.parts[-1] not in NOT_ENTERED

    def _inner(self, parts: Parts) -> list[_Entry]:
        try:
            return self._folder(parts)
        except OSError:
            self.skipped += 1
            return []

    def _folder(self, parts: Parts) -> list[_Entry]:
        anyio.from_thread.check_cancelled()
        with self.place.opened(parts, _SCAN) as descriptor, os.scandir(descriptor) as found:
            entries = [entry for each in found if (entry := self._entry(parts, each))]
        return sorted(entries, key=lambda entry: entry.parts)

    def _entry(self, above: Parts, found: os.DirEntry[str]) -> _Entry | None:
        name = found.name
        if name.casefold() == STATE or (not self.hidden and name.startswith(".")):
            return None
        try:
            name.encode()
            mode, size = _looked_at(found)
        except (UnicodeEncodeError, OSError):
            self.skipped += 1
            return None
        parts, kind = (*above, name), kind_of(mode)
        wanted = self.fits(parts[len(self.place.parts) :])
        return _Entry(parts, kind, size if kind == "file" else 0, wanted)


def _looked_at(found: os.DirEntry[str]) -> tuple[int, int]:
    told = found.stat(follow_symlinks=False)
    return told.st_mode, told.st_size


def _list(project: Project, arguments: Mapping[str, JsonValue]) -> JsonValue:
    limit = number(arguments, "limit", MOST)
    pattern = given(arguments, "pattern", "*")
    with project.place(given(arguments, "path", ".")) as place:
        walk = _Walk(
            place=place,
            fits=compiled(pattern),
            hidden=given(arguments, "hidden", default=True),
            depth=number(arguments, "max_depth", DEEPEST) if _recursive(arguments) else 1,
        )
        entries, truncated = _taken(walk.entries(), limit)
    return {"entries": entries, "truncated": truncated, "skipped": walk.skipped}


def _recursive(arguments: Mapping[str, JsonValue]) -> bool:
    return given(arguments, "recursive", "/" in given(arguments, "pattern", ""))


def _taken(found: Iterator[_Entry], limit: int) -> tuple[list[JsonValue], bool]:
    """As many entries as the limit and the size of an answer allow, and whether there are more."""
    taken: list[JsonValue] = []
    size = 0
    for entry in found:
        shown = entry.shown()
        size += len(json.dumps(shown, ensure_ascii=False))
        if len(taken) == limit or size > LARGEST:
            return taken, True
        taken.append(shown)
    return taken, False
