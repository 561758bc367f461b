"""Retention: which finished executions are old enough, or too many, to be kept."""

from collections.abc import Iterable
from dataclasses import dataclass

from engine_mcp.core.listing import Listed

KEEP = "keep"
"""An execution whose folder holds a file of this name is never pruned."""

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Finished executions are kept for so many days after their last change, and so many at most."""

    days: float = 30.0
    count: int = 10_000

    def expired(self, finished: Iterable[Listed], now: float) -> tuple[str, ...]:
        """The ids that are not kept, oldest change first."""
        newest = sorted(finished, key=lambda row: (row.updated_at, row.id), reverse=True)
        limit = now - self.days * _DAY_S
        gone = [row.id for place, row in enumerate(newest) if place >= self.count or row.updated_at < limit]
        return tuple(reversed(gone))
