"""What a run has collected, for the rule that ties promises and tests."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from scripts.manifest import Collector
from tests.house.sources import ROOT

SHOWN = pytest.StashKey[Mapping[str, str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note which promises the tests carry, before any of them are left out."""
    collector = Collector()
    collector.pytest_collection_modifyitems([*items])
    config.stash[SHOWN] = collector.shown


@pytest.fixture(scope="session")
def shown(pytestconfig: pytest.Config) -> Mapping[str, str] | None:
    """Give the promises that all tests carry, each with a test; None where not all were collected."""
    collected = [Path(argument).resolve() for argument in pytestconfig.args]
    return pytestconfig.stash[SHOWN] if collected == [ROOT / "tests"] else None
