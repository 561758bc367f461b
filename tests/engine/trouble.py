"""A store that fails when it is told to."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import anyio

from engine_mcp.errors import StorageError
from engine_mcp.ports import Store
from engine_mcp.testing import CrashingStore, CrashPoint

T = TypeVar("T")
EVERY = frozenset({"create", "append", "save", "keep"})
FOR_EVER = 1 << 30


def disk_full() -> Exception:
    return StorageError("There is no space left.")


@dataclass
class Trouble(CrashPoint):
    """Lets `times` writes of the kinds `of` fail, from the one with the number `at` on; 0 for none."""

    at: int = 0
    of: frozenset[str] = EVERY
    times: int = FOR_EVER
    error: Callable[[], Exception] = disk_full
    failed: list[str] = field(default_factory=list[str])

    async def around(self, what: str, write: Callable[[], Awaitable[T]]) -> T:
        """Carry out a write, or fail without doing anything."""
        if what in self.of:
            self.writes += 1
            if self.at and self.at <= self.writes < self.at + self.times:
                self.failed.append(what)
                raise self.error()
        return await write()

    def begin(self, times: int = FOR_EVER) -> None:
        """Fail from the next write on."""
        self.at, self.times = self.writes + 1, times

    def end(self) -> None:
        """Fail no more."""
        self.at = 0


@dataclass
class Stall(CrashPoint):
    """Holds the next write of one kind up, once it is told to, until it is let go."""

    at: int = 0
    of: str = "append"
    armed: bool = False
    begun: anyio.Event = field(default_factory=anyio.Event)
    let_go: anyio.Event = field(default_factory=anyio.Event)

    async def around(self, what: str, write: Callable[[], Awaitable[T]]) -> T:
        """Carry out a write, when it may be."""
        if self.armed and what == self.of:
            self.armed = False
            self.begun.set()
            await self.let_go.wait()
        return await write()


def troubled(store: Store, trouble: CrashPoint) -> CrashingStore:
    return CrashingStore(store, trouble)
