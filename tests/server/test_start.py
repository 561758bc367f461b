"""A server starts quickly: it imports what it needs, without collecting garbage on the way."""

import gc
import subprocess
import sys

import pytest

from engine_mcp.server.boot import quick_imports


def imported(module: str, *unwanted: str) -> set[str]:
    """Which of the unwanted modules the import of a module brings along."""
    text = f"import sys, {module}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return set(unwanted) & set(ran.stdout.split())


@pytest.mark.req("003:L26")
def test_the_engine_and_what_the_command_line_shows_need_no_mcp() -> None:
    for module in ("engine_mcp.engine.engine", "engine_mcp.server.view", "engine_mcp.server.arguments"):
        assert imported(module, "mcp", "mcp_types", "starlette", "uvicorn") == set()


def test_the_server_brings_nothing_along_that_only_the_command_line_needs() -> None:
    assert imported("engine_mcp.server.stdio", "rich", "yaml", "hypothesis") == set()


def test_garbage_is_not_collected_during_imports_and_again_afterwards() -> None:
    frozen = gc.get_freeze_count()
    try:
        with quick_imports():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()


def test_a_failed_import_leaves_the_collection_on() -> None:
    try:
        with pytest.raises(ImportError), quick_imports():
            raise ImportError
        assert gc.isenabled()
    finally:
        gc.unfreeze()
