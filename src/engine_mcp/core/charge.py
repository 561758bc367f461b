"""Charges: what a model was used for in an attempt and what that costs; the entries of the ledger."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from engine_mcp.core.budget import Resource, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a use costs by a price list: micro-dollars, rounded up, None where the model has no price.

    `price` names the list and its version.
    """

    micros: int | None = None
    price: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one model took, as its runtime names it, and the cost that counts, with its basis.

    `reported_micros` is what the runtime said it cost, `computed_micros` what the price list says;
    None where there is no such figure. `price` names the list and its version.
    """

    model: str = ""
    usage: Usage = field(default_factory=Usage)
    reported_micros: int | None = None
    computed_micros: int | None = None
    price: str = ""

    def __add__(self, other: "Charge") -> "Charge":
        """Both together; figures that one of them lacks are those of the other."""
        return replace(
            self,
            usage=self.usage + other.usage,
            reported_micros=_sum(self.reported_micros, other.reported_micros),
            computed_micros=_sum(self.computed_micros, other.computed_micros),
            price=self.price or other.price,
        )


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else one + other


def merged(charges: Iterable[Charge], new: Charge) -> tuple[Charge, ...]:
    """The charges with one more, one for each model and price list."""
    kept = list(charges)
    for place, charge in enumerate(kept):
        if charge.model == new.model and (charge.price == new.price or not new.price or not charge.price):
            kept[place] = charge + new
            return tuple(kept)
    return (*kept, new)


def drift(charges: Iterable[Charge]) -> float | None:
    """By which part of it the reported cost exceeds the computed one; None where they cannot be compared."""
    known = list(charges)
    if any(charge.computed_micros is None and charge.usage.amount(Resource.TOKENS) for charge in known):
        return None
    told = [charge.reported_micros for charge in known if charge.reported_micros is not None]
    computed = sum(charge.computed_micros or 0 for charge in known)
    if not told or computed == 0:
        return None
    return (sum(told) - computed) / computed


def pending(charges: Iterable[Charge], counted: int) -> Usage:
    """What the charges of an attempt come to beyond the micro-dollars that were counted."""
    known = list(charges)
    computed = sum(charge.computed_micros or 0 for charge in known)
    unknown = any(charge.computed_micros is None and charge.usage.amount(Resource.TOKENS) for charge in known)
    left = max(0, computed - counted)
    basis = "unpriced" if unknown and not counted else "computed" if left else "none"
    return Usage(cost_micros=left, cost_basis=basis)
