"""What is made of a record that was left in the middle of something, or damaged since."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution
from engine_mcp.core.listing import Query
from engine_mcp.errors import ExecutionNotFound, RecordCorrupt, RecordNewer
from engine_mcp.store import snapshot
from engine_mcp.store.codec import encode_event
from engine_mcp.store.files import FileStore
from engine_mcp.store.lines import sealed
from engine_mcp.store.record import load
from tests.store.plans import Hand, attempt, completed, created, file_store, started, story, succeeded

pytestmark = pytest.mark.anyio
SPOILS: list[Callable[[bytes], bytes]] = [
    lambda _: b"",
    lambda content: content[: len(content) // 2],
    lambda content: content.replace(b"running", b"walking", 1),
    lambda content: bytes(len(content)),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FileStore]:
    made = file_store(tmp_path)
    yield made
    made.close()


def folder(store: FileStore, name: str) -> Path:
    return Path(store.place(name)).parent


async def left(store: FileStore, batches: int = 3, *, save: bool = False) -> tuple[list[Execution], Path]:
    """A record that its process left behind, with every state it went through."""
    hand = Hand(*await store.create(created()))
    states = [hand.execution]
    for batch in story()[:batches]:
        for event in batch:
            states.append(fold(states[-1], [event]))
        await hand.note(*batch)
    if save:
        await hand.save()
    await hand.log.close()
    return states, folder(store, hand.execution.id)


def newest(place: Path) -> Path:
    return max(place.glob("journal-*.jsonl"))


def without_snapshot(place: Path) -> None:
    (place / snapshot.NAME).unlink()


@pytest.mark.req("SPEC:7.torn-tail", "000:4.4.3", "000:L272")
async def test_a_torn_tail_is_cut_at_every_byte_and_kept(
    store: FileStore, caplog: pytest.LogCaptureFixture
) -> None:
    states, place = await left(store)
    whole = newest(place).read_bytes()
    ends = [end + 1 for end, byte in enumerate(whole) if byte == ord("\n")]
    last_batch = ends[-3]
    for size in range(last_batch + 1, len(whole)):
        newest(place).write_bytes(whole[:size])
        last = max(end for end in ends if end <= size)
        execution, log = await store.open(place.name)
        assert execution == states[ends.index(last) - 1]
        torn = place / "journal-0001-0001.jsonl.torn"
        assert (torn.read_bytes() if torn.exists() else b"") == whole[last:size]
        assert newest(place).read_bytes() == whole[:last]
        await log.close()
        torn.unlink(missing_ok=True)
    assert "unfinished write" in caplog.text


async def test_going_on_behind_a_torn_tail_loses_nothing(store: FileStore) -> None:
    states, place = await left(store, 2)
    content = newest(place).read_bytes()
    newest(place).write_bytes(content[:-10])
    execution, log = await store.open(place.name)
    assert execution == states[-2]
    again = Hand(execution, log)
    await again.note(attempt("s1"), succeeded("s1"), completed())
    await log.close()
    assert await store.read(place.name) == again.execution
    assert [number for number, _ in await store.events(place.name, 0, 99)] == list(range(1, 8))


async def test_a_reader_takes_no_notice_of_an_unfinished_write_and_changes_nothing(store: FileStore) -> None:
    states, place = await left(store)
    content = newest(place).read_bytes()
    newest(place).write_bytes(content + b'{"seq":8,"ba')
    assert await store.read(place.name) == states[-1]
    assert newest(place).read_bytes() == content + b'{"seq":8,"ba'


async def test_lines_behind_a_tail_that_was_not_cut_are_never_taken_for_the_record(store: FileStore) -> None:
    _, place = await left(store, 2)
    lines = newest(place).read_bytes().splitlines(keepends=True)
    later = sealed(7, 7, 1, b'event":' + encode_event(attempt("s1")))
    newest(place).write_bytes(b"".join(lines)[:-10] + b"\n" + later)
    with pytest.raises(RecordCorrupt, match="damaged behind event 4"):
        await store.open(place.name)


async def test_a_segment_that_was_just_begun_is_set_aside(store: FileStore) -> None:
    states, place = await left(store)
    (place / "journal-0002-0001.jsonl").write_bytes(b'{"seq":7,"batch":8,"epoch":2,"schema":1,"en')
    execution, log = await store.open(place.name)
    assert (execution, log.epoch) == (states[-1], 3)
    assert (place / "journal-0002-0001.jsonl.torn").exists()
    await log.close()


@pytest.mark.parametrize("files", [(), ("lease",), ("lease", "journal-0001-0001.jsonl")])
async def test_a_creation_that_never_ended_is_no_execution(store: FileStore, files: tuple[str, ...]) -> None:
    await left(store)
    place = folder(store, "unborn")
    place.mkdir()
    for name in files:
        (place / name).write_bytes(b"")
    for look in (store.read, store.open):
        with pytest.raises(ExecutionNotFound):
            await look("unborn")
    assert await store.damaged() == {}
    assert "unborn" not in await store.abandoned()


async def test_a_key_claimed_for_an_execution_that_was_never_created_is_free(store: FileStore) -> None:
    execution, log = await store.create(created(key="once"))
    await log.close()
    shutil.rmtree(folder(store, execution.id))
    folder(store, execution.id).mkdir()
    assert await store.claimed("once") is None
    again, log = await store.create(created(key="once"))
    assert await store.claimed("once") == again.id
    await log.close()


async def test_a_key_of_a_damaged_execution_stays_its_own(store: FileStore) -> None:
    execution, log = await store.create(created(key="once"))
    await log.close()
    newest(folder(store, execution.id)).unlink()
    assert await store.claimed("once") == execution.id


@pytest.mark.req("SPEC:7.quarantine", "000:4.4.2", "000:4.4.3", "000:5.3.1", "000:L299")
@pytest.mark.parametrize("save", [False, True])
async def test_a_damaged_journal_is_quarantined_with_the_last_good_state(
    store: FileStore, *, save: bool
) -> None:
    states, place = await left(store, save=save)
    content = bytearray(newest(place).read_bytes())
    third = [at for at, byte in enumerate(content) if byte == ord("\n")][2]
    content[third + 30] ^= 1
    newest(place).write_bytes(bytes(content))
    good = states[-1] if save else states[1]
    for _ in range(2):
        with pytest.raises(RecordCorrupt, match=f"event {good.revision}") as refused:
            await store.open(place.name)
        assert refused.value.code == "record_corrupt"
    assert (place / "journal-0001-0001.jsonl.corrupt").read_bytes() == bytes(content)
    kept = snapshot.read((place / snapshot.NAME).read_bytes())
    assert kept is not None
    assert kept.execution() == good
    with pytest.raises(RecordCorrupt):
        await store.read(place.name)
    with pytest.raises(RecordCorrupt):
        await store.events(place.name, 0, 10)


async def test_a_reader_reports_damage_and_leaves_the_files_alone(store: FileStore) -> None:
    _, place = await left(store)
    content = newest(place).read_bytes().replace(b'"attempt_started"', b'"attempt_startex"', 1)
    newest(place).write_bytes(content)
    with pytest.raises(RecordCorrupt):
        await store.read(place.name)
    assert newest(place).read_bytes() == content


async def test_one_damaged_record_leaves_the_others_alone(store: FileStore) -> None:
    _, bad = await left(store)
    states, good = await left(store)
    newest(bad).write_bytes(b"not a line\n" + newest(bad).read_bytes())
    assert await store.read(good.name) == states[-1]
    told = await store.damaged()
    assert list(told) == [bad.name]
    assert "damaged" in told[bad.name]
    assert [row.id for row in (await store.list(Query())).rows] == [good.name]


async def test_a_record_that_was_found_damaged_is_listed_no_more(store: FileStore) -> None:
    _, bad = await left(store)
    assert (await store.list(Query())).total == 1
    newest(bad).unlink()
    with pytest.raises(RecordCorrupt):
        await store.read(bad.name)
    assert (await store.list(Query())).total == 0


@pytest.mark.parametrize("save", [False, True])
async def test_a_journal_that_ends_before_its_snapshot_is_damaged(store: FileStore, *, save: bool) -> None:
    states, place = await left(store, save=save)
    kept = states[-1] if save else states[0]
    lines = newest(place).read_bytes().splitlines(keepends=True)
    newest(place).write_bytes(b"".join(lines[: -1 if save else 1]))
    with pytest.raises(RecordCorrupt, match=f"event {kept.revision}"):
        await store.open(place.name)


async def test_a_journal_that_is_gone_is_damage_and_no_new_beginning(store: FileStore) -> None:
    _, place = await left(store, save=True)
    newest(place).unlink()
    with pytest.raises(RecordCorrupt, match="journal is gone"):
        await store.open(place.name)
    with pytest.raises(RecordCorrupt):
        await store.read(place.name)


async def test_a_missing_segment_is_damage(store: FileStore) -> None:
    _, place = await left(store, 1)
    hand = Hand(*await store.open(place.name))
    await hand.note(succeeded())
    await hand.log.close()
    hand = Hand(*await store.open(place.name))
    await hand.note(attempt("s1"))
    await hand.log.close()
    (place / "journal-0002-0001.jsonl").unlink()
    with pytest.raises(RecordCorrupt, match="missing"):
        await store.read(place.name)


@pytest.mark.req("SPEC:7.bad-snapshot", "000:4.4.4")
@pytest.mark.parametrize("spoil", SPOILS)
async def test_a_bad_snapshot_costs_time_and_no_state(
    store: FileStore, spoil: Callable[[bytes], bytes]
) -> None:
    states, place = await left(store, 2, save=True)
    kept = place / snapshot.NAME
    content = spoil(kept.read_bytes())
    kept.write_bytes(content)
    assert await store.read(place.name) == states[-1]
    execution, log = await store.open(place.name)
    assert execution == states[-1]
    assert (place / "snapshot.json.corrupt").read_bytes() == content
    await log.save(execution)
    assert snapshot.read(kept.read_bytes()) is not None
    await log.close()


async def test_without_a_snapshot_the_journal_tells_everything(store: FileStore) -> None:
    states, place = await left(store)
    without_snapshot(place)
    assert await store.read(place.name) == states[-1]


async def test_a_snapshot_of_a_lost_lease_is_not_believed(store: FileStore) -> None:
    _, place = await left(store, 1)
    late = load(place)
    hand = Hand(*await store.open(place.name))
    await hand.note(succeeded(value="mine"))
    await hand.log.close()
    assert late.state is not None
    stray = fold(late.state, [succeeded(value="stray")])
    (place / snapshot.NAME).write_bytes(snapshot.render(stray, 1, "0.0.0"))
    assert await store.read(place.name) == hand.execution


async def test_what_a_lost_lease_wrote_late_does_not_count(store: FileStore, tmp_path: Path) -> None:
    late = Hand(*await store.create(created()))
    await late.note(started(), attempt())
    place = folder(store, late.execution.id)
    # A lock that did not hold: the lease is taken although the first process still writes.
    (place / "lease").rename(place / "elsewhere")
    other = file_store(tmp_path, owner="there")
    (place / "lease").write_bytes((place / "elsewhere").read_bytes())
    mine = Hand(*await other.open(place.name))
    await mine.note(succeeded(value="mine"))
    await late.note(succeeded(value="stray"), attempt("s1"))
    await late.log.close()
    assert await other.read(place.name) == mine.execution
    await mine.log.close()
    assert await other.read(place.name) == mine.execution
    assert [event for _, event in await other.events(place.name, 3, 9)] == [succeeded(value="mine")]
    other.close()


@pytest.mark.req("SPEC:7.newer-refused", "000:5.3.3")
@pytest.mark.parametrize("where", ["snapshot.json", "journal-0001-0001.jsonl"])
async def test_a_newer_record_is_refused_by_name_and_untouched(store: FileStore, where: str) -> None:
    _, place = await left(store, save=True)
    path = place / where
    content = (
        path.read_bytes().replace(b'"engine":"0.0.0"', b'"engine":"9.1.0"').replace(b'0.0.0"', b'9.1.0"')
    )
    resealed(path, content.replace(b'"schema":1', b'"schema":2').replace(b'"schema": 1', b'"schema": 2'))
    before = {file.name: file.read_bytes() for file in place.iterdir()}
    for look in (store.read, store.open):
        with pytest.raises(RecordNewer, match=r"9\.1\.0") as refused:
            await look(place.name)
        assert refused.value.code == "record_newer"
    assert {file.name: file.read_bytes() for file in place.iterdir()} == before
    assert list(await store.damaged()) == [place.name]


def resealed(path: Path, content: bytes) -> None:
    """Write content that was changed on purpose, with the checksum that it has now."""
    from zlib import crc32  # noqa: PLC0415 - the checksum is the store's own business elsewhere

    if path.name == snapshot.NAME:
        body = content[: content.rindex(b',\n  "crc"')]
        path.write_bytes(body + b',\n  "crc": "%08x"\n}\n' % crc32(body))
        return
    lines = [line[: line.rindex(b',"crc"')] for line in content.splitlines()]
    path.write_bytes(b"".join(line + b',"crc":"%08x"}\n' % crc32(line) for line in lines))


async def test_a_line_that_no_engine_wrote_is_damage_although_its_checksum_is_right(store: FileStore) -> None:
    states, place = await left(store, 2)
    without_snapshot(place)
    content = newest(place).read_bytes().replace(b'"attempt_succeeded"', b'"attempt_forgotten"')
    resealed(newest(place), content)
    with pytest.raises(RecordCorrupt, match=f"event {states[2].revision}"):
        await store.open(place.name)


@pytest.mark.req("000:4.4.3", "SPEC:7.bit-flip-anywhere")
@pytest.mark.parametrize("step", [0, 1])
async def test_a_flipped_bit_anywhere_is_told_or_harmless(
    store: FileStore, tmp_path: Path, step: int
) -> None:
    """Every third byte of every file, by turns: never another state, never an empty one."""
    states, place = await left(store, 2, save=True)
    hand = Hand(*await store.open(place.name))
    await hand.note(succeeded("s1"))
    await hand.note(completed())
    await hand.save()
    await hand.log.close()
    states += [fold(states[-1], [succeeded("s1")]), hand.execution]
    scratch = tmp_path / "scratch"
    for path in sorted(place.glob("[js]*")):
        content = path.read_bytes()
        for at in range(step, len(content), 23):
            shutil.rmtree(scratch, ignore_errors=True)
            shutil.copytree(place, scratch)
            changed = bytearray(content)
            changed[at] ^= 1 << (at % 8)
            (scratch / path.name).write_bytes(bytes(changed))
            found = load(scratch)
            if found.damage is None:
                assert found.state == states[-1], (path.name, at)
            else:
                assert found.state is None or found.state in states


async def test_a_truncation_without_a_snapshot_reads_as_an_unfinished_write(store: FileStore) -> None:
    states, place = await left(store, 3)
    without_snapshot(place)
    whole = newest(place).read_bytes()
    lines = whole.splitlines(keepends=True)
    for size in range(0, len(whole), 7):
        newest(place).write_bytes(whole[:size])
        count = sum(len(b"".join(lines[: n + 1])) <= size for n in range(len(lines)))
        if count < 2:
            with pytest.raises(ExecutionNotFound):
                load(place)
        else:
            assert load(place).sound() == states[count - 2]


@pytest.mark.req("000:4.4.2")
async def test_a_truncation_of_a_record_at_rest_is_told(store: FileStore) -> None:
    states, place = await left(store, 3, save=True)
    whole = newest(place).read_bytes()
    for size in range(0, len(whole), 7):
        newest(place).write_bytes(whole[:size])
        found = load(place)
        assert found.damage is not None
        assert found.state == states[-1]


@pytest.mark.req("000:4.2.2", "000:4.3.2", "000:6.1.2", "000:6.2.1", "000:L298")
async def test_the_snapshot_is_for_people(store: FileStore) -> None:
    states, place = await left(store, save=True)
    text = (place / snapshot.NAME).read_text(encoding="utf-8")
    members = json.loads(text)
    assert list(members) == ["schema", "engine", "seq", "epoch", "execution", "crc"]
    assert (members["schema"], members["engine"], members["seq"]) == (1, "0.0.0", states[-1].revision)
    assert members["execution"]["id"] == place.name
    assert text.count("\n") > 100
    assert store.place(place.name) == str(place / "snapshot.json")
