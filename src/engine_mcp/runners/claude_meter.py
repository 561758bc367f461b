"""What Claude Code used: told as its answers stream, by model, and set right by its result lines."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from engine_mcp.core.agent import AgentReport
from engine_mcp.core.budget import Usage

_UNPRICED = Usage(cost_basis="unpriced")


class Meter:
    """Counts each token once. `used` is all that was told, its cost that of the result lines."""

    def __init__(self) -> None:
        self.used = Usage()
        self._by_model: dict[str, Usage] = {}
        self._billed, self._billed_by_model = Usage(), dict[str, Usage]()
        self._model = ""
        self._asked_with, self._told = Usage(), Usage()

    def asked(self, model: str, read: Usage) -> AgentReport:
        """A request to a model begins to be answered; `read` is what its answer says at the start."""
        self._model, self._asked_with, self._told = model, read, Usage()
        return self._tell(model, Usage(requests=1))

    def counted(self, whole: Usage) -> AgentReport:
        """The answer under way says what it used; each time it tells a total."""
        kept = min(whole.cache_write, max(whole.cache_write_1h, self._asked_with.cache_write_1h))
        usage = _beyond(replace(whole, cache_write_1h=kept), self._told)
        self._told += usage
        return self._tell(self._model, usage)

    def under_way(self) -> AgentReport:
        """What the answer under way has used and not told."""
        return self._tell(self._model, _beyond(self._asked_with, self._told), unpriced=True)

    def billed(self, usage: Usage, by_model: Mapping[str, Usage]) -> Iterator[AgentReport]:
        """A result line says what was used since the one before: the rest of it, and its cost in the end."""
        self._billed += usage
        for model, tokens in by_model.items():
            self._billed_by_model[model] = self._billed_by_model.get(model, Usage()) + tokens
        rest = _beyond(self._billed, self.used)
        *others, (last, tokens) = self._rests(rest)
        for model, part in others:
            if part != Usage():
                yield self._tell(model, part)
        cost = Usage(cost_micros=rest.cost_micros, cost_basis=usage.cost_basis)
        self.used += tokens + cost
        self._by_model[last] = self._by_model.get(last, Usage()) + tokens
        if tokens + cost != Usage():
            yield AgentReport(usage=tokens + cost, model=last)

    def _rests(self, rest: Usage) -> list[tuple[str, Usage]]:
        """The rest in tokens: of each model where they add up, else of the only one there is, or of none."""
        whole = replace(rest, cost_micros=0, cost_basis="none")
        parts = [
            (model, _beyond(billed, self._by_model.get(model, Usage())))
            for model, billed in self._billed_by_model.items()
        ]
        if parts and sum((part for _, part in parts), Usage()) == whole:
            return parts
        names = list(self._billed_by_model or self._by_model)
        return [(names[0] if len(names) == 1 else "", whole)]

    def _tell(self, model: str, usage: Usage, *, unpriced: bool = False) -> AgentReport:
        self._by_model[model] = self._by_model.get(model, Usage()) + usage
        self.used += usage
        priceless = unpriced or usage != Usage(requests=usage.requests)
        return AgentReport(usage=usage + _UNPRICED if priceless else usage, model=model)


def _beyond(whole: Usage, told: Usage) -> Usage:
    """The tokens and the cost that `whole` has and `told` has not; what was told stays told."""
    return Usage(
        tokens_in=max(0, whole.tokens_in - told.tokens_in),
        tokens_out=max(0, whole.tokens_out - told.tokens_out),
        cache_read=max(0, whole.cache_read - told.cache_read),
        cache_write=max(0, whole.cache_write - told.cache_write),
        cache_write_1h=max(0, whole.cache_write_1h - told.cache_write_1h),
        cost_micros=max(0, whole.cost_micros - told.cost_micros),
    )
