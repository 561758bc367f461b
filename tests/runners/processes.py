"""Processes as tests see them: those of an attempt, and an engine that is killed while it works."""

import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import psutil

from engine_mcp.runners.orphans import MARK

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30.0


def alive(mark: str, *pids: str) -> list[psutil.Process]:
    """The processes with a mark, and those with one of these ids."""
    return [
        process
        for process in psutil.process_iter()
        if (_mark(process) == mark or str(process.pid) in pids) and _runs(process)
    ]


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


async def until(true: Callable[[], object], longest_s: float = PATIENCE_S) -> None:
    """Wait for something outside of this process; raises TimeoutError."""
    with anyio.fail_after(longest_s):
        while not true():  # noqa: ASYNC110 - no event comes from another process
            await anyio.sleep(0.02)


@contextmanager
def engine(program: str, *argv: str) -> Generator[subprocess.Popen[bytes]]:
    """An engine in a process of its own that runs `program`, and is killed at the end of the block."""
    with subprocess.Popen([sys.executable, "-c", program, *argv], cwd=ROOT) as running:
        try:
            yield running
        finally:
            running.kill()
