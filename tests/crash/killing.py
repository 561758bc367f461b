"""Kills the process that does the work at each of its file operations in turn, and has others go on.

`python -m tests.crash.killing points <folder> <share> <shares>` dies before, behind and in the midst
of operations; `... moments <folder> <seed> <times>` kills from outside, at any moment. Each prints as
JSON how many died and what was wrong. It is a process of its own because only a process without
threads may be forked; every process that does work is a child of it.
"""

import gc
import json
import os
import random
import select
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import psutil

from engine_mcp.store.disk import Disk
from tests.crash.story import Seen, drive, prove
from tests.store.disks import WRITING, WatchedDisk

T = TypeVar("T")
ORPHANS_S = 5.0
LOOK_S = 0.01


class DyingDisk(WatchedDisk):
    """Kills its process at the operation with a number, before it or, of a write, in the midst of it."""

    def __init__(self, number: int, mode: str) -> None:
        super().__init__()
        self._number, self._mode = number, mode
        self._count = 0
        self._lock = threading.Lock()

    def act(self, operation: str, path: Path, do: Callable[[], T]) -> T:
        if operation not in WRITING:
            return do()
        with self._lock:
            self._count += 1
            here = self._count == self._number
        if here and self._mode == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = super().act(operation, path, do)
        if here:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def write(self, descriptor: int, content: bytes | memoryview) -> int:
        if self._mode == "amid" and self._count + 1 == self._number:
            content = bytes(content[: len(content) // 2])
        return super().write(descriptor, content)


@dataclass
class Tally:
    """How many processes died, how many of them while they had a sandbox, and what was wrong."""

    died: int = 0
    sandboxes: int = 0
    wrong: dict[str, str] = field(default_factory=dict[str, str])

    def close(self, world: "World", name: str) -> None:
        """Let the work of a world end, and count what came of it."""
        if told := world.end():
            self.wrong[name] = told
        self.died += world.kills
        self.sandboxes += world.sandboxes


@dataclass
class World:
    """A folder in which processes work and die, and what they told."""

    root: Path
    acknowledged: list[str] = field(default_factory=list[str])
    kills: int = 0
    sandboxes: int = 0

    def process(self, disk: Disk | None = None, kill_after: tuple[int, float] | None = None) -> bool:
        """Let a process go on with the work; whether it was killed.

        With `kill_after` it is killed from outside so many events, and then seconds, after its start.
        """
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            _child(partial(drive, self.root, partial(_say, theirs), disk))
        os.close(theirs)
        if kill_after is not None:
            self._listen(ours, *kill_after)
            self.sandboxes += bool(_sandboxes(pid))
            os.kill(pid, signal.SIGKILL)
        self._listen(ours)
        os.close(ours)
        _, status = os.waitpid(pid, 0)
        ended = os.waitstatus_to_exitcode(status)
        if ended not in {0, -signal.SIGKILL}:
            raise RuntimeError(f"a process ended with {ended}")
        _see_orphans_off(pid)
        self.kills += ended != 0
        return ended != 0

    def _listen(self, pipe: int, events: int = 1 << 30, seconds: float = 0.0) -> None:
        text = b""
        while text.count(b"\n") < events and (more := os.read(pipe, 1 << 16)):
            text += more
        if seconds:
            select.select([], [], [], seconds)
        self.acknowledged += text.decode().split("\n")[:-1]

    def end(self) -> str:
        """Let a last process end the work; what is wrong then, or nothing."""
        try:
            self.process()
            seen = Seen(tuple(self.acknowledged), self.kills)
            pid = os.fork()  # in a child again, so that this process stays without threads
            if pid == 0:
                _child(partial(prove, self.root, seen), self.root / "wrong")
            os.waitpid(pid, 0)
            wrong = self.root / "wrong"
            return wrong.read_text(encoding="utf-8") if wrong.exists() else ""
        except RuntimeError as error:
            return str(error)
        finally:
            shutil.rmtree(self.root)


def _child(work: Callable[[], object], wrong: Path | None = None) -> None:
    try:
        anyio.run(work)  # pyright: ignore[reportArgumentType] - each gives an awaitable
        os._exit(0)
    except BaseException:  # noqa: BLE001 - a child must never go on as its parent
        if wrong is None:
            traceback.print_exc()
        else:
            wrong.write_text(traceback.format_exc(), encoding="utf-8")
        os._exit(1)


def _say(pipe: int, line: str) -> None:
    os.write(pipe, f"{line}\n".encode())


def _see_orphans_off(pid: int) -> None:
    """Wait until every sandbox process of a server that is gone is gone too."""
    until = time.monotonic() + ORPHANS_S
    while left := _sandboxes(pid):
        if time.monotonic() > until:
            raise RuntimeError(f"the process {pid} left orphans: {left}")
        time.sleep(LOOK_S)


def _sandboxes(pid: int) -> list[psutil.Process]:
    return [process for process in psutil.process_iter(["cmdline"]) if _serves(process, pid)]


def _serves(process: psutil.Process, pid: int) -> bool:
    """Whether it is a sandbox process, which names the server that it serves."""
    words: list[str] = process.info["cmdline"] or []
    return "-I" in words and str(pid) in words


def operations(folder: Path) -> list[str]:
    """The operations of the whole work, in order."""
    root = folder / "whole"
    root.mkdir()
    disk = WatchedDisk()

    async def work() -> None:
        await drive(root, lambda _: None, disk)
        log = [operation for operation, _ in disk.log if operation in WRITING]
        (folder / "log").write_text(json.dumps(log), encoding="utf-8")

    pid = os.fork()
    if pid == 0:
        _child(work)
    os.waitpid(pid, 0)
    return json.loads((folder / "log").read_text(encoding="utf-8"))


def points(folder: Path, share: int, shares: int) -> Tally:
    """Die at one share of all points; every third time the process that goes on dies as well."""
    log = operations(folder)
    # After one operation is before the next one, but for what is told in between.
    found = [(number, "before") for number in range(1, len(log) + 1)]
    found += [(number, "amid") for number, did in enumerate(log, 1) if did == "write"]
    tally = Tally()
    for index, (number, mode) in enumerate(found[share::shares]):
        world = _world(folder, f"{number}-{mode}")
        world.process(DyingDisk(number, mode))
        if index % 3 == 0:
            world.process(DyingDisk(1 + number % 17, "amid"))
        tally.close(world, f"{mode} {log[number - 1]} {number}")
    return tally


def moments(folder: Path, seed: int, times: int) -> Tally:
    """Kill from outside at moments drawn from the seed, one to three processes in a row."""
    lots = random.Random(seed)  # noqa: S311 - to be repeatable is the point
    tally = Tally()
    for index in range(times):
        world = _world(folder, f"{index}")
        for _ in range(lots.randint(1, 3)):
            world.process(kill_after=(lots.randint(0, 20), lots.random() * 0.02))
        tally.close(world, f"seed {seed}, {index}")
    return tally


def _world(folder: Path, name: str) -> World:
    world = World(folder / name)
    world.root.mkdir()
    return world


def main(what: str, folder: Path, one: int, two: int) -> None:
    """Do what is asked for and tell what came of it."""
    gc.freeze()
    tally = (points if what == "points" else moments)(folder, one, two)
    json.dump(asdict(tally), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
