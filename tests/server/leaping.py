"""An event loop whose time leaps: where nothing is to be done but to wait, the wait is over at once."""

import asyncio
import selectors
from collections.abc import Mapping


class _Leaps(selectors.SelectSelector):
    """Never waits for a timer, but counts what the wait would have taken."""

    def __init__(self) -> None:
        super().__init__()
        self.leapt = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        self.leapt += timeout
        return super().select(0)


class LeapingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._leaps = _Leaps()
        super().__init__(self._leaps)

    def time(self) -> float:
        return super().time() + self._leaps.leapt


LEAPING: tuple[str, Mapping[str, object]] = ("asyncio", {"loop_factory": LeapingLoop})
