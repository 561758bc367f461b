"""A pool for the tests of a module that only need one."""

from collections.abc import AsyncIterator

import anyio
import pytest

from engine_mcp.sandbox.pool import SandboxOptions, SandboxPool
from engine_mcp.sandbox.stock import StockOptions
from tests.sandbox.rest import READY


@pytest.fixture(scope="module")
async def pool(anyio_backend: object) -> AsyncIterator[SandboxPool]:
    assert anyio_backend
    async with SandboxPool(SandboxOptions(stock=StockOptions(ready=READY))) as opened:
        yield opened


@pytest.fixture(scope="module")
async def warm_loop(anyio_backend: object) -> None:
    """Let the loop open what it keeps for ever once it has started a process."""
    assert anyio_backend
    await anyio.run_process(["true"])
