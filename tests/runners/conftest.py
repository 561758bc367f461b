"""What the tests of runners have in common."""

from pathlib import Path

import anyio
import pytest

from tests.runners.stands.stand import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Give directories for a fake runtime."""
    return Place(tmp_path).made()


@pytest.fixture(scope="session")
def warm_uvloop() -> None:
    """Let uvloop open what it keeps for ever."""
    anyio.run(anyio.sleep, 0, backend_options={"use_uvloop": True})
