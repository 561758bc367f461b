"""A story that makes every kind of write of the store, and the proof that nothing told of it was lost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from engine_mcp.core.event import Event, ExecutionCreated
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution
from engine_mcp.core.listing import Query
from engine_mcp.errors import ExecutionNotFound, StorageError
from engine_mcp.store.disk import Disk
from engine_mcp.store.files import FileStore
from engine_mcp.store.journal import SEGMENT_BYTES
from engine_mcp.store.log import SNAPSHOT_BYTES
from engine_mcp.store.retention import Retention
from tests.store.plans import Hand, attempt, completed, created, file_store, started, succeeded

FIRST, SECOND = "019a-first", "019a-second"
KEY = "once"
CONTENT = b"kept beside the snapshot"
BATCHES: tuple[Sequence[Event], ...] = (
    (started(), attempt("s0")),
    (succeeded("s0"), attempt("s1")),
    (succeeded("s1", "x" * SNAPSHOT_BYTES), attempt("s2")),
    (succeeded("s2", "x" * SEGMENT_BYTES),),
    (attempt("s3"),),
    (succeeded("s3"), completed()),
)

Ack = Callable[[str], None]


def beginning(name: str) -> ExecutionCreated:
    return created(name, steps=4, key=KEY if name == FIRST else None)


def truth(name: str) -> list[Event]:
    """Every event of an execution in order."""
    batches = BATCHES if name == FIRST else BATCHES[:1]
    return [beginning(name), *(event for batch in batches for event in batch)]


async def play(root: Path, disk: Disk, ack: Ack) -> None:
    """Tell `ack` of everything that the store said is durable: `<execution> <events>`, or a word."""
    store = file_store(root, disk=disk)
    hand = Hand(*await store.create(beginning(FIRST)))
    ack(f"{FIRST} 1")
    for number, batch in enumerate(BATCHES):
        await _noted(hand, batch)
        ack(f"{FIRST} {hand.execution.revision}")
        if number == 0:
            await hand.log.keep(CONTENT, name="notes", media_type="text/plain")
            ack("kept")
        if number == 1:
            await hand.save()
            await hand.log.close()
            hand = Hand(*await store.open(FIRST))
    await hand.save()
    await hand.log.close()
    other = Hand(*await store.create(beginning(SECOND)))
    ack(f"{SECOND} 1")
    await other.note(*BATCHES[0])
    ack(f"{SECOND} 3")
    ack("pruning")
    await store.prune(Retention(count=0))
    ack("pruned")
    await other.log.close()
    store.close()


async def _noted(hand: Hand, batch: Sequence[Event]) -> None:
    try:
        await hand.note(*batch)
    except StorageError:
        await hand.note(*batch)


@dataclass(frozen=True)
class Told:
    """What was acknowledged before the end."""

    counted: dict[str, int]
    words: frozenset[str]

    @classmethod
    def of(cls, acks: Sequence[str]) -> "Told":
        pairs = [ack.split() for ack in acks if " " in ack]
        words = frozenset(ack for ack in acks if " " not in ack)
        return cls({name: int(count) for name, count in pairs}, words)


async def prove(root: Path, told: Told) -> None:
    """Raise AssertionError unless everything told is there, nothing is damaged, and work can go on."""
    store = file_store(root, owner="after")
    try:
        there = {name for name in (FIRST, SECOND) if await _proven(store, name, told)}
        assert await store.damaged() == {}
        assert {row.id for row in (await store.list(Query())).rows} == there
        await _prove_key(store, told)
    finally:
        store.close()
    assert spoiled(root) == []


def spoiled(root: Path) -> list[str]:
    """The files that were set aside as damaged."""
    return [str(path) for path in root.rglob("*.corrupt")]


async def _proven(store: FileStore, name: str, told: Told) -> bool:
    least = told.counted.get(name, 0)
    try:
        found = await store.read(name)
    except ExecutionNotFound:
        assert least == 0 or (name == FIRST and "pruning" in told.words), f"{name} is lost"
        return False
    assert least <= found.revision <= _next(name, least), f"{name} has {found.revision} of {least} events"
    assert found == fold(None, truth(name)[: found.revision])
    events = await store.events(name, 0, 99)
    assert [event for _, event in events] == truth(name)[: found.revision]
    if "kept" in told.words and name == FIRST:
        assert await store.artifact(name, sha256(CONTENT).hexdigest()) == CONTENT
    await _finish(store, name, found)
    assert (await store.read(name)) == fold(None, truth(name))
    left = [path.name for path in Path(store.place(name)).parent.iterdir() if path.name.endswith(".tmp")]
    assert left == []
    return True


def _next(name: str, least: int) -> int:
    """The most that may be on record: what was told, and the batch that was being written."""
    reached = 1
    for batch in BATCHES:
        if reached > least:
            return reached
        if reached == least:
            return least + len(batch)
        reached += len(batch)
    assert name == FIRST or least <= 3
    return max(reached, 1)


async def _finish(store: FileStore, name: str, found: Execution) -> None:
    execution, log = await store.open(name)
    assert execution == found
    hand = Hand(execution, log)
    await log.keep(CONTENT, name="notes", media_type="text/plain")
    for event in truth(name)[found.revision :]:
        await hand.note(event)
    await log.close()


async def _prove_key(store: FileStore, told: Told) -> None:
    holder = await store.claimed(KEY)
    if told.counted.get(FIRST) and "pruning" not in told.words:
        assert holder == FIRST
    if holder is None:
        execution, log = await store.create(created("019a-third", key=KEY))
        assert await store.claimed(KEY) == execution.id
        await log.close()
