"""Where file operations run, so that they never hold up the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CancelScope
from anyio.lowlevel import checkpoint_if_cancelled

P = ParamSpec("P")
R = TypeVar("R")


class Threads:
    """Threads of its own: an event is written in less time than the shared ones take to be borrowed."""

    def __init__(self, at_once: int) -> None:
        """Run up to `at_once` operations at a time."""
        self._at_once = at_once
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of work done in a thread; cancellation waits for its end."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._at_once, thread_name_prefix="store")
        await checkpoint_if_cancelled()
        with CancelScope(shield=True):
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, partial(work, *args, **kwargs)
            )
        raise AssertionError("nothing cancels a shield from within")

    def close(self) -> None:
        """Let the threads end; the next operation begins new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
