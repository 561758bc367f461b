"""Places for attempts: each execution gets its fair share, and the machine fewer when it is hard pressed."""

from collections import Counter, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel

from engine_mcp.engine.pressure import NoPressure, Pressure

LOOK_AGAIN_S = 2.0


@dataclass(slots=True, eq=False)
class _Waiter:
    """One attempt in the queue of its execution; `number` counts up in the order of arrival."""

    number: int
    admitted: anyio.Event = field(default_factory=anyio.Event)


class Places:
    """A limit on attempts over all executions.

    The next place goes to the waiting execution that holds the fewest, among those to the one that waits
    longest, and in an execution to whoever came first. Under pressure `p` there are `total * (1 - p)`
    places, rounded, and never less than one; whoever has a place keeps it.
    """

    def __init__(
        self, total: int, pressure: Pressure | None = None, look_again_s: float = LOOK_AGAIN_S
    ) -> None:
        """Give out `total` places, at least 1; those who wait ask anew how hard pressed the machine is."""
        self.total = total
        self._pressure = pressure or NoPressure()
        self._look_again_s = look_again_s
        self._open = total
        self._held = Counter[str]()
        self._queues: dict[str, deque[_Waiter]] = {}
        self._arrived = 0

    @property
    def borrowed(self) -> int:
        """How many places are taken."""
        return self._held.total()

    @property
    def waiting(self) -> int:
        """How many attempts wait for a place."""
        return sum(map(len, self._queues.values()))

    @asynccontextmanager
    async def place(self, execution_id: str) -> AsyncGenerator[None]:
        """Hold a place for the time of the block, once there is one."""
        waiter = self._queued(execution_id)
        try:
            await self._turn(waiter)
            yield
        finally:
            self._leave(execution_id, waiter)

    async def _turn(self, waiter: _Waiter) -> None:
        await anyio.lowlevel.checkpoint_if_cancelled()
        self._look(await self._pressure.pressed())
        while not waiter.admitted.is_set():
            with anyio.move_on_after(self._look_again_s):
                await waiter.admitted.wait()
                return
            self._look(await self._pressure.pressed())

    def _queued(self, execution_id: str) -> _Waiter:
        self._arrived += 1
        waiter = _Waiter(self._arrived)
        self._queues.setdefault(execution_id, deque()).append(waiter)
        return waiter

    def _leave(self, execution_id: str, waiter: _Waiter) -> None:
        """Give the place back, or the place in the queue where the wait was cut short."""
        if waiter.admitted.is_set():
            self._held[execution_id] -= 1
            if not self._held[execution_id]:
                del self._held[execution_id]
        else:
            self._unqueue(execution_id, waiter)
        self._admit()

    def _unqueue(self, execution_id: str, waiter: _Waiter) -> None:
        queue = self._queues[execution_id]
        queue.remove(waiter)
        if not queue:
            del self._queues[execution_id]

    def _look(self, pressure: float) -> None:
        self._open = max(1, round(self.total * (1 - pressure)))
        self._admit()

    def _admit(self) -> None:
        while self._queues and self.borrowed < self._open:
            chosen = min(self._queues, key=lambda name: (self._held[name], self._queues[name][0].number))
            waiter = self._queues[chosen][0]
            self._unqueue(chosen, waiter)
            self._held[chosen] += 1
            waiter.admitted.set()
