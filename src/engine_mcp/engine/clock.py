"""The time of the machine."""

import time
from collections.abc import Awaitable, Callable

import anyio

PIECE_S = 30.0
"""How long is slept at most without a look at the time: it may have been set, or the machine suspended."""


class SystemClock:
    """Fulfils `ports.Clock` with the machine's own time."""

    def __init__(
        self, time: Callable[[], float] = time.time, sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    ) -> None:
        """Tell the time in Unix seconds, and sleep so many of them, in other ways than the machine's."""
        self._time, self._sleep = time, sleep

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return self._time()

    async def sleep_until(self, at: float) -> None:
        """Return once `now()` has reached `at`."""
        while (left := at - self._time()) > 0:
            await self._sleep(min(left, PIECE_S))
