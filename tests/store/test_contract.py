"""What every store keeps its word on, whether it writes files or only remembers."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.core.listing import Query
from engine_mcp.errors import (
    EngineError,
    ExecutionNotFound,
    ExecutionOwned,
    IdempotencyConflict,
    InvalidArgument,
    StorageError,
)
from engine_mcp.ports import Store
from engine_mcp.store.memory import MemoryStore
from tests.store.plans import (
    Hand,
    attempt,
    cancelled,
    completed,
    created,
    file_store,
    interrupted,
    resumed,
    started,
    story,
    succeeded,
)

pytestmark = pytest.mark.anyio
UNKNOWN = "019a0000-0000-7000-8000-000000000000"


@pytest.fixture(params=["files", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore(owner="here")
        return
    files = file_store(tmp_path)
    yield files
    files.close()


async def begun(store: Store, execution_id: str | None = None, *, task: str = "Count the stars") -> Hand:
    return Hand(*await store.create(created(execution_id, task=task)))


async def finished(store: Store, execution_id: str | None = None, *, task: str = "Count the stars") -> Hand:
    hand = await begun(store, execution_id, task=task)
    for batch in story():
        await hand.note(*batch)
    await hand.log.close()
    return hand


@pytest.mark.req(
    "000:4.2.3", "000:4.2.4", "000:6.3.1", "004:L81", "001:L24", "004:L69", "004:L273", "004:L270"
)
@pytest.mark.both_loops
async def test_what_was_appended_is_read_again(store: Store, anyio_backend: object) -> None:
    assert anyio_backend
    hand = await begun(store)
    assert await store.read(hand.execution.id) == hand.execution
    for batch in story():
        await hand.note(*batch)
        assert await store.read(hand.execution.id) == hand.execution
    await hand.save()
    await hand.log.close()
    assert await store.read(hand.execution.id) == hand.execution


@pytest.mark.req("000:4.4.1", "004:L40", "004:L41")
async def test_who_opens_a_record_goes_on_where_it_ended(store: Store) -> None:
    hand = await begun(store)
    await hand.note(started(), attempt())
    await hand.save()
    await hand.note(succeeded())
    await hand.log.close()
    execution, log = await store.open(hand.execution.id)
    assert execution == hand.execution
    again = Hand(execution, log)
    await again.note(attempt("s1"))
    await again.note(succeeded("s1"), completed())
    assert await store.read(hand.execution.id) == again.execution
    await log.close()


@pytest.mark.req("000:6.3.2", "004:L82")
async def test_events_are_numbered_from_one_without_gaps(store: Store) -> None:
    hand = await finished(store)
    told = await store.events(hand.execution.id, 0, 100)
    assert [number for number, _ in told] == list(range(1, hand.execution.revision + 1))
    assert [event.kind for _, event in told][:3] == [
        "execution_created",
        "execution_started",
        "attempt_started",
    ]


async def test_events_behind_a_number_are_given_up_to_a_limit(store: Store) -> None:
    hand = await finished(store)
    every = await store.events(hand.execution.id, 0, 100)
    assert await store.events(hand.execution.id, 2, 3) == every[2:5]
    assert await store.events(hand.execution.id, len(every), 3) == ()
    assert await store.events(hand.execution.id, 2, 0) == ()


async def test_events_keep_their_numbers_over_several_owners(store: Store) -> None:
    hand = await begun(store)
    for epoch in (1, 2, 3):
        await hand.note(started(epoch))
        await hand.note(interrupted())
        await hand.note(resumed())
        await hand.log.close()
        hand = Hand(*await store.open(hand.execution.id))
    told = await store.events(hand.execution.id, 0, 100)
    assert [number for number, _ in told] == list(range(1, 11))
    assert [event.kind for _, event in told].count("execution_started") == 3
    await hand.log.close()


async def test_events_that_do_not_follow_on_the_record_are_refused(store: Store) -> None:
    hand = await begun(store)
    with pytest.raises(EngineError, match="events"):
        await hand.log.append((started(), attempt()), hand.execution)
    assert await store.read(hand.execution.id) == hand.execution
    await hand.note(started())


async def test_a_state_that_is_not_on_record_is_not_saved(store: Store) -> None:
    hand = await begun(store)
    ahead = Hand(hand.execution, hand.log)
    before = hand.execution
    await ahead.note(started())
    with pytest.raises(EngineError, match="event"):
        await hand.log.save(before)


async def test_a_closed_log_takes_nothing_more(store: Store) -> None:
    hand = await begun(store)
    await hand.log.close()
    await hand.log.close()
    with pytest.raises(StorageError) as refused:
        await hand.note(started())
    assert refused.value.code == "storage"
    with pytest.raises(StorageError):
        await hand.save()
    with pytest.raises(StorageError):
        await hand.log.keep(b"late", name=None, media_type="text/plain")


@pytest.mark.req("004:L19", "SPEC:7.one-lease")
async def test_only_one_may_drive_an_execution(store: Store) -> None:
    hand = await begun(store)
    with pytest.raises(ExecutionOwned) as refused:
        await store.open(hand.execution.id)
    assert refused.value.code == "execution_owned"
    assert await store.owner(hand.execution.id) == "here"
    await hand.log.close()
    assert await store.owner(hand.execution.id) is None
    _, log = await store.open(hand.execution.id)
    assert (hand.log.epoch, log.epoch) == (1, 2)
    await log.close()


@pytest.mark.req("000:6.3.3", "004:L20")
async def test_an_unknown_id_is_not_found(store: Store) -> None:
    await finished(store)
    for look in (store.read, store.open):
        with pytest.raises(ExecutionNotFound) as missing:
            await look(UNKNOWN)
        assert missing.value.code == "execution_not_found"
    with pytest.raises(ExecutionNotFound):
        await store.events(UNKNOWN, 0, 10)
    with pytest.raises(ExecutionNotFound):
        await store.artifact(UNKNOWN, "0" * 64)
    assert await store.owner(UNKNOWN) is None


@pytest.mark.parametrize("name", ["", "..", "../../etc", "a/b", ".hidden", "a" * 65, "\0"])
async def test_an_id_that_is_none_is_not_found(store: Store, name: str) -> None:
    with pytest.raises(ExecutionNotFound):
        await store.read(name)


async def test_an_id_is_used_once(store: Store) -> None:
    hand = await begun(store)
    with pytest.raises(StorageError):
        await store.create(created(hand.execution.id))
    assert await store.read(hand.execution.id) == hand.execution


@pytest.mark.req("002:L139")
async def test_an_artifact_is_kept_under_its_digest(store: Store) -> None:
    hand = await begun(store)
    kept = await hand.log.keep("Größe ".encode() * 100, name="sizes", media_type="text/plain")
    assert (kept.size, kept.name, kept.media_type) == (800, "sizes", "text/plain")
    assert kept.excerpt == ("Größe " * 100)[:200]
    again = await hand.log.keep("Größe ".encode() * 100, name=None, media_type="text/plain")
    assert again.digest == kept.digest
    assert await store.artifact(hand.execution.id, kept.digest) == "Größe ".encode() * 100


async def test_an_artifact_that_is_no_text_has_no_excerpt(store: Store) -> None:
    hand = await begun(store)
    kept = await hand.log.keep(bytes(range(256)), name=None, media_type="image/png")
    assert kept.excerpt == ""


@pytest.mark.parametrize("digest", ["0" * 64, "../snapshot.json", ""])
async def test_an_artifact_that_never_was_is_a_wrong_argument(store: Store, digest: str) -> None:
    hand = await begun(store)
    with pytest.raises(InvalidArgument) as refused:
        await store.artifact(hand.execution.id, digest)
    assert refused.value.code == "invalid_argument"


@pytest.mark.req("000:6.2.3", "000:6.2.4")
async def test_a_list_shows_the_newest_first_page_by_page(store: Store) -> None:
    names = [(await finished(store)).execution.id for _ in range(5)]
    first = await store.list(Query(limit=2))
    second = await store.list(Query(limit=2, after=first.rows[-1].id))
    third = await store.list(Query(limit=2, after=second.rows[-1].id))
    assert [row.id for page in (first, second, third) for row in page.rows] == names[::-1]
    assert {page.total for page in (first, second, third)} == {5}


@pytest.mark.req("000:6.4.2", "001:L14")
async def test_a_list_shows_how_far_an_execution_is(store: Store) -> None:
    hand = await begun(store, task="  Count the stars\nof every galaxy")
    assert [(row.status, row.done) for row in (await store.list(Query())).rows] == [("pending", 0)]
    await hand.note(started(), attempt())
    await hand.note(succeeded(), attempt("s1"))
    (row,) = (await store.list(Query())).rows
    assert (row.status, row.steps, row.done) == ("running", 2, 1)
    assert row.title == "Count the stars"
    await hand.note(succeeded("s1"))
    await hand.note(interrupted())
    (row,) = (await store.list(Query())).rows
    assert (row.status, row.done, row.reason) == ("interrupted", 2, "asked for")


async def test_a_list_is_filtered_by_status_and_by_words_of_task_or_id(store: Store) -> None:
    stars = await finished(store, task="Count the STARS")
    moons = await begun(store, task="Count the moons")
    await moons.note(started())
    assert {row.id for row in (await store.list(Query(text="count"))).rows} == {
        stars.execution.id,
        moons.execution.id,
    }
    for query, only in (
        (Query(text="stars"), stars),
        (Query(text=moons.execution.id[:-1]), moons),
        (Query(status=ExecutionStatus.COMPLETED), stars),
        (Query(status=ExecutionStatus.RUNNING), moons),
    ):
        page = await store.list(query)
        assert ([row.id for row in page.rows], page.total) == ([only.execution.id], 1)
    nothing = await store.list(Query(text="comets%_"))
    assert (nothing.rows, nothing.total) == ((), 0)


async def test_nothing_is_listed_before_the_first_execution(store: Store) -> None:
    page = await store.list(Query())
    assert (page.rows, page.total) == ((), 0)
    assert await store.abandoned() == ()


@pytest.mark.req("SPEC:7.found-at-start")
async def test_executions_that_nobody_drives_are_found(store: Store) -> None:
    pending, running, ended = await begun(store), await begun(store), await finished(store)
    stopped, driven = await begun(store), await begun(store)
    await running.note(started(), attempt())
    await stopped.note(cancelled())
    for hand in (pending, running, stopped):
        await hand.log.close()
    found = await store.abandoned()
    assert sorted(found) == sorted((pending.execution.id, running.execution.id))
    assert {ended.execution.id, driven.execution.id} & set(found) == set()


async def test_an_execution_that_was_woken_up_and_left_is_found(store: Store) -> None:
    hand = await begun(store)
    await hand.note(started())
    await hand.note(interrupted())
    await hand.log.close()
    assert await store.abandoned() == ()
    hand = Hand(*await store.open(hand.execution.id))
    await hand.note(resumed())
    await hand.log.close()
    assert await store.abandoned() == (hand.execution.id,)


async def test_a_key_belongs_to_the_execution_that_claimed_it_first(store: Store) -> None:
    assert await store.claimed("once") is None
    execution, _ = await store.create(created(key="once"))
    assert await store.claimed("once") == execution.id
    assert await store.claimed("twice") is None
    with pytest.raises(IdempotencyConflict) as refused:
        await store.create(created(key="once"))
    assert refused.value.code == "idempotency_conflict"
    assert (await store.list(Query())).total == 1


async def test_of_those_who_claim_a_key_at_once_one_gets_it(store: Store) -> None:
    got: list[str] = []
    refused: list[str] = []

    async def claim() -> None:
        try:
            execution, _ = await store.create(created(key="once"))
        except IdempotencyConflict as conflict:
            refused.append(conflict.message)
        else:
            got.append(execution.id)

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(claim)
    assert (len(got), len(refused)) == (1, 7)
    assert await store.claimed("once") == got[0]
    assert all(got[0] in message for message in refused)


async def test_executions_are_written_at_the_same_time(store: Store) -> None:
    hands = [await begun(store) for _ in range(12)]

    async def drive(hand: Hand) -> None:
        for batch in story():
            await hand.note(*batch)
        await hand.save()
        await hand.log.close()

    async with anyio.create_task_group() as tasks:
        for hand in hands:
            tasks.start_soon(drive, hand)
    for hand in hands:
        assert await store.read(hand.execution.id) == hand.execution
    assert (await store.list(Query(status=ExecutionStatus.COMPLETED))).total == 12


@pytest.mark.both_loops
async def test_cancelling_an_append_leaves_a_record_that_agrees(store: Store, anyio_backend: object) -> None:
    assert anyio_backend
    hand = await begun(store)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await hand.note(started())
    on_record = await store.read(hand.execution.id)
    assert on_record == hand.execution
    await hand.note(started())
    assert await store.read(hand.execution.id) == hand.execution
