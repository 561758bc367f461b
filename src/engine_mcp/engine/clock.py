"""The time of the machine."""

import time

import anyio


class SystemClock:
    """Fulfils `ports.Clock` with the machine's own time."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return time.time()

    async def sleep_until(self, at: float) -> None:
        """Return once `now()` has reached `at`."""
        # The machine's clock may be set back while this waits, and no event tells.
        while (left := at - time.time()) > 0:  # noqa: ASYNC110
            await anyio.sleep(left)
