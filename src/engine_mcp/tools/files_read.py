"""`files.read`: the content of one file, or a slice of it, as text or base64."""

import base64
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import anyio.from_thread
from pydantic import JsonValue

from engine_mcp.core.plan import Mode
from engine_mcp.core.tool import Health, ToolResult, ToolSpec
from engine_mcp.ports import Workbench
from engine_mcp.tools.arguments import ENCODING, PATH, given, number
from engine_mcp.tools.beneath import Beneath, best, confinement
from engine_mcp.tools.paths import Project
from engine_mcp.tools.refusals import ToolFailed, answered, shown

MOST = 8 << 20
PIECE = 1 << 20
FURTHEST = 1 << 53
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_WIDEST = 3  # bytes of a UTF-8 character after its first, each of them
_INSIDE = range(0x80, 0xC0)

_SPEC = ToolSpec(
    name="files.read",
    description=(
        "Read a file of the project; returns its content as a string, or with offset and limit (bytes) a "
        "slice of it. Slices of text keep characters whole: each belongs to the slice it begins in, so that "
        "slices read one after another give the whole text. At most 8 MiB at once, counted as JSON."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "path": PATH,
            "encoding": ENCODING,
            "offset": {
                "type": "integer",
                "minimum": 0,
                "maximum": FURTHEST,
                "default": 0,
                "description": "Where to begin, in bytes. Beyond the end there is nothing: an empty string.",
            },
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": MOST,
                "description": "How many bytes to read at most; without it all up to the end.",
            },
        },
        "required": ["path"],
        "additionalProperties": False,
    },
    mode=Mode.READ,
)


@dataclass(frozen=True, slots=True)
class _Wish:
    path: str
    encoding: str
    offset: int
    limit: int | None


@dataclass(frozen=True, slots=True)
class FilesRead:
    """Reads files; `beneath` is how it opens them."""

    beneath: Beneath = best

    @property
    def spec(self) -> ToolSpec:
        """What scripts call as `files.read(path, options)`."""
        return _SPEC

    async def execute(self, arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        """Read in a thread."""
        return await answered(partial(_read, Project(bench.tree.root, self.beneath), arguments))

    def estimated_s(self, arguments: Mapping[str, JsonValue]) -> float | None:
        """As long as the most that one call may read takes."""
        del arguments
        return 0.05

    async def health(self) -> Health:
        """Whether paths can be confined here."""
        return confinement()


def _read(project: Project, arguments: Mapping[str, JsonValue]) -> str:
    wish = _Wish(
        path=given(arguments, "path", ""),
        encoding=given(arguments, "encoding", "utf-8"),
        offset=number(arguments, "offset", 0),
        limit=number(arguments, "limit", MOST) if "limit" in arguments else None,
    )
    with project.opened(wish.path, _READ) as descriptor:
        _check(os.fstat(descriptor), wish)
        content = _slice(descriptor, wish)
    return _fitting(content, wish)


def _check(found: os.stat_result, wish: _Wish) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise ToolFailed(
            f"{shown(wish.path)} is a folder.", field="path", hint="See what is in it with files.list."
        )
    if not stat.S_ISREG(found.st_mode):
        raise ToolFailed(
            f"{shown(wish.path)} is not a regular file.", field="path", hint="Use a regular file."
        )
    if wish.limit is None and found.st_size - wish.offset > MOST:
        raise _too_large(wish, found.st_size)


def _slice(descriptor: int, wish: _Wish) -> str:
    limit = MOST if wish.limit is None else wish.limit
    if wish.encoding == "base64":
        return base64.b64encode(_bytes(descriptor, wish.offset, limit)).decode()
    return _text(_bytes(descriptor, wish.offset, limit + _WIDEST), limit, wish)


def _bytes(descriptor: int, offset: int, most: int) -> bytes:
    content = bytearray()
    while len(content) < most:
        anyio.from_thread.check_cancelled()
        piece = os.pread(descriptor, min(PIECE, most - len(content)), offset + len(content))
        if not piece:
            break
        content += piece
    return bytes(content)


def _text(content: bytes, limit: int, wish: _Wish) -> str:
    begin = _next_character(content, 0) if wish.offset else 0
    end = _next_character(content, min(limit, len(content)))
    try:
        return content[begin:end].decode()
    except UnicodeDecodeError as error:
        at = wish.offset + begin + error.start
        raise ToolFailed(
            f"{shown(wish.path)} is not UTF-8 text (at byte {at}).",
            field="encoding",
            hint='Use encoding "base64", or another file.',
        ) from error


def _next_character(content: bytes, start: int) -> int:
    """The first position from `start` that is not inside a character; at most a character's width away."""
    for position in range(start, min(start + _WIDEST, len(content))):
        if content[position] not in _INSIDE:
            return position
    return min(start + _WIDEST, len(content))


def _fitting(content: str, wish: _Wish) -> str:
    if len(content) * 6 > MOST and len(json.dumps(content, ensure_ascii=False)) > MOST:
        raise _too_large(wish, len(content))
    return content


def _too_large(wish: _Wish, size: int) -> ToolFailed:
    return ToolFailed(
        f"{shown(wish.path)} is too large to be read at once: {size} bytes; at most {MOST} as JSON.",
        field="limit",
        hint="Read it slice by slice: a limit of 1048576 bytes, and an offset that grows by it.",
    )
