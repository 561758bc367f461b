"""Tools, and where they work."""

from collections.abc import Mapping
from typing import Protocol

from pydantic import JsonValue

from engine_mcp.core.execution import Artifact
from engine_mcp.core.tool import Health, ToolResult, ToolSpec, Tree


class Workbench(Protocol):
    """What a tool gets from the engine for one call: where it may work, and a place for artifacts."""

    @property
    def tree(self) -> Tree:
        """The project directory and how far the call may reach into it."""
        ...

    async def keep(self, content: bytes, *, name: str, media_type: str) -> Artifact:
        """Keep a named artifact of the execution, durably; the newest of a name is the one shown."""
        ...


class ToolAdapter(Protocol):
    """Carries out the calls of one tool."""

    @property
    def spec(self) -> ToolSpec:
        """What the tool says of itself; constant."""
        ...

    async def execute(self, arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        """Carry out one call whose arguments meet the tool's schema; calls run concurrently.

        Expected failures are results with a code of the catalogue, never exceptions. A cancelled
        call leaves nothing half done. Blocking work is done in a thread.
        """
        ...

    def estimated_s(self, arguments: Mapping[str, JsonValue]) -> float | None:
        """How long the call will take, in seconds; None if nobody knows."""
        ...

    async def health(self) -> Health:
        """Whether the tool can be used now; bounded in time, spends nothing."""
        ...
