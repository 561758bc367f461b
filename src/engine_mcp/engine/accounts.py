"""Accounts: what executions spend and hold is entered in the ledger of the user, before it is spent."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from engine_mcp.core.admission import SPENDS, left_of, pauses
from engine_mcp.core.budget import Resource, Usage
from engine_mcp.core.effect import Start
from engine_mcp.core.event import Event
from engine_mcp.core.execution import Execution
from engine_mcp.core.period import Room
from engine_mcp.core.plan import StepKind
from engine_mcp.core.spending import Hold, Posting, spent_in
from engine_mcp.ports import Clock, Ledger, Store

LOOK_EVERY_S = 1.0
PAGE = 1000
_TIMES = 20
_NOTHING = Usage()


class Accounts:
    """The ledger as the executions of one engine see it; without one nothing is shared."""

    def __init__(self, ledger: Ledger | None, store: Store, clock: Clock) -> None:
        self.ledger, self.store, self._clock = ledger, store, clock
        self.room = Room()
        self._looked = 0.0
        self._looking = anyio.Lock()

    async def look(self, *, fresh: bool = False) -> Room:
        """The shared limits, as they stand now or stood a moment ago."""
        if self.ledger is None:
            return self.room
        async with self._looking:
            now = self._clock.now()
            if fresh or self._is_old(now):
                self.room = await self.ledger.room(now)
                self._looked = now
        return self.room

    def _is_old(self, now: float) -> bool:
        """Whether the room was seen too long ago, or before a period ended."""
        ends = [standing.resets_at for standing in self.room.standings if standing.resets_at is not None]
        return not 0 <= now - self._looked < LOOK_EVERY_S or any(end <= now for end in ends)

    def see(self, room: Room) -> None:
        """Take a room that was read on the way."""
        self.room, self._looked = room, self._clock.now()

    def of(self, execution: Execution) -> "Account | None":
        """The account of an execution that is about to be driven; a new one has spent nothing."""
        posted = 0 if execution.revision == 1 else None
        return None if self.ledger is None else Account(self, self.ledger, execution, posted)

    async def abandoned(self) -> Sequence[str]:
        """The executions that hold something for a process that is gone."""
        return () if self.ledger is None else await self.ledger.abandoned()

    async def catch_up(self, execution: Execution) -> None:
        """Enter what an execution that rests has spent and the ledger does not know; it holds nothing."""
        if self.ledger is not None:
            await Account(self, self.ledger, execution).settle(execution)


@dataclass(slots=True)
class Account:
    """What one execution spends; `note` what is durable, `reserve` before an attempt, `settle` at the end."""

    accounts: Accounts
    ledger: Ledger
    execution: Execution
    posted: int | None = None
    spent: dict[int, Usage] = field(default_factory=dict[int, Usage])

    def note(self, events: Sequence[Event], after: Execution) -> None:
        """Count events that are on record, up to `after`."""
        self.execution = after
        for quarter, usage in spent_in(events).items():
            self.spent[quarter] = self.spent.get(quarter, _NOTHING) + usage

    async def reserve(self, starts: Sequence[Start], now: float) -> Room | None:
        """Hold what attempts are to reserve: None once that is done, else the room that is too small."""
        holds = [_hold(start, self.execution.steps[start.event.step].spec.kind) for start in starts]
        for _ in range(_TIMES):
            posting = await self._posting()
            stops = pauses(self.execution.budget)
            room = await self.ledger.reserve(posting, holds, now, pauses=stops)
            if room is None or await self.ledger.posted(posting.execution_id) == posting.upto:
                self._entered(posting)
                return room
            self.posted = None
        raise AssertionError("the ledger and the record of an execution never agree")

    async def settle(self, after: Execution) -> None:
        """Enter all that was spent; nothing is held any more beyond what still runs."""
        self.execution = after
        for _ in range(_TIMES):
            if self._negligible():
                return
            posting = await self._posting()
            if await self.ledger.post(posting):
                self._entered(posting)
                return
            self.posted = None

    def _negligible(self) -> bool:
        """Whether nothing was spent but seconds that nobody limits: no need to tell the ledger."""
        kinds = (Resource.TOKENS, Resource.COST, Resource.REQUESTS)
        if self.posted != 0 or any(usage.amount(kind) for usage in self.spent.values() for kind in kinds):
            return False
        standings = self.accounts.room.standings
        return all(standing.limits.max_seconds is None for standing in standings)

    async def _posting(self) -> Posting:
        if self.posted is None:
            await self._agree()
        holds = tuple(
            Hold(step=step.spec.id, number=step.attempts[-1].number, usage=left_of(step))
            for step in self.execution.running
        )
        return Posting(
            execution_id=self.execution.id,
            after=self.posted or 0,
            upto=self.execution.revision,
            spent=dict(self.spent),
            holds=holds,
        )

    async def _agree(self) -> None:
        """Begin where the ledger stands: what it does not know is read from the record."""
        name, upto = self.execution.id, self.execution.revision
        self.posted = at = await self.ledger.posted(name)
        events: list[Event] = []
        while at < upto and (page := await self.accounts.store.events(name, at, min(PAGE, upto - at))):
            at = page[-1][0]
            events += (event for _, event in page)
        self.spent = spent_in(events)

    def _entered(self, posting: Posting) -> None:
        self.posted, self.spent = posting.upto, {}


def _hold(start: Start, kind: StepKind) -> Hold:
    began = start.event
    return Hold(step=began.step, number=began.number, usage=began.reserved, spends=SPENDS[kind])


def must_ask(starts: Sequence[Start], execution: Execution, room: Room) -> bool:
    """Whether attempts may only start once the ledger holds their share: models cost, or limits stand."""
    if any(execution.steps[start.event.step].spec.kind is StepKind.AGENT for start in starts):
        return True
    kinds = (Resource.REQUESTS, Resource.SECONDS)
    return bool(starts) and any(
        standing.limits.amount(kind) is not None for standing in room.standings for kind in kinds
    )
