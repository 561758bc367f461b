"""The index is derived: whatever happens to it, lists are right, and nothing waits for it."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution, ExecutionStatus
from engine_mcp.core.listing import Query
from engine_mcp.store.files import FileStore
from engine_mcp.store.index import Index
from engine_mcp.store.index_file import NAME
from tests.store.plans import Hand, created, file_store, interrupted, resumed, started, story

pytestmark = pytest.mark.anyio
EVERY = Query(limit=100)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FileStore]:
    made = file_store(tmp_path)
    yield made
    made.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[FileStore]:
    """The same records, as another process sees them."""
    made = file_store(tmp_path, owner="there")
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".engine-mcp" / NAME


async def finished(store: FileStore) -> Execution:
    hand = Hand(*await store.create(created()))
    for batch in story():
        await hand.note(*batch)
    await hand.log.close()
    return hand.execution


async def shown(store: FileStore) -> dict[str, str]:
    return {row.id: row.status.value for row in (await store.list(EVERY)).rows}


def in_the_way(path: Path) -> None:
    path.mkdir(parents=True)


def spoil_pages(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:] = b"\xff" * (len(content) - 100)
    path.write_bytes(bytes(content))
    path.with_name(NAME + "-wal").unlink(missing_ok=True)


def make_another_table(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE executions (something)")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "deleted": lambda path: path.unlink(),
    "emptied": lambda path: path.write_bytes(b""),
    "no database": lambda path: path.write_bytes(b"this is no database " * 400),
    "spoiled pages": spoil_pages,
    "another schema": make_another_table,
    "marked as stale": lambda path: path.with_name(NAME + ".stale").touch(),
}


@pytest.mark.req("SPEC:7.rebuildable-index", "000:L106", "000:L271", "000:6.2.2")
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("opened", [False, True], ids=["closed", "in use"])
async def test_a_lost_index_is_built_anew(store: FileStore, path: Path, damage: str, *, opened: bool) -> None:
    done = [await finished(store) for _ in range(3)]
    hand = Hand(*await store.create(created()))
    before = await shown(store)
    assert before == {**{one.id: "completed" for one in done}, hand.execution.id: "pending"}
    if not opened:
        store.close()
    DAMAGES[damage](path)
    assert await shown(store) == before
    await hand.note(started())
    await hand.note(interrupted())
    assert (await shown(store))[hand.execution.id] == "interrupted"
    assert store.concerns() == ()


async def test_an_index_from_before_the_machine_was_started_anew_is_not_believed(
    store: FileStore, path: Path
) -> None:
    execution = await finished(store)
    assert await shown(store) == {execution.id: "completed"}
    store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE executions SET status = 'running'")
        connection.execute("UPDATE origin SET boot = 'another'")
    assert await shown(store) == {execution.id: "completed"}


async def test_where_no_index_can_be_every_record_is_read(
    store: FileStore, other: FileStore, path: Path
) -> None:
    in_the_way(path)
    execution = await finished(store)
    hand = Hand(*await other.create(created()))
    for status, events in (("pending", ()), ("running", (started(),)), ("interrupted", (interrupted(),))):
        if events:
            await hand.note(*events)
        assert await shown(store) == {execution.id: "completed", hand.execution.id: status}
    assert any("index" in concern for concern in store.concerns())


async def test_what_did_not_reach_the_index_is_looked_up(
    store: FileStore, other: FileStore, path: Path
) -> None:
    hand = Hand(*await store.create(created()))
    await hand.note(started())
    await hand.note(interrupted())
    assert await shown(other) == {hand.execution.id: "interrupted"}
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        await hand.note(resumed())
        connection.execute("ROLLBACK")
    assert await shown(other) == {hand.execution.id: "pending"}
    await hand.note(started())
    await hand.note(interrupted())
    await hand.note(resumed())
    assert await shown(other) == {hand.execution.id: "pending"}


async def test_a_busy_index_holds_nobody_up(store: FileStore, path: Path) -> None:
    execution = await finished(store)
    assert await shown(store) == {execution.id: "completed"}
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        second = await finished(store)
        connection.execute("ROLLBACK")
    assert path.with_name(NAME + ".stale").exists()
    assert await shown(store) == {execution.id: "completed", second.id: "completed"}
    assert not path.with_name(NAME + ".stale").exists()
    assert store.concerns() == ()


async def test_a_list_shows_what_another_process_does(store: FileStore, other: FileStore) -> None:
    hand = Hand(*await other.create(created()))
    name = hand.execution.id
    assert await shown(store) == {name: "pending"}
    await hand.note(started())
    assert await shown(store) == {name: "running"}
    await hand.note(interrupted())
    assert await shown(store) == {name: "interrupted"}
    await hand.note(resumed())
    assert await shown(store) == {name: "pending"}
    assert await store.abandoned() == ()
    await hand.log.close()
    assert await store.abandoned() == (name,)


async def test_a_process_that_died_before_it_told_the_index_is_seen_through(
    store: FileStore, path: Path
) -> None:
    execution = await finished(store)
    store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE executions SET status = 'running', done = 0")
    (row,) = (await store.list(EVERY)).rows
    assert (row.id, row.status, row.done) == (execution.id, "completed", 2)


async def test_a_record_that_is_removed_or_brought_back_by_hand_is_noticed(
    store: FileStore, tmp_path: Path
) -> None:
    execution = await finished(store)
    place = Path(store.place(execution.id)).parent
    assert await shown(store) == {execution.id: "completed"}
    place.rename(tmp_path / "elsewhere")
    assert await shown(store) == {}
    (tmp_path / "elsewhere").rename(place)
    assert await shown(store) == {execution.id: "completed"}


async def test_everything_is_looked_at_anew_when_asked(store: FileStore) -> None:
    done = [await finished(store) for _ in range(3)]
    assert await store.rebuild() == 3
    assert set(await shown(store)) == {one.id for one in done}


async def test_text_that_a_database_does_not_take_is_listed(store: FileStore) -> None:
    execution, log = await store.create(created(task="half \ud83d a pair\0, 'quoted'"))
    assert set(await shown(store)) == {execution.id}
    assert (await store.list(Query(text="\ud83d"))).total == 1
    assert (await store.list(Query(text="'quoted'"))).total == 1
    await log.close()


def many(count: int) -> Iterator[Execution]:
    state = fold(None, [created("00000"), started()])
    for number in range(count):
        status = ExecutionStatus.COMPLETED if number % 2 else ExecutionStatus.FAILED
        yield replace(state, id=f"{number:05}", status=status)


@pytest.mark.req("SPEC:7.instant-lists", "000:6.3.4")
def test_a_page_of_ten_thousand_is_found_without_looking_at_them_all(tmp_path: Path) -> None:
    index = Index(tmp_path / NAME, local=lambda: True)
    index.put(many(10_000))
    steps = plan_of(tmp_path / NAME)
    first = index.page(Query(limit=50))
    assert ([row.id for row in first.rows][:2], first.total) == (["09999", "09998"], 10_000)
    behind = index.page(Query(limit=50, after="00050", status=ExecutionStatus.FAILED))
    assert ([row.id for row in behind.rows][:2], behind.total) == (["00048", "00046"], 5000)
    assert len(index.ids()) == 10_000
    assert not any("TEMP B-TREE" in step for step in steps)
    index.close()


def test_who_only_read_an_execution_does_not_overrule_who_knows_more(tmp_path: Path) -> None:
    index = Index(tmp_path / NAME, local=lambda: True)
    created_state = fold(None, [created()])
    running = fold(created_state, [started()])
    index.offer([running])
    index.offer([created_state])
    assert [row.status for row in index.page(Query()).rows] == ["running"]
    index.put([created_state])
    assert [row.status for row in index.page(Query()).rows] == ["pending"]
    index.blame([(running.id, "known already")])
    assert index.faults() == {}
    index.drop([running.id])
    index.blame([(running.id, "damaged")])
    index.offer([created_state])
    assert index.faults() == {}
    index.close()


def plan_of(path: Path) -> list[str]:
    """How the database goes about a page: it must not sort."""
    from engine_mcp.store.index import PAGE  # noqa: PLC0415 - the statement itself is the point

    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {PAGE}", [None, "", None, 20]).fetchall()
    return [str(row[-1]) for row in rows]


def test_threads_share_an_index(tmp_path: Path) -> None:
    index = Index(tmp_path / NAME, local=lambda: False)
    states = list(many(400))

    def put(share: int) -> None:
        for state in states[share::4]:
            index.put([state])

    threads = [threading.Thread(target=put, args=(share,)) for share in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert index.page(Query()).total == 400
    index.close()
