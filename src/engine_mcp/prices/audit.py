"""The audit of a price: what the book says today of a charge that it priced once."""

from engine_mcp.core.charge import Charge, Quote
from engine_mcp.ports import PriceBook


def repriced(charge: Charge, book: PriceBook, at: float) -> Quote | None:
    """What the book gives for the charge of one report at its time; None where nothing can be compared.

    That is where the charge was never computed, or where the book has another list or version for its
    model by now. Otherwise `micros` must be the charge's `computed_micros`. A charge that was put together
    from several reports cannot be priced again: each was rounded up, and had a tier, for itself.
    """
    if charge.computed_micros is None:
        return None
    quote = book.quote(charge.model, charge.usage, at)
    return quote if quote.price == charge.price else None
