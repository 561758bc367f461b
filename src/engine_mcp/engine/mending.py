"""Mending: executions that nobody drives are amended under their lease, those of dead processes first."""

import logging
from collections.abc import Awaitable
from typing import TypeVar

import anyio

from engine_mcp.core.decide import settle
from engine_mcp.core.event import Event
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution
from engine_mcp.engine.accounts import Accounts
from engine_mcp.engine.parts import Parts
from engine_mcp.engine.recovery import lost
from engine_mcp.errors import EngineError, ExecutionNotFound, ExecutionOwned, StorageError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Mender:
    """Amends the records of executions that rest."""

    def __init__(self, parts: Parts, accounts: Accounts) -> None:
        self._parts, self._accounts = parts, accounts

    async def settle_lost(self, execution: Execution, now: float) -> tuple[Event, ...]:
        """The events that settle what a dead process left, once nothing that it started is alive."""
        events = lost(execution, now)
        if events and (sweeper := self._parts.sweeper) is not None:
            ended = await sweeper.sweep(execution.id)
            _log.info("%s: ended %d processes that its dead engine had left", execution.id, ended)
        return events

    async def amend(self, execution_id: str, event: Event | None, *, balance: bool = False) -> Execution:
        """Take the lease for a moment: settle what a dead process left, then record the event.

        With `balance` the ledger is told in any case what it cost, and holds nothing for it any more.
        """
        execution, log = await self._parts.store.open(execution_id)
        try:
            now = self._parts.clock.now()
            gone = await self.settle_lost(execution, now)
            events = gone if event is None else (*gone, event)
            if events:
                settled = settle(fold(execution, events), now)
                execution = settled.execution
                await log.append((*events, *settled.events), execution)
                await log.save(execution)
            if gone or balance:
                await self._tell_ledger(execution)
            return execution
        finally:
            await log.close()

    async def _tell_ledger(self, execution: Execution) -> None:
        try:
            await self._accounts.catch_up(execution)
        except StorageError as error:
            _log.warning("%s: the ledger was not told what it cost: %s", execution.id, error)

    async def give_back(self) -> None:
        """Settle executions of this project whose dead process holds something in the ledger.

        Those of other projects, whose records cannot be reached from here, and those that somebody drives are
        left as they are.
        """
        try:
            abandoned = await self._accounts.abandoned()
        except StorageError as error:
            _log.warning("the ledger is not told of what was left: %s", error)
            return
        for name in abandoned:
            try:
                await whole(self.amend(name, None, balance=True))
            except (ExecutionNotFound, ExecutionOwned):
                continue
            except EngineError as error:
                _log.warning("%s: the ledger was not told what it cost: %s", name, error)

    async def recover(self) -> None:
        """Settle every execution whose process died."""
        for name in await self._parts.store.abandoned():
            try:
                await whole(self.amend(name, None))
            except EngineError as error:
                _log.warning("%s is left as it is: %s", name, error)
        await self.give_back()


async def whole(action: Awaitable[_T]) -> _T:
    """Carry an action out to its end even if the caller is cancelled, so that no lease is left behind."""
    with anyio.CancelScope(shield=True):
        return await action
    raise AssertionError
