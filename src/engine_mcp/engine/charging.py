"""Charging: what an attempt reports of its use is priced, and held against what the runtime says it cost."""

from dataclasses import dataclass, field, replace

from engine_mcp.core.budget import Resource, Usage
from engine_mcp.core.charge import Charge, Quote
from engine_mcp.core.whole import WholeRequest
from engine_mcp.ports import Clock, PriceBook

PER = 1000


@dataclass(slots=True, kw_only=True)
class Charging:
    """The costs of one attempt.

    Where the runtime `tells` what it cost, tokens are priced for comparison, and count only where no
    cost is told in the end. `spent` is everything so far, with what is not told yet.
    """

    book: PriceBook | None
    clock: Clock
    tells: bool = False
    spent: Usage = field(default_factory=Usage)
    _pending: int = 0
    _unknown: bool = False
    _request: WholeRequest = field(default_factory=WholeRequest)

    def charge(self, usage: Usage, model: str) -> Charge:
        """The charge for a use that was reported; its usage has the cost that counts now."""
        quote = self._beyond(self._request.add(usage, model), usage, model)
        if usage.cost_micros:
            self._settle(usage)
            return Charge(
                model=model,
                usage=usage,
                reported_micros=usage.cost_micros,
                computed_micros=quote.micros,
                price=quote.price,
            )
        counted = self._counted(usage, quote)
        self.spent += counted
        return Charge(model=model, usage=counted, computed_micros=quote.micros, price=quote.price)

    def rest(self) -> Usage:
        """The cost of what was used and whose cost nobody told, once the attempt has ended."""
        left = Usage(cost_micros=self._pending, cost_basis="computed") if self._pending else Usage()
        unknown = Usage(cost_basis="unpriced") if self._unknown else Usage()
        self._pending, self._unknown = 0, False
        return left + unknown

    def affordable(self, share: Usage, model: str, asking: int) -> int | None:
        """The most tokens that another answer may have within a share; None without a bound.

        `asking` are the tokens of the request; at worst no cache holds them.
        """
        bounds: list[int] = []
        if tokens := share.amount(Resource.TOKENS):
            bounds.append(tokens - self.spent.amount(Resource.TOKENS) - asking)
        left = share.cost_micros - self.cost_micros
        if share.cost_micros and (rest := self._tokens_for(left, asking, model)) is not None:
            bounds.append(rest)
        return max(0, min(bounds)) if bounds else None

    def _tokens_for(self, micros: int, asking: int, model: str) -> int | None:
        """The tokens of an answer that so many micro-dollars pay for at the worst; None if nobody knows."""
        asked = [Usage(tokens_in=asking), Usage(cache_write=asking)]
        prices = [self._quote(usage, model).micros or 0 for usage in asked]
        worst = asked[prices.index(max(prices))]
        told = self._quote(replace(worst, tokens_out=PER), model).micros
        if told is None or told <= max(prices):
            return None
        return (micros - max(prices)) * PER // (told - max(prices))

    @property
    def cost_micros(self) -> int:
        """What the attempt has cost so far, as far as that is known."""
        return self.spent.cost_micros + self._pending

    def _settle(self, usage: Usage) -> None:
        self._pending, self._unknown = 0, False
        self.spent += usage

    def _counted(self, usage: Usage, quote: Quote) -> Usage:
        if not usage.amount(Resource.TOKENS):
            unknown = usage.cost_basis != "none"
            self._unknown = self._unknown or (unknown and self.tells)
            basis = "unpriced" if unknown and not self.tells else "none"
            return replace(usage, cost_micros=0, cost_basis=basis)
        if self.tells:
            self._pending += quote.micros or 0
            self._unknown = self._unknown or quote.micros is None
            return replace(usage, cost_micros=0, cost_basis="none")
        if quote.micros is None:
            return replace(usage, cost_micros=0, cost_basis="unpriced")
        return replace(usage, cost_micros=quote.micros, cost_basis="computed")

    def _beyond(self, before: Usage, usage: Usage, model: str) -> Quote:
        """What a piece of a request costs: what the whole costs so far, less what it did before."""
        whole, had = self._quote(before + usage, model), self._quote(before, model)
        if whole.micros is None or not usage.amount(Resource.TOKENS):
            return replace(whole, micros=None if whole.micros is None else 0)
        return replace(whole, micros=max(0, whole.micros - (had.micros or 0)))

    def _quote(self, usage: Usage, model: str) -> Quote:
        if self.book is None or not model or not usage.amount(Resource.TOKENS):
            return Quote()
        return self.book.quote(model, usage, self.clock.now())
