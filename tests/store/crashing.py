"""Dies at each file operation in turn, in a child of its own, and looks at what the child left.

`python -m tests.store.crashing <folder>` prints the number of points, and what was wrong at which, as
JSON. It is a process of its own because only a process without threads may be forked.
"""

import gc
import json
import os
import shutil
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio

from engine_mcp.core.evolve import fold
from engine_mcp.store.codec import decode_event, decode_state, encode_event, encode_state, parsed
from tests.store.disks import WRITING, WatchedDisk
from tests.store.saga import FIRST, Told, play, prove, truth

T = TypeVar("T")
DEAD = 99


@dataclass(frozen=True)
class Point:
    """An operation by its number, and whether to die before it or in the middle of it."""

    number: int
    mode: str


class CrashingDisk(WatchedDisk):
    """Ends the process, without any clean-up, at one point."""

    def __init__(self, point: Point) -> None:
        super().__init__()
        self._point = point
        self._count = 0
        self._lock = threading.Lock()

    def act(self, operation: str, path: Path, do: Callable[[], T]) -> T:
        if operation not in WRITING:
            return do()
        with self._lock:
            self._count += 1
            here = self._count == self._point.number
        if here and self._point.mode == "before":
            os._exit(DEAD)
        result = super().act(operation, path, do)
        if here:
            os._exit(DEAD)
        return result

    def write(self, descriptor: int, content: bytes | memoryview) -> int:
        if self._point.mode == "torn" and self._count + 1 == self._point.number:
            content = bytes(content[: len(content) // 2])
        return super().write(descriptor, content)


def child(root: Path, point: Point) -> bool:
    """Play the story in a child up to the point; whether the child died there."""
    pid = os.fork()
    if pid == 0:
        try:
            told = os.open(root / "acks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            anyio.run(partial(play, root, CrashingDisk(point), lambda ack: _say(told, ack)))
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a child must never go on as its parent
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in {0, DEAD}:
        raise RuntimeError(f"the child ended with {code} at {point}")
    return code == DEAD


def _say(told: int, ack: str) -> None:
    os.write(told, f"{ack}\n".encode())


def operations(root: Path) -> list[str]:
    """The operations of the whole story, in order."""
    disk = WatchedDisk()
    pid = os.fork()
    if pid == 0:
        anyio.run(partial(play, root, disk, lambda _: None))
        log = [operation for operation, _ in disk.log if operation in WRITING]
        (root / "log").write_text(json.dumps(log), encoding="utf-8")
        os._exit(0)
    os.waitpid(pid, 0)
    return json.loads((root / "log").read_text(encoding="utf-8"))


def look(root: Path, point: Point) -> str:
    """What is wrong after a death at the point; empty if nothing is."""
    root.mkdir()
    try:
        child(root, point)
        acks = (root / "acks").read_text(encoding="utf-8").splitlines() if (root / "acks").exists() else []
        pid = os.fork()  # in a child again, so that this process stays without threads
        if pid == 0:
            try:
                anyio.run(prove, root, Told.of(acks))
                os._exit(0)
            except BaseException:  # noqa: BLE001 - whatever it is, it is what was wrong
                (root / "wrong").write_text(traceback.format_exc(), encoding="utf-8")
                os._exit(1)
        os.waitpid(pid, 0)
        return (root / "wrong").read_text(encoding="utf-8") if (root / "wrong").exists() else ""
    finally:
        shutil.rmtree(root)


def warm_up() -> None:
    """Build what every child would otherwise build anew."""
    for event in truth(FIRST):
        decode_event(parsed(encode_event(event)))
    decode_state(parsed(encode_state(fold(None, truth(FIRST)))))
    gc.freeze()


def main(folder: Path, share: int, shares: int) -> None:
    """Go through the points of one share of them."""
    warm_up()
    whole = folder / f"whole-{share}"
    whole.mkdir()
    log = operations(whole)
    # After one operation is before the next one, except for what is told in between.
    points = [Point(number, "before") for number in range(1, len(log) + 2)]
    points += [Point(number, "torn") for number, did in enumerate(log, 1) if did == "write"]
    mine = points[share::shares]
    wrong = {str(point): told for point in mine if (told := look(folder / f"at-{share}", point))}
    json.dump({"points": len(mine), "wrong": wrong}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
