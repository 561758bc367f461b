"""Replay: the recorded calls of a script are answered from the record, in the order of the record."""

from collections.abc import Mapping

import anyio

from engine_mcp.core.execution import RecordedCall
from engine_mcp.core.script import HostCall


class Replay:
    """The recorded calls of one step, each given out once.

    A script's later calls depend on the order in which it got its answers. So each recorded answer
    waits for those before it, and every new call for all of them.
    """

    def __init__(self, calls: Mapping[int, RecordedCall]) -> None:
        self._calls = calls
        self._turns = {ordinal: anyio.Event() for ordinal in calls}
        self._over = anyio.Event()
        self._order = list(calls)
        self._next = 0
        self.mismatch: str | None = None
        self._give_turn()

    def _give_turn(self) -> None:
        if self._next < len(self._order):
            self._turns[self._order[self._next]].set()
        else:
            self._over.set()

    async def recorded(self, call: HostCall, digest: str) -> RecordedCall | None:
        """The record of a call once it is its turn; None if it is a new one, once the record is used up.

        A call that is not the one on record is kept in `mismatch`; it and every other are answered with
        None from then on, and none waits any more.
        """
        found = self._calls.get(call.ordinal)
        if found is None:
            await self._over.wait()
            return None
        if found.digest != digest:
            self._leave_the_path(call, found)
            return None
        await self._turns[call.ordinal].wait()
        return None if self.mismatch else found

    def _leave_the_path(self, call: HostCall, found: RecordedCall) -> None:
        text = f"The call {call.ordinal} is {call.name}; on record is another call of {found.name}."
        self.mismatch = self.mismatch or text
        for waiting in (*self._turns.values(), self._over):
            waiting.set()

    def delivered(self) -> None:
        """Go on with the next recorded call; called right before an answer is handed over."""
        self._next += 1
        self._give_turn()
