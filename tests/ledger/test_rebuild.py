"""The ledger rebuilt from the records."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC
from pathlib import Path

import pytest

from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.event import AttemptLost, AttemptStarted, AttemptSucceeded, Event, UsageReported
from engine_mcp.core.execution import Output
from engine_mcp.core.period import QUARTER_S, Period
from engine_mcp.core.spending import Posting
from engine_mcp.ledger import rebuild
from engine_mcp.ledger.memory import MemoryLedger
from engine_mcp.ledger.rebuild import Rebuilt, rebuilt
from engine_mcp.ports import Store
from engine_mcp.store.memory import MemoryStore
from tests.ledger.ledgers import file_ledger, left, posting
from tests.store.plans import AT, Hand, completed, created, file_store, interrupted, started

pytestmark = pytest.mark.anyio
CAPS = {Period.MONTH: Limits(max_tokens=1_000)}


@pytest.fixture(params=["files", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    files = file_store(tmp_path)
    yield files
    files.close()


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger(UTC, CAPS)


def begins(reserved: int = 100) -> AttemptStarted:
    return AttemptStarted(at=AT, step="s0", number=1, reserved=Usage(tokens_out=reserved, requests=2))


def reports(used: int, at: float = AT) -> UsageReported:
    return UsageReported(at=at, step="s0", number=1, usage=Usage(tokens_in=used, requests=1))


def succeeds(used: int) -> AttemptSucceeded:
    usage = Usage(tokens_in=used, cost_micros=1, cost_basis="computed")
    return AttemptSucceeded(at=AT, step="s0", number=1, output=Output(value="bright"), usage=usage)


async def recorded(store: Store, *batches: Sequence[Event], name: str | None = None) -> Hand:
    """An execution on record that nobody drives any more."""
    hand = Hand(*await store.create(created(name, steps=1)))
    for batch in batches:
        await hand.note(*batch)
    await hand.log.close()
    return hand


STORY = ((started(), begins()), (reports(30), reports(20, AT + QUARTER_S)), (succeeds(7), completed()))


@pytest.mark.req("003:L62")
async def test_what_the_records_tell_is_what_the_ledger_knows_again(
    store: Store, ledger: MemoryLedger
) -> None:
    hands = [await recorded(store, *STORY) for _ in range(3)]
    assert await rebuilt(ledger, store) == Rebuilt(executions=3, entries=9)
    for hand in hands:
        assert await ledger.posted(hand.execution.id) == hand.execution.revision
    found = await ledger.spent(Period.MONTH, AT)
    assert found == Usage(tokens_in=3 * 57, requests=6, cost_micros=3)
    assert await left(ledger, Period.MONTH, AT) == (1_000, 171, 0)


async def test_rebuilding_again_changes_nothing(store: Store, ledger: MemoryLedger) -> None:
    await recorded(store, *STORY)
    await rebuilt(ledger, store)
    room = await ledger.room(AT)
    assert await rebuilt(ledger, store) == Rebuilt()
    assert await ledger.room(AT) == room


async def test_only_what_is_missing_is_posted(store: Store, ledger: MemoryLedger) -> None:
    hand = await recorded(store, *STORY)
    spent = {int(AT // QUARTER_S): Usage(tokens_in=30, requests=1)}
    assert await ledger.post(Posting(execution_id=hand.execution.id, after=0, upto=4, spent=spent))
    assert await rebuilt(ledger, store) == Rebuilt(executions=1, entries=2)
    assert (await ledger.spent(Period.MONTH, AT)).tokens_in == 57


async def test_what_the_dead_hold_is_held_until_they_are_recovered(
    store: Store, ledger: MemoryLedger
) -> None:
    hand = await recorded(store, (started(), begins(100)), (reports(30),))
    await rebuilt(ledger, store)
    assert await left(ledger, Period.MONTH, AT) == (1_000, 30, 70)
    _, log = await store.open(hand.execution.id)
    again = Hand(hand.execution, log)
    await again.note(AttemptLost(at=AT, step="s0", number=1, usage=Usage(tokens_in=70)), interrupted())
    await log.close()
    await rebuilt(ledger, store)
    assert await left(ledger, Period.MONTH, AT) == (1_000, 100, 0)


async def test_what_is_being_driven_is_left_to_its_driver(store: Store, ledger: MemoryLedger) -> None:
    hand = Hand(*await store.create(created(steps=1)))
    await hand.note(started(), begins())
    await hand.note(reports(30))
    assert await rebuilt(ledger, store) == Rebuilt()
    assert await ledger.posted(hand.execution.id) == 0
    await hand.log.close()


async def test_a_ledger_that_knows_more_than_a_record_is_reported_and_kept(
    store: Store, ledger: MemoryLedger
) -> None:
    hand, other = await recorded(store, *STORY), await recorded(store, *STORY)
    ahead = hand.execution.revision + 1
    assert await ledger.post(posting(hand.execution.id, 0, ahead, spent=500, at=AT))
    told = await rebuilt(ledger, store)
    assert told == Rebuilt(executions=1, entries=3, ahead=(hand.execution.id,))
    assert await ledger.posted(hand.execution.id) == ahead
    assert await ledger.posted(other.execution.id) == other.execution.revision
    assert (await ledger.spent(Period.MONTH, AT)).tokens_in == 557


async def test_a_record_that_cannot_be_read_is_named_and_the_others_are_posted(
    tmp_path: Path, ledger: MemoryLedger
) -> None:
    with closing(file_store(tmp_path)) as store:
        broken, _ = [await recorded(store, *STORY) for _ in range(2)]
        spoil(tmp_path, broken.execution.id)
        told = await rebuilt(ledger, store)
    assert told == Rebuilt(executions=1, entries=3, unreadable=(broken.execution.id,))


def spoil(folder: Path, execution_id: str) -> None:
    """Damage the record behind its snapshot's back, so that it is still listed."""
    for journal in (folder / ".engine-mcp" / "executions" / execution_id).glob("journal-*"):
        lines = journal.read_bytes().splitlines(keepends=True)
        lines[1] = lines[1].replace(b"kind", b"kine")
        journal.write_bytes(b"".join(lines))


async def test_more_executions_and_events_than_are_read_at_once_are_all_posted(tmp_path: Path) -> None:
    store = MemoryStore()
    many = [(started(), begins()), *([reports(1)] * 10 for _ in range(rebuild.EVENTS // 5))]
    long = await recorded(store, *many, (succeeds(0), completed()))
    for _ in range(rebuild.PAGE + 5):
        await recorded(store, *STORY)
    with closing(file_ledger(tmp_path, at=AT)) as ledger:
        told = await rebuilt(ledger, store)
        entries = 2 * rebuild.EVENTS + 1 + 3 * (rebuild.PAGE + 5)
        assert told == Rebuilt(executions=rebuild.PAGE + 6, entries=entries)
        assert await ledger.posted(long.execution.id) == long.execution.revision
        spent = 2 * rebuild.EVENTS + 57 * (rebuild.PAGE + 5)
        assert (await ledger.spent(Period.MONTH, AT)).tokens_in == spent
