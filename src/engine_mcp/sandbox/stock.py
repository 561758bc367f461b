"""Children kept ready: forked ahead of need, handed out once, reaped, and their zygote replaced in time."""

import signal
import sys
from collections import deque
from dataclasses import dataclass, replace

import anyio

from engine_mcp.core.script import Isolation
from engine_mcp.errors import SandboxUnavailable
from engine_mcp.sandbox.frames import BadFrame, Frame
from engine_mcp.sandbox.layers import ALL_LAYERS, Layer
from engine_mcp.sandbox.nursery import Child, Nursery, NurseryLost
from engine_mcp.sandbox.verdict import Death

READY_S = 10.0
TRIES = 3
TAKEN_ALONG = Death(-signal.SIGKILL)
# A zygote does one thing at a time: the end of a short script should not wait for its successor's fork.
REFILL_DELAY_S = 0.005
# A limit, or the server itself, ended the child; any other signal may be an attack that will be tried again.
EXPECTED_SIGNALS = frozenset({-signal.SIGKILL, -signal.SIGPROF, -signal.SIGXCPU})


@dataclass(frozen=True, slots=True, kw_only=True)
class StockOptions:
    """How many children wait, how many one zygote may fork, which layers are tried and which must hold.

    `probe` is a test's program that the children do in place of a script.
    """

    ready: int = 2
    recycle_after: int = 1000
    layers: frozenset[Layer] = ALL_LAYERS
    require: frozenset[Layer] = frozenset()
    probe: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A child that waits for its work, with what holds around it and what it used so far."""

    nursery: Nursery
    child: Child
    isolation: Isolation
    cpu_ms: float
    rss_kb: int


class Stock:
    """Hands out children. `keep` is to run beside its users; `close` ends every child."""

    def __init__(self, options: StockOptions) -> None:
        self._options = options
        self._ready = deque[Place]()
        self._left = deque[Place]()
        self._nurseries = set[Nursery]()
        self._current: Nursery | None = None
        self._forking = anyio.Lock(fast_acquire=True)
        self._short = anyio.Event()

    async def keep(self) -> None:
        """Fork ahead, for ever. A failure waits for the next taker, who will be told."""
        while True:
            self._short = anyio.Event()
            while self._left:
                place = self._left.popleft()
                await self._discard(place.nursery, place.child)
            try:
                while len(self._ready) < self._options.ready:
                    place = await self._grow()
                    if place.nursery.retired:
                        self.leave(place)
                    else:
                        self._ready.append(place)
            except (SandboxUnavailable, NurseryLost):
                pass
            await self._short.wait()
            await anyio.sleep(REFILL_DELAY_S)

    async def take(self) -> Place:
        """Get a child that is ready for work. Raises SandboxUnavailable."""
        self._short.set()
        for _ in range(TRIES):
            try:
                return self._ready.popleft() if self._ready else await self._grow()
            except NurseryLost:
                continue
        raise SandboxUnavailable("the processes that were forked for scripts died before their work")

    async def kill(self, place: Place) -> Death:
        """Kill the child and wait for its end."""
        return await self._reap(place.nursery, place.child)

    def leave(self, place: Place) -> None:
        """Take leave of a child that ends by itself; `keep` sees to it that it does."""
        self._left.append(place)
        self._short.set()

    async def close(self) -> None:
        """End every child and every zygote."""
        for place in (*self._ready, *self._left):
            place.child.channel.close()
        self._ready.clear()
        self._left.clear()
        for nursery in tuple(self._nurseries):
            await self._dismiss(nursery)

    async def _fork(self) -> tuple[Nursery, Child]:
        async with self._forking:
            if self._current is not None and self._current.forked >= self._options.recycle_after:
                await self._retire(self._current)
            if self._current is None:
                self._current = await self._start()
            nursery = self._current
            try:
                return nursery, await nursery.fork()
            except NurseryLost:
                await self._dismiss(nursery)
                raise
            except OSError as error:
                raise SandboxUnavailable(f"no child can be had: {error}") from error

    async def _start(self) -> Nursery:
        try:
            nursery = await Nursery.start(self._options.layers, probe=self._options.probe)
        except OSError as error:
            raise SandboxUnavailable(f"no process can be started: {error}") from error
        self._nurseries.add(nursery)
        return nursery

    async def _grow(self) -> Place:
        """Fork a child and wait until it is ready. Raises NurseryLost, SandboxUnavailable."""
        nursery, child = await self._fork()
        try:
            with anyio.fail_after(READY_S):
                flags, cpu_ms, rss_kb = await _hello(child)
            held = replace(nursery.isolation, rlimits=flags[0] == "1", seccomp=flags[1] == "1")
            demand(self._options.require, held)
        except TimeoutError as error:
            await self._discard(nursery, child)
            raise NurseryLost("a child is not ready in time") from error
        except BaseException:
            await self._discard(nursery, child)
            raise
        return Place(nursery, child, held, float(cpu_ms), int(rss_kb))

    async def _discard(self, nursery: Nursery, child: Child) -> None:
        await self._reap(nursery, child)
        child.channel.close()

    async def _reap(self, nursery: Nursery, child: Child) -> Death:
        death = TAKEN_ALONG
        with anyio.CancelScope(shield=True):
            try:
                death = await nursery.reap(child)
            except NurseryLost:
                await self._dismiss(nursery)
            else:
                if death.code < 0 and death.code not in EXPECTED_SIGNALS:
                    await self._retire(nursery)
                elif nursery.retired and not nursery.living:
                    await self._dismiss(nursery)
        return death

    async def _retire(self, nursery: Nursery) -> None:
        """Take no more children from it; those at work finish."""
        nursery.retired = True
        if self._current is nursery:
            self._current = None
        for child in self._withdraw(nursery):
            await self._discard(nursery, child)
        if not nursery.living:
            await self._dismiss(nursery)

    async def _dismiss(self, nursery: Nursery) -> None:
        """End a zygote and all that it forked."""
        if self._current is nursery:
            self._current = None
        for child in self._withdraw(nursery):
            child.channel.close()
        self._nurseries.discard(nursery)
        await nursery.close()

    def _withdraw(self, nursery: Nursery) -> list[Child]:
        """Hand out none of its children from now on; gives those that waited."""
        waiting = [place for place in self._ready if place.nursery is nursery]
        for place in waiting:
            self._ready.remove(place)
        return [place.child for place in waiting]


async def _hello(child: Child) -> tuple[str, str, str]:
    """What a child says when it is ready: which layers it holds, the milliseconds of CPU and KiB it took."""
    try:
        frames = await child.channel.receive()
        frame = next(frames, None) if frames is not None else None
    except BadFrame as error:
        raise NurseryLost("a child said nonsense") from error
    match frame:
        case Frame("R", (flags, cpu_ms, rss_kb)):
            return flags, cpu_ms, rss_kb
        case _:
            raise NurseryLost("a child died before its work")


def demand(required: frozenset[Layer], isolation: Isolation) -> None:
    """Raise SandboxUnavailable where a required layer does not hold."""
    held = {
        Layer.UID: isolation.uid != 0,
        Layer.NO_NEW_PRIVS: isolation.no_new_privs,
        Layer.NETNS: isolation.netns,
        Layer.LANDLOCK: isolation.landlock > 0,
        Layer.RLIMITS: isolation.rlimits,
        Layer.SECCOMP: isolation.seccomp,
    }
    # The others are there wherever Linux is.
    missing = sorted(layer for layer in required if not held.get(layer, sys.platform == "linux"))
    if missing:
        raise SandboxUnavailable(f"layers required but not held: {', '.join(missing)}")
