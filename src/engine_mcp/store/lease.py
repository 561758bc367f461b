"""The lease: an OS lock that dies with its holder, and the epoch, which counts the holders.

The lock file is never removed while its execution exists, since two processes could then hold locks
on two files of one name. Where the whole execution is removed, it goes under its lock, and who
takes a lock looks whether the file is still the one in its place.
"""

import fcntl
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import psutil

from engine_mcp.errors import ExecutionNotFound, ExecutionOwned
from engine_mcp.store.disk import Disk, write_all

NAME = "lease"

# A look at a lease holds it for some microseconds; who really takes it asks more than once.
_TRIES = 5
_PAUSE_S = 0.002


@dataclass(frozen=True, slots=True)
class Holder:
    """Who took a lease last: how often it was taken, the process with its start (Unix s), its address."""

    epoch: int
    pid: int
    started: float
    owner: str


class Lease:
    """The lock of one execution, held from `take` to `release`."""

    def __init__(self, disk: Disk, descriptor: int, path: Path) -> None:
        """Stand for a lock that is held on an open descriptor."""
        self._disk = disk
        self._descriptor = descriptor
        self._path = path
        self.epoch = holder.epoch if (holder := _holder(path)) else 0

    @classmethod
    def take(cls, disk: Disk, folder: Path) -> "Lease":
        """Lock at once; raises ExecutionOwned, ExecutionNotFound or OSError."""
        path = folder / NAME
        try:
            descriptor = disk.open(path, os.O_RDWR | os.O_CREAT)
        except (FileNotFoundError, NotADirectoryError):
            raise ExecutionNotFound(f"There is no execution {folder.name}.") from None
        try:
            _lock(descriptor, path)
        except BaseException:
            disk.close(descriptor)
            raise
        return cls(disk, descriptor, path)

    def record(self, epoch: int, owner: str) -> None:
        """Write down who holds the lease now; raises OSError.

        The epoch needs no sync: it stands in the name of every file of the journal too.
        """
        holder = Holder(epoch, os.getpid(), _started(os.getpid()), owner)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._disk.truncate(self._descriptor, 0)
        write_all(self._disk, self._descriptor, json.dumps(asdict(holder)).encode() + b"\n")
        self.epoch = epoch

    def release(self) -> None:
        """Give the lock back."""
        self._disk.close(self._descriptor)


def holder(folder: Path) -> Holder | None:
    """Who holds the lease now; None if nobody does. A holder that cannot be read has the epoch 0."""
    path = folder / NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(path) or Holder(0, 0, 0.0, "")
    else:
        return None
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    name = path.parent.name
    for attempt in range(_TRIES):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _in_place(descriptor, path):
                return
            raise ExecutionNotFound(f"There is no execution {name}.")
        if attempt + 1 < _TRIES:
            time.sleep(_PAUSE_S)
    holder = _holder(path)
    raise ExecutionOwned(f"The process{f' {holder.pid}' if holder else ''} drives the execution {name}.")


def _in_place(descriptor: int, path: Path) -> bool:
    held = os.fstat(descriptor)
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return (held.st_dev, held.st_ino) == (there.st_dev, there.st_ino)


def _holder(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_bytes().partition(b"\n")[0]))
    except (OSError, ValueError, TypeError):
        return None


@cache
def _started(pid: int) -> float:
    return psutil.Process(pid).create_time()
