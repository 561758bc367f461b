"""A place for tools to work in: a project's directory, with another one beside it that is none of theirs."""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from pydantic import JsonValue

from engine_mcp.core.execution import Artifact, Failure
from engine_mcp.core.plan import Mode
from engine_mcp.core.tool import Tree
from engine_mcp.engine.tool_call import call_tool
from engine_mcp.ports import ToolAdapter
from engine_mcp.tools.beneath import by_kernel, by_steps, has_openat2

WAYS = {"by_steps": by_steps, **({"by_kernel": by_kernel} if has_openat2() else {})}
HIDDEN = "nobody may see this"


@dataclass
class Keeper:
    """A workbench that remembers what it was given to keep."""

    root: Path
    kept: list[tuple[bytes, str, str]] = field(default_factory=list[tuple[bytes, str, str]])

    @property
    def tree(self) -> Tree:
        return Tree(root=str(self.root), mode=Mode.WRITE)

    async def keep(self, content: bytes, *, name: str, media_type: str) -> Artifact:
        self.kept.append((content, name, media_type))
        digest = sha256(content).hexdigest()
        return Artifact(digest=digest, size=len(content), media_type=media_type, name=name)


@dataclass(frozen=True)
class Workplace:
    """`root` is the project; `outside` is not, and holds `secret.txt`."""

    root: Path
    outside: Path

    async def value(self, tool: ToolAdapter, **arguments: JsonValue) -> JsonValue:
        """The value of a call, as the engine makes it."""
        result = await call_tool(tool, arguments, Keeper(self.root))
        assert result.failure is None, result.failure
        return result.value

    async def failure(self, tool: ToolAdapter, **arguments: JsonValue) -> Failure:
        """The failure of a call, as the engine makes it."""
        result = await call_tool(tool, arguments, Keeper(self.root))
        assert result.failure is not None, result.value
        return result.failure

    def everything(self) -> Iterator[str]:
        """Every path in both directories, sorted."""
        for folder in (self.root, self.outside):
            yield from sorted(path.relative_to(self.root.parent).as_posix() for path in folder.rglob("*"))


def listen(path: Path) -> None:
    """Leave a socket at `path`, whose name alone has to fit into what a socket's address may be."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def workplace(folder: Path) -> Workplace:
    """Make one under `folder`."""
    place = Workplace((folder / "project").resolve(), (folder / "outside").resolve())
    place.root.mkdir()
    place.outside.mkdir()
    (place.outside / "secret.txt").write_text(HIDDEN)
    return place
