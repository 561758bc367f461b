"""The ledger's file: when it is missing, damaged, newer, in the way, or cannot be written."""

import os
import resource
import sqlite3
import stat
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC
from pathlib import Path

import anyio
import pytest

from engine_mcp.core.breaker import Breaker
from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.period import Period
from engine_mcp.errors import StorageError
from engine_mcp.ledger.book import SqliteLedger
from engine_mcp.ledger.breakers import SqliteBreakers
from engine_mcp.ledger.database import Database
from engine_mcp.ledger.tables import VERSION
from tests.ledger.ledgers import AT, change, file_ledger, hold, posting

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks")]

ROUNDS = 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "ledger.sqlite"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    found = file_ledger(tmp_path)
    yield found
    found.close()


@contextmanager
def files_no_larger_than(size: int) -> Generator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def spoil(path: Path, at: int, length: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xa5" * length)


def content(path: Path) -> bytes:
    return path.read_bytes()


def replace_with(path: Path, content: bytes) -> None:
    beside = path.with_name("beside")
    beside.write_bytes(content)
    for log in ("-wal", "-shm"):  # else SQLite mends the new file with what it says
        path.with_name(path.name + log).unlink(missing_ok=True)
    beside.replace(path)


def remove(path: Path) -> None:
    path.unlink()


@contextmanager
def closed(folder: Path) -> Generator[None]:
    """Let nothing be made in a folder for the time of the block."""
    folder.chmod(0o500)
    try:
        yield
    finally:
        folder.chmod(0o700)


async def test_reading_what_is_not_there_makes_nothing(ledger: SqliteLedger, path: Path) -> None:
    assert await ledger.posted("one") == 0
    assert (await ledger.room(AT)).standings == ()
    assert await ledger.spent(Period.MONTH, AT) == Usage()
    assert await ledger.changes(None, 5) == ()
    assert await SqliteBreakers(path).read() == {}
    assert not path.parent.exists()


async def test_the_file_is_private_and_its_folder_too(ledger: SqliteLedger, path: Path) -> None:
    assert await ledger.post(posting(upto=1, spent=1))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


async def test_totals_are_the_same_after_a_restart(ledger: SqliteLedger, tmp_path: Path) -> None:
    await ledger.limit(Period.DAY, Limits(max_cost_usd=0.1), change())
    assert await ledger.reserve(posting(upto=1, spent=7), [hold(5)], AT) is None
    room = await ledger.room(AT)
    ledger.close()
    other = file_ledger(tmp_path)
    assert await other.room(AT) == room
    assert await other.posted("one") == 1
    other.close()


@pytest.mark.parametrize("damage", [(0, 100), (0, 1 << 20)], ids=["its head", "all of it"])
async def test_a_file_that_is_none_is_set_aside_and_begun_anew(
    ledger: SqliteLedger, path: Path, tmp_path: Path, damage: tuple[int, int]
) -> None:
    assert await ledger.post(posting(upto=3, spent=7))
    ledger.close()
    spoil(path, *damage)
    spoiled = content(path)
    other = file_ledger(tmp_path)
    assert await other.posted("one") == 0
    assert "begun anew" in other.concern
    assert "Set the limits again" in other.concern
    assert await other.post(posting(upto=3, spent=7))
    assert (await other.spent(Period.DAY, AT)).tokens_in == 7
    assert content(path.parent / "ledger.sqlite.corrupt") == spoiled
    other.close()


async def test_limits_and_breakers_are_saved_from_a_damaged_file(
    ledger: SqliteLedger, path: Path, tmp_path: Path
) -> None:
    await ledger.limit(Period.DAY, Limits(max_tokens=10), change())
    broken = Breaker(part="pool:a", failures=2)
    breakers = SqliteBreakers(path)
    assert await breakers.write(None, broken)
    assert await ledger.post(posting(upto=3, spent=7))
    breakers.close()
    ledger.close()
    with closing(sqlite3.connect(path)) as file:
        (page,) = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'spent'").fetchone()
        (size,) = file.execute("PRAGMA page_size").fetchone()
    spoil(path, (page - 1) * size, size)
    other = file_ledger(tmp_path)
    (standing,) = (await other.room(AT)).standings
    assert standing.limits == Limits(max_tokens=10)
    assert standing.spent == Usage()
    assert [entry.after for entry in await other.changes(None, 5)] == [Limits(max_tokens=10)]
    assert await breakers.read() == {broken.part: broken}
    breakers.close()
    assert other.concern
    assert "Set the limits again" not in other.concern
    other.close()


async def test_whoever_had_the_damaged_file_open_goes_on_with_the_new_one(
    ledger: SqliteLedger, path: Path, tmp_path: Path
) -> None:
    assert await ledger.post(posting(upto=1, spent=1))
    replace_with(path, b"not a database" * 900)
    other = file_ledger(tmp_path)
    assert await other.post(posting("two", upto=1, spent=2))
    assert await ledger.posted("two") == 1
    assert (bool(other.concern), bool(ledger.concern)) == (True, False)
    other.close()


async def test_of_many_that_find_a_damaged_file_one_sets_it_aside(path: Path, tmp_path: Path) -> None:
    for _ in range(ROUNDS):
        found = [file_ledger(tmp_path) for _ in range(4)]
        for number, ledger in enumerate(found):
            assert await ledger.post(posting(str(number), await ledger.posted(str(number)), 1))
        replace_with(path, b"not a database" * 900)
        answers: list[bool] = []

        async def post(number: int, ledger: SqliteLedger, answers: list[bool] = answers) -> None:
            answers.append(await ledger.post(posting(str(number), upto=1, spent=1)))

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                for number, ledger in enumerate(found):
                    group.start_soon(post, number, ledger)
        assert answers == [True] * len(found)
        assert (await found[0].spent(Period.DAY, AT)).tokens_in == len(found)
        assert len([ledger for ledger in found if ledger.concern]) == 1
        for ledger in found:
            ledger.close()
        remove(path)


async def test_who_comes_too_late_does_not_set_the_new_file_aside(path: Path) -> None:
    first, late = SqliteLedger(path, UTC, {}), Database(path)
    assert await first.post(posting(upto=1, spent=1))
    replace_with(path, b"not a database" * 900)
    with pytest.raises(sqlite3.DatabaseError) as caught:
        late._transaction("BEGIN", lambda _: None)  # pyright: ignore[reportPrivateUsage] - between two steps
    assert await first.post(posting(upto=1, spent=1))
    late._set_aside(caught.value)  # pyright: ignore[reportPrivateUsage] - which nothing public comes between
    assert await first.posted("one") == 1
    assert (bool(first.concern), bool(late.concern)) == (True, False)
    first.close()
    late.close()


async def test_a_file_that_was_removed_is_made_again(ledger: SqliteLedger, path: Path) -> None:
    assert await ledger.post(posting(upto=1, spent=1))
    remove(path)
    assert await ledger.posted("one") == 0
    assert await ledger.post(posting(upto=1, spent=1))
    assert (await ledger.spent(Period.DAY, AT)).tokens_in == 1


@pytest.mark.req("003:L49")
async def test_a_file_of_a_newer_schema_is_refused_by_name_and_left_alone(
    ledger: SqliteLedger, path: Path, tmp_path: Path
) -> None:
    assert await ledger.post(posting(upto=1, spent=1))
    ledger.close()
    with closing(sqlite3.connect(path)) as file:
        file.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = content(path)
    other = file_ledger(tmp_path)
    for attempt in (other.post(posting(after=1, upto=2)), other.room(AT), other.reserve(posting(), [], AT)):
        with pytest.raises(StorageError, match=f"schema version {VERSION + 1}"):
            await attempt
    assert content(path) == before
    assert not list(path.parent.glob("*.corrupt*"))
    other.close()


async def test_a_full_disk_stops_what_cannot_be_counted(ledger: SqliteLedger, path: Path) -> None:
    await ledger.limit(Period.DAY, Limits(max_tokens=100), change())
    assert await ledger.reserve(posting(upto=1, spent=10), [hold(20)], AT) is None
    room = await ledger.room(AT)
    ledger.close()
    with files_no_larger_than(len(content(path)) // 4):
        with pytest.raises(StorageError) as caught:
            await ledger.reserve(posting(after=1, upto=2, spent=10), [hold(20)], AT)
        assert str(path.parent) in (caught.value.hint or "")
        with pytest.raises(StorageError):
            await ledger.post(posting(after=1, upto=2, spent=10))
    assert await ledger.room(AT) == room
    assert await ledger.post(posting(after=1, upto=2, spent=10))


@pytest.mark.parametrize("read", [False, True])
async def test_a_place_that_cannot_hold_the_file_is_an_error(tmp_path: Path, *, read: bool) -> None:
    blocked = tmp_path / "blocked"
    if read:
        (blocked / "ledger.sqlite").mkdir(parents=True)
    else:
        blocked.write_text("not a folder")
    ledger = SqliteLedger(blocked / "ledger.sqlite", UTC, {})
    with pytest.raises(StorageError, match="cannot be used"):
        await ledger.post(posting(upto=1))
    if read:
        with pytest.raises(StorageError, match="cannot be used"):
            await ledger.room(AT)


async def test_a_folder_that_may_not_be_written_is_an_error(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("permissions do not stop root; the test of a blocked place takes its place")
    with closed(tmp_path), pytest.raises(StorageError):
        await file_ledger(tmp_path).post(posting(upto=1))


async def test_a_row_that_makes_no_sense_is_an_error_and_sets_nothing_free(
    ledger: SqliteLedger, path: Path
) -> None:
    await ledger.limit(Period.DAY, Limits(max_tokens=1), change())
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE limits SET body = '{'")
    with pytest.raises(StorageError):
        await ledger.reserve(posting(), [hold(1)], AT)


async def test_amounts_too_large_to_count_are_an_error(ledger: SqliteLedger) -> None:
    with pytest.raises(StorageError):
        await ledger.post(posting(upto=1, spent=1 << 70))
    assert await ledger.posted("one") == 0


async def test_a_cancelled_caller_waits_for_the_transaction_and_leaves_none_open(path: Path) -> None:
    database = Database(path)
    begun, go_on = anyio.Event(), threading.Event()

    def slow(file: sqlite3.Connection) -> None:
        file.execute("INSERT INTO accounts VALUES ('one', 7, 0)")
        anyio.from_thread.run_sync(begun.set)
        assert go_on.wait(10)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(database.write, slow)
            await begun.wait()
            group.cancel_scope.cancel()
            go_on.set()
    ledger = SqliteLedger(path, UTC, {})
    assert await ledger.posted("one") == 7
    assert await ledger.post(posting(after=7, upto=8))
    ledger.close()
    database.close()


async def test_what_fails_halfway_changes_nothing(path: Path) -> None:
    database = Database(path)

    def halfway(file: sqlite3.Connection) -> None:
        file.execute("INSERT INTO accounts VALUES ('one', 7, 0)")
        raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        await database.write(halfway)
    ledger = SqliteLedger(path, UTC, {})
    assert await ledger.posted("one") == 0
    assert await ledger.post(posting(upto=8))
    ledger.close()
    database.close()
