"""What is known of the windows of models: said by the operator, told by runtimes and providers, or listed."""

import logging
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import anyio
from anyio.to_thread import run_sync
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from engine_mcp.core.window import ASSUMED, LEAST_TOKENS, Window, WindowLimits
from engine_mcp.ports import Clock, PriceBook

_log = logging.getLogger(__name__)

NAME = "windows.json"
DAY_S = 86_400
KEPT_S = 30 * DAY_S
"""How long something learned is believed; it is asked for again after that."""
LARGEST = 1 << 20
LONG, LONG_TOKENS = "[1m]", 1_000_000
"""The end of a model's name that asks for the long window, and how long that is."""


class _Learned(BaseModel):
    """A window that somebody told, and when (Unix seconds)."""

    model_config = ConfigDict(frozen=True)

    tokens: Annotated[int, Field(ge=LEAST_TOKENS)]
    source: Literal["runtime", "provider"]
    at: float


_Models = dict[str, _Learned]
_FILE, _ENTRY = TypeAdapter(dict[str, object]), TypeAdapter(_Learned)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What the operator chose: limits for all models and for some by name, and windows in tokens by name."""

    limits: WindowLimits = field(default_factory=WindowLimits)
    models: Mapping[str, WindowLimits] = field(default_factory=dict[str, WindowLimits])
    windows: Mapping[str, int] = field(default_factory=dict[str, int])


class KnownWindows:
    """How large the windows of models are; fulfils `ports.Windows`.

    `folder` is where what was learned is kept for other processes, None for nowhere; `spellings` are the
    names that a model also goes by, the nearest first.
    """

    def __init__(
        self,
        chosen: Chosen,
        prices: PriceBook,
        clock: Clock,
        folder: Path | None,
        spellings: Callable[[str], tuple[str, ...]],
    ) -> None:
        self._prices, self._clock, self._spellings = prices, clock, spellings
        self._limits = chosen.limits
        self._models = {name.strip().casefold(): limits for name, limits in chosen.models.items()}
        self._sizes = {name.strip().casefold(): tokens for name, tokens in chosen.windows.items()}
        self._file = None if folder is None else folder / NAME
        self._learned: _Models = {}
        self._opened = False
        self._turn = anyio.Lock()

    async def open(self) -> None:
        """Load the price list and what was learned, once, however many ask at a time.

        Raises InvalidArgument that names a price file which cannot be read.
        """
        async with self._turn:
            if self._opened:
                return
            await self._prices.open()
            if self._file is not None:
                self._learned = {**await run_sync(_read, self._file), **self._learned}
            self._opened = True

    def window(self, model: str | None, told: Window | None = None, *, endpoint: str = "") -> Window:
        """The window of a model as a runtime names it; see the port for the order of what is believed."""
        listed = None if model is None else self._prices.window(model)
        found = self._said(model) or _sound(told) or self._heard(model, endpoint) or _long(model) or listed
        if found is None:
            return Window(tokens=ASSUMED, source="assumed")
        if listed is not None and not found.cliffs:
            return replace(found, cliffs=listed.cliffs)
        return found

    def limits(self, model: str | None) -> WindowLimits:
        """What the operator chose for a model, over what is chosen for all."""
        for name in () if model is None else self._spellings(model):
            if name in self._models:
                return self._limits.merged(self._models[name])
        return self._limits

    async def learn(self, model: str, window: Window, *, endpoint: str = "") -> None:
        """Keep what a runtime or a provider said; what does not make sense is passed over."""
        now, name = self._clock.now(), _at(endpoint, model.strip().casefold())
        try:
            heard = _Learned.model_validate({"tokens": window.tokens, "source": window.source, "at": now})
        except ValidationError:
            return
        before = self._learned.get(name)
        self._learned[name] = heard
        if before is not None and before.tokens == heard.tokens and now - before.at < DAY_S:
            return
        if self._file is not None:
            async with self._turn:
                await run_sync(_write, self._file, {name: heard}, now)

    def _names(self, model: str) -> tuple[str, ...]:
        """The names under which the window of a model may be known: the long one has its own."""
        plain = model.strip().casefold()
        return (plain,) if plain.endswith(LONG) else self._spellings(model)

    def _said(self, model: str | None) -> Window | None:
        names = () if model is None else self._names(model)
        sizes = (self._sizes[name] for name in names if name in self._sizes)
        tokens = next(sizes, None)
        return None if tokens is None else Window(tokens=tokens, source="settings")

    def _heard(self, model: str | None, endpoint: str) -> Window | None:
        now = self._clock.now()
        for name in () if model is None else self._names(model):
            known = self._learned.get(_at(endpoint, name))
            if known is not None and _fresh(known, now):
                return Window(tokens=known.tokens, source=known.source)
        return None


def _at(endpoint: str, name: str) -> str:
    """The name of a model at an endpoint: a gateway may leave less of its window."""
    return f"{endpoint} {name}".lstrip()


def _sound(told: Window | None) -> Window | None:
    return told if told is not None and told.tokens >= LEAST_TOKENS else None


def _long(model: str | None) -> Window | None:
    named_so = model is not None and model.strip().casefold().endswith(LONG)
    return Window(tokens=LONG_TOKENS, source="runtime") if named_so else None


def _fresh(known: _Learned, now: float) -> bool:
    # What comes from the future was written with another clock, and nobody knows how old it is.
    return -DAY_S < now - known.at < KEPT_S


def _read(file: Path) -> _Models:
    """What the file holds; nothing where it cannot be read, and no entry that makes no sense."""
    try:
        if file.stat().st_size > LARGEST:
            return {}
        found = _FILE.validate_json(file.read_bytes())
    except (OSError, ValueError) as error:
        if not isinstance(error, FileNotFoundError):
            _log.info("what is known of windows is passed over: %s", error)
        return {}
    learned: _Models = {}
    for name, entry in found.items():
        try:
            learned[name] = _ENTRY.validate_python(entry)
        except ValidationError:
            continue
    return learned


def _write(file: Path, learned: _Models, now: float) -> None:
    """Add to what the file holds by now, and leave out what is too old; it is there whole or not at all."""
    kept = {name: known for name, known in {**_read(file), **learned}.items() if _fresh(known, now)}
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            scratch.write_bytes(TypeAdapter(_Models).dump_json(kept))
            scratch.replace(file)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        _log.info("what was learned of windows is not kept: %s", error)
