"""`files.stat`: what stands at a path, if anything."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from pydantic import JsonValue

from engine_mcp.core.plan import Mode
from engine_mcp.core.tool import Health, ToolResult, ToolSpec
from engine_mcp.ports import Workbench
from engine_mcp.tools.arguments import PATH, given
from engine_mcp.tools.beneath import Beneath, best, confinement
from engine_mcp.tools.kinds import kind_of
from engine_mcp.tools.paths import Project
from engine_mcp.tools.refusals import answered

_SPEC = ToolSpec(
    name="files.stat",
    description=(
        "Tell what stands at a path of the project; returns {path, type, size, modified_ms}, or null if "
        "there is nothing. type is file, directory or other; size is in bytes, 0 for all but files; "
        "modified_ms is Unix time. Symbolic links inside the project are followed; path is where they lead."
    ),
    input_schema={
        "type": "object",
        "properties": {"path": PATH},
        "required": ["path"],
        "additionalProperties": False,
    },
    mode=Mode.READ,
)


@dataclass(frozen=True, slots=True)
class FilesStat:
    """Looks at files without opening them; `beneath` is how it opens the folders they are in."""

    beneath: Beneath = best

    @property
    def spec(self) -> ToolSpec:
        """What scripts call as `files.stat(path)`."""
        return _SPEC

    async def execute(self, arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        """Look in a thread."""
        return await answered(partial(_stat, Project(bench.tree.root, self.beneath), arguments))

    def estimated_s(self, arguments: Mapping[str, JsonValue]) -> float | None:
        """As good as nothing."""
        del arguments
        return 0.01

    async def health(self) -> Health:
        """Whether paths can be confined here."""
        return confinement()


def _stat(project: Project, arguments: Mapping[str, JsonValue]) -> JsonValue:
    with project.place(given(arguments, "path", "")) as place:
        try:
            with place.folder() as folder:
                found = os.stat(place.name, dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        kind = kind_of(found.st_mode)
        return {
            "path": place.path,
            "type": kind,
            "size": found.st_size if kind == "file" else 0,
            "modified_ms": found.st_mtime_ns // 1_000_000,
        }
