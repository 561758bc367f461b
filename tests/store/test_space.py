"""Free space: below the floor nothing new is begun, and what has been begun can still be put down."""

import os
from errno import EACCES
from pathlib import Path

import pytest

from engine_mcp.errors import StorageError
from engine_mcp.store.artifacts import SPARE_BYTES
from engine_mcp.store.disk import Disk
from engine_mcp.store.files import FileStore
from engine_mcp.store.space import check_space, short_of_space
from engine_mcp.testing import FakeClock
from tests.store.disks import FaultyDisk
from tests.store.plans import AT, Hand, attempt, completed, created, started, succeeded

MIB = 1 << 20
FLOOR = 64 * MIB

pytestmark = pytest.mark.anyio


def held_to_floor(root: Path, disk: Disk, floor_bytes: int = FLOOR) -> FileStore:
    return FileStore(
        root / ".engine-mcp",
        clock=FakeClock(AT),
        owner="here",
        version="0.0.0",
        disk=disk,
        floor_bytes=floor_bytes,
    )


@pytest.mark.req("002:L85")
def test_the_sentence_names_free_and_needed_bytes(tmp_path: Path) -> None:
    disk = FaultyDisk(room=100)
    assert short_of_space(tmp_path, 100, 0, disk) is None
    assert short_of_space(tmp_path, 60, 40, disk) is None
    assert short_of_space(tmp_path, 0, 0, disk) is None
    assert short_of_space(tmp_path, 60, 41, disk) == (
        f"No space left at {tmp_path}: 100 bytes are free; "
        "41 bytes are to be written and 60 are to stay free."
    )
    assert short_of_space(tmp_path, 101, 0, disk) == (
        f"No space left at {tmp_path}: 100 bytes are free; 101 bytes are to stay free."
    )
    with pytest.raises(StorageError, match="100 bytes are free") as caught:
        check_space(tmp_path, 101, 0, disk)
    assert "Free space" in caught.value.hint


def test_a_folder_that_is_to_be_made_is_judged_by_the_one_it_will_stand_in(tmp_path: Path) -> None:
    assert short_of_space(tmp_path / "not" / "yet", 1) is None
    told = os.statvfs(tmp_path)
    more = told.f_bavail * told.f_frsize + (1 << 40)
    assert short_of_space(tmp_path / "not" / "yet", more) is not None


def test_a_file_system_that_tells_nothing_is_not_full() -> None:
    silent = next((path for path in map(Path, ("/proc", "/sys")) if not os.statvfs(path).f_blocks), None)
    if silent is None:
        pytest.skip("every file system here tells its size")
    assert short_of_space(silent, FLOOR) is None


@pytest.mark.req("002:L85")
async def test_no_record_is_begun_below_the_floor_and_nothing_is_written(tmp_path: Path) -> None:
    disk = FaultyDisk(room=FLOOR - 1)
    store = held_to_floor(tmp_path, disk)
    with pytest.raises(StorageError, match=f"{FLOOR - 1} bytes are free; {FLOOR} bytes are to stay free"):
        await store.create(created(key="once"))
    assert disk.log == []
    assert not (tmp_path / ".engine-mcp").exists()
    disk.room = FLOOR
    execution, log = await store.create(created(key="once"))
    assert await store.claimed("once") == execution.id
    await log.close()
    store.close()


@pytest.mark.req("002:L85")
async def test_no_artifact_is_kept_below_the_floor_and_nothing_is_written(tmp_path: Path) -> None:
    disk = FaultyDisk(room=FLOOR + 10)
    store = held_to_floor(tmp_path, disk)
    hand = Hand(*await store.create(created()))
    disk.log.clear()
    with pytest.raises(StorageError, match=f"{FLOOR + 10} bytes are free; 11 bytes are to be written"):
        await hand.log.keep(bytes(11), name=None, media_type="text/plain")
    assert disk.log == []
    kept = await hand.log.keep(bytes(10), name=None, media_type="text/plain")
    disk.room = 0
    assert await hand.log.keep(bytes(10), name=None, media_type="text/plain") == kept
    await hand.log.close()
    store.close()


@pytest.mark.req("002:L85")
async def test_no_attempt_starts_below_the_floor_but_those_that_run_can_end(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = held_to_floor(tmp_path, disk)
    hand = Hand(*await store.create(created(steps=2)))
    await hand.note(started(), attempt("s0"))
    disk.room = FLOOR - 1
    with pytest.raises(StorageError, match="No space left"):
        await hand.note(succeeded("s0"), attempt("s1"))
    assert (await store.read(hand.execution.id)) == hand.execution
    await hand.note(succeeded("s0"))
    disk.room = FLOOR
    await hand.note(attempt("s1"))
    disk.room = 0
    execution = await hand.note(succeeded("s1"), completed())
    await hand.save()
    await hand.log.close()
    assert await store.read(execution.id) == execution
    store.close()


async def test_without_a_floor_only_artifacts_leave_a_little_room(tmp_path: Path) -> None:
    disk = FaultyDisk(room=0)
    store = held_to_floor(tmp_path, disk, floor_bytes=0)
    hand = Hand(*await store.create(created()))
    await hand.note(started(), attempt())
    with pytest.raises(StorageError, match=f"{SPARE_BYTES} are to stay free"):
        await hand.log.keep(b"x", name=None, media_type="text/plain")
    await hand.log.close()
    store.close()


class Blind(Disk):
    """A disk that cannot be asked."""

    def free(self, path: Path) -> int:
        raise OSError(EACCES, os.strerror(EACCES), str(path))


async def test_a_disk_that_cannot_be_asked_is_trouble_with_the_record(tmp_path: Path) -> None:
    store = held_to_floor(tmp_path, Blind())
    with pytest.raises(StorageError, match="Permission denied"):
        await store.create(created())
    store.close()
