"""The engine on real files: what stands there at every moment, and what another process reads."""

import json
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from engine_mcp.core.agent import AgentResult
from engine_mcp.core.budget import Limits
from engine_mcp.core.execution import ExecutionStatus, StopMode
from engine_mcp.core.listing import Query
from engine_mcp.core.request import Resume
from engine_mcp.engine.clock import SystemClock
from engine_mcp.engine.outputs import INLINE
from engine_mcp.sandbox.pool import SandboxPool
from engine_mcp.store.files import FileStore
from tests.engine.rig import (
    DONE,
    Held,
    Rig,
    adapter,
    agent,
    came,
    check_record,
    code,
    rested,
    statuses,
    tool,
    values,
)

pytestmark = pytest.mark.anyio


def on_files(rig: Rig) -> Rig:
    store = FileStore(rig.project / ".engine-mcp", clock=rig.clock, owner="", version="1")
    return replace(rig, store=store)


async def snapshot(place: str) -> tuple[str, str | None]:
    """The status and the reason that the snapshot shows."""
    state = json.loads(await anyio.Path(place).read_bytes())["execution"]
    return state["status"], state.get("reason")


@pytest.mark.both_loops
@pytest.mark.req(
    "000:4.3.1", "000:4.2.2", "000:4.2.3", "001:L18", "000:L105", "001:L39", "000:4.2.1", "000:6.2.1"
)
async def test_a_snapshot_is_written_at_every_rest_and_equals_the_record(
    rig: Rig, anyio_backend: object
) -> None:
    assert anyio_backend
    own = on_files(rig)
    own.runner.replies = {"a": [held := Held(), DONE]}
    async with own.engine() as engine:
        execution = await engine.execute(own.draft(agent("a"), agent("b", "a", requires_approval=True)))
        place = engine.place(execution.id)
        assert Path(place) == rig.project / ".engine-mcp" / "executions" / execution.id / "snapshot.json"
        await came(held.begun)
        await engine.interrupt(execution.id, StopMode.NOW, "a break")
        assert await snapshot(place) == ("interrupted", "a break")
        await rested(engine, await engine.resume(execution.id, Resume()))
        assert await snapshot(place) == ("paused", "approval")
        execution = await rested(engine, await engine.resume(execution.id, Resume(approve=("b",))))
        assert await snapshot(place) == ("completed", None)
    assert await check_record(on_files(rig).store, execution.id) == execution


async def test_a_change_to_what_rests_is_in_its_snapshot_at_once(rig: Rig) -> None:
    own = on_files(rig)
    execution = await own.run(own.draft(agent("a", requires_approval=True)))
    async with on_files(rig).engine() as engine:
        await engine.set_budget(execution.id, Limits(max_tokens=77))
        state = json.loads(await anyio.Path(engine.place(execution.id)).read_bytes())["execution"]
        assert state["budget"]["max_tokens"] == 77
        await engine.interrupt(execution.id, StopMode.CANCEL, "enough")
        assert await snapshot(engine.place(execution.id)) == ("cancelled", "enough")


@pytest.mark.req("002:L139", "003:L6", "000:4.1.4", "002:L187")
async def test_everything_a_step_can_leave_survives_the_way_through_the_files(
    rig: Rig, pool: SandboxPool
) -> None:
    own = on_files(rig)
    own.clock, own.sandbox, own.tools = rig.clock, pool, [adapter("echo")]
    own.runner.replies = {"big": [AgentResult(output={"text": "é" * INLINE})]}
    plan = own.draft(
        agent("big"),
        code("s", "console.log('x'); progress(1, 2, 'half'); return [outputs.big.text.length]", "big"),
        code("bad", "throw new TypeError('no')", optional=True),
        tool("t", "echo", "s", arguments={"deep": [1, {"a": None}], "text": "😀"}),
    )
    execution = await own.run(plan)
    assert execution.status is ExecutionStatus.COMPLETED
    assert values(execution)["s"] == [INLINE]
    again = on_files(rig)
    assert await check_record(again.store, execution.id) == execution
    output = execution.steps["big"].output
    assert output is not None
    assert output.artifact is not None
    async with again.engine() as engine:
        kept = await engine.artifact(execution.id, output.artifact.digest)
    assert json.loads(kept) == {"text": "é" * INLINE}


@pytest.mark.req("002:L63", "000:7.1.4", "001:L14", "000:6.2.3")
async def test_another_engine_lists_shows_and_goes_on_with_what_one_left(rig: Rig) -> None:
    rig.runner.replies = {"a": [held := Held(), DONE]}
    first = on_files(rig)
    async with first.engine() as engine:
        left = await engine.execute(first.draft(agent("a"), agent("b", "a")))
        await came(held.begun)
        done = await rested(engine, await engine.execute(first.draft(agent("c"))))
    second = on_files(rig)
    async with second.engine() as engine:
        page = await engine.list(Query())
        assert [(row.id, str(row.status)) for row in page.rows] == [
            (done.id, "completed"),
            (left.id, "interrupted"),
        ]
        assert (await engine.list(Query(status=ExecutionStatus.INTERRUPTED))).total == 1
        execution = await rested(engine, await engine.resume(left.id, Resume()))
        assert statuses(execution) == {"a": "completed", "b": "completed"}
        events = await engine.events(left.id, 0, 1000)
        assert [number for number, _ in events] == list(range(1, execution.revision + 1))


@pytest.mark.req("002:L193")
async def test_many_executions_on_files_and_on_the_real_clock_run_side_by_side(rig: Rig) -> None:
    own = on_files(rig)
    engine = own.engine()
    engine.parts = replace(own.parts, clock=SystemClock())
    async with engine:
        plan = own.draft(agent("a"), agent("b", "a"), agent("c", "a"), agent("d", "b", "c"))
        executions = [await engine.execute(plan) for _ in range(20)]
        ended = [await rested(engine, execution) for execution in executions]
    assert {execution.status for execution in ended} == {ExecutionStatus.COMPLETED}
    again = on_files(rig).store
    assert [await again.read(execution.id) for execution in ended] == ended
