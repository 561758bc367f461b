"""Fixtures and rules of the whole suite."""

import os
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.caches import keep
from tests.leaks import leaving_nothing

LOOPS = {
    "asyncio": ("asyncio", {"use_uvloop": False}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
}

# A busy machine is no defect: examples have no deadline of their own, the test's time-out bounds them.
settings.register_profile("house", parent=settings(), deadline=None)
settings.load_profile("house")


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Give asyncio's own loop, unless the test is marked `both_loops`."""
    return LOOPS["asyncio"]


def pytest_configure(config: pytest.Config) -> None:
    """Keep the ledger of whoever runs the tests out of them, and what is learned in tests away from there."""
    del config
    keep()
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
        os.environ[name] = tempfile.mkdtemp(prefix="engine-mcp-tests-")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test marked `both_loops` once on each event loop; it has to ask for `anyio_backend`."""
    if metafunc.definition.get_closest_marker("both_loops"):
        metafunc.parametrize("anyio_backend", LOOPS.values(), ids=LOOPS.keys(), scope="session")


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Fail the test if it leaves a child process or an open descriptor behind."""
    with leaving_nothing():
        yield
