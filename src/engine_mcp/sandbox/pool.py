"""The sandbox: one fresh, hardened child for each script, some of them ready ahead of need."""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self, TypeVar

import anyio
from anyio.abc import TaskGroup

from engine_mcp.core.script import Script, ScriptLimits, ScriptResult
from engine_mcp.ports import ScriptHost
from engine_mcp.sandbox.conversation import Conversation
from engine_mcp.sandbox.stock import Stock, StockOptions
from engine_mcp.sandbox.verdict import Death, verdict

DEFAULTS = ScriptLimits()
CEILING = ScriptLimits(
    memory_mb=16 << 10,
    cpu_s=86400.0,
    wall_s=86400.0,
    stack_kb=4 << 10,
    max_calls=1_000_000,
    max_output_kb=32 << 10,
)

Number = TypeVar("Number", int, float)

_depth: ContextVar[int] = ContextVar("how many scripts wait for the current task", default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """How many scripts run at once, and how many calls of one script the host carries out at once.

    Further calls wait inside the script. `stock` says how its processes are made.
    """

    concurrency: int = 16
    max_in_flight: int = 32
    stock: StockOptions = field(default_factory=StockOptions)


class SandboxPool:
    """Fulfils `ports.Sandbox`; an async context manager, whose end ends every child.

    Entering it waits for nothing: the first process starts in the background. Leave it after its runs.
    """

    def __init__(self, options: SandboxOptions | None = None) -> None:
        self._options = options or SandboxOptions()
        self._stock = Stock(self._options.stock)
        self._turns: dict[int, anyio.CapacityLimiter] = {}
        self._keeping: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._keeping = await anyio.create_task_group().__aenter__()
        self._keeping.start_soon(self._stock.keep)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeping is not None:
            self._keeping.cancel_scope.cancel()
            # Not the error of the body: a group would wrap it.
            await self._keeping.__aexit__(None, None, None)
        with anyio.CancelScope(shield=True):
            await self._stock.close()

    async def run(self, script: Script, host: ScriptHost) -> ScriptResult:
        """Run `script`; see `ports.Sandbox`. Waits for its turn first; no limit counts that time."""
        depth = _depth.get()
        async with self._turn(depth):
            outer = _depth.set(depth + 1)
            try:
                return await self._run(replace(script, limits=bounded(script.limits)), host)
            finally:
                _depth.reset(outer)

    def _turn(self, depth: int) -> anyio.CapacityLimiter:
        # A script that a script waits for must not wait until that one has ended.
        return self._turns.setdefault(depth, anyio.CapacityLimiter(self._options.concurrency))

    async def _run(self, script: Script, host: ScriptHost) -> ScriptResult:
        place = await self._stock.take()
        talk = Conversation(place.child.channel, script, host, self._options.max_in_flight)
        talk.said.cpu_before_ms, talk.said.rss_before_kb = place.cpu_ms, place.rss_kb
        clock = anyio.move_on_after(script.limits.wall_s)
        started, death = time.monotonic(), Death()
        try:
            async with anyio.create_task_group() as calls:
                try:
                    with clock:
                        await talk.hold(calls)
                finally:
                    talk.said.wall_ms = (time.monotonic() - started) * 1000
                    # Before the host's tasks are awaited: a child must not outlive its time because they do.
                    if talk.said.ended:
                        self._stock.leave(place)
                    else:
                        death = await self._stock.kill(place)
                    calls.cancel_scope.cancel()
        finally:
            place.child.channel.close()
        talk.said.timed_out = clock.cancelled_caught
        return verdict(talk.said, death, script.limits, place.isolation)


def bounded(limits: ScriptLimits) -> ScriptLimits:
    """The limits to hold to: what is not positive means the default, never without limit."""
    return ScriptLimits(
        memory_mb=_within(limits.memory_mb, DEFAULTS.memory_mb, CEILING.memory_mb),
        cpu_s=_within(limits.cpu_s, DEFAULTS.cpu_s, CEILING.cpu_s),
        wall_s=_within(limits.wall_s, DEFAULTS.wall_s, CEILING.wall_s),
        stack_kb=_within(limits.stack_kb, DEFAULTS.stack_kb, CEILING.stack_kb),
        max_calls=_within(limits.max_calls, DEFAULTS.max_calls, CEILING.max_calls),
        max_output_kb=_within(limits.max_output_kb, DEFAULTS.max_output_kb, CEILING.max_output_kb),
    )


def _within(value: Number, default: Number, most: Number) -> Number:
    return min(value, most) if value > 0 else default
