"""Places for the tests of the store."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")  # noqa: S108 - a file system in memory, where the death of a process shows as well


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A folder where syncs cost nothing, if there is one: for tests that make many records."""
    if not MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)
