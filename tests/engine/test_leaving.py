"""Leaving the engine, or a call of it, in the midst of things."""

import anyio
import pytest

from engine_mcp.core.budget import Limits
from engine_mcp.core.execution import Execution, ExecutionStatus, StepStatus, StopMode
from engine_mcp.core.request import Resume
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.parts import EngineOptions
from engine_mcp.errors import ExecutionFinished
from tests.engine.rig import (
    DONE,
    WAIT_S,
    Held,
    Rig,
    agent,
    came,
    check_record,
    rested,
    until,
)
from tests.engine.trouble import Stall, troubled

pytestmark = pytest.mark.anyio

NOW, CANCEL = StopMode.NOW, StopMode.CANCEL
INTERRUPTED = ExecutionStatus.INTERRUPTED


@pytest.mark.req("000:5.4.1")
@pytest.mark.parametrize("wish_is_written", [False, True])
async def test_nobody_waits_for_ever_on_an_engine_that_is_left_in_the_midst_of_a_write(
    rig: Rig, *, wish_is_written: bool
) -> None:
    stall, held = Stall(), Held()
    rig.store, rig.options = troubled(rig.store, stall), EngineOptions(grace_s=0.01)
    rig.runner.replies = {"a": [held]}
    told: list[Execution] = []

    async def ask(engine: Engine, execution: Execution) -> None:
        told.append(await engine.set_budget(execution.id, Limits(max_tokens=1)))

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as calls, rig.engine() as engine:
            execution = await engine.execute(rig.draft(agent("a")))
            await came(held.begun)
            stall.armed = True
            if not wish_is_written:
                held.let_go.set()
                await came(stall.begun)
            calls.start_soon(ask, engine, execution)
            await anyio.wait_all_tasks_blocked()
            assert stall.begun.is_set()
    assert told[0].budget.max_tokens == 1
    assert (await rig.store.read(told[0].id)).status is INTERRUPTED


@pytest.mark.req("001:L12", "002:L59", "002:L63", "000:7.1.4", "002:L111", "003:L85", "000:6.4.4")
async def test_leaving_the_engine_interrupts_everything_on_record_and_another_goes_on(rig: Rig) -> None:
    rig.options = EngineOptions(executions=2)
    held = [Held(), Held()]
    rig.runner.replies = {"a": [*held, DONE]}
    async with rig.engine() as engine:
        executions = [await engine.execute(rig.draft(agent("a"), agent("b", "a"))) for _ in range(3)]
        for one in held:
            await came(one.begun)
    found = [await check_record(rig.store, execution.id) for execution in executions]
    assert {(one.status, one.reason) for one in found} == {(INTERRUPTED, "server stopped")}
    assert [one.steps["a"].status for one in found] == [
        StepStatus.INTERRUPTED,
        StepStatus.INTERRUPTED,
        StepStatus.PENDING,
    ]
    async with rig.engine() as engine:
        for execution in executions:
            await engine.resume(execution.id, Resume())
        for execution in executions:
            assert (await rested(engine, execution)).status is ExecutionStatus.COMPLETED


async def test_an_error_in_the_block_interrupts_everything_on_record(rig: Rig) -> None:
    rig.runner.replies = {"a": [Held()]}
    began: list[Execution] = []

    async def fail() -> None:
        async with rig.engine() as engine:
            began.append(await engine.execute(rig.draft(agent("a"))))
            await until(engine, began[0], lambda now: bool(now.running))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert (await rig.store.read(began[0].id)).status is INTERRUPTED


@pytest.mark.req("003:L27")
async def test_a_cancelled_block_interrupts_everything_on_record(rig: Rig) -> None:
    rig.runner.replies = {"a": [Held()]}
    execution: Execution | None = None
    with anyio.CancelScope() as scope:
        async with rig.engine() as engine:
            execution = await engine.execute(rig.draft(agent("a")))
            await until(engine, execution, lambda now: bool(now.running))
            scope.cancel()
            await anyio.sleep_forever()
    assert execution is not None
    assert (await rig.store.read(execution.id)).status is INTERRUPTED


async def test_a_cancel_that_comes_while_the_execution_pauses_is_not_lost(rig: Rig) -> None:
    stall, held = Stall(), Held()
    rig.store = troubled(rig.store, stall)
    rig.runner.replies = {"a": [held]}
    async with rig.engine() as engine:
        plan = rig.draft(agent("a"), agent("b", "a", requires_approval=True))
        execution = await engine.execute(plan)
        await came(held.begun)
        stall.armed = True
        held.let_go.set()
        await came(stall.begun)
        async with anyio.create_task_group() as calls:
            calls.start_soon(engine.interrupt, execution.id, CANCEL, "for good")
            await anyio.wait_all_tasks_blocked()
            stall.let_go.set()
        assert (await engine.show(execution.id)).status is ExecutionStatus.CANCELLED


async def test_a_stop_that_comes_with_the_end_finds_it_ended(rig: Rig) -> None:
    stall, held = Stall(), Held()
    rig.store = troubled(rig.store, stall)
    rig.runner.replies = {"a": [held]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(held.begun)
        stall.armed = True
        held.let_go.set()
        await came(stall.begun)
        refused: list[str] = []

        async def stop() -> None:
            with pytest.raises(ExecutionFinished, match="completed already"):
                await engine.interrupt(execution.id, NOW, "too late")
            refused.append("stop")

        async with anyio.create_task_group() as calls:
            calls.start_soon(stop)
            await anyio.wait_all_tasks_blocked()
            stall.let_go.set()
        assert refused == ["stop"]


async def test_a_cancelled_call_of_interrupt_has_still_asked_for_it(rig: Rig) -> None:
    held = Held()
    rig.runner.replies = {"a": [held]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(held.begun)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as calls:
                calls.start_soon(engine.interrupt, execution.id, NOW, "x")
                await anyio.lowlevel.checkpoint()
                scope.cancel()
        assert (await rested(engine, execution)).status is INTERRUPTED


async def test_a_cancelled_call_of_execute_leaves_an_execution_that_somebody_drives(rig: Rig) -> None:
    held = Held()
    rig.runner.replies = {"a": [held]}
    async with rig.engine() as engine:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as calls:
                calls.start_soon(engine.execute, rig.draft(agent("a")))
                await anyio.lowlevel.checkpoint()
                scope.cancel()
        await came(held.begun)
        assert engine.load().running == 1
