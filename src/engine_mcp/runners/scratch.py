"""Scratch: a folder of its own for what a program leaves in a temporary one, gone when the program is.

The guard removes it too, for an engine that dies; only where both are killed does it stay.
"""

import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio

REMOVE_S = 5.0
PREFIX = "engine-mcp-"


@asynccontextmanager
async def scratch(names: tuple[str, ...], env: Mapping[str, str]) -> AsyncGenerator[str]:
    """Give the path of an empty folder, in the `TMPDIR` of `env`, for as long as the block lasts.

    `names` are the variables that are to say where it is; without any there is none, and the path is
    empty. Raises OSError where it cannot be made.
    """
    if not names:
        yield ""
        return
    path = await anyio.to_thread.run_sync(_made, env.get("TMPDIR", ""))
    try:
        yield path
    finally:
        with anyio.move_on_after(REMOVE_S, shield=True):
            removed = partial(shutil.rmtree, path, ignore_errors=True)
            await anyio.to_thread.run_sync(removed, abandon_on_cancel=True)


def _made(place: str) -> str:
    """A new folder that nobody else may enter; where a program's own place is not there, in that of all."""
    return tempfile.mkdtemp(prefix=PREFIX, dir=place if place and Path(place).is_dir() else None)
