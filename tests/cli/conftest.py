"""A shell in a project of its own."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    project = tmp_path / "project"
    project.mkdir()
    # A short path: a socket's must be.
    with tempfile.TemporaryDirectory(prefix="home-") as home:
        yield Shell(project, Path(home))
