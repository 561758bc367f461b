"""An engine on the api runtime and a program, as one of several processes that work and are killed."""

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import anyio

from engine_mcp.core.execution import Execution, ExecutionStatus
from engine_mcp.core.request import Resume
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.parts import EngineOptions, Parts
from engine_mcp.errors import ExecutionOwned, ExecutionRunning
from engine_mcp.ledger.book import SqliteLedger
from engine_mcp.ledger.breakers import SqliteBreakers
from engine_mcp.prices.book import GenaiPrices
from engine_mcp.prompts.catalog import models
from engine_mcp.prompts.library import FileLibrary
from engine_mcp.runners.api import ApiRunner
from engine_mcp.runners.api_options import ApiOptions
from engine_mcp.runners.command import CommandRunner
from engine_mcp.runners.command_template import load
from engine_mcp.runners.orphans import MarkSweeper
from engine_mcp.store.files import FileStore
from engine_mcp.testing import NoSandbox
from engine_mcp.tools.stock import BUILT_IN
from tests.faults.clock import FastClock
from tests.faults.orders import PROGRAM, Order, more

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60.0
AGAIN_S = 0.02
AT_ONCE = 6
_FINISHED = {ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED}


@dataclass(frozen=True, slots=True)
class Site:
    """Where all engines of a run work: a folder of their own, the provider, and when the clock began."""

    root: Path
    url: str
    began: float
    seed: int

    @property
    def project(self) -> Path:
        return self.root / "project"

    @property
    def clock(self) -> FastClock:
        return FastClock(self.began)

    @property
    def store(self) -> FileStore:
        return FileStore(self.project / ".engine-mcp", clock=self.clock, owner="", version="0")

    @property
    def ledger(self) -> SqliteLedger:
        return SqliteLedger(self.root / "ledger.sqlite", UTC, {}, clock=self.clock.now)

    def prepare(self) -> None:
        """Make the folders, and the program."""
        for name in ("project", "bin", "notes", "home"):
            (self.root / name).mkdir()
        (self.project / "a.txt").write_text("alpha", encoding="utf-8")
        path = self.root / "bin" / "flaky"
        path.write_text(
            f"#!{sys.executable} -IS\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            f"from tests.faults.flaky import main\nmain({str(self.root)!r}, {str(self.seed)!r})\n",
            encoding="utf-8",
        )
        path.chmod(0o755)


async def carry_out(site: Site, share: Sequence[Order]) -> None:
    """Bring every order of a share to its end, whatever earlier engines have left of it."""
    store, ledger = site.store, site.ledger
    breakers = SqliteBreakers(site.root / "ledger.sqlite")
    api = ApiRunner(
        ApiOptions(base_url=site.url, max_tokens=1000, stall_s=30), environ={"ANTHROPIC_API_KEY": "a-key"}
    )
    with closing(store), closing(ledger), closing(breakers):
        try:
            parts = Parts(
                store=store,
                clock=site.clock,
                sandbox=NoSandbox(),
                library=FileLibrary(user=None, home=None),
                sweeper=MarkSweeper(),
                tools={tool.spec.name: tool for tool in BUILT_IN},
                runners={"api": api, PROGRAM: _program(site)},
                models=lambda: models({}),
                prices=GenaiPrices(None),
                ledger=ledger,
                breakers=breakers,
            )
            options = EngineOptions(executions=AT_ONCE, steps=12, grace_s=2.0)
            async with Engine(parts, options) as engine:
                await _settle_all(engine, site, share)
        finally:
            await api.aclose()


def _program(site: Site) -> CommandRunner:
    template = load({"argv": ["flaky"], "modes": {"none": [], "read": [], "write": []}})
    environ = {"PATH": f"{site.root / 'bin'}:/usr/bin:/bin", "HOME": str(site.root / "home")}
    return CommandRunner(PROGRAM, template, environ=environ, stall_s=30, grace_s=1)


async def _settle_all(engine: Engine, site: Site, share: Sequence[Order]) -> None:
    places = anyio.CapacityLimiter(AT_ONCE)

    async def settle(order: Order) -> None:
        async with places:
            await _settle(engine, order, str(site.project))

    async with anyio.create_task_group() as group:
        for order in share:
            group.start_soon(settle, order)


async def _settle(engine: Engine, order: Order, project: str) -> None:
    execution = await engine.execute(order.draft(project))
    while True:
        execution = await engine.wait(execution.id, WAIT_S)
        if execution.status in _FINISHED:
            return
        try:
            execution = await engine.resume(execution.id, _wish(execution))
        except (ExecutionOwned, ExecutionRunning):  # another engine recovers it just now
            await anyio.sleep(AGAIN_S)


def _wish(execution: Execution) -> Resume:
    if execution.status is ExecutionStatus.PAUSED and execution.reason == "budget":
        return Resume(budget=more(execution))
    return Resume()
