"""The composition root: settings become a running engine. Here and in `runtimes` ports meet adapters."""

import errno
import logging
import os
import secrets
import socket
import stat
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from engine_mcp import __version__
from engine_mcp.context.tokens import Tokens
from engine_mcp.context.windows import Chosen, KnownWindows
from engine_mcp.core.budget import Limits, OnExceed
from engine_mcp.core.choice import Tier
from engine_mcp.core.models import Models
from engine_mcp.core.period import Period
from engine_mcp.core.script import ScriptLimits
from engine_mcp.core.shrinking import RUNTIME
from engine_mcp.engine.clock import SystemClock
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.memory import settle
from engine_mcp.engine.parts import EngineOptions, Parts
from engine_mcp.engine.pressure import MachinePressure
from engine_mcp.errors import InvalidArgument, StorageError
from engine_mcp.ledger.book import SqliteLedger
from engine_mcp.ledger.breakers import SqliteBreakers
from engine_mcp.ledger.memory import MemoryBreakers, MemoryLedger
from engine_mcp.ports import Breakers, Clock, Ledger, PriceBook, Runner, Windows
from engine_mcp.prices.book import GenaiPrices
from engine_mcp.prices.names import spellings
from engine_mcp.prompts.library import FileLibrary
from engine_mcp.runners.orphans import MarkSweeper
from engine_mcp.sandbox.pool import SandboxOptions, SandboxPool
from engine_mcp.sandbox.stock import StockOptions
from engine_mcp.server.arguments import Edge
from engine_mcp.settings import Settings
from engine_mcp.store.files import FileStore
from engine_mcp.tools.stock import BUILT_IN

if TYPE_CHECKING:
    from engine_mcp.runtimes import Runtimes

Of = TypeVar("Of")
SETTLED_S = 60
NESTED = "this engine was started inside the attempt {} of another one, where agents run none of their own"


@dataclass(frozen=True, slots=True)
class App:
    """A running engine with its record and the settings it was made from."""

    settings: Settings
    store: FileStore
    engine: Engine


@asynccontextmanager
async def running(settings: Settings, *, work: bool = True, serve: bool = False) -> AsyncGenerator[App]:
    """Open the engine of a project, and end it with everything it started.

    Without `work` nothing is made ready ahead of need: for those who only look or tell others to stop.
    With `serve` paused executions go on by themselves when what they wait for has come.
    """
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    owner = _address(settings.runtime) if work else ""
    ready = StockOptions(ready=2 if work else 0)
    sandboxes = SandboxOptions(concurrency=settings.concurrency.scripts, stock=ready)
    floor = settings.resources.free_mb << 20
    clock, prices = SystemClock(), GenaiPrices(_price_file(settings))
    store = FileStore(settings.state, clock=clock, owner=owner, version=__version__, floor_bytes=floor)
    with closing(store):
        async with (
            SandboxPool(sandboxes) as sandbox,
            _runners(settings) as usable,
            _kept(settings) as (ledger, breakers),
        ):
            parts = Parts(
                store=store,
                clock=clock,
                sandbox=sandbox,
                library=FileLibrary(user=settings.user, home=settings.home),
                sweeper=MarkSweeper(),
                tools={tool.spec.name: tool for tool in BUILT_IN},
                runners=usable,
                models=cache(partial(_models, settings)),
                order=settings.runtimes.order,
                closed=NESTED.format(settings.attempt) if settings.attempt else "",
                ask=_ask(settings),
                pressure=MachinePressure(),
                prices=prices,
                ledger=ledger,
                breakers=breakers,
                counter=Tokens(),
                windows=_windows(settings, prices, clock),
                keep_turns=settings.context.keep_turns,
            )
            async with Engine(parts, _options(settings, owner, serve)) as engine:
                if work:
                    settle()
                yield App(settings, store, engine)


def _options(settings: Settings, owner: str, wakes: bool) -> EngineOptions:  # noqa: FBT001 - of one caller
    concurrency = settings.concurrency
    return EngineOptions(
        owner=owner,
        executions=concurrency.executions,
        waiting=concurrency.waiting,
        steps=concurrency.steps,
        grace_s=settings.grace_s,
        budget=Limits(**settings.budget.model_dump()),
        caps=settings.caps.limits("execution"),
        wakes=wakes,
    )


@asynccontextmanager
async def _kept(settings: Settings) -> AsyncGenerator[tuple[Ledger, Breakers]]:
    """The ledger and the breakers of the user; of this engine alone where there is no place for them."""
    caps = {period: settings.caps.limits(period.value) for period in Period}
    if settings.ledger is None:
        yield MemoryLedger(settings.zone, caps), MemoryBreakers()
        return
    ledger, breakers = SqliteLedger(settings.ledger, settings.zone, caps), SqliteBreakers(settings.ledger)
    with closing(ledger), closing(breakers):
        yield ledger, breakers


def _windows(settings: Settings, prices: PriceBook, clock: Clock) -> Windows:
    """What is known of the windows of models, by the names that they have in the price list."""
    context = settings.context
    limits = {name: section.limits for name, section in context.models.items()}
    models = _models(settings) if limits or context.windows else Models()
    chosen = Chosen(
        limits=context.limits, models=_by_id(limits, models), windows=_by_id(context.windows, models)
    )
    return KnownWindows(chosen, prices, clock, settings.cache, spellings)


def _by_id(given: Mapping[str, Of], models: Models) -> dict[str, Of]:
    """The same, and what is said of a name or a tier for its model too; what is said of an id comes first."""
    return {**{_id(name.strip().casefold(), models) or name: value for name, value in given.items()}, **given}


def _id(name: str, models: Models) -> str | None:
    """The id that a name or a tier stands for where the engine holds the conversations, if it is one."""
    if (found := models.names.get(name, {}).get(RUNTIME)) is not None:
        return found
    return models.of_tier(Tier(name), RUNTIME) if name in [*Tier] else None


def _ask(settings: Settings) -> frozenset[str]:
    """The tools whose calls need an approval; a name that no tool has would keep nobody from anything."""
    known = [tool.spec.name for tool in BUILT_IN]
    for name in settings.permissions.ask:
        if name not in known:
            text = f"permissions.ask: no tool is named {name!r}."
            raise InvalidArgument(text, field="permissions.ask", hint=f"There are {', '.join(known)}.")
    return frozenset(settings.permissions.ask)


def _price_file(settings: Settings) -> Path | None:
    if (named := settings.spending.prices) is not None:
        if not named.expanduser().is_file():
            raise InvalidArgument(f"spending.prices: there is no file {named}.", field="spending.prices")
        return named.expanduser()
    return None if settings.user is None else settings.user / "prices.yaml"


class _OnDemand(Mapping[str, Runner]):
    """The runtimes of these settings, made when one is first asked for: the first calls need none."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._built: Runtimes | None = None

    @property
    def _all(self) -> Mapping[str, Runner]:
        if self._built is None:
            from engine_mcp.runtimes import built  # noqa: PLC0415 - see above

            self._built = built(self._settings)
        return self._built.runners

    def __getitem__(self, name: str) -> Runner:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    async def aclose(self) -> None:
        """Close what was made."""
        if self._built is not None:
            await self._built.aclose()


@asynccontextmanager
async def _runners(settings: Settings) -> AsyncGenerator[Mapping[str, Runner]]:
    """The runtimes of these settings; none inside an attempt, so that no engine runs agents for another."""
    if settings.commands:
        from engine_mcp.runtimes import templates  # noqa: PLC0415 - only who declares commands has them read

        templates(settings.commands)
    runners = _OnDemand(settings)
    try:
        yield {} if settings.attempt is not None else runners
    finally:
        await runners.aclose()


def _models(settings: Settings) -> Models:
    from engine_mcp.prompts.catalog import models  # noqa: PLC0415 - reads a file that only agent steps need

    return models(settings.models)


def edge(settings: Settings, on_exceed: OnExceed) -> Edge:
    """What requests may ask for under these settings."""
    ceilings = ScriptLimits(**settings.script.model_dump())
    permitted = settings.permissions
    refused = {"shell": permitted.shell, "web": permitted.web}
    return Edge(
        roots=settings.roots,
        ceilings=ceilings,
        on_exceed=settings.budget.on_exceed or on_exceed,
        mode=permitted.mode,
        refused=frozenset(name for name, granted in refused.items() if not granted),
    )


def _address(folder: Path) -> str:
    """A new path for the control socket; raises StorageError where its folder cannot be had for us alone."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            hint = "Set XDG_RUNTIME_DIR to a directory of your own."
            raise StorageError(f"{folder} belongs to somebody else.", hint=hint)
        folder.chmod(0o700)
        for left in folder.glob("*.sock"):
            if _nobody_listens(left):
                left.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"The control socket needs {folder}: {error}.") from error
    return str(folder / f"{os.getpid()}-{secrets.token_hex(4)}.sock")


def _nobody_listens(address: Path) -> bool:
    """Whether a socket was left by a process that was killed. One that has just been made is given time."""
    if time.time() - address.lstat().st_mtime < SETTLED_S:
        return False
    with socket.socket(socket.AF_UNIX) as knocking:
        knocking.settimeout(0)
        return knocking.connect_ex(str(address)) == errno.ECONNREFUSED
