"""Where file operations run, so that they never hold up the event loop."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, ParamSpec, TypeVar

from anyio import CancelScope
from anyio.lowlevel import checkpoint_if_cancelled

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(slots=True, eq=False)
class _Job(Generic[R]):
    """Work for a thread, and the future in which its end is awaited."""

    work: Callable[[], R]
    future: "asyncio.Future[R]"
    result: R | None = None
    error: BaseException | None = None

    def carry_out(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001 - raised where the work is awaited
            self.error = error

    def hand_over(self) -> None:
        if self.future.done():
            return  # the end of the loop cancelled it: nobody waits any more
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # pyright: ignore[reportArgumentType] - None only if R is None


class Threads:
    """Threads of its own, which wake the event loop once for all that they finished meanwhile.

    An event is written in less time than it takes to borrow one of the shared threads and to be told.
    """

    def __init__(self, at_once: int) -> None:
        """Run up to `at_once` operations at a time."""
        self._at_once = at_once
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._ended: dict[asyncio.AbstractEventLoop, list[_Job[Any]]] = {}
        self._open = 0
        self._turn = threading.Lock()

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of work done in a thread; cancellation waits for its end."""
        await checkpoint_if_cancelled()
        self._begin()
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._jobs.put(_Job(partial(work, *args, **kwargs), future))
        with CancelScope(shield=True):
            return await future
        raise AssertionError("nothing cancels a shield from within")

    def close(self) -> None:
        """End the threads once they have done what was asked; the next operation begins new ones."""
        threads, self._threads = self._threads, []
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            thread.join()

    def _begin(self) -> None:
        """Begin another thread, unless one is free or there are enough."""
        with self._turn:
            self._open += 1
            if self._open <= len(self._threads) or len(self._threads) == self._at_once:
                return
            self._threads.append(threading.Thread(target=self._serve, name="store", daemon=True))
        self._threads[-1].start()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.carry_out()
            loop = job.future.get_loop()
            with self._turn:
                self._open -= 1
                ended = self._ended.setdefault(loop, [])
                first = not ended
                ended.append(job)
            if first:
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    loop.call_soon_threadsafe(self._hand_over, loop)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._turn:
            ended = self._ended.pop(loop)
        for job in ended:
            job.hand_over()
