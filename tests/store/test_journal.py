"""The journal on its disk: what is written when, and what a failing disk changes."""

import json
from collections.abc import Iterator
from errno import EIO, ENOSPC, EROFS
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from engine_mcp.core.event import ExecutionPaused
from engine_mcp.errors import StorageError
from engine_mcp.store.files import FileStore
from engine_mcp.store.journal import SEGMENT_BYTES
from engine_mcp.store.log import SNAPSHOT_BYTES
from tests.store.disks import Fault, FaultyDisk, ShortDisk, StallingDisk, WatchedDisk
from tests.store.plans import AT, Hand, attempt, completed, created, file_store, started, story, succeeded

pytestmark = pytest.mark.anyio
JOURNAL = "journal-*"


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def store(tmp_path: Path, disk: FaultyDisk) -> Iterator[FileStore]:
    made = file_store(tmp_path, disk=disk)
    yield made
    made.close()


async def begun(store: FileStore, steps: int = 2) -> Hand:
    return Hand(*await store.create(created(steps=steps)))


def folder(store: FileStore, hand: Hand) -> Path:
    return Path(store.place(hand.execution.id)).parent


def journals(store: FileStore, hand: Hand) -> list[str]:
    return sorted(path.name for path in folder(store, hand).glob("journal-*"))


def kept(store: FileStore, hand: Hand) -> dict[str, object]:
    return json.loads(Path(store.place(hand.execution.id)).read_text(encoding="utf-8"))


async def as_another_process_sees_it(tmp_path: Path, hand: Hand) -> object:
    other = file_store(tmp_path, owner="there")
    try:
        return await other.read(hand.execution.id)
    finally:
        other.close()


@pytest.mark.req("SPEC:7.one-line-per-event")
async def test_each_event_is_a_line_that_people_can_read(store: FileStore) -> None:
    hand = await begun(store)
    await hand.note(started(), attempt())
    (name,) = journals(store, hand)
    head, *lines = [json.loads(line) for line in (folder(store, hand) / name).read_text().splitlines()]
    assert (head["seq"], head["schema"], head["engine"], head["state"]) == (0, 1, "0.0.0", None)
    assert [(line["seq"], line["batch"], line["epoch"]) for line in lines] == [
        (1, 1, 1),
        (2, 2, 1),
        (3, 2, 1),
    ]
    assert [line["event"]["kind"] for line in lines] == [
        "execution_created",
        "execution_started",
        "attempt_started",
    ]


@pytest.mark.req("SPEC:7.synced-before-it-counts", "004:L31")
async def test_a_batch_is_one_write_and_one_sync(store: FileStore, disk: FaultyDisk) -> None:
    hand = await begun(store)
    disk.log.clear()
    await hand.note(started(), attempt())
    assert disk.log == [("write", "journal-0001-0001.jsonl"), ("sync", "journal-0001-0001.jsonl")]


async def test_a_file_is_only_counted_on_once_its_folder_is_synced(
    store: FileStore, disk: FaultyDisk
) -> None:
    hand = await begun(store)
    own, every = folder(store, hand).name, "executions"
    created_at = disk.log.index(("sync", "journal-0001-0001.jsonl"))
    assert disk.log.index(("sync_folder", own)) > created_at
    assert disk.log.index(("sync_folder", every), created_at) > created_at


async def test_an_event_is_not_told_before_its_sync_returned(tmp_path: Path) -> None:
    disk = StallingDisk()
    store = file_store(tmp_path, disk=disk)
    hand = await begun(store)
    disk.stalls = True
    told: list[str] = []

    async def note() -> None:
        await hand.note(started())
        told.append("counted")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(note)
        await to_thread.run_sync(disk.stalled.wait, 10)
        assert told == []
        assert (await store.read(hand.execution.id)).revision == 1
        assert await store.events(hand.execution.id, 1, 10) == ()
        disk.go_on.set()
    assert told == ["counted"]
    store.close()


@pytest.mark.both_loops
async def test_cancelling_waits_for_the_end_of_the_write(tmp_path: Path, anyio_backend: object) -> None:
    assert anyio_backend
    disk = StallingDisk()
    store = file_store(tmp_path, disk=disk)
    hand = await begun(store)
    disk.stalls = True
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hand.note, started())
            await to_thread.run_sync(disk.stalled.wait, 10)
            tasks.cancel_scope.cancel()
            disk.go_on.set()
    assert hand.execution.revision == 2
    assert await store.read(hand.execution.id) == hand.execution
    await hand.log.close()
    store.close()


async def test_short_writes_are_completed(tmp_path: Path) -> None:
    store = file_store(tmp_path, disk=ShortDisk())
    hand = await begun(store)
    for batch in story():
        await hand.note(*batch)
    await hand.save()
    assert await as_another_process_sees_it(tmp_path, hand) == hand.execution
    store.close()


@pytest.mark.req("SPEC:7.failed-write")
@pytest.mark.parametrize("error", [ENOSPC, EIO, EROFS])
async def test_events_whose_write_failed_do_not_count(
    store: FileStore, disk: FaultyDisk, tmp_path: Path, error: int
) -> None:
    hand = await begun(store)
    before = hand.execution
    disk.faults = [Fault("write", error, JOURNAL)]
    with pytest.raises(StorageError) as failed:
        await hand.note(started(), attempt())
    assert failed.value.code == "storage"
    assert failed.value.retryable
    assert await store.read(before.id) == before
    assert await as_another_process_sees_it(tmp_path, hand) == before
    await hand.note(started())
    assert await as_another_process_sees_it(tmp_path, hand) == hand.execution


async def test_a_write_that_was_half_done_is_cut_back(store: FileStore, disk: FaultyDisk) -> None:
    hand = await begun(store)
    (name,) = journals(store, hand)
    before = (folder(store, hand) / name).read_bytes()
    disk.faults = [Fault("write", ENOSPC, JOURNAL, half=True)]
    with pytest.raises(StorageError):
        await hand.note(started())
    assert disk.counted("truncate", name) == 1
    assert (folder(store, hand) / name).read_bytes() == before


@pytest.mark.req("SPEC:7.failed-sync")
async def test_a_descriptor_whose_sync_failed_is_never_used_again(
    store: FileStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    hand = await begun(store)
    disk.faults = [Fault("sync", EIO, JOURNAL)]
    with pytest.raises(StorageError):
        await hand.note(started())
    disk.log.clear()
    for batch in story():
        await hand.note(*batch)
    assert disk.counted("write", "journal-0001-0001.jsonl") == 0
    assert disk.counted("sync", "journal-0001-0001.jsonl") == 0
    assert journals(store, hand) == ["journal-0001-0001.jsonl", "journal-0001-0002.jsonl"]
    assert await as_another_process_sees_it(tmp_path, hand) == hand.execution


async def test_a_segment_after_a_failed_sync_overrides_what_may_be_on_disk(
    store: FileStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    hand = await begun(store)
    disk.faults = [Fault("sync", EIO, JOURNAL), Fault("truncate", EIO, JOURNAL)]
    with pytest.raises(StorageError):
        await hand.note(started(), attempt(), succeeded(value="never counted"))
    await hand.note(started(), attempt(), succeeded(value="counted"))
    assert await as_another_process_sees_it(tmp_path, hand) == hand.execution
    told = await file_store(tmp_path).events(hand.execution.id, 0, 10)
    assert [number for number, _ in told] == [1, 2, 3, 4]
    assert told[3][1] == succeeded(value="counted")


async def test_a_new_segment_that_fails_leaves_nothing_behind(
    store: FileStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    hand = await begun(store)
    before = hand.execution
    for fault in (
        Fault("sync", EIO, JOURNAL),
        Fault("open", EROFS, JOURNAL),
        Fault("write", ENOSPC, JOURNAL),
        Fault("sync", EIO, JOURNAL),
        Fault("sync_folder", EIO, before.id),
    ):
        disk.faults = [fault]
        with pytest.raises(StorageError):
            await hand.note(started())
        assert await as_another_process_sees_it(tmp_path, hand) == before
    await hand.note(started())
    assert len(journals(store, hand)) == 2
    assert await as_another_process_sees_it(tmp_path, hand) == hand.execution


@pytest.mark.req("004:L69")
async def test_an_execution_can_be_paused_when_the_disk_is_full(
    store: FileStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    hand = await begun(store)
    await hand.note(started())
    disk.faults = [Fault("write", ENOSPC, JOURNAL)]
    with pytest.raises(StorageError):
        await hand.note(attempt())
    await hand.note(ExecutionPaused(at=AT, reason="storage"))
    await hand.log.close()
    execution, log = await file_store(tmp_path).open(hand.execution.id)
    assert (execution.status, execution.reason) == ("paused", "storage")
    await log.close()


async def test_a_creation_that_fails_leaves_nothing(store: FileStore, disk: FaultyDisk) -> None:
    for fault in (
        Fault("mkdir", ENOSPC, "0*"),
        Fault("open", EROFS, "lease"),
        Fault("write", ENOSPC, "lease"),
        Fault("write", ENOSPC, JOURNAL),
        Fault("sync_folder", EIO, "executions"),
        Fault("rename", EIO, "snapshot.json"),
    ):
        disk.faults = [fault]
        with pytest.raises(StorageError):
            await store.create(created("0-this-one"))
        assert not Path(store.place("0-this-one")).parent.exists()
    await store.create(created("0-this-one"))


async def test_each_take_over_begins_a_segment_with_the_whole_state(store: FileStore) -> None:
    hand = await begun(store)
    await hand.note(started(), attempt())
    await hand.log.close()
    hand = Hand(*await store.open(hand.execution.id))
    assert journals(store, hand) == ["journal-0001-0001.jsonl"]
    await hand.note(succeeded())
    assert journals(store, hand) == ["journal-0001-0001.jsonl", "journal-0002-0001.jsonl"]
    head = json.loads((folder(store, hand) / "journal-0002-0001.jsonl").read_text().splitlines()[0])
    assert (head["seq"], head["epoch"], head["state"]["status"]) == (3, 2, "running")


@pytest.mark.req("000:4.3.4")
async def test_a_snapshot_is_written_when_the_journal_has_outgrown_it(
    store: FileStore, disk: FaultyDisk
) -> None:
    hand = await begun(store, steps=40)
    disk.log.clear()
    written = 0
    for batch in story(40, "x" * 4000)[:-1]:
        await hand.note(*batch)
        if disk.counted("rename", "snapshot.json") > written:
            written += 1
            assert kept(store, hand)["seq"] == hand.execution.revision
    assert 1 <= written <= 40 * 4000 // SNAPSHOT_BYTES


async def test_a_snapshot_that_fails_in_passing_costs_no_event(
    store: FileStore, disk: FaultyDisk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hand = await begun(store)
    disk.faults = [Fault("rename", EIO, "snapshot.json", times=100)]
    await hand.note(started(), attempt())
    await hand.note(succeeded(value="x" * 2 * SNAPSHOT_BYTES), attempt("s1"))
    assert "snapshot" in caplog.text
    assert await as_another_process_sees_it(tmp_path, hand) == hand.execution
    with pytest.raises(StorageError):
        await hand.save()
    await hand.note(succeeded("s1"), completed())
    assert await as_another_process_sees_it(tmp_path, hand) == hand.execution
    assert list(folder(store, hand).glob(".*")) == []


async def test_a_long_journal_goes_on_in_a_new_segment(store: FileStore, tmp_path: Path) -> None:
    hand = await begun(store, steps=12)
    for batch in story(12, "x" * (SEGMENT_BYTES // 4)):
        await hand.note(*batch)
    assert len(journals(store, hand)) > 1
    assert await as_another_process_sees_it(tmp_path, hand) == hand.execution
    told = await file_store(tmp_path).events(hand.execution.id, 0, 100)
    assert [number for number, _ in told] == list(range(1, hand.execution.revision + 1))


@pytest.mark.req("001:L55")
async def test_what_is_written_stays_in_proportion_to_the_payload(tmp_path: Path) -> None:
    class MeasuringDisk(WatchedDisk):
        written = 0

        def write(self, descriptor: int, content: bytes | memoryview) -> int:
            taken = super().write(descriptor, content)
            self.written += taken
            return taken

    disk = MeasuringDisk()
    store = file_store(tmp_path, disk=disk)
    hand = await begun(store, steps=200)
    disk.written = 0
    for batch in story(200, "x" * 10_000):
        await hand.note(*batch)
    await hand.save()
    assert disk.written < 6 * 200 * 10_000
    store.close()
