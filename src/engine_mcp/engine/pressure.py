"""Pressure: how short the machine is of memory and processors, so that the engine slows down in time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import anyio
import psutil

KEPT_S = 2.0
SHORT, GONE = 0.10, 0.02
"""Shares of memory that is available: from the first on pressure grows, at the second it is 1."""
BUSY, CROWDED = 4.0, 16.0
"""Load per processor: from the first on pressure grows, at the second it is `MOST_BY_LOAD`."""
MOST_BY_LOAD = 0.75
"""A busy machine is slow, but it does not fail as one without memory does."""


class Pressure(Protocol):
    """Tells how hard pressed the machine is."""

    async def pressed(self) -> float:
        """From 0, not at all, to 1, where nothing should be begun that can wait. Cheap; never raises."""
        ...


class NoPressure:
    """Fulfils `Pressure` for an engine that always takes all its places."""

    async def pressed(self) -> float:
        """Never."""
        return 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The share of the memory that is available, and the load per processor."""

    memory: float
    load: float

    @property
    def pressure(self) -> float:
        """The greater of both pressures, each growing evenly between its bounds."""
        by_memory = _between((SHORT - self.memory) / (SHORT - GONE))
        return max(by_memory, MOST_BY_LOAD * _between((self.load - BUSY) / (CROWDED - BUSY)))


class MachinePressure:
    """Fulfils `Pressure` from samples that are kept for two seconds, each taken by one caller in a thread."""

    def __init__(self, sample: Callable[[], Sample] | None = None, kept_s: float = KEPT_S) -> None:
        """Look at the machine with `sample`, which may block and raise OSError."""
        self._sample = sample or machine
        self._kept_s = kept_s
        self._asking = anyio.Lock()
        self._known: tuple[float, float] | None = None

    async def pressed(self) -> float:
        """The newest answer, or a new one; what cannot be told is no pressure."""
        async with self._asking:
            now = anyio.current_time()
            if self._known is None or now - self._known[0] >= self._kept_s:
                self._known = (now, await anyio.to_thread.run_sync(self._told))
            return self._known[1]

    def _told(self) -> float:
        try:
            return self._sample().pressure
        except (OSError, psutil.Error):
            return 0.0


def machine() -> Sample:
    """A sample of the machine that it runs on, by psutil."""
    memory = psutil.virtual_memory()
    return Sample(memory.available / memory.total, psutil.getloadavg()[0] / (psutil.cpu_count() or 1))


def _between(share: float) -> float:
    return min(1.0, max(0.0, share))
