"""The store in memory, where its process seems to die."""

import pytest

from engine_mcp.errors import StorageError
from engine_mcp.store.memory import MemoryStore
from tests.store.plans import Hand, attempt, created, started

pytestmark = pytest.mark.anyio


async def test_an_abandoned_execution_is_found_and_its_log_is_closed() -> None:
    store = MemoryStore()
    hand = Hand(*await store.create(created()))
    await hand.note(started())
    assert await store.abandoned() == ()
    store.abandon(hand.execution.id)
    assert await store.abandoned() == (hand.execution.id,)
    with pytest.raises(StorageError):
        await hand.note(attempt())
    execution, log = await store.open(hand.execution.id)
    assert (execution, log.epoch) == (hand.execution, 2)


async def test_closing_a_lost_log_leaves_the_lease_of_its_successor() -> None:
    store = MemoryStore()
    hand = Hand(*await store.create(created()))
    store.abandon(hand.execution.id)
    await store.open(hand.execution.id)
    await hand.log.close()
    assert await store.owner(hand.execution.id) == "memory"


async def test_there_is_no_path_to_a_snapshot() -> None:
    assert MemoryStore().place("x") == "memory:x"
