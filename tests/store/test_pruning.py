"""What is old is removed as the policy says, and nothing else ever is."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine_mcp.core.event import Event, ExecutionFailed, ExecutionPaused
from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.core.listing import Listed, Query
from engine_mcp.errors import ExecutionNotFound, StorageError
from engine_mcp.store.disk import Disk
from engine_mcp.store.files import FileStore
from engine_mcp.store.lease import Lease
from engine_mcp.store.retention import KEEP, Retention
from tests.store.disks import Fault, FaultyDisk
from tests.store.plans import AT, Hand, cancelled, completed, created, file_store, interrupted, started

pytestmark = pytest.mark.anyio
DAY = 86_400.0
ENDS: dict[str, Event] = {
    "completed": completed(),
    "failed": ExecutionFailed(at=AT, reason="no"),
    "cancelled": cancelled(),
    "interrupted": interrupted(),
    "paused": ExecutionPaused(at=AT, reason="budget"),
}


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def store(tmp_path: Path, disk: FaultyDisk) -> Iterator[FileStore]:
    """A store that looks at everything forty days later."""
    made = file_store(tmp_path, at=AT + 40 * DAY, disk=disk)
    yield made
    made.close()


async def ended(store: FileStore, end: str = "completed", *, at: float = AT, key: str | None = None) -> Hand:
    hand = Hand(*await store.create(created(key=key, at=at)))
    await hand.note(started(at=at))
    await hand.note(ENDS[end] if end != "completed" else completed(at))
    await hand.log.close()
    return hand


def place(store: FileStore, hand: Hand) -> Path:
    return Path(store.place(hand.execution.id)).parent


def row(number: int, at: float) -> Listed:
    return Listed(
        id=f"{number:02}",
        status=ExecutionStatus.COMPLETED,
        title="",
        created_at=at,
        updated_at=at,
        steps=1,
        done=1,
    )


@pytest.mark.parametrize(
    ("policy", "gone"),
    [
        (Retention(), []),
        (Retention(days=2.5), ["00", "01"]),
        (Retention(count=2), ["00", "01", "02"]),
        (Retention(days=3.5, count=2), ["00", "01", "02"]),
        (Retention(count=0), ["00", "01", "02", "03", "04"]),
        (Retention(days=0), ["00", "01", "02", "03"]),
    ],
)
def test_a_policy_says_what_is_too_old_or_too_many(policy: Retention, gone: list[str]) -> None:
    rows = [row(number, AT + number * DAY) for number in range(5)]
    assert list(policy.expired(rows, AT + 4 * DAY)) == gone


@pytest.mark.req("SPEC:7.retention", "000:4.3.3", "000:6.4.3")
@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
async def test_old_finished_executions_are_removed(store: FileStore, end: str) -> None:
    hand = await ended(store, end)
    assert await store.prune(Retention()) == (hand.execution.id,)
    with pytest.raises(ExecutionNotFound):
        await store.read(hand.execution.id)
    assert (await store.list(Query())).total == 0
    assert not place(store, hand).exists()
    assert await store.prune(Retention()) == ()


@pytest.mark.parametrize("end", ["interrupted", "paused"])
async def test_unfinished_executions_stay(store: FileStore, end: str) -> None:
    hand = await ended(store, end)
    assert await store.prune(Retention(days=0, count=0)) == ()
    assert await store.read(hand.execution.id) == hand.execution


async def test_an_execution_that_somebody_drives_stays(store: FileStore) -> None:
    hand = await ended(store)
    execution, log = await store.open(hand.execution.id)
    assert await store.prune(Retention(count=0)) == ()
    assert await store.read(execution.id) == execution
    await log.close()
    assert await store.prune(Retention(count=0)) == (execution.id,)


async def test_what_is_marked_to_be_kept_stays(store: FileStore) -> None:
    hand, other = await ended(store), await ended(store)
    (place(store, hand) / KEEP).touch()
    assert await store.prune(Retention()) == (other.execution.id,)
    assert await store.read(hand.execution.id) == hand.execution


async def test_a_dry_run_only_tells(store: FileStore) -> None:
    old, recent = await ended(store), await ended(store, at=AT + 39 * DAY)
    assert await store.prune(Retention(), dry_run=True) == (old.execution.id,)
    assert {row.id for row in (await store.list(Query())).rows} == {old.execution.id, recent.execution.id}
    assert await store.prune(Retention()) == (old.execution.id,)


async def test_a_key_is_free_again_once_its_execution_is_gone(store: FileStore) -> None:
    await ended(store, key="once")
    assert await store.claimed("once") is not None
    await store.prune(Retention())
    assert await store.claimed("once") is None
    hand = await ended(store, key="once")
    assert await store.claimed("once") == hand.execution.id
    assert await store.prune(Retention(count=0)) == (hand.execution.id,)
    assert [path.name for path in (place(store, hand).parents[1] / "keys").iterdir()] == ["lock"]


async def test_who_takes_a_lease_while_it_is_removed_finds_nothing(store: FileStore, tmp_path: Path) -> None:
    class RemovingDisk(Disk):
        def open(self, path: Path, flags: int) -> int:
            descriptor = super().open(path, flags)
            path.parent.rename(tmp_path / "trash")
            return descriptor

    hand = await ended(store)
    with pytest.raises(ExecutionNotFound):
        Lease.take(RemovingDisk(), place(store, hand))
    assert not place(store, hand).exists()


async def test_artifacts_that_nothing_names_are_removed_after_an_hour(store: FileStore) -> None:
    hand = Hand(*await store.create(created(at=AT + 40 * DAY)))
    named = await hand.log.keep(b"named", name="a", media_type="text/plain")
    stray = await hand.log.keep(b"stray", name=None, media_type="text/plain")
    young = await hand.log.keep(b"young", name=None, media_type="text/plain")
    await hand.note(started(at=AT + 40 * DAY))
    await hand.note(ExecutionFailed(at=AT + 40 * DAY, reason=f"see {named.digest}"))
    kept = place(store, hand) / "artifacts"
    for artifact in (named, stray):
        os.utime(kept / artifact.digest, (AT, AT))
    os.utime(kept / young.digest, (AT + 40 * DAY, AT + 40 * DAY))
    await store.prune(Retention())
    assert {path.name for path in kept.iterdir()} == {named.digest, stray.digest, young.digest}
    await hand.log.close()
    await store.prune(Retention())
    assert {path.name for path in kept.iterdir()} == {named.digest, young.digest}


async def test_what_is_left_of_a_creation_is_removed_after_an_hour(store: FileStore) -> None:
    hand = await ended(store, at=AT + 40 * DAY)
    for name, at in (("unborn-old", AT), ("unborn-new", AT + 40 * DAY)):
        folder = place(store, hand).with_name(name)
        folder.mkdir()
        (folder / "lease").touch()
        os.utime(folder, (at, at))
    assert await store.prune(Retention()) == ()
    assert {path.name for path in place(store, hand).parent.iterdir()} == {hand.execution.id, "unborn-new"}


async def test_a_removal_that_was_cut_short_is_finished_by_the_next(
    store: FileStore, disk: FaultyDisk
) -> None:
    hand = await ended(store)
    disk.faults = [Fault("unlink", 5, "journal-*")]
    with pytest.raises(StorageError, match="Removing"):
        await store.prune(Retention())
    with pytest.raises(ExecutionNotFound):
        await store.read(hand.execution.id)
    assert await store.prune(Retention()) == ()
    assert list((place(store, hand).parents[1] / "trash").iterdir()) == []


async def test_there_is_nothing_to_remove_before_the_first_execution(store: FileStore) -> None:
    assert await store.prune(Retention()) == ()
