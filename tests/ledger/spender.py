"""A process that spends under a shared limit.

`python -m tests.ledger.spender <ledger> <record> <seed> <waits>`: once its input ends, it reserves some
tokens at a time, uses some of them and posts that, until not even one is granted so many times on end.
Its record has a line for each event before the ledger hears of it: how many tokens it used.
"""

import os
import random
import sys
from datetime import UTC
from pathlib import Path

import anyio

from engine_mcp.ledger.book import SqliteLedger
from tests.ledger.ledgers import AT, hold, posting

MOST = 9


async def spend(ledger: SqliteLedger, record: Path, waits: int, chance: random.Random) -> None:
    pen = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    number, posted, refusals = 0, 0, 0
    while refusals < waits:
        asked = chance.randint(1, MOST) if refusals == 0 else 1
        if await ledger.reserve(posting(record.name, posted), [hold(asked)], AT):
            refusals += 1  # others hold what they will not use: ask again
            continue
        refusals = 0
        uses = [chance.randint(0, asked)]
        uses.append(chance.randint(0, asked - uses[0]))
        left = asked
        for used in uses:
            os.write(pen, b"%d\n" % used)
            number, left = number + 1, left - used
            held = (hold(left),) if used is uses[0] else ()
            await ledger.post(posting(record.name, posted, number, spent=used, holds=held))
            posted = number
    ledger.close()


def main(path: str, record: str, seed: str, waits: str) -> None:
    ledger = SqliteLedger(Path(path), UTC, {}, clock=lambda: AT)
    print("ready", flush=True)  # noqa: T201 - whoever started it reads this
    sys.stdin.read()
    chance = random.Random(int(seed))  # noqa: S311 - chance that repeats
    anyio.run(spend, ledger, Path(record), int(waits), chance)


if __name__ == "__main__":
    main(*sys.argv[1:])
