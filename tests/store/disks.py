"""Disks that watch, fail, stall, or take less than they are given."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar

from engine_mcp.store.disk import Disk

T = TypeVar("T")
WRITING = ("open", "write", "sync", "truncate", "rename", "unlink", "mkdir", "rmdir", "sync_folder")


class WatchedDisk(Disk):
    """Leads every operation through `act`, with its name and the path it is about."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []
        self.paths: dict[int, Path] = {}

    def act(self, operation: str, path: Path, do: Callable[[], T]) -> T:
        self.log.append((operation, path.name))
        return do()

    def counted(self, operation: str, name: str = "*") -> int:
        return sum(did == operation and fnmatch(about, name) for did, about in self.log)

    def open(self, path: Path, flags: int) -> int:
        descriptor = self.act("open", path, lambda: super(WatchedDisk, self).open(path, flags))
        self.paths[descriptor] = path
        return descriptor

    def write(self, descriptor: int, content: bytes | memoryview) -> int:
        return self.act(
            "write", self.paths[descriptor], lambda: super(WatchedDisk, self).write(descriptor, content)
        )

    def sync(self, descriptor: int) -> None:
        self.act("sync", self.paths[descriptor], lambda: super(WatchedDisk, self).sync(descriptor))

    def truncate(self, descriptor: int, size: int) -> None:
        self.act(
            "truncate", self.paths[descriptor], lambda: super(WatchedDisk, self).truncate(descriptor, size)
        )

    def close(self, descriptor: int) -> None:
        self.act("close", self.paths.pop(descriptor), lambda: super(WatchedDisk, self).close(descriptor))

    def rename(self, source: Path, target: Path) -> None:
        self.act("rename", target, lambda: super(WatchedDisk, self).rename(source, target))

    def unlink(self, path: Path) -> None:
        self.act("unlink", path, lambda: super(WatchedDisk, self).unlink(path))

    def mkdir(self, path: Path) -> None:
        self.act("mkdir", path, lambda: super(WatchedDisk, self).mkdir(path))

    def rmdir(self, path: Path) -> None:
        self.act("rmdir", path, lambda: super(WatchedDisk, self).rmdir(path))

    def sync_folder(self, path: Path) -> None:
        self.act("sync_folder", path, lambda: super(WatchedDisk, self).sync_folder(path))


@dataclass
class Fault:
    """An error of the operating system for so many operations of a kind on files of a name."""

    operation: str
    error: int
    name: str = "*"
    times: int = 1
    half: bool = False
    """Whether a write takes half of its bytes before it fails."""

    def meets(self, operation: str, name: str) -> bool:
        return self.times > 0 and operation == self.operation and fnmatch(name, self.name)


@dataclass
class FaultyDisk(WatchedDisk):
    """Fails where it is told to."""

    faults: list[Fault] = field(default_factory=list[Fault])
    room: int = 1 << 40

    def __post_init__(self) -> None:
        super().__init__()

    def act(self, operation: str, path: Path, do: Callable[[], T]) -> T:
        for fault in self.faults:
            if fault.meets(operation, path.name):
                fault.times -= 1
                self.log.append((f"failed {operation}", path.name))
                if fault.half:
                    do()
                raise OSError(fault.error, os.strerror(fault.error))
        return super().act(operation, path, do)

    def write(self, descriptor: int, content: bytes | memoryview) -> int:
        half = any(fault.half and fault.meets("write", self.paths[descriptor].name) for fault in self.faults)
        return super().write(descriptor, bytes(content[: len(content) // 2]) if half else content)

    def free(self, path: Path) -> int:
        return min(self.room, super().free(path))


class ShortDisk(Disk):
    """Takes a few bytes of each write."""

    def write(self, descriptor: int, content: bytes | memoryview) -> int:
        return super().write(descriptor, bytes(content[:7]))


class StallingDisk(WatchedDisk):
    """Lets a sync wait until it may go on, once it was told to."""

    def __init__(self) -> None:
        super().__init__()
        self.stalls = False
        self.stalled = threading.Event()
        self.go_on = threading.Event()

    def sync(self, descriptor: int) -> None:
        if self.stalls:
            self.stalled.set()
            assert self.go_on.wait(10)
        super().sync(descriptor)
