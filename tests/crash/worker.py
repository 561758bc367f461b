"""`python -m tests.crash.worker <root>` goes on with the work until it rests.

Prints a line for each event once it counts, and last how the execution rests.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio

from engine_mcp.store.disk import Disk
from tests.crash.story import drive


class OneThread(Disk):
    """Makes the calls that a test meddles with in one thread, because strace counts for each by itself."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)

    def sync(self, descriptor: int) -> None:
        self._thread.submit(super().sync, descriptor).result()

    def sync_folder(self, path: Path) -> None:
        self._thread.submit(super().sync_folder, path).result()

    def rename(self, source: Path, target: Path) -> None:
        self._thread.submit(super().rename, source, target).result()


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    say(anyio.run(drive, Path(sys.argv[1]), say, OneThread()))
