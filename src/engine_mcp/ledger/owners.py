"""Who holds: a process of this machine, known by its number and its start."""

import os
from functools import cache
from typing import Protocol

import psutil

Owner = tuple[int, float]
"""A process's number and when it started, in Unix seconds."""

_CLOCK_STEP_S = 2.0
"""By how much two readings of one process's start may differ: the kernel counts it from the boot."""


class Processes(Protocol):
    """The processes that may hold something."""

    def own(self) -> Owner:
        """The process that asks."""
        ...

    def lives(self, owner: Owner) -> bool:
        """Whether the process is still there; True where that cannot be told."""
        ...


class MachineProcesses:
    """The processes of this machine, as this one sees them."""

    def own(self) -> Owner:
        """The process that asks."""
        return _identity(os.getpid())

    def lives(self, owner: Owner) -> bool:
        """Whether it is there and not merely waits to be reaped."""
        number, started = owner
        try:
            process = psutil.Process(number)
            same = abs(process.create_time() - started) < _CLOCK_STEP_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        except psutil.Error:
            return True


@cache
def _identity(number: int) -> Owner:
    return number, psutil.Process(number).create_time()
