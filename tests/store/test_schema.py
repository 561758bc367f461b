"""Records of every schema that ever was are read, in today's shape."""

import shutil
from pathlib import Path

import pytest

from engine_mcp.core.evolve import fold
from engine_mcp.errors import RecordNewer
from engine_mcp.store.codec import KINDS
from engine_mcp.store.migrations import SCHEMA, Raw, Schema, Step
from engine_mcp.store.record import events, load
from tests.store.golden import CREATED, EARLIER, EVERY, FOLDER, NAME
from tests.store.plans import file_store

pytestmark = pytest.mark.anyio


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    place = tmp_path / ".engine-mcp" / "executions" / NAME
    shutil.copytree(FOLDER, place)
    return place


def test_the_golden_record_has_every_kind_of_event() -> None:
    assert {event.kind for event in EVERY} == set(KINDS)


@pytest.mark.req("SPEC:7.older-schemas", "000:4.1.3")
def test_a_record_of_schema_1_is_read(golden: Path) -> None:
    assert events(golden, 0, 1000) == tuple(enumerate(EVERY, 1))
    assert load(golden).sound() == fold(None, EVERY)
    (golden / "snapshot.json").unlink()
    assert load(golden).sound() == fold(None, EVERY)
    (golden / "journal-0002-0001.jsonl").unlink()
    assert load(golden).sound() == fold(None, (CREATED, *EARLIER))


async def test_a_record_of_schema_1_is_gone_on_with(golden: Path, tmp_path: Path) -> None:
    store = file_store(tmp_path)
    execution, log = await store.open(NAME)
    assert (execution, log.epoch) == (fold(None, EVERY), 3)
    await log.save(execution)
    await log.close()
    assert await store.read(NAME) == execution
    assert load(golden).pieces.epoch == 2
    store.close()


def test_every_schema_since_the_first_leads_to_the_present_one() -> None:
    earlier = set(range(1, SCHEMA.version))
    assert set(SCHEMA.events) == set(SCHEMA.states) == earlier


def test_an_older_event_takes_every_step_in_order() -> None:
    def step(number: int) -> Step:
        return lambda raw: {**raw, f"step {number}": len(raw)}

    schema = Schema(version=4, events={number: step(number) for number in (1, 2, 3)})
    assert schema.event(1, {}) == {"step 1": 0, "step 2": 1, "step 3": 2}
    assert schema.event(3, {}) == {"step 3": 0}
    assert schema.event(4, {"seen": True}) == {"seen": True}


def test_what_is_newer_is_refused() -> None:
    with pytest.raises(RecordNewer, match=r"schema 2.*engine-mcp 9\.1\.0.*up to schema 1"):
        SCHEMA.check(2, "9.1.0")


@pytest.mark.req("SPEC:7.older-schemas")
@pytest.mark.parametrize("snapshot", [True, False])
def test_an_older_record_is_read_in_the_shape_of_a_newer_schema(golden: Path, *, snapshot: bool) -> None:
    def reasons(raw: Raw) -> Raw:
        return {**raw, "reason": f"newly: {raw['reason']}"} if raw.get("reason") else raw

    def task(raw: Raw) -> Raw:
        assert isinstance(raw["plan"], dict)
        return {**raw, "plan": {**raw["plan"], "task": "newly told"}}

    if not snapshot:
        (golden / "snapshot.json").unlink()
    newer = Schema(version=2, events={1: reasons}, states={1: task})
    found = load(golden, newer).sound()
    assert found.plan.task == "newly told"
    assert found.reason == "newly: asked for"
    told = dict(events(golden, 0, 1000, newer))
    assert getattr(told[len(EVERY)], "reason", None) == "newly: asked for"
