"""Whole requests: what a request has used so far, of which runtimes tell piece by piece."""

from dataclasses import dataclass, field

from engine_mcp.core.budget import Usage

_NOTHING = Usage()


@dataclass(slots=True)
class WholeRequest:
    """The request under way: a tier of prices, or the rounding of a sum, is that of the whole of it."""

    model: str = ""
    used: Usage = field(default_factory=Usage)

    def add(self, usage: Usage, model: str) -> Usage:
        """Take a piece, and tell what the request had used before; a piece with `requests` begins another."""
        if usage.requests or model != self.model:
            self.model, self.used = model, _NOTHING
        before = self.used
        self.used = before + usage
        return before
