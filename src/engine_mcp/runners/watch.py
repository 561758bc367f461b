"""Watch: the processes of a child are measured while they live, and held to their caps."""

import math
from dataclasses import dataclass
from signal import SIGXCPU

import anyio

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.execution import Failure
from engine_mcp.runners.use import Family, Use

EVERY_S = 1.0
NEAR_S = 0.25
NEAR = 0.8
"""The share of a cap from which on its use is measured more often."""
FIRST_S = 0.05
"""The first pause; each is twice as long as the last, so that short programs are measured too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """The most that the processes of a child may use all together: MiB at a time, seconds of processor time.

    None sets no cap. `nice` is how much further back they stand in the queue for the processor, 0 to 19.
    """

    memory_mb: int | None = None
    cpu_s: float | None = None
    nice: int = 0


UNCAPPED = Caps()


@dataclass(frozen=True, slots=True)
class Exceeded:
    """The cap that was passed, `memory_mb` or `cpu_s`, and the use that was seen, in its unit."""

    resource: str
    limit: float
    used: float

    @property
    def failure(self) -> Failure:
        """The failure of an attempt that this ended."""
        what = "MiB of memory" if self.resource == "memory_mb" else "s of processor time"
        text = f"Its processes used {self.used:.4g} {what}; they may use {self.limit:g}."
        return Failure("resource_exceeded", text, CATALOGUE["resource_exceeded"].remedy)


class Watch:
    """Measures the descendants of a guard every second, and four times as often near a cap.

    `use` is the most memory seen at one time and all processor time; `exceeded` the first cap that was
    passed while the program ran; `settled` is set once the use at its end is known.
    """

    def __init__(self, guard: int, caps: Caps) -> None:
        """Hold what descends from the process `guard` to `caps`."""
        self._family = Family(guard)
        self._caps = caps
        self._bound_kb = math.inf if caps.memory_mb is None else caps.memory_mb * 1024
        self._bound_s = math.inf if caps.cpu_s is None else caps.cpu_s
        # A thread of its own: others may be busy for long just when memory is short.
        self._thread = anyio.CapacityLimiter(1)
        self.use = Use()
        self.exceeded: Exceeded | None = None
        self.settled = anyio.Event()

    async def follow(self, exited: anyio.Event) -> None:
        """Measure until a cap is passed; `exited` says that the program has ended, what it left may live."""
        longest = FIRST_S
        try:
            while True:
                over = exited.is_set()
                now = await anyio.to_thread.run_sync(
                    self._family.measured, self._bound_kb, limiter=self._thread
                )
                passed = self._noted(now)
                if over:
                    self.settled.set()
                elif passed is not None:
                    self.exceeded = passed
                if passed is not None:
                    return
                with anyio.move_on_after(min(longest, self._pause(now))):
                    await (anyio.sleep_forever() if over else exited.wait())
                longest *= 2
        finally:
            self.settled.set()

    def signalled(self, code: int) -> Exceeded | None:
        """The cap for which the kernel ended the program with this exit code, sooner than the watch could."""
        limit = self._caps.cpu_s
        return Exceeded("cpu_s", limit, max(self.use.cpu_s, limit)) if limit and code == -SIGXCPU else None

    def _noted(self, now: Use) -> Exceeded | None:
        self.use = Use(memory_kb=max(self.use.memory_kb, now.memory_kb), cpu_s=max(self.use.cpu_s, now.cpu_s))
        if self._caps.memory_mb is not None and now.memory_kb > self._bound_kb:
            return Exceeded("memory_mb", self._caps.memory_mb, now.memory_kb / 1024)
        if self._caps.cpu_s is not None and now.cpu_s > self._bound_s:
            return Exceeded("cpu_s", self._caps.cpu_s, now.cpu_s)
        return None

    def _pause(self, now: Use) -> float:
        near = now.memory_kb > NEAR * self._bound_kb or now.cpu_s > NEAR * self._bound_s
        return NEAR_S if near else EVERY_S
