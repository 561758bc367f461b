"""Lets several engines work in processes of their own, and kills them at moments drawn from a seed.

`python -m tests.faults.killing <folder> <url> <began> <seed> <orders> <kills>`: prints as JSON how many
died. It loads everything once and forks engines from itself, so it starts no thread.
"""

import gc
import json
import os
import random
import select
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio

from engine_mcp.prices.listed import PRICE
from engine_mcp.runners.api_sdk import Endpoint
from tests.faults.engine import Site, carry_out
from tests.faults.orders import Order, orders

LOADED = (PRICE, Endpoint)
"""What takes engines long to load when they first need it: it is here before they are forked."""
ENGINES = 3
APART_S = (0.05, 1.2)
"""The shortest and the longest time from one kill to the next."""
LONGEST_S = 150.0


class Engines:
    """The living engines, by process id, each with its share of the orders."""

    def __init__(self, site: Site, asked: Sequence[Order]) -> None:
        self._site = site
        self._shares = [asked[index::ENGINES] for index in range(ENGINES)]
        self._alive: dict[int, int] = {}
        self._until = time.monotonic() + LONGEST_S
        self.died = 0

    def start(self, share: int) -> None:
        """Have an engine work on a share."""
        pid = os.fork()
        if pid == 0:
            _child(self._site, self._shares[share])
        self._alive[pid] = share

    def kill(self, chance: random.Random) -> None:
        """Kill one of those that work, and have another go on in its place."""
        self.reap(block=False)
        if not self._alive:
            return
        pid = chance.choice(sorted(self._alive, key=self._alive.__getitem__))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        share = self._alive.pop(pid)
        if os.waitstatus_to_exitcode(status) == -signal.SIGKILL:
            self.died += 1
            self.start(share)

    def reap(self, *, block: bool) -> None:
        """Take the ends of those that are done; with `block` of all. Raises RuntimeError where one broke."""
        while self._alive:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid:
                del self._alive[pid]
                if status:
                    raise RuntimeError(f"an engine ended with {os.waitstatus_to_exitcode(status)}")
            elif not block:
                return
            elif time.monotonic() > self._until:
                raise RuntimeError(f"{len(self._alive)} engines do not come to an end")
            else:
                select.select([], [], [], 0.02)

    def end(self) -> None:
        """Kill what is left after something went wrong."""
        for pid in self._alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _child(site: Site, share: Sequence[Order]) -> None:
    try:
        anyio.run(partial(carry_out, site, share))
        os._exit(0)
    except BaseException:  # noqa: BLE001 - a child must never go on as its parent
        traceback.print_exc()
        os._exit(1)


def main(site: Site, count: int, kills: int) -> int:
    """Carry out the orders under so many kills; how many hit."""
    engines = Engines(site, orders(site.seed, count))
    chance = random.Random(site.seed)  # noqa: S311 - chance that repeats
    try:
        for share in range(ENGINES):
            engines.start(share)
        for _ in range(kills):
            select.select([], [], [], chance.uniform(*APART_S))
            engines.kill(chance)
        engines.reap(block=True)
    finally:
        engines.end()
    return engines.died


if __name__ == "__main__":
    folder, url, began, seed, count, kills = sys.argv[1:]
    gc.freeze()
    site = Site(Path(folder), url, float(began), int(seed))
    json.dump({"died": main(site, int(count), int(kills))}, sys.stdout)
