"""Excerpts: the files of a plan as a prompt shows them, within a budget, the rest by path."""

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine_mcp.prompts.reading import Content, Irregular, Outside, beginning_within, parts_inside

STATE = ".engine-mcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much of the files a prompt may show: bytes in all, and of each."""

    total: int = 64 << 10
    each: int = 24 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """A file as a prompt shows it: its text, or `note` saying why not; `size` in bytes, None if unknown.

    With `cut` the text is only the beginning.
    """

    path: str
    text: str | None = None
    note: str = ""
    size: int | None = None
    cut: bool = False


def excerpts(project: Path, files: Iterable[str], room: Room) -> Iterator[Excerpt]:
    """The files in their order, each once; whatever cannot be shown is there by its path."""
    left = room.total
    for path in dict.fromkeys(files):
        found = _excerpt(project, path, room.each, left)
        left -= len(found.text.encode()) if found.text is not None else 0
        yield found


def head(content: bytes) -> str | None:
    """The text at the beginning of a file, without a character cut at its end; None if it is binary."""
    if b"\0" in content:
        return None
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError:
        return None


def _excerpt(project: Path, path: str, each: int, left: int) -> Excerpt:
    try:
        content = _content(project, path, each)
    except (FileNotFoundError, NotADirectoryError):
        return Excerpt(path=path, note="it does not exist (any more)")
    except (IsADirectoryError, Irregular, Outside) as error:
        return Excerpt(path=path, note=str(error))
    except OSError as error:
        return Excerpt(path=path, note=f"it cannot be read: {error.strerror}")
    except ValueError:
        return Excerpt(path=path, note="it does not exist: no file has such a name")
    return _shown(path, content, left)


def _content(project: Path, path: str, most: int) -> Content:
    try:
        parts = parts_inside(project / path, project)
    except Outside:
        raise Outside("it lies outside the project and is not shown") from None
    if any(part.casefold() == STATE for part in parts):
        raise Outside("it belongs to the engine's own state and is not shown")
    return beginning_within(project / path, project, most)


def _shown(path: str, content: Content, left: int) -> Excerpt:
    size, cut = content.size, len(content.head) < content.size
    text = head(content.head)
    if text is None or (not cut and len(text.encode()) != len(content.head)):
        return Excerpt(path=path, note="it is binary", size=size)
    if len(content.head) > left:
        return Excerpt(path=path, note="there is no room for it here", size=size)
    return Excerpt(path=path, text=text, size=size, cut=cut)
