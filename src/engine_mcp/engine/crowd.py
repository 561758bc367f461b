"""The crowd: how many executions an engine takes on, those that run and those that wait for a place."""

from collections import deque
from collections.abc import Generator
from contextlib import contextmanager

from engine_mcp.core.load import Load, retry_after
from engine_mcp.engine.parts import EngineOptions
from engine_mcp.errors import Busy

REMEMBERED = 50
"""How many executions are remembered to tell how long one takes."""


class Crowd:
    """Refuses executions, new ones and those that go on, where enough of them wait."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._coming = 0
        self._lasted = deque[float](maxlen=REMEMBERED)

    @contextmanager
    def coming(self, load: Load) -> Generator[None]:
        """Take one more on; it counts during the block, after which it is to be among those of a `load`.

        Raises Busy.
        """
        options = self._options
        if load.running + load.pending + self._coming >= options.executions + options.waiting:
            text = f"{load.running} executions run and {load.pending} wait already."
            soon = retry_after(tuple(self._lasted), load.pending, options.executions)
            raise Busy(text, retry_after_s=soon)
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1

    def ended(self, seconds: float) -> None:
        """Note how long an execution took that has ended."""
        self._lasted.append(seconds)
