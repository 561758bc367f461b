"""The composition root: settings become a running engine. The only place where ports meet adapters."""

import os
import secrets
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

from engine_mcp import __version__
from engine_mcp.core.budget import Limits, OnExceed
from engine_mcp.core.script import ScriptLimits
from engine_mcp.engine.clock import SystemClock
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.parts import EngineOptions, Parts
from engine_mcp.errors import StorageError
from engine_mcp.sandbox.pool import SandboxOptions, SandboxPool
from engine_mcp.sandbox.stock import StockOptions
from engine_mcp.server.arguments import Edge
from engine_mcp.settings import Settings
from engine_mcp.store.files import FileStore
from engine_mcp.tools.stock import BUILT_IN


@dataclass(frozen=True, slots=True)
class App:
    """A running engine with its record and the settings it was made from."""

    settings: Settings
    store: FileStore
    engine: Engine


@asynccontextmanager
async def running(settings: Settings, *, work: bool = True) -> AsyncGenerator[App]:
    """Open the engine of a project, and end it with everything it started.

    Without `work` nothing is made ready ahead of need: for those who only look or tell others to stop.
    """
    concurrency = settings.concurrency
    owner = _address(settings.runtime) if work else ""
    clock = SystemClock()
    store = FileStore(settings.state, clock=clock, owner=owner, version=__version__)
    sandboxes = SandboxOptions(concurrency=concurrency.scripts, stock=StockOptions(ready=2 if work else 0))
    options = EngineOptions(
        owner=owner,
        executions=concurrency.executions,
        waiting=concurrency.waiting,
        steps=concurrency.steps,
        grace_s=settings.grace_s,
        budget=Limits(**settings.budget.model_dump()),
    )
    tools = {tool.spec.name: tool for tool in BUILT_IN}
    with closing(store):
        async with SandboxPool(sandboxes) as sandbox:
            parts = Parts(store=store, clock=clock, sandbox=sandbox, tools=tools)
            async with Engine(parts, options) as engine:
                yield App(settings, store, engine)


def edge(settings: Settings, on_exceed: OnExceed) -> Edge:
    """What requests may ask for under these settings."""
    ceilings = ScriptLimits(**settings.script.model_dump())
    return Edge(roots=settings.roots, ceilings=ceilings, on_exceed=settings.budget.on_exceed or on_exceed)


def _address(folder: Path) -> str:
    """A new path for the control socket; raises StorageError where its folder cannot be had for us alone."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise StorageError(
                f"{folder} belongs to somebody else.", hint="Set XDG_RUNTIME_DIR to a directory of your own."
            )
        folder.chmod(0o700)
    except OSError as error:
        raise StorageError(f"The control socket needs {folder}: {error}.") from error
    return str(folder / f"{os.getpid()}-{secrets.token_hex(4)}.sock")
