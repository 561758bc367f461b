"""Prices, the ledger and the breakers: what executions share."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from engine_mcp.core.breaker import Breaker
from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.charge import Quote
from engine_mcp.core.period import Change, Period, Room
from engine_mcp.core.spending import Hold, Posting
from engine_mcp.core.window import Window


class PriceBook(Protocol):
    """What models cost."""

    async def open(self) -> None:
        """Load the prices; returns at once where that is done. Nothing else may be asked before.

        Raises InvalidArgument that names a price file which cannot be read.
        """
        ...

    def quote(self, model: str, usage: Usage, at: float) -> Quote:
        """What a use of a model cost at a time (Unix seconds), the model as a runtime names it.

        `micros` is None for a model without a price; never 0 for one that is not known to be free.
        """
        ...

    def window(self, model: str) -> Window | None:
        """The listed window of a model, with the input above which its price rises; None: unknown."""
        ...


class Ledger(Protocol):
    """What a user's executions spent and hold, over all projects and processes; and the limits on that.

    It can be rebuilt from the records at any time. Amounts count to the micro-dollar.
    """

    async def posted(self, execution_id: str) -> int:
        """The sequence number up to which the ledger knows what an execution spent; 0 for none of it."""
        ...

    async def post(self, posting: Posting) -> bool:
        """Enter what was spent, and what is held now in the place of what was.

        Nothing happens, and the answer is False, where the ledger does not stand at `posting.after`.
        """
        ...

    async def reserve(
        self, posting: Posting, holds: Sequence[Hold], now: float, *, pauses: bool = True
    ) -> Room | None:
        """Post and hold more, all of it or none, so that no limit that pauses is passed by it.

        None once that is done. Else the room as it stands, and nothing was held; what was posted counts.
        `pauses` tells what becomes of limits that do not say so themselves. `holds` that ask for nothing
        of a limited resource are granted while the limit is not reached.
        Of several processes that ask at once none sees room that another has taken.
        """
        ...

    async def abandoned(self) -> Sequence[str]:
        """The ids of the executions that hold something for a process that is gone."""
        ...

    async def room(self, now: float) -> Room:
        """The shared limits, what is spent of each and what running attempts hold of it."""
        ...

    async def spent(self, period: Period, now: float) -> Usage:
        """What was spent in the period that holds `now`."""
        ...

    async def limit(self, period: Period, limits: Limits, change: Change) -> None:
        """Set the limits given of a period, the others stay; with `change.reset` all are taken away first."""
        ...

    async def changes(self, period: Period | None, limit: int) -> Sequence[Change]:
        """The newest changes of shared limits, the newest first; None for every period."""
        ...


class Breakers(Protocol):
    """The breakers of a user, over all projects and processes."""

    async def read(self) -> Mapping[str, Breaker]:
        """Every breaker that is not closed or has counted failures, by its part."""
        ...

    async def write(self, before: Breaker | None, after: Breaker) -> bool:
        """Put `after` in the place of `before`; False, and nothing happens, if another came between."""
        ...
