"""Where file operations run, so that they never hold up the event loop."""

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

P = ParamSpec("P")
R = TypeVar("R")


class Threads:
    """Some threads."""

    def __init__(self, at_once: int) -> None:
        """Run up to `at_once` of them at a time."""
        self._limiter = CapacityLimiter(at_once)

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of work done in a thread; cancellation waits for its end."""
        return await to_thread.run_sync(partial(work, *args, **kwargs), limiter=self._limiter)
