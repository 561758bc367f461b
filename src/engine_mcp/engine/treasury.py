"""The treasury: what a user's executions spend together, the limits on that, and what is broken."""

from collections.abc import Mapping, Sequence

from engine_mcp.core.breaker import Breaker
from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.period import Change, Period, Room
from engine_mcp.engine.parts import Parts
from engine_mcp.engine.shared import Shared
from engine_mcp.errors import StorageError
from engine_mcp.ports import Ledger


class Treasury:
    """Looks into the ledger and the breakers, and changes limits; nothing here belongs to one execution."""

    def __init__(self, parts: Parts, shared: Shared) -> None:
        self._parts, self._shared = parts, shared

    @property
    def caps(self) -> Limits:
        """The operator's limits on each execution."""
        return self._shared.caps

    async def room(self) -> Room:
        """The shared limits, what is spent of each and what is held; empty without a ledger."""
        return await self._shared.accounts.look(fresh=True)

    async def spent(self, period: Period) -> Usage:
        """What was spent in this day or month, without limits too; all tokens are in `tokens_in`."""
        ledger = self._parts.ledger
        return Usage() if ledger is None else await ledger.spent(period, self._parts.clock.now())

    async def limit(self, period: Period, limits: Limits, by: str, *, reset: bool = False) -> Room:
        """Set the limits given of a period, with `reset` instead of all others; kept in the audit.

        Raises StorageError where there is no ledger to keep them in.
        """
        now = self._parts.clock.now()
        await self._ledger().limit(period, limits, Change(at=now, by=by, period=period, reset=reset))
        return await self.room()

    async def changes(self, period: Period | None = None, limit: int = 20) -> Sequence[Change]:
        """The newest changes of shared limits."""
        return () if self._parts.ledger is None else await self._parts.ledger.changes(period, limit)

    async def breakers(self) -> Mapping[str, Breaker]:
        """What is broken or has failed lately, by part."""
        await self._shared.circuits.look()
        return self._shared.circuits.known

    def _ledger(self) -> Ledger:
        if self._parts.ledger is None:
            raise StorageError("This engine has no place for limits that executions share.")
        return self._parts.ledger
