"""A tool step that was approved makes its call once: of one that was cut off nobody knows the outcome."""

from dataclasses import replace

import pytest

from engine_mcp.core.event import CallStarted
from engine_mcp.core.execution import Execution, ExecutionStatus, StopMode
from engine_mcp.core.plan import Mode, Permissions
from engine_mcp.core.request import Resume
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import Crash, CrashingStore, CrashPoint, capture_events
from tests.engine.rig import HeldTool, Rig, adapter, came, failures, rested, tool

pytestmark = pytest.mark.anyio
COMPLETED, FAILED = ExecutionStatus.COMPLETED, ExecutionStatus.FAILED
MAY = Permissions(mode=Mode.WRITE, allowed_tools=("put",))
ASKED = tool("a", "put", permissions=MAY, arguments={"n": 1}, requires_approval=True)


def putting(rig: Rig, *, changes: bool = True) -> HeldTool:
    """A rig with a tool whose first call hangs."""
    held = HeldTool()
    rig.tools = [adapter("put", held, mode=Mode.WRITE, changes=changes)]
    return held


async def cut_off(rig: Rig, held: HeldTool, *, died: bool) -> Execution:
    """An execution that was stopped amid the call of its approved step, or whose process died there."""
    point, found = CrashPoint(0), list[Execution]()
    try:
        async with replace(rig, store=CrashingStore(rig.store, point)).engine() as engine:
            execution = await rested(engine, await engine.execute(rig.draft(ASKED)))
            execution = await engine.resume(execution.id, Resume(approve=("a",)))
            await came(held.begun)
            found.append(execution)
            point.dead = died
            await engine.interrupt(execution.id, StopMode.NOW, "a test")
    except* Crash:
        pass
    if died and isinstance(rig.store, MemoryStore):
        rig.store.abandon(found[0].id)
    held.let_go.set()
    return found[0]


@pytest.mark.parametrize("died", [True, False], ids=["died", "interrupted"])
async def test_an_approved_call_that_was_cut_off_is_not_made_again_by_itself(rig: Rig, *, died: bool) -> None:
    execution = await cut_off(rig, putting(rig), died=died)
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
        assert (execution.status, failures(execution)) == (FAILED, {"a": "outcome_unknown"})
        assert len(rig.tools[0].calls) == 1
        execution = await rested(engine, await engine.resume(execution.id, Resume(from_step="a")))
    assert execution.status is COMPLETED
    assert len(rig.tools[0].calls) == 2


async def test_whoever_asks_for_the_step_again_has_the_call_made(rig: Rig) -> None:
    execution = await cut_off(rig, putting(rig), died=True)
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.resume(execution.id, Resume(from_step="a")))
    assert (execution.status, len(rig.tools[0].calls)) == (COMPLETED, 2)


async def test_a_call_that_changes_nothing_is_made_again(rig: Rig) -> None:
    execution = await cut_off(rig, putting(rig, changes=False), died=True)
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert (execution.status, len(rig.tools[0].calls)) == (COMPLETED, 2)


async def test_that_the_call_is_made_is_on_record_before_it_is(rig: Rig) -> None:
    held = putting(rig)
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(ASKED)))
        execution = await engine.resume(execution.id, Resume(approve=("a",)))
        await came(held.begun)
        begun = [e for e in await capture_events(rig.store, execution.id) if isinstance(e, CallStarted)]
        assert [(event.name, event.number) for event in begun] == [("put", 1)]
        held.let_go.set()
        await rested(engine, execution)
