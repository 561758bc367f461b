"""A tool that stops a script at a given call."""

from collections.abc import Mapping

import anyio
from pydantic import JsonValue

from engine_mcp.core.execution import Execution, StopMode
from engine_mcp.core.tool import ToolResult
from engine_mcp.engine.engine import Engine
from engine_mcp.ports import Workbench
from tests.engine.rig import (
    came,
    echo,
)


class Stops:
    """Does what a tool is asked until a given call, at which it says so and waits to be stopped.

    The calls of each run, by their argument `n`, are in `made`.
    """

    def __init__(self, *at: int) -> None:
        self.at = list(at)
        self.made: list[JsonValue] = []
        self.reached = anyio.Event()

    async def __call__(self, arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        self.made.append(arguments["n"])
        if self.at and arguments["n"] == self.at[0]:
            self.at.pop(0)
            self.reached.set()
            await anyio.sleep_forever()
        return await echo(arguments, bench)

    async def stopped(self, engine: Engine, execution: Execution) -> Execution:
        """The execution, interrupted at the call."""
        await came(self.reached)
        self.reached = anyio.Event()
        return await engine.interrupt(execution.id, StopMode.NOW, "a break")
