"""The ledger and the breakers in memory: the same contracts for one process; nothing survives it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import tzinfo

from anyio.lowlevel import checkpoint

from engine_mcp.core.breaker import Breaker
from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.period import QUARTER_S, Change, Period, Room, bounds
from engine_mcp.core.sharing import refused
from engine_mcp.core.spending import Hold, Posting
from engine_mcp.ledger.amounts import Amounts, amounts, total, usage_of
from engine_mcp.ledger.breakers import unremarkable
from engine_mcp.ledger.standings import Terms

Held = dict[tuple[str, int], Amounts]


class MemoryLedger:
    """Fulfils `ports.Ledger` for the executions of one process."""

    def __init__(self, zone: tzinfo, caps: Mapping[Period, Limits]) -> None:
        """Know nothing yet; days begin and end in `zone`, `caps` are the operator's."""
        self._terms = Terms(zone, caps)
        self._posted: dict[str, int] = {}
        self._spent: dict[int, Amounts] = {}
        self._held: dict[str, Held] = {}
        self._limits: dict[Period, Limits] = {}
        self._changes: list[Change] = []

    async def posted(self, execution_id: str) -> int:
        """The number of the last event of the execution that is counted here."""
        await checkpoint()
        return self._posted.get(execution_id, 0)

    async def post(self, posting: Posting) -> bool:
        """Enter what was spent and is held, if the ledger stands at `posting.after`."""
        await checkpoint()
        return self._entered(posting)

    async def reserve(
        self, posting: Posting, holds: Sequence[Hold], now: float, *, pauses: bool = True
    ) -> Room | None:
        """Post and hold more, if every limit that pauses leaves room for it; as `SqliteLedger` does."""
        await checkpoint()
        entered = self._entered(posting)
        room = self._room(now)
        if not entered or refused(room, holds, pauses=pauses):
            return room
        self._hold(posting.execution_id, holds)
        return None

    async def abandoned(self) -> Sequence[str]:
        """None: all of it goes with its process."""
        return ()

    async def room(self, now: float) -> Room:
        """The shared limits and the operator's caps as they stand."""
        await checkpoint()
        return self._room(now)

    async def spent(self, period: Period, now: float) -> Usage:
        """What was spent in the period that holds `now`; all tokens are told as `tokens_in`."""
        await checkpoint()
        return usage_of(self._spent_in(*bounds(period, now, self._terms.zone)))

    async def limit(self, period: Period, limits: Limits, change: Change) -> None:
        """Set limits and enter the change, with what stood before, stands now and was spent at its time."""
        await checkpoint()
        before = self._limits.get(period, Limits())
        after = (Limits() if change.reset else before).merged(limits)
        spent = usage_of(self._spent_in(*bounds(period, change.at, self._terms.zone)))
        self._limits[period] = after
        self._changes.append(replace(change, period=period, before=before, after=after, spent=spent))

    async def changes(self, period: Period | None, limit: int) -> Sequence[Change]:
        """The newest changes of shared limits, the newest first."""
        await checkpoint()
        wanted = [change for change in reversed(self._changes) if period in {None, change.period}]
        return tuple(wanted[: max(0, limit)])

    def _entered(self, posting: Posting) -> bool:
        name = posting.execution_id
        if self._posted.get(name, 0) != posting.after:
            return False
        for quarter, usage in posting.spent.items():
            self._spent[quarter] = total((self._spent.get(quarter, _NOTHING), amounts(usage)))
        self._posted[name] = posting.upto
        self._held.pop(name, None)
        self._hold(name, posting.holds)
        return True

    def _hold(self, name: str, holds: Sequence[Hold]) -> None:
        held = self._held.setdefault(name, {})
        for one in holds:
            key = (one.step, one.number)
            held[key] = total((held.get(key, _NOTHING), amounts(one.usage)))

    def _room(self, now: float) -> Room:
        held = total(one for holds in self._held.values() for one in holds.values())
        return self._terms.room(self._limits, now, lambda begin, end: (self._spent_in(begin, end), held))

    def _spent_in(self, begin: float, end: float) -> Amounts:
        quarters = range(int(begin // QUARTER_S), int(end // QUARTER_S))
        return total(found for quarter, found in self._spent.items() if quarter in quarters)


_NOTHING: Amounts = (0, 0, 0, 0)


class MemoryBreakers:
    """Fulfils `ports.Breakers` for one process."""

    def __init__(self) -> None:
        """Know of nothing broken."""
        self._found: dict[str, Breaker] = {}

    async def read(self) -> Mapping[str, Breaker]:
        """Every breaker that is not closed or has counted failures, by its part."""
        await checkpoint()
        return dict(sorted(self._found.items()))

    async def write(self, before: Breaker | None, after: Breaker) -> bool:
        """Put `after` in the place of `before`, where that is what stands there."""
        await checkpoint()
        if self._found.get(after.part) != (None if unremarkable(before) else before):
            return False
        if unremarkable(after):
            self._found.pop(after.part, None)
        else:
            self._found[after.part] = after
        return True
