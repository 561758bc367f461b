"""What the tests of runners have in common."""

from pathlib import Path

import pytest

from tests.runners.stands.stand import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Give directories for a fake runtime."""
    return Place(tmp_path).made()
