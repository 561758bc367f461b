"""Links of a project that lead out of it: OpenCode confines paths by their names and follows the links."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST = 200
"""More would not fit into a configuration."""
_UNSEEN = ".git"


@dataclass(frozen=True, slots=True)
class Links:
    """Absolute paths of the links that a step must not use.

    `searchable`: a search through one of them would tell something: a directory, or a file that is no
    program.
    """

    paths: tuple[str, ...] = ()
    searchable: bool = False

    @property
    def countless(self) -> bool:
        """Whether there are too many to be named."""
        return len(self.paths) > MOST


def links(project: Path) -> Links:
    """Look through a project directory, which is resolved. Blocks for as long as that takes.

    Where any link leads out, those to directories inside do not count either: the way through one of
    them would give the other another name.
    """
    found = [(path, path.resolve()) for path in _found(str(project))]
    outward = {path for path, target in found if not target.is_relative_to(project)}
    if not outward:
        return Links()
    kept = [path for path, target in found if path in outward or target.is_dir()]
    return Links(tuple(sorted(map(str, kept))), any(_tells(path) for path in outward))


def _found(folder: str) -> Iterator[Path]:
    folders = [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        yield Path(entry.path)
                    elif entry.is_dir(follow_symlinks=False) and entry.name != _UNSEEN:
                        folders.append(entry.path)
        except OSError:  # what we cannot look into, OpenCode cannot either
            continue


def _tells(link: Path) -> bool:
    try:
        mode = link.stat().st_mode
    except OSError:  # it leads to nothing, so far
        return False
    return stat.S_ISDIR(mode) or not mode & stat.S_IXUSR
