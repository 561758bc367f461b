"""The shared limits of a user as they stand: the operator's caps and those that were set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import tzinfo

from engine_mcp.core.budget import Limits
from engine_mcp.core.period import Period, Room, Standing, bounds
from engine_mcp.ledger.amounts import Amounts, usage_of

Tally = Callable[[float, float], tuple[Amounts, Amounts]]
"""What was spent from one time to another (Unix seconds), and what is held then."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What counts besides the ledger's own content: the user's time zone and the operator's caps."""

    zone: tzinfo
    caps: Mapping[Period, Limits]

    def room(self, limits: Mapping[Period, Limits], now: float, tally: Tally) -> Room:
        """Every limit, with what is spent and held of it in the period that holds `now`."""
        found: list[Standing] = []
        for period in Period:
            rules = ((limits.get(period, _NONE), False), (self.caps.get(period, _NONE), True))
            if not any(rule.limited for rule, _ in rules):
                continue
            begin, end = bounds(period, now, self.zone)
            spent, held = (usage_of(each) for each in tally(begin, end))
            found += [
                Standing(period=period, limits=rule, spent=spent, held=held, cap=cap, resets_at=end)
                for rule, cap in rules
                if rule.limited
            ]
        return Room(standings=tuple(found))


_NONE = Limits()
