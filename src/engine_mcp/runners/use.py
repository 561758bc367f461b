"""Use: what the processes of a child use of the machine, counted over their whole tree."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Memory in KiB, and seconds of processor time of the living and the dead."""

    memory_kb: int = 0
    cpu_s: float = 0.0


class Family:
    """Everything that descends from a guard, which is itself not counted.

    On Linux no process leaves it but by its death: who loses its parent comes back to the guard. So there is
    no need to look for the mark of the attempt in all environments.
    """

    def __init__(self, guard: int) -> None:
        """Know the family by the process id of its guard."""
        self._guard = guard
        self._known: dict[int, psutil.Process] = {}
        self._lists = Path(f"/proc/self/task/{os.getpid()}/children").exists()

    def measured(self, bound_kb: float = inf) -> Use:
        """What it uses now, nothing once the guard is gone. Blocks, for some 0.1 ms a process.

        The memory is the sum of the resident sizes. That counts what processes share once for each, so it is
        never too little. Above `bound_kb` the kernel is asked for proportional sizes, which count it once in
        all, but take it longer.

        What the dead used is told by those who reaped them; whoever has the kernel reap its children hides
        what they used. Each process is looked at before its children,
        so that one that is reaped meanwhile is left out for once rather than counted twice.
        """
        living, resident = dict[int, psutil.Process](), dict[int, int]()
        cpu_s = 0.0
        for process in self._members():
            try:
                times = process.cpu_times()
                cpu_s += times.children_user + times.children_system
                if process.pid != self._guard:
                    cpu_s += times.user + times.system
                    resident[process.pid] = process.memory_info().rss
                living[process.pid] = process
            except (psutil.Error, OSError):  # it ended meanwhile
                continue
        self._known = living
        memory = sum(resident.values())
        if memory > bound_kb * 1024:
            memory = sum(_proportional(living[pid], size) for pid, size in resident.items() if pid in living)
        return Use(memory_kb=memory // 1024, cpu_s=cpu_s)

    def _members(self) -> Iterator[psutil.Process]:
        """The guard and its descendants, each before its children."""
        pids, seen = [self._guard], set[int]()
        while pids:
            pid = pids.pop()
            if pid in seen:
                continue
            seen.add(pid)
            try:
                process = self._known.get(pid) or psutil.Process(pid)
                yield process
                pids += _children(pid) if self._lists else [child.pid for child in process.children()]
            except (psutil.Error, OSError):  # it ended meanwhile
                continue


def _children(pid: int) -> list[int]:
    """The children as the kernel lists them; psutil would read the state of every process there is."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (thread / "children").read_text().split())
    return found


def _proportional(process: psutil.Process, resident: int) -> int:
    try:
        told = process.memory_full_info()
    except psutil.AccessDenied:  # it runs as somebody else now
        return resident
    except (psutil.Error, OSError):  # it ended meanwhile
        return 0
    return told.pss if psutil.LINUX else told.uss
