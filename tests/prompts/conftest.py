"""Fixtures of the tests of prompts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leaks import leaving_nothing
from tests.prompts.places import Places, places


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No test leaves a descriptor open."""
    with leaving_nothing():
        yield


@pytest.fixture
def at(tmp_path: Path) -> Places:
    """A project, a user and a home without any files."""
    return places(tmp_path)
