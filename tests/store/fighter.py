"""A process that drives executions until all are done: `python -m tests.store.fighter <root> <what> …`.

`write <id>` creates one and records it to its end, each batch until it counts, and says how often one
did not. `hold <id>` takes one, says so, and keeps it until its input ends. `fight <effects>` goes
round, takes whatever it can get, carries out one step of it, and writes a line to the file of effects.
"""

import os
import sys
from pathlib import Path

import anyio

from engine_mcp.core.event import AttemptLost, AttemptStarted
from engine_mcp.core.execution import Execution, ExecutionStatus, StepStatus
from engine_mcp.core.listing import Query
from engine_mcp.errors import ExecutionOwned, StorageError
from engine_mcp.store.files import FileStore
from tests.store.plans import (
    AT,
    Hand,
    completed,
    created,
    file_store,
    interrupted,
    resumed,
    started,
    story,
    succeeded,
)

STEPS = 8


async def write(store: FileStore, name: str) -> None:
    hand, failures = Hand(*await store.create(created(name, steps=STEPS))), 0
    for batch in story(STEPS):
        before = hand.execution.revision
        while hand.execution.revision == before:
            try:
                await hand.note(*batch)
            except StorageError:
                failures += 1
    await hand.log.close()
    print("failures", failures, flush=True)  # noqa: T201 - whoever started it reads this


async def hold(store: FileStore, name: str) -> None:
    _, log = await store.open(name)
    print("held", log.epoch, flush=True)  # noqa: T201 - whoever started it reads this
    sys.stdin.read()
    await log.close()


async def fight(store: FileStore, effects: Path) -> None:
    pen = os.open(effects, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while rows := [row for row in (await store.list(Query(limit=100))).rows if row.status != "completed"]:
        for row in rows:
            try:
                hand = Hand(*await store.open(row.id))
            except ExecutionOwned:
                continue
            try:
                await step(hand, pen)
            finally:
                await hand.log.close()


async def step(hand: Hand, pen: int) -> None:
    if hand.execution.status is ExecutionStatus.COMPLETED:
        return
    if hand.execution.status is ExecutionStatus.RUNNING:
        for one in hand.execution.running:
            await hand.note(AttemptLost(at=AT, step=one.spec.id, number=len(one.attempts)))
        await hand.note(interrupted())
    if hand.execution.status is ExecutionStatus.INTERRUPTED:
        await hand.note(resumed())
    await hand.note(started(hand.log.epoch))
    name = next_step(hand.execution)
    if name is not None:
        number = len(hand.execution.steps[name].attempts) + 1
        await hand.note(AttemptStarted(at=AT, step=name, number=number))
        os.write(pen, f"{hand.execution.id} {name} {hand.log.epoch} {os.getpid()}\n".encode())
        await hand.note(succeeded(name, number=number))
    await hand.note(completed() if next_step(hand.execution) is None else interrupted())


def next_step(execution: Execution) -> str | None:
    open_steps = (name for name, step in execution.steps.items() if step.status is not StepStatus.COMPLETED)
    return next(open_steps, None)


async def main(root: str, what: str, about: str) -> None:
    store = file_store(Path(root), owner=f"fighter {os.getpid()}")
    match what:
        case "write":
            await write(store, about)
        case "hold":
            await hold(store, about)
        case _:
            await fight(store, Path(about))
    store.close()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
