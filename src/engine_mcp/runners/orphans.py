"""Orphans: processes of an attempt that outlived the one who was to end them, found by their mark."""

import logging
import os
import re
import time
from collections.abc import Iterable, Iterator

import anyio
import psutil

MARK = "ENGINE_MCP_ATTEMPT"
"""The variable that every process of an attempt has in its environment."""
LONGEST_S = 5.0
LOOK_AGAIN_S = 0.02
ROUNDS = 50
SURE = 2
"""How often in a row nothing has to be found: what becomes another program has no environment then."""
_LOG = logging.getLogger(__name__)


class MarkSweeper:
    """Fulfils `ports.Sweeper`: no grace, whoever is left has had it."""

    async def sweep(self, execution_id: str) -> int:
        """End every process of this user that belongs to an attempt of the execution; how many there were."""
        return await anyio.to_thread.run_sync(_sweep, re.compile(f"{re.escape(execution_id)}/.*", re.DOTALL))


async def sweep_mark(mark: str) -> int:
    """End every process of this user that belongs to one attempt; how many there were."""
    return await anyio.to_thread.run_sync(_sweep, re.compile(re.escape(mark)))


def _sweep(wanted: re.Pattern[str]) -> int:
    """Kill, and look again: a process may have been starting another one. Blocks, for 5 s at most."""
    ended = set[psutil.Process]()
    until = time.monotonic() + LONGEST_S
    empty = 0
    while empty < SURE:
        found = _marked(wanted)
        empty = 0 if found else empty + 1
        ended |= found
        for process in found:
            try:
                process.kill()
            except psutil.Error:  # gone by itself, or beyond our rights
                continue
        if found and time.monotonic() > until:
            left = ", ".join(str(process.pid) for process in found)
            _LOG.warning("processes of an attempt cannot be ended: %s", left)
            break
        if found:
            time.sleep(LOOK_AGAIN_S)  # psutil's own wait would take the exit codes of our children
    return len(ended)


def _marked(wanted: re.Pattern[str]) -> set[psutil.Process]:
    """The processes with such a mark and their descendants, which may have cleared their environment.

    Those that were started meanwhile are looked at too: one may start the next before it is seen itself.
    """
    found, seen = set[psutil.Process](), set[int]()
    for _ in range(ROUNDS):
        new = set(psutil.pids()) - seen
        if not new:
            break
        seen |= new
        for process in _processes(new):
            if wanted.fullmatch(_mark(process)):
                found |= {process, *_descendants(process)}
    return {process for process in found if process.pid != os.getpid() and _alive(process)}


def _processes(pids: Iterable[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        try:
            yield psutil.Process(pid)
        except psutil.Error:  # it ended meanwhile
            continue


def _mark(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARK, "") if process.uids().real == os.getuid() else ""
    except (psutil.Error, OSError):
        return ""


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
