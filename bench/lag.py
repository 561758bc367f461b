"""How late an event loop comes to what is due, in milliseconds."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

from bench.children import Numbers
from bench.figures import percentile

EVERY_S = 0.005


@dataclass(slots=True)
class Lag:
    """Delays of a task that is due every five milliseconds.

    While the loop is held up for longer, each time that was missed counts with its own delay: one sample
    for all of them would make a long stop look rare. `stretch_ms` is the most processor time that the
    loop's thread took from one sample to the next: what else runs on the machine does not make it longer.
    """

    late_ms: list[float] = field(default_factory=list[float])
    stretch_ms: float = 0.0

    async def during(self, work: Callable[[], Awaitable[object]]) -> None:
        """Watch for as long as `work` takes."""
        async with anyio.create_task_group() as beside:
            beside.start_soon(self._watch)
            await work()
            beside.cancel_scope.cancel()

    async def _watch(self) -> None:
        due = time.perf_counter()  # the loop's own time stands still while it is busy
        used = time.thread_time()
        while True:
            due += EVERY_S
            await anyio.sleep(max(0.0, due - time.perf_counter()))
            now, before, used = time.perf_counter(), used, time.thread_time()
            self.stretch_ms = max(self.stretch_ms, (used - before) * 1000)
            while due + EVERY_S <= now:
                self.late_ms.append((now - due) * 1000)
                due += EVERY_S
            self.late_ms.append((now - due) * 1000)

    def numbers(self, name: str) -> Numbers:
        """The median, the 99th of a hundred and the worst; and the longest stretch."""
        found = {"p50": 50, "p99": 99, "worst": 100}
        late = {f"{name}_{key}_ms": percentile(self.late_ms, percent) for key, percent in found.items()}
        return {**late, f"{name}_stretch_ms": self.stretch_ms}
