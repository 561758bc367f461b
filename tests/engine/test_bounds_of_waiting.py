"""Bounds of waiting: an engine takes on so many executions and no more, and a stopped wait wakes nobody."""

from dataclasses import replace

import anyio
import pytest

from engine_mcp.core import event as ev
from engine_mcp.core.approval import asked
from engine_mcp.core.budget import Limits
from engine_mcp.core.decide import settle
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution, ExecutionStatus, StopMode
from engine_mcp.core.load import Load
from engine_mcp.core.plan import Plan, StepSpec, StrategyName
from engine_mcp.engine.alarms import Alarms, wakes_at
from engine_mcp.engine.crowd import Crowd
from engine_mcp.engine.parts import EngineOptions
from engine_mcp.errors import Busy
from engine_mcp.testing import FakeClock
from tests.engine.rig import quiet

pytestmark = pytest.mark.anyio
AT, LATER = 1000.0, 5000.0
OPTIONS = EngineOptions(executions=2, waiting=1)


def paused(*, reason: str = "quota", until: float | None = LATER) -> Execution:
    """An execution that goes on by itself at a time."""
    spec = StepSpec(id="a", task="t", requires_approval=True, approval_timeout_s=LATER - AT)
    plan = Plan(path="p", steps=(spec,), strategy=StrategyName.SINGLE, auto_resume=True)
    events: list[ev.Event] = [
        ev.ExecutionCreated(at=AT, execution_id="e", plan=plan, budget=Limits()),
        ev.ExecutionStarted(at=AT, epoch=1, owner=""),
    ]
    execution = fold(None, events)
    if reason == "approval":
        request = ev.ApprovalRequested(at=AT, step="a", asking=asked(execution.steps["a"], AT))
        execution = fold(execution, [request])
    return fold(execution, [ev.ExecutionPaused(at=AT, reason=reason, until=until)])


def stopped(execution: Execution, mode: StopMode = StopMode.NOW) -> Execution:
    request = ev.StopRequested(at=AT + 1, mode=mode, reason="asked")
    return settle(fold(execution, [request]), AT + 1).execution


@pytest.mark.parametrize("reason", ["quota", "budget", "approval"])
@pytest.mark.parametrize("mode", [StopMode.NOW, StopMode.AFTER_STEP])
def test_what_is_stopped_while_it_waits_stays_paused_and_does_not_wake(reason: str, mode: StopMode) -> None:
    execution = paused(reason=reason)
    assert wakes_at(execution) == LATER
    after = stopped(execution, mode)
    assert (after.status, after.reason, after.until) == (ExecutionStatus.PAUSED, reason, LATER)
    assert wakes_at(after) is None


def test_what_was_stopped_while_it_waited_can_be_resumed_and_cancelled() -> None:
    again = fold(stopped(paused()), [ev.ExecutionResumed(at=AT + 2)])
    assert (again.status, again.stopping) == (ExecutionStatus.PENDING, None)
    assert stopped(stopped(paused()), StopMode.CANCEL).status is ExecutionStatus.CANCELLED


async def test_an_execution_that_finds_the_engine_full_is_woken_again_when_there_may_be_room() -> None:
    clock, woken = FakeClock(AT), list[float]()

    async def wake(name: str) -> None:
        await anyio.lowlevel.checkpoint()
        assert name == "e"
        woken.append(clock.now())
        if len(woken) == 1:
            raise Busy("Full.", retry_after_s=7.0)

    alarms = Alarms(clock, wake)
    alarms.set(paused())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(alarms.run)
        await quiet()
        for seconds in (LATER - AT, 6.0, 1.0, 100.0):
            clock.advance(seconds)
            await quiet()
        tasks.cancel_scope.cancel()
    assert woken == [LATER, LATER + 7]


def load(running: int, pending: int) -> Load:
    return Load(running=running, pending=pending, executions=2, steps_running=0, steps=1)


def test_one_more_is_taken_on_as_long_as_there_is_room_to_wait() -> None:
    crowd = Crowd(OPTIONS)
    with crowd.coming(load(2, 0)):
        pass
    with pytest.raises(Busy) as caught, crowd.coming(load(2, 1)):
        pass
    assert caught.value.message == "2 executions run and 1 wait already."
    assert caught.value.retry_after_s == 30


def test_those_that_come_at_once_count() -> None:
    crowd = Crowd(replace(OPTIONS, waiting=0))
    with crowd.coming(load(1, 0)), pytest.raises(Busy), crowd.coming(load(1, 0)):
        pass
    with crowd.coming(load(1, 0)):
        pass


def test_the_time_to_come_again_is_that_of_the_last_executions() -> None:
    crowd = Crowd(OPTIONS)
    for seconds in (4.0, 6.0, 8.0):
        crowd.ended(seconds)
    with pytest.raises(Busy) as caught, crowd.coming(load(2, 1)):
        pass
    assert caught.value.retry_after_s == 6
