"""The audit of a price: what the book says today of a charge that it priced once."""

from dataclasses import replace

from engine_mcp.core.budget import Usage
from engine_mcp.core.charge import Charge, Quote
from engine_mcp.ports import PriceBook

NOTHING = Usage()


def repriced(charge: Charge, book: PriceBook, at: float, before: Usage = NOTHING) -> Quote | None:
    """What the book gives for the charge of one report at its time; None where nothing can be compared.

    `before` is what the same request had used until then (`core.whole`).

    That is where the charge was never computed, or where the book has another list or version for its
    model by now. Otherwise `micros` must be the charge's `computed_micros`. A charge that was put together
    from several requests cannot be priced again: each was rounded up, and had a tier, for itself.
    """
    if charge.computed_micros is None:
        return None
    quote = book.quote(charge.model, before + charge.usage, at)
    if quote.price != charge.price or quote.micros is None:
        return None
    had = book.quote(charge.model, before, at).micros if before != NOTHING else 0
    return replace(quote, micros=quote.micros - (had or 0))
