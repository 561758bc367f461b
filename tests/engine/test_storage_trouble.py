"""A disk that fails: the execution pauses, nothing that was acknowledged is lost, and it goes on later."""

from collections.abc import Mapping

import anyio
import pytest
from pydantic import JsonValue

from engine_mcp.core.agent import AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.event import Event
from engine_mcp.core.execution import Execution, ExecutionStatus, StopMode
from engine_mcp.core.plan import Mode, StepSpec
from engine_mcp.core.request import Resume
from engine_mcp.core.tool import ToolResult
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.outputs import INLINE
from engine_mcp.engine.parts import EngineOptions
from engine_mcp.errors import StorageError
from engine_mcp.ports import AgentHost, Workbench
from engine_mcp.testing import FakeClock, capture_events
from tests.engine.played import PlayedSandbox
from tests.engine.rig import (
    DONE,
    WAIT_S,
    Held,
    HeldTool,
    Rig,
    adapter,
    agent,
    came,
    check_record,
    code,
    echo,
    rested,
    statuses,
    tool,
    until,
    values,
)
from tests.engine.trouble import Trouble, troubled

pytestmark = pytest.mark.anyio

PAUSED, COMPLETED = ExecutionStatus.PAUSED, ExecutionStatus.COMPLETED


@pytest.fixture
def trouble(rig: Rig) -> Trouble:
    """Give the trouble of the rig's store, which begins when it is told to."""
    found = Trouble()
    rig.store = troubled(rig.store, found)
    return found


async def test_an_execution_that_cannot_be_recorded_is_refused(rig: Rig, trouble: Trouble) -> None:
    trouble.begin(times=1)
    async with rig.engine() as engine:
        with pytest.raises(StorageError) as caught:
            await engine.execute(rig.draft(agent("a")))
        assert (caught.value.code, caught.value.retryable) == ("storage", True)
        assert engine.load().pending == 0
        assert (await rested(engine, await engine.execute(rig.draft(agent("a"))))).status is COMPLETED


@pytest.mark.req("002:L85", "001:L59", "000:L299", "004:L271")
async def test_a_full_disk_pauses_the_execution_and_stops_what_runs(rig: Rig, trouble: Trouble) -> None:
    held, other = Held(), Held()
    rig.runner.replies = {"held": [held, DONE], "other": [other]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("held"), agent("other"), agent("next", "other")))
        await came(held.begun)
        await came(other.begun)
        trouble.begin(times=1)
        other.let_go.set()
        execution = await rested(engine, execution)
        assert held.stopped.is_set()
        assert (execution.status, execution.reason) == (PAUSED, "storage")
        assert await check_record(rig.store, execution.id) == execution
        assert "next" not in [task.step.id for task in rig.runner.tasks]
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert execution.status is COMPLETED


async def test_what_had_ended_when_the_write_failed_is_recorded_with_the_pause(
    rig: Rig, trouble: Trouble
) -> None:
    held = Held(AgentResult(output="dear", usage=Usage(tokens_in=9)))
    rig.runner.replies = {"a": [held]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b", "a")))
        await came(held.begun)
        trouble.begin(times=1)
        held.let_go.set()
        execution = await rested(engine, execution)
        assert (execution.status, execution.reason) == (PAUSED, "storage")
        assert (statuses(execution), execution.usage.tokens_in) == ({"a": "completed", "b": "pending"}, 9)
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert [task.step.id for task in rig.runner.tasks] == ["a", "b"]


async def test_what_the_stopped_attempts_used_is_counted(rig: Rig, trouble: Trouble) -> None:
    rig.clock = clock = FakeClock()
    held, other = Held(), Held()

    async def spending(task: AgentTask, host: AgentHost) -> AgentResult:
        host.report(AgentReport(usage=Usage(tokens_in=7)))
        return await held(task, host)

    rig.runner.replies = {"a": [spending], "b": [other]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b")))
        await came(held.begun)
        await came(other.begun)
        clock.advance(3.0)
        trouble.begin(times=1)
        other.let_go.set()
        execution = await rested(engine, execution)
    assert execution.steps["a"].attempts[0].usage == Usage(tokens_in=7, seconds=3.0, cost_basis="unpriced")
    assert execution.usage.tokens_in == 7


@pytest.mark.req("004:L31")
async def test_who_waits_for_a_write_that_fails_is_told(rig: Rig, trouble: Trouble) -> None:
    held = Held()
    rig.runner.replies = {"a": [held, DONE]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(held.begun)
        trouble.begin(times=1)
        with pytest.raises(StorageError, match="no space left"):
            await engine.set_budget(execution.id, Limits(max_tokens=5))
        execution = await rested(engine, execution)
        assert (execution.status, execution.reason) == (PAUSED, "storage")
        assert execution.budget.max_tokens is None


async def test_a_stop_that_cannot_be_recorded_stops_all_the_same(rig: Rig, trouble: Trouble) -> None:
    held = Held()
    rig.runner.replies = {"a": [held]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(held.begun)
        trouble.begin()
        with pytest.raises(StorageError):
            await engine.interrupt(execution.id, StopMode.NOW, "x")
        execution = await rested(engine, execution)
    assert held.stopped.is_set()
    assert (execution.status, execution.reason) == (PAUSED, "storage")


async def test_a_result_that_cannot_be_kept_beside_the_record_pauses_the_execution(
    rig: Rig, trouble: Trouble
) -> None:
    rig.runner.replies = {"a": [AgentResult(output="x" * INLINE, usage=Usage(tokens_in=3))]}
    trouble.of = frozenset({"keep"})
    trouble.begin(times=1)
    execution = await rig.run(rig.draft(agent("a")))
    assert (execution.status, execution.reason) == (PAUSED, "storage")
    assert statuses(execution) == {"a": "interrupted"}
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert execution.status is COMPLETED


async def test_an_artifact_of_a_tool_that_cannot_be_kept_pauses_the_execution(
    rig: Rig, trouble: Trouble
) -> None:
    async def keep(arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        await bench.keep(b"text", name="a", media_type="text/plain")
        return await echo(arguments, bench)

    rig.tools = [adapter("keep", keep)]
    trouble.of = frozenset({"keep"})
    trouble.begin(times=1)
    execution = await rig.run(rig.draft(tool("t", "keep")))
    assert (execution.status, execution.reason) == (PAUSED, "storage")


async def test_a_snapshot_that_cannot_be_written_costs_nothing(
    rig: Rig, trouble: Trouble, caplog: pytest.LogCaptureFixture
) -> None:
    trouble.of = frozenset({"save"})
    trouble.begin()
    execution = await rig.run(rig.draft(agent("a")))
    assert execution.status is COMPLETED
    assert "the snapshot was not written" in caplog.text


@pytest.mark.req("004:L31", "SPEC:7.durable-before-the-effect")
async def test_a_call_with_an_effect_is_not_made_when_it_cannot_be_recorded_first(
    rig: Rig, trouble: Trouble
) -> None:
    gate = HeldTool()
    rig.sandbox, rig.tools = PlayedSandbox(), [adapter("echo", gate, mode=Mode.NONE, changes=True)]
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), code("s", "[1, 1]")))
        await came(gate.begun)
        trouble.begin(times=1)
        gate.let_go.set()
        execution = await rested(engine, execution)
        assert (execution.status, execution.reason) == (PAUSED, "storage")
        assert rig.tools[0].calls == [{"n": 0}]
        assert list(execution.steps["s"].calls) == [0]
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert values(execution)["s"] == [0, 1]
    assert rig.tools[0].calls == [{"n": 0}, {"n": 1}]


@pytest.mark.req("004:L168", "000:L299")
async def test_a_pause_that_cannot_be_recorded_is_shown_and_the_next_engine_finds_it(
    rig: Rig, trouble: Trouble
) -> None:
    held = Held()
    rig.runner.replies = {"a": [held, DONE]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b", "a")))
        await came(held.begun)
        trouble.begin()
        held.let_go.set()
        execution = await rested(engine, execution)
        assert (execution.status, execution.reason) == (PAUSED, "storage")
        assert await engine.show(execution.id) == execution
        assert (await rig.store.read(execution.id)).status is ExecutionStatus.RUNNING
        trouble.end()
    async with rig.engine() as later:
        found = await later.show(execution.id)
        assert (found.status, found.reason) == (ExecutionStatus.INTERRUPTED, "owner died")
        assert await check_record(rig.store, execution.id) == found
        found = await rested(later, await later.resume(execution.id, Resume()))
    assert found.status is COMPLETED


async def test_an_unrecorded_pause_goes_on_in_the_same_engine_once_there_is_space(
    rig: Rig, trouble: Trouble
) -> None:
    held = Held()
    rig.runner.replies = {"a": [held, DONE]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b", "a")))
        await came(held.begun)
        trouble.begin()
        held.let_go.set()
        execution = await rested(engine, execution)
        with pytest.raises(StorageError):
            await engine.resume(execution.id, Resume())
        assert (await engine.show(execution.id)).reason == "storage"
        trouble.end()
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert execution.status is COMPLETED
    assert await check_record(rig.store, execution.id) == execution


async def test_a_waiting_execution_that_cannot_begin_is_interrupted(rig: Rig, trouble: Trouble) -> None:
    rig.options = EngineOptions(executions=1)
    held = Held()
    rig.runner.replies = {"a": [held]}
    async with rig.engine() as engine:
        first = await engine.execute(rig.draft(agent("a")))
        second = await engine.execute(rig.draft(agent("b")))
        await came(held.begun)
        trouble.begin(times=1)
        with pytest.raises(StorageError):
            await engine.interrupt(second.id, StopMode.NOW, "x")
        second = await rested(engine, second)
        assert (second.status, second.reason) == (ExecutionStatus.INTERRUPTED, "storage")
        held.let_go.set()
        await rested(engine, first)


@pytest.mark.parametrize("times", [1, 1000], ids=["once", "for ever"])
async def test_an_engine_whose_disk_fails_when_it_is_left_is_left_all_the_same(
    rig: Rig, trouble: Trouble, times: int
) -> None:
    held = [Held(), Held()]
    rig.runner.replies = {"a": [*held, DONE]}
    executions: list[Execution] = []
    with anyio.fail_after(WAIT_S):
        async with rig.engine() as engine:
            executions += [await engine.execute(rig.draft(agent("a"))) for _ in range(2)]
            for one in held:
                await came(one.begun)
            trouble.begin(times)
    trouble.end()
    async with rig.engine() as later:
        for execution in executions:
            found = await later.show(execution.id)
            assert found.status in {PAUSED, ExecutionStatus.INTERRUPTED}
            await later.resume(execution.id, Resume())
            assert (await rested(later, found)).status is COMPLETED


# --- every write

WHOLE: tuple[StepSpec, ...] = (
    agent("a"),
    agent("big"),
    code("s", "[1, 2]", "a"),
    tool("t", "echo", "s"),
    agent("last", "t", "big"),
)


def whole(rig: Rig) -> Rig:
    rig.sandbox = PlayedSandbox()
    rig.tools = [adapter("echo", mode=Mode.NONE, changes=True)]
    rig.runner.replies = {"big": [AgentResult(output="x" * INLINE)]}
    return rig


async def acknowledged(engine: Engine, execution: Execution) -> list[tuple[int, Event]]:
    """Every event that this engine ever showed of an execution."""
    return [item async for item in engine.follow(execution.id)]


@pytest.mark.req("002:L199", "SPEC:7.no-acknowledged-event-is-lost")
@pytest.mark.parametrize("times", [1, 2, 1000], ids=["once", "twice", "for ever"])
@pytest.mark.parametrize("at", range(2, 22))
async def test_whichever_write_fails_nothing_that_was_shown_is_lost(
    rig: Rig, trouble: Trouble, at: int, times: int
) -> None:
    trouble.at, trouble.times = at, times
    shown: list[tuple[int, Event]] = []
    async with whole(rig).engine() as engine:
        execution = await engine.execute(rig.draft(*WHOLE))
        async with anyio.create_task_group() as readers:

            async def look() -> None:
                shown.extend(await acknowledged(engine, execution))

            readers.start_soon(look)
            await rested(engine, execution)
    trouble.end()
    record = list(enumerate(await capture_events(rig.store, execution.id), 1))
    assert shown == record[: len(shown)]
    async with rig.engine() as engine:
        execution = await engine.show(execution.id)
        while execution.status is not COMPLETED:
            execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert await check_record(rig.store, execution.id) == execution
    assert values(execution)["s"] == [0, 1, 2]
    assert set(statuses(execution).values()) == {"completed"}


async def test_the_writes_that_were_to_fail_are_all_there_are(rig: Rig, trouble: Trouble) -> None:
    await whole(rig).run(rig.draft(*WHOLE))
    assert 10 < trouble.writes <= 21


async def test_an_execution_that_fails_to_be_written_leaves_the_others_alone(
    rig: Rig, trouble: Trouble
) -> None:
    held, other = Held(), Held()
    rig.runner.replies = {"a": [held], "b": [other]}
    async with rig.engine() as engine:
        first, second = [await engine.execute(rig.draft(agent(name))) for name in "ab"]
        await came(held.begun)
        await came(other.begun)
        trouble.begin(times=2)
        held.let_go.set()
        first = await rested(engine, first)
        assert (first.status, first.reason) == (PAUSED, "storage")
        other.let_go.set()
        assert (await rested(engine, second)).status is COMPLETED
        await until(engine, second, lambda now: now.status is COMPLETED)
