"""What the tests of the engine share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine_mcp.sandbox.pool import SandboxPool
from tests.engine.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(project=tmp_path)


@pytest.fixture(scope="module")
async def pool(anyio_backend: object) -> AsyncIterator[SandboxPool]:
    assert anyio_backend
    async with SandboxPool() as opened:
        yield opened


@pytest.fixture
def scripting(rig: Rig, pool: SandboxPool) -> Rig:
    """Give a rig whose scripts really run."""
    rig.sandbox = pool
    return rig
