"""The real clients, each with a home of its own, in front of the wire server."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.clients import Place, pinned
from tests.caches import user_cache
from tests.wire.server import Wire

HERE = Path(__file__).parent
PRICES = {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, so that `make test` can leave it to `make test-clients`."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("clients")


def clients() -> Place:
    return pinned({"XDG_CACHE_HOME": str(user_cache())})


def client(command: str) -> Path:
    place = clients()
    absence = place.absence()
    if absence is not None:
        pytest.skip(absence)
    return place.commands / command


@pytest.fixture(scope="session")
def claude() -> Path:
    """The real Claude Code."""
    return client("claude")


@pytest.fixture(scope="session")
def opencode() -> Path:
    """The real OpenCode."""
    return client("opencode")


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as server:
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder that holds nothing of whoever runs the tests."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def environ(home: Path, **more: str) -> dict[str, str]:
    path = f"{clients().commands}{os.pathsep}{os.environ['PATH']}"
    return {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8", **more}


@pytest.fixture
def claude_environ(home: Path, wire: Wire) -> dict[str, str]:
    """The whole environment of a Claude Code whose model is the wire server."""
    return environ(
        home,
        ANTHROPIC_BASE_URL=wire.url,
        ANTHROPIC_API_KEY="a-key-for-tests",
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        DISABLE_AUTOUPDATER="1",
        DISABLE_TELEMETRY="1",
        DISABLE_ERROR_REPORTING="1",
    )


@pytest.fixture
def opencode_environ(home: Path, wire: Wire) -> dict[str, str]:
    """The whole environment of an OpenCode whose model `fake/m1` is the wire server."""
    model = {
        "name": "M1",
        "tool_call": True,
        "limit": {"context": 200_000, "output": 8_000},
        "cost": PRICES,
    }
    options = {"baseURL": f"{wire.url}/v1", "apiKey": "a-key-for-tests"}
    provider = {"npm": "@ai-sdk/anthropic", "options": options, "models": {"m1": model}}
    config = home / ".config" / "opencode" / "opencode.json"
    config.parent.mkdir(parents=True)
    config.write_text(
        json.dumps({"share": "disabled", "autoupdate": False, "provider": {"fake": provider}}),
        encoding="utf-8",
    )
    return environ(
        home,
        OPENCODE_DISABLE_MODELS_FETCH="1",
        OPENCODE_DISABLE_AUTOUPDATE="1",
        OPENCODE_DISABLE_LSP_DOWNLOAD="1",
        OPENCODE_DISABLE_DEFAULT_PLUGINS="1",
    )
