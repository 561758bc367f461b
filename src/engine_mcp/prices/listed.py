"""The price list of genai-prices, as the installed package holds it.

Importing this imports the package, which takes a while: `book` does it in a thread. Its data are read
and never fetched.

A row of the list takes many names by how they begin or by what they contain, so that `claude-opus-4-10`
would get the price of `claude-opus-4-1`. Here a row holds only for a name that differs from what the row
says by a date, a version or a word that means the newest one. The list also has rows without any price,
for models that are free as well as for models whose price is not known; those have none here.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

from genai_prices import Usage as Counted
from genai_prices import __version__, types
from genai_prices.data import providers

from engine_mcp.core.budget import MICROS, Resource, Usage
from engine_mcp.core.window import Window
from engine_mcp.prices.names import Name, undated

PRICE = f"genai-prices {__version__}"
"""The list and its version; the data have no date of their own."""
_REST = re.compile(
    r"(-preview|-exp|-latest)?([-@](20\d{6}|20\d\d-\d\d-\d\d|\d\d-\d\d|\d{3}|default))?(-v\d+)?(:\d+)?"
)
_BEGINNING = re.compile(r"(.*[./:])?")
_FAST = "-fast"
_SPEED = {"speed": "fast"}
_BY_ID = {provider.id: provider for provider in providers}


def micros(name: Name, usage: Usage, at: float) -> Decimal | None:
    """What a use costs in micro-dollars, not rounded; None where that is not known."""
    found = _row(name)
    if found is None:
        return None
    row, fast = found
    when = datetime.fromtimestamp(at, UTC)
    if fast and not _has_fast(row, when):
        return None
    return cost(row.get_prices(when, _SPEED if fast else None), usage)


def cost(prices: types.ModelPrice, usage: Usage) -> Decimal | None:
    """What a use costs at the prices of a row; None where they leave something out or make it free."""
    if not _covers(prices, usage):
        return None
    found = prices.calc_price(_counted(usage))["total_price"] * MICROS
    return found if found or not usage.amount(Resource.TOKENS) else None


def window(name: Name, at: float) -> Window | None:
    """The window of a model, and above how much input its price rises at a time; None: not listed."""
    found = _row(name)
    if found is None or not found[0].context_window:
        return None
    prices = found[0].get_prices(datetime.fromtimestamp(at, UTC), None)
    tiered = (price for price in vars(prices).values() if isinstance(price, types.TieredPrices))
    starts = {tier.start for price in tiered for tier in price.tiers}
    return Window(tokens=found[0].context_window, source="prices", cliffs=tuple(sorted(starts)))


@lru_cache(256)
def _row(name: Name) -> tuple[types.ModelInfo, bool] | None:
    """The row of a model, and whether it is the fast mode of that model."""
    provider = _BY_ID.get(name.provider)
    if provider is None:
        return None
    if row := _named(provider, name.model):
        return row, False
    if provider.id == "anthropic" and name.model.endswith(_FAST):
        row = _named(provider, name.model.removesuffix(_FAST))
        return (row, True) if row else None
    return None


def _named(provider: types.Provider, model: str) -> types.ModelInfo | None:
    """The first row for this very model, with the provider or with those whose models it offers."""
    rows = tuple(_rows(provider))
    for wanted in dict.fromkeys((model, undated(model))):
        for row in rows:
            if _is(row.match, wanted):
                return row
    return None


def _rows(provider: types.Provider) -> Iterator[types.ModelInfo]:
    yield from provider.models
    for other in provider.fallback_model_providers or ():
        yield from _BY_ID[other].models


def _is(clause: types.MatchLogic, model: str) -> bool:
    """Whether a clause of a row takes a model by more than a part of its name."""
    match clause:
        case types.ClauseOr():
            return any(_is(part, model) for part in clause.or_)
        case types.ClauseAnd():
            return all(_is(part, model) for part in clause.and_)
        case types.ClauseStartsWith():
            return _within(clause.starts_with, model, first=True)
        case types.ClauseContains():
            return _within(clause.contains, model)
        case types.ClauseEndsWith():
            return _within(clause.ends_with, model, last=True)
        case _:
            return clause.is_match(model)


def _within(part: str, model: str, *, first: bool = False, last: bool = False) -> bool:
    """Whether a name is this part, but for what may stand before it and after it."""
    before, found, after = model.partition(part.lower())
    if not found or (first and before) or (last and after):
        return False
    return bool(_BEGINNING.fullmatch(before) and _REST.fullmatch(after))


def _has_fast(row: types.ModelInfo, when: datetime) -> bool:
    # Without such a price the package gives the ordinary one and says nothing.
    return any(
        variant.when == _SPEED and (variant.constraint is None or variant.constraint.active(when))
        for variant in row.price_variants or ()
    )


def _covers(prices: types.ModelPrice, usage: Usage) -> bool:
    """Whether nothing in a use would be forgotten: the package charges 0 for what it has no price of."""
    if prices.input_mtok is None or prices.output_mtok is None or prices.requests_kcount is not None:
        return False
    return not usage.cache_write_1h or prices.cache_write_1h_mtok is not None


def _counted(usage: Usage) -> Counted:
    """The use in the package's words: there the input is all of it, cached or not, which sets the tier."""
    written = max(usage.cache_write, usage.cache_write_1h)
    return Counted(
        input_tokens=usage.tokens_in + usage.cache_read + written,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=written,
        cache_write_1h_tokens=usage.cache_write_1h,
        output_tokens=usage.tokens_out,
    )
