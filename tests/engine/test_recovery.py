"""What a dead process left behind is found when an engine starts, and by whoever asks for it."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine_mcp.core.budget import Limits
from engine_mcp.core.execution import AttemptStatus, Execution, ExecutionStatus, StopMode
from engine_mcp.core.request import Resume
from engine_mcp.engine.parts import EngineOptions
from engine_mcp.errors import EngineError, ExecutionOwned, RecordCorrupt, RecordNewer
from engine_mcp.store.files import FileStore
from engine_mcp.store.memory import MemoryLog, MemoryStore
from engine_mcp.testing import Crash, CrashingStore, CrashPoint, FakeClock
from tests.engine.rig import (
    DONE,
    Held,
    Rig,
    adapter,
    agent,
    check_record,
    kinds,
    rested,
    statuses,
    tool,
    until,
)

pytestmark = pytest.mark.anyio

INTERRUPTED, COMPLETED = ExecutionStatus.INTERRUPTED, ExecutionStatus.COMPLETED


async def abandoned(rig: Rig, *, running: bool = True) -> Execution:
    """An execution whose process died while its only step ran, or while it waited for a place."""
    point = CrashPoint(0)
    rig.runner.replies = {"a": [Held(), DONE] if running else [DONE], "held": [Held()]}
    options = rig.options if running else EngineOptions(executions=1)
    found: list[Execution] = []
    try:
        async with replace(rig, store=CrashingStore(rig.store, point), options=options).engine() as engine:
            if not running:
                await engine.execute(rig.draft(agent("held")))
            execution = await engine.execute(rig.draft(agent("a"), agent("b", "a")))
            if running:
                execution = await until(engine, execution, lambda now: bool(now.running))
            found.append(execution)
            point.dead = True
            await engine.set_budget(found[0].id, Limits(max_tokens=1))
    except* Crash:
        pass
    if isinstance(rig.store, MemoryStore):
        rig.store.abandon(found[0].id)
    return await rig.store.read(found[0].id)


@pytest.mark.req("000:4.4.4", "002:L199", "SPEC:7.abandoned-executions-are-found")
async def test_an_engine_finds_abandoned_executions_and_marks_them_interrupted(rig: Rig) -> None:
    left = await abandoned(rig)
    assert left.status is ExecutionStatus.RUNNING
    async with rig.engine() as engine:
        assert await rig.store.abandoned() == ()
        execution = await engine.show(left.id)
        assert (execution.status, execution.reason) == (INTERRUPTED, "owner died")
        assert statuses(execution) == {"a": "interrupted", "b": "pending"}
        attempt = execution.steps["a"].attempts[0]
        assert attempt.status is AttemptStatus.LOST
        assert attempt.failure is not None
        assert attempt.failure.code == "attempt_lost"
        assert await check_record(rig.store, execution.id) == execution
        assert (await kinds(rig.store, execution))[-2:] == ["attempt_lost", "execution_interrupted"]
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert execution.status is COMPLETED
    assert [attempt.number for attempt in execution.steps["a"].attempts] == [1, 2]


async def test_one_that_waited_for_a_place_is_found_too(rig: Rig) -> None:
    left = await abandoned(rig, running=False)
    assert left.status is ExecutionStatus.PENDING
    async with rig.engine() as engine:
        execution = await engine.show(left.id)
        assert (execution.status, execution.reason) == (INTERRUPTED, "owner died")
        assert (await rested(engine, await engine.resume(left.id, Resume()))).status is COMPLETED


async def test_what_rests_and_what_has_ended_is_left_as_it_is(rig: Rig) -> None:
    done = await rig.run(rig.draft(agent("x")))
    waits = await rig.run(rig.draft(agent("x", requires_approval=True)))
    async with rig.engine() as engine:
        assert await engine.show(done.id) == done
        assert await engine.show(waits.id) == waits


async def test_an_engine_that_does_not_look_shows_it_as_interrupted_without_touching_it(rig: Rig) -> None:
    left = await abandoned(rig)
    rig.options = EngineOptions(recover=False)
    async with rig.engine() as engine:
        shown = await engine.show(left.id)
        assert (shown.status, shown.reason) == (INTERRUPTED, "owner died")
        assert shown.revision == left.revision
        assert await rig.store.read(left.id) == left
        execution = await rested(engine, await engine.resume(left.id, Resume()))
    assert execution.status is COMPLETED
    assert await check_record(rig.store, left.id) == execution


@pytest.mark.parametrize("mode", [StopMode.NOW, StopMode.AFTER_STEP, StopMode.CANCEL])
async def test_an_abandoned_execution_is_interrupted_or_cancelled_on_record(rig: Rig, mode: StopMode) -> None:
    left = await abandoned(rig)
    rig.options = EngineOptions(recover=False)
    async with rig.engine() as engine:
        execution = await engine.interrupt(left.id, mode, "enough")
        cancelled = mode is StopMode.CANCEL
        assert execution.status is (ExecutionStatus.CANCELLED if cancelled else INTERRUPTED)
        assert execution.reason == ("enough" if cancelled else "owner died")
        assert await check_record(rig.store, left.id) == execution


async def test_the_budget_of_an_abandoned_execution_is_set_on_record(rig: Rig) -> None:
    left = await abandoned(rig)
    rig.options = EngineOptions(recover=False)
    async with rig.engine() as engine:
        execution = await engine.set_budget(left.id, Limits(max_tokens=7))
    assert (execution.status, execution.budget.max_tokens) == (INTERRUPTED, 7)
    assert await check_record(rig.store, left.id) == execution


async def test_the_seconds_since_the_death_do_not_count_as_time_at_work_for_ever(rig: Rig) -> None:
    rig.clock = FakeClock(1000.0)
    left = await abandoned(rig)
    rig.clock.advance(5.0)
    async with rig.engine() as engine:
        assert (await engine.show(left.id)).active_s == 5.0


class Newer(MemoryStore):
    """A store whose records are those of a later version."""

    async def open(self, execution_id: str) -> tuple[Execution, MemoryLog]:
        raise RecordNewer(f"The record of {execution_id} has schema 99.")


@pytest.mark.req("000:5.3.3")
async def test_a_record_of_a_newer_version_is_left_alone(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    left = await abandoned(rig)
    newer = Newer()
    vars(newer).update(vars(rig.store))
    async with replace(rig, store=newer).engine() as engine:
        assert f"{left.id} is left as it is" in caplog.text
        with pytest.raises(RecordNewer) as caught:
            await engine.resume(left.id, Resume())
        assert caught.value.code == "record_newer"
    assert await rig.store.read(left.id) == left


# --- on files


def on_files(rig: Rig) -> Rig:
    store = FileStore(rig.project / ".engine-mcp", clock=rig.clock, owner="", version="1")
    return replace(rig, store=store)


@pytest.mark.req("000:4.4.2", "000:4.4.3", "000:L272", "002:L63", "003:L85", "000:5.3.3")
async def test_a_record_that_cannot_be_read_is_left_alone_and_the_others_are_found(rig: Rig) -> None:
    broken, sound = await abandoned(on_files(rig)), await abandoned(on_files(rig))
    folder = Path(on_files(rig).store.place(broken.id)).parent
    file = min(folder.glob("journal-*"))
    content = file.read_bytes()
    middle = content.index(b"attempt_started") - 60
    file.write_bytes(content[:middle] + b"#" + content[middle + 1 :])
    later = on_files(rig)
    async with later.engine() as engine:
        assert (await engine.show(sound.id)).reason == "owner died"
        with pytest.raises(RecordCorrupt) as caught:
            await engine.show(broken.id)
        assert caught.value.code == "record_corrupt"
        for attempt in (
            engine.resume(broken.id, Resume()),
            engine.interrupt(broken.id, StopMode.NOW, ""),
            engine.set_budget(broken.id, Limits()),
        ):
            with pytest.raises(RecordCorrupt):
                await attempt
    assert ".corrupt" in {path.suffix for path in folder.glob("journal-*")}


@pytest.mark.req("000:4.2.3", "001:L24", "000:L297")
async def test_an_execution_goes_on_from_its_files(rig: Rig) -> None:
    rig.tools = [adapter("echo")]
    left = await abandoned(on_files(rig))
    async with on_files(rig).engine() as engine:
        resumed = await engine.resume(left.id, Resume(steps=(agent("a"), tool("t", "echo", "a"))))
        execution = await rested(engine, resumed)
    assert execution.status is COMPLETED
    assert await check_record(on_files(rig).store, left.id) == execution


@pytest.mark.req("004:L19", "004:L20")
async def test_what_another_engine_drives_is_shown_and_not_taken(rig: Rig) -> None:
    first, second = on_files(rig), on_files(rig)
    first.runner.replies = {"a": [held := Held()]}
    async with first.engine() as owner:
        execution = await owner.execute(first.draft(agent("a")))
        execution = await until(owner, execution, lambda now: bool(now.running))
        async with second.engine() as other:
            assert await other.show(execution.id) == execution
            with pytest.raises(ExecutionOwned) as caught:
                await other.resume(execution.id, Resume())
            assert (caught.value.code, caught.value.retryable) == ("execution_owned", True)
            for attempt in (
                other.interrupt(execution.id, StopMode.NOW, "x"),
                other.set_budget(execution.id, Limits(max_tokens=1)),
            ):
                with pytest.raises(EngineError, match="takes no requests") as refused:
                    await attempt
                assert refused.value.code == "execution_owned"
        held.let_go.set()
        execution = await rested(owner, execution)
        assert execution.status is COMPLETED


class Swept:
    """A sweeper that says which executions it was called for."""

    def __init__(self) -> None:
        self.executions: list[str] = []

    async def sweep(self, execution_id: str) -> int:
        self.executions.append(execution_id)
        return 1


@pytest.mark.parametrize("at", ["start", "resume"])
async def test_what_a_dead_engine_left_running_is_ended_before_its_attempts_count_as_lost(
    rig: Rig, at: str
) -> None:
    left = await abandoned(rig)
    rig.sweeper = sweeper = Swept()
    rig.options = replace(rig.options, recover=at == "start")
    async with rig.engine() as engine:
        if at == "start":
            assert statuses(await engine.show(left.id))["a"] == "interrupted"
        assert sweeper.executions == ([left.id] if at == "start" else [])
        execution = await rested(engine, await engine.resume(left.id, Resume()))
    assert execution.status is COMPLETED
    assert sweeper.executions == [left.id]


async def test_nothing_is_swept_for_an_execution_that_came_to_rest(rig: Rig) -> None:
    rig.sweeper = sweeper = Swept()
    execution = await rig.run(rig.draft(agent("a")))
    async with rig.engine() as engine:
        await rested(engine, await engine.resume(execution.id, Resume(from_step="a")))
    assert sweeper.executions == []
