from pathlib import Path

import pytest

from engine_mcp.tools.beneath import Beneath
from tests.tools.workplace import WAYS, Workplace, workplace


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    return workplace(tmp_path)


@pytest.fixture(params=WAYS.values(), ids=[*WAYS])
def beneath(request: pytest.FixtureRequest) -> Beneath:
    """Run the test with each way to open what lies beneath a directory."""
    return request.param
