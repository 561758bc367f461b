"""Examining: whether each runtime and each tool can be used, all asked at once."""

from collections.abc import Mapping

import anyio

from engine_mcp.core.tool import Health
from engine_mcp.engine.parts import Parts
from engine_mcp.ports import Runner, ToolAdapter


async def examined(parts: Parts) -> Mapping[str, Mapping[str, Health]]:
    """The health of `runtimes` and of `tools`, each by name."""
    kinds: Mapping[str, Mapping[str, Runner | ToolAdapter]] = {
        "runtimes": parts.runners,
        "tools": parts.tools,
    }
    told = {kind: dict.fromkeys(adapters, Health(usable=False)) for kind, adapters in kinds.items()}
    async with anyio.create_task_group() as asking:
        for kind, adapters in kinds.items():
            for name, adapter in adapters.items():
                asking.start_soon(_ask, name, adapter, told[kind])
    return told


async def _ask(name: str, asked: Runner | ToolAdapter, told: dict[str, Health]) -> None:
    told[name] = await asked.health()
