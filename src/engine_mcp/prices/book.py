"""The price book: the user's own prices first, then those of genai-prices. Nothing is ever fetched."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Context, Decimal, localcontext
from pathlib import Path

import anyio
from anyio.to_thread import run_sync

from engine_mcp.core.budget import Usage
from engine_mcp.core.charge import Quote
from engine_mcp.core.window import Window
from engine_mcp.prices.names import Name, named, spellings
from engine_mcp.prices.overrides import Overrides, read

_EXACT = Context(prec=80, rounding=ROUND_CEILING)
"""More digits than a price times a number of tokens can have."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    overrides: Overrides
    listed: Callable[[Name, Usage, float], Decimal | None]
    windows: Callable[[Name, float], Window | None]
    price: str


class GenaiPrices:
    """What models cost; fulfils `ports.PriceBook`.

    `overrides` is the user's price file, which need not exist. A use is priced as one request: where a
    price has tiers, all the input of `usage` together decides which one holds. Web searches and other
    things that are no tokens are not in the price.
    """

    def __init__(self, overrides: Path | None) -> None:
        self._file = overrides
        self._loaded: _Loaded | None = None
        self._loading = anyio.Lock()

    async def open(self) -> None:
        """Read the price file and load the package in a thread, once, however many ask at a time."""
        async with self._loading:
            if self._loaded is None:
                self._loaded = await run_sync(_load, self._file)

    def quote(self, model: str, usage: Usage, at: float) -> Quote:
        """What a use cost at a time (Unix seconds), rounded up once.

        `micros` is None, and `price` empty, for a model without a price and for counts below 0.
        """
        loaded = self._opened()
        if (
            min(usage.tokens_in, usage.tokens_out, usage.cache_read, usage.cache_write, usage.cache_write_1h)
            < 0
        ):
            return Quote()
        with localcontext(_EXACT):
            return self._priced(loaded, model, usage, at)

    def window(self, model: str) -> Window | None:
        """The window of a model, with the input above which its price rises; None: unknown.

        What the user's own price file says comes first; its prices do not rise with the input.
        """
        loaded = self._opened()
        own, name = loaded.overrides.rate(spellings(model)), named(model)
        listed = loaded.windows(name, time.time()) if name else None
        if own is None:
            return listed
        if own.context_window is not None:
            return Window(tokens=own.context_window, source="prices")
        return replace(listed, cliffs=()) if listed else None

    def _opened(self) -> _Loaded:
        if self._loaded is None:
            msg = "The prices are not open."
            raise RuntimeError(msg)
        return self._loaded

    def _priced(self, loaded: _Loaded, model: str, usage: Usage, at: float) -> Quote:
        own = loaded.overrides.rate(spellings(model))
        if own is not None:
            return Quote(micros=_whole(own.micros(usage)), price=loaded.overrides.price)
        name = named(model)
        micros = loaded.listed(name, usage, at) if name else None
        return Quote() if micros is None else Quote(micros=_whole(micros), price=loaded.price)


def _load(file: Path | None) -> _Loaded:
    overrides = read(file)
    from engine_mcp.prices import listed  # noqa: PLC0415 - it takes a while to import; most servers start first

    return _Loaded(overrides, listed.micros, listed.window, listed.PRICE)


def _whole(micros: Decimal) -> int:
    return int(micros.to_integral_value(ROUND_CEILING))
