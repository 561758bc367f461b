"""Forks processes of the engine on request: `python -m tests.crash.nursery`, one order a line.

A process without threads that has imported everything once can be forked hundreds of times in little
time. An order is JSON: the fields of `play.Order`, and `kill_after_s` for a kill from the outside. The
answer to it is the exit code of the child, negative for a signal.
"""

import gc
import json
import os
import select
import signal
import sys
import traceback
from pathlib import Path

from tests.crash.play import Order, play

LONGEST_S = 30.0
STUCK = 77


def main() -> None:
    gc.freeze()
    for line in sys.stdin:
        wish = json.loads(line)
        kill_after, folder = wish.pop("kill_after_s", None), Path(wish.pop("folder"))
        print(_ended(_born(Order(folder, **wish)), kill_after), flush=True)  # noqa: T201 - the answer


def _born(order: Order) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.dup2(os.open(order.folder / "errors", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        status = 0 if play(order) else 2
    except BaseException:  # noqa: BLE001 - the child must end here, whatever happens
        traceback.print_exc()
    finally:
        os._exit(status)


def _ended(child: int, kill_after: float | None) -> int:
    ending = os.pidfd_open(child)
    try:
        if not select.select([ending], [], [], kill_after if kill_after is not None else LONGEST_S)[0]:
            os.kill(child, signal.SIGKILL)
            if kill_after is None:
                os.waitpid(child, 0)
                return STUCK
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.close(ending)


if __name__ == "__main__":
    main()
