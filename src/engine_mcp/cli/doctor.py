"""`doctor`: whether everything that the engine needs can be used on this machine."""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from engine_mcp import __version__
from engine_mcp.app import App
from engine_mcp.cli import options
from engine_mcp.cli.exits import Exit
from engine_mcp.cli.session import inside
from engine_mcp.cli.voice import document, say
from engine_mcp.cli.words import amount
from engine_mcp.core.choice import Tier
from engine_mcp.core.script import HostAnswer, HostCall, Isolation, Outcome, Script
from engine_mcp.core.shrinking import RUNTIME
from engine_mcp.core.tool import Health
from engine_mcp.engine.parts import Parts
from engine_mcp.errors import EngineError, UnknownModel
from engine_mcp.settings import Settings, load

LITTLE_SPACE = 200 << 20


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `remedy` says what to do about what is wrong or could be better.

    What is not `needed` may be missing: work that does not use it goes on without.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    needed: bool = True

    @property
    def fine(self) -> bool:
        """Whether nothing has to be done."""
        return self.ok or not self.needed

    @property
    def verdict(self) -> str:
        """The word that stands before it."""
        if self.ok:
            return "ok"
        return "BAD" if self.needed else "off"


class _Nobody:
    """A host that a script without calls needs not."""

    async def call(self, call: HostCall) -> HostAnswer:
        return HostAnswer(error_name="Denied", error_message=call.name)

    def progress(self, done: float, total: float | None, message: str) -> None:
        del done, total, message


@click.command()
@options.project
@options.json
def doctor(*, path: Path | None, as_json: bool) -> Exit:
    """Check that everything that is needed can be used.

    That is the sandbox, the record, the runtimes, the tools and the settings; what is wrong is told with
    a remedy. A runtime that is off is one that steps cannot use; nothing else needs it.
    """
    settings = load(path)
    checks = [Check("version", ok=True, detail=_version()), _settings(settings), *_all(settings)]
    if as_json:
        document({"ok": all(check.fine for check in checks), "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            say(f"{check.verdict:<4} {check.name:<11} {check.detail}")
            if check.remedy:
                say(f"{'':<17}{check.remedy}")
    return Exit.COMPLETED if all(check.fine for check in checks) else Exit.UNAVAILABLE


def _version() -> str:
    return f"engine-mcp {__version__}, Python {platform.python_version()}, {platform.platform()}"


def _all(settings: Settings) -> list[Check]:
    try:
        return inside(settings, _examined, work=True)
    except EngineError as error:
        return [Check("engine", ok=False, detail=error.message, remedy=error.hint)]


async def _examined(app: App) -> list[Check]:
    prices = await _prices(app)
    return [
        await _sandbox(app),
        *await _record(app),
        await _ledger(app),
        prices,
        *(_context(app) if prices.ok else ()),
        *await _adapters(app),
    ]


def _settings(settings: Settings) -> Check:
    files = ", ".join(str(file) for file in settings.files) or "no configuration file"
    roots = ", ".join(str(root) for root in settings.roots)
    return Check("settings", ok=True, detail=f"{files}; roots: {roots}")


async def _sandbox(app: App) -> Check:
    try:
        result = await app.engine.parts.sandbox.run(Script(code="return 1 + 1"), _Nobody())
    except EngineError as error:
        return Check("sandbox", ok=False, detail=error.message, remedy=error.hint)
    if result.outcome is not Outcome.VALUE or result.value != "2":
        return Check("sandbox", ok=False, detail=f"1 + 1 ended with {result.outcome}: {result.value}")
    missing = _missing(result.isolation)
    remedy = f"Scripts run without {', '.join(missing)} on this machine." if missing else ""
    return Check("sandbox", ok=True, detail=f"1 + 1 is 2 in {result.usage.wall_ms:.1f} ms", remedy=remedy)


def _missing(isolation: Isolation) -> list[str]:
    layers = {
        "resource limits": isolation.rlimits,
        "no-new-privileges": isolation.no_new_privs,
        "seccomp": isolation.seccomp,
        "Landlock": isolation.landlock > 0,
        "a network namespace": isolation.netns,
    }
    return [name for name, held in layers.items() if not held]


async def _record(app: App) -> list[Check]:
    state = app.settings.state
    begun = state.is_dir()
    try:
        state.mkdir(parents=True, exist_ok=True)
        writable = os.access(state, os.W_OK | os.X_OK)
        free = shutil.disk_usage(state).free
    except OSError as error:
        return [Check("record", ok=False, detail=str(error), remedy="Choose another ENGINE_MCP_STATE.")]
    checks = [
        Check("record", ok=writable, detail=str(state), remedy="" if writable else "Make it writable."),
        Check("space", ok=free > LITTLE_SPACE, detail=f"{amount(free)} free"),
    ]
    concerns = app.store.concerns() if begun else ()
    checks += [Check("record", ok=True, detail=str(state), remedy=concern) for concern in concerns]
    saved = "What could be saved is set aside in its folder."
    for name, why in (await app.store.damaged()).items():
        checks.append(Check("record", ok=False, detail=f"{name}: {why}", remedy=saved))
    return checks


async def _ledger(app: App) -> Check:
    """Whether spending can be kept, and whether it had to be begun anew."""
    place = app.settings.ledger
    if place is None:
        return Check("ledger", ok=False, needed=False, detail="there is no home to keep it in")
    try:
        await app.engine.treasury.room()
    except EngineError as error:
        return Check("ledger", ok=False, detail=error.message, remedy=error.hint)
    folder = next(parent for parent in place.parents if parent.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        return Check("ledger", ok=False, detail=f"{place} cannot be written", remedy=f"Mend {folder}.")
    aside = place.with_name(f"{place.name}.corrupt")
    again = f"It was damaged: see the limits, run `engine-mcp budget --rebuild` and remove {aside}."
    return Check("ledger", ok=True, detail=str(place), remedy=again if aside.exists() else "")


async def _prices(app: App) -> Check:
    prices = app.engine.parts.prices
    try:
        if prices is not None:
            await prices.open()
    except EngineError as error:
        return Check("prices", ok=False, detail=error.message, remedy=error.hint)
    return Check("prices", ok=True, detail=str(app.settings.spending.prices or "those of genai-prices"))


def _context(app: App) -> Iterator[Check]:
    """Whether the settings of conversations name models that there are."""
    context, parts = app.settings.context, app.engine.parts
    models = parts.models()
    writers = {"context.model": context.model}
    writers |= {f"context.models.{name}.model": of.model for name, of in context.models.items()}
    for key, name in writers.items():
        try:
            if name is not None:
                models.named(name, RUNTIME)
        except UnknownModel as error:
            yield Check("context", ok=False, detail=f"{key}: {error.message}", remedy=error.hint)
    tables = {"context.models": context.models, "context.windows": context.windows}
    for key, name in ((key, name) for key, table in tables.items() for name in table):
        if not _is_known(name, parts):
            remedy = "What is said of it has no effect unless a runtime names a model so."
            yield Check("context", ok=True, detail=f"{key}: no model is known as {name!r}", remedy=remedy)


def _is_known(name: str, parts: Parts) -> bool:
    models, priced = parts.models(), parts.prices is not None and parts.prices.window(name) is not None
    if priced or name.strip().casefold() in {*models.names, *Tier}:
        return True
    try:
        return bool(models.named(name, RUNTIME))
    except UnknownModel:
        return False


async def _adapters(app: App) -> list[Check]:
    health = await app.engine.health()
    return [
        *(_check(name, told, needed=False) for name, told in health["runtimes"].items()),
        *(_check(name, told, needed=True) for name, told in health["tools"].items()),
    ]


def _check(name: str, told: Health, *, needed: bool) -> Check:
    detail = f"{told.version}  {told.detail}".strip() if told.version not in told.detail else told.detail
    return Check(name, ok=told.usable, detail=detail, remedy=told.remedy, needed=needed)
