"""Left holds: what dead processes hold of shared limits is looked for while a step waits for room."""

import logging
import math

import anyio

from engine_mcp.engine.mending import Mender
from engine_mcp.ports import Clock

_log = logging.getLogger(__name__)
LOOK_EVERY_S = 30.0


class LeftHolds:
    """Gives back what dead processes hold, for all executions of an engine."""

    def __init__(self, mender: Mender, clock: Clock) -> None:
        self._mender, self._clock = mender, clock
        self._looked = -math.inf
        self._looking = anyio.Lock()

    async def give_back(self) -> None:
        """Settle what dead processes left, unless that was done within the last `LOOK_EVERY_S` seconds."""
        async with self._looking:
            now = self._clock.now()
            if 0 <= now - self._looked < LOOK_EVERY_S:
                return
            self._looked = now
            try:
                await self._mender.give_back()
            except Exception:  # noqa: BLE001 - what others left must not end an execution that only waits
                _log.exception("what dead processes hold is not given back")
