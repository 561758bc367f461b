"""A real machine in trouble: full disks, limits, read-only places, and system calls that fail."""

import os
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine_mcp.core.event import AttemptInterrupted, ExecutionPaused
from engine_mcp.core.listing import Query
from engine_mcp.errors import StorageError
from engine_mcp.store.artifacts import SPARE_BYTES
from engine_mcp.store.filesystem import concerns, is_network, kind
from tests.house.sources import ROOT
from tests.store.disks import FaultyDisk
from tests.store.fighter import STEPS
from tests.store.plans import AT, Hand, attempt, created, file_store, started, story, succeeded

pytestmark = pytest.mark.anyio


def mounted(folder: Path, options: str) -> bool:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True, check=False
    )
    return done.returncode == 0


def read_only(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing can be made."""
    if os.geteuid() == 0:
        pytest.skip("permissions do not stop root; the test of a read-only disk takes its place")
    tmp_path.chmod(0o500)
    yield tmp_path
    tmp_path.chmod(0o700)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a mebibyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    if not (shutil.which("mount") and mounted(folder, "size=512k")):
        pytest.skip("NOT TESTED: a full disk, because no tmpfs can be mounted here (that needs root)")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def files_no_larger_than(size: int) -> Generator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def filled(hand: Hand) -> int:
    """How many batches could be recorded until one could not."""
    batches = story(4, "x" * 50_000)
    for number, batch in enumerate(batches):
        try:
            await hand.note(*batch)
        except StorageError:
            return number
    return len(batches)


@pytest.mark.req("SPEC:7.full-disk", "000:4.4.4")
async def test_a_full_disk_pauses_and_loses_nothing(small: Path) -> None:
    store = file_store(small)
    hand = Hand(*await store.create(created(steps=4)))
    ballast = small / "ballast"
    ballast.write_bytes(bytes(400_000))
    assert 0 < await filled(hand) < 5
    other = file_store(small, owner="there")
    assert await other.read(hand.execution.id) == hand.execution
    with pytest.raises(StorageError):
        await store.create(created("another", task="x" * 400_000))
    assert [row.id for row in (await other.list(Query())).rows] == [hand.execution.id]
    ballast.unlink()
    for step in hand.execution.running:
        await hand.note(AttemptInterrupted(at=AT, step=step.spec.id, number=1))
    await hand.note(ExecutionPaused(at=AT, reason="storage"))
    await hand.log.close()
    execution, log = await other.open(hand.execution.id)
    assert execution == hand.execution
    assert execution.reason == "storage"
    await log.close()
    store.close()
    other.close()


async def test_a_limit_on_file_sizes_loses_nothing(tmp_path: Path) -> None:
    store = file_store(tmp_path)
    hand = Hand(*await store.create(created(steps=4)))
    with files_no_larger_than(80_000):
        assert await filled(hand) == 2
    before = hand.execution
    assert await file_store(tmp_path).read(before.id) == before
    await hand.note(succeeded("s1"), attempt("s2"))
    assert await file_store(tmp_path).read(before.id) == hand.execution
    store.close()


async def test_a_disk_that_became_read_only_is_read_and_not_written(small: Path) -> None:
    store = file_store(small)
    hand = Hand(*await store.create(created()))
    await hand.note(started(), attempt())
    await hand.log.close()
    store.close()
    read_only(small)
    later = file_store(small)
    assert await later.read(hand.execution.id) == hand.execution
    assert len(await later.events(hand.execution.id, 0, 10)) == 3
    assert [row.status for row in (await later.list(Query())).rows] == ["running"]
    for refused in (later.open(hand.execution.id), later.create(created())):
        with pytest.raises(StorageError, match="Read-only"):
            await refused
    assert any("index" in concern for concern in later.concerns())
    later.close()


async def test_a_folder_that_may_not_be_written_is_named(closed: Path) -> None:
    with pytest.raises(StorageError, match="Permission"):
        await file_store(closed).create(created())


def traced(root: Path, inject: str) -> subprocess.CompletedProcess[str]:
    trace = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync,fsync,write",
        "-e",
        f"inject={inject}",
    ]
    command = [sys.executable, "-m", "tests.store.fighter", str(root), "write", "traced"]
    return subprocess.run([*trace, *command], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def strace() -> None:
    found = shutil.which("strace")
    if not found or subprocess.run([found, "-qq", "true"], capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: system calls that fail, because strace or ptrace is not to be had here")


@pytest.mark.crash
@pytest.mark.usefixtures("strace")
@pytest.mark.req("SPEC:7.failed-sync")
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
async def test_a_sync_that_the_kernel_fails_is_never_asked_for_again(tmp_path: Path, error: str) -> None:
    done = traced(tmp_path, f"fdatasync:error={error}:when=4+3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("failures ")
    assert int(done.stdout.split()[1]) >= 2
    store = file_store(tmp_path)
    execution = await store.read("traced")
    assert (execution.status, len(execution.steps)) == ("completed", STEPS)
    told = await store.events("traced", 0, 1000)
    assert len(told) == execution.revision == 2 + 2 * STEPS + 1
    assert len(list(Path(store.place("traced")).parent.glob("journal-*"))) > 2
    store.close()


@pytest.mark.req("002:L85")
async def test_an_artifact_is_not_begun_without_room_for_it(tmp_path: Path) -> None:
    disk = FaultyDisk(room=SPARE_BYTES + 100)
    store = file_store(tmp_path, disk=disk)
    hand = Hand(*await store.create(created()))
    disk.log.clear()
    with pytest.raises(StorageError, match="No space left"):
        await hand.log.keep(bytes(101), name=None, media_type="text/plain")
    assert disk.log == []
    await hand.log.keep(bytes(100), name=None, media_type="text/plain")
    store.close()


@pytest.mark.req("001:L39", "000:4.2.1")
async def test_records_are_private_and_no_business_of_git(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        store = file_store(tmp_path / "deep" / "project")
        hand = Hand(*await store.create(created(key="once")))
        await hand.note(started())
        await hand.log.keep(b"x", name=None, media_type="text/plain")
        await hand.save()
        await store.list(Query())
        await hand.log.close()
        store.close()
    finally:
        os.umask(mask)
    root = tmp_path / "deep" / "project" / ".engine-mcp"
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (root, *root.rglob("*"))}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert (root / ".gitignore").read_text(encoding="utf-8") == "*\n"


class Mount:
    def __init__(self, mountpoint: str, fstype: str) -> None:
        self.mountpoint, self.fstype = mountpoint, fstype


def test_the_file_system_of_a_path_is_the_innermost_that_holds_it() -> None:
    mounts = [Mount("/", "ext4"), Mount("/srv", "nfs4"), Mount("/srv/fast", "xfs"), Mount("/srv2", "cifs")]
    told = {path: kind(Path(path), mounts) for path in ("/home/a", "/srv/a", "/srv/fast/b", "/srv2")}
    assert list(told.values()) == ["ext4", "nfs4", "xfs", "cifs"]


@pytest.mark.parametrize(
    ("name", "far"),
    [
        ("ext4", False),
        ("nfs", True),
        ("nfs4", True),
        ("9p", True),
        ("fuse.sshfs", True),
        ("fuse.portal", False),
    ],
)
def test_network_file_systems_are_known(name: str, *, far: bool) -> None:
    assert is_network(name) is far


def test_an_ordinary_place_gives_no_concern(tmp_path: Path) -> None:
    assert concerns(tmp_path / "not" / "yet", "", "") == ()


@pytest.mark.req("SPEC:7.network-file-systems")
def test_a_network_file_system_is_a_concern(tmp_path: Path) -> None:
    (told,) = concerns(tmp_path, "nfs4", "")
    assert "nfs4" in told
    assert "local disk" in told


def test_a_disk_that_is_nearly_full_is_a_concern(small: Path) -> None:
    assert concerns(small, "", "") == (f"Only 0 MiB are free at {small}.",)
