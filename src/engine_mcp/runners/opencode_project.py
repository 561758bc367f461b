"""What an OpenCode at work in a project would take from it: instructions, and plugins that are code."""

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine_mcp.runners.opencode_links import Links, links

LARGEST = 1 << 20
_FOLDER = ".opencode"
_CONFIGS = ("opencode.json", "opencode.jsonc")
_INSTRUCTIONS = ("AGENTS.md", "CLAUDE.md", "CONTEXT.md")
_PLUGS = re.compile(r'"plugins?"|\\u')
"""A key for plugins, or an escape that may hide one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """A project directory, resolved: `worktree` is the root of its repository, None where it has none.

    `instructions` and `plugins` are absolute paths of files; `links` lead out of the directory.
    """

    path: Path
    worktree: Path | None = None
    instructions: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    links: Links = field(default_factory=Links)


def survey(project: str, home: str) -> Surveyed:
    """Look where OpenCode looks: from the project up to the root of its repository. Blocks.

    What lies in the user's home itself is the user's own and not the project's.
    """
    path, own = Path(project).resolve(), Path(home).resolve()
    folders: list[Path] = []
    worktree: Path | None = None
    for folder in (path, *path.parents):
        folders.append(folder)
        if (folder / ".git").exists():
            worktree = folder
            break
    foreign = [folder for folder in folders if folder != own]
    return Surveyed(
        path=path,
        worktree=worktree,
        instructions=_instructions(folders if worktree is not None else [path]),
        links=links(path),
        plugins=tuple(str(found) for folder in foreign for found in _plugins(folder)),
    )


def _instructions(folders: list[Path]) -> tuple[str, ...]:
    """The files of the first name that there is at all, as patterns that mean these files alone.

    A link that leads out of the outermost folder is none: it may name any file of the user's.
    """
    for name in _INSTRUCTIONS:
        if found := [folder / name for folder in folders if _lies_in(folders[-1], folder / name)]:
            return tuple(glob.escape(str(path)) for path in found)
    return ()


def _lies_in(folder: Path, path: Path) -> bool:
    return path.is_file() and path.resolve().is_relative_to(folder)


def _plugins(folder: Path) -> Iterator[Path]:
    own = folder / _FOLDER
    for kind in ("plugin", "plugins"):
        for suffix in ("ts", "js"):
            yield from sorted((own / kind).glob(f"*.{suffix}"))
    configs = [place / name for place in (folder, own) for name in _CONFIGS]
    yield from (config for config in configs if _PLUGS.search(_text(config)))


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(LARGEST)
    except OSError:
        return ""
