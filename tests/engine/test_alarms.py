"""Alarms: executions are woken at their time, not too often, and trouble with one leaves the others alone."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise

import anyio
import pytest

from engine_mcp.core.execution import Execution, ExecutionStatus
from engine_mcp.core.plan import Plan, StepSpec, StrategyName
from engine_mcp.engine.alarms import AGAIN_S, SOONEST_S, Alarms
from engine_mcp.errors import EngineError, StorageError
from engine_mcp.testing import FakeClock
from tests.engine.rig import quiet

pytestmark = pytest.mark.anyio

NOON = 1_800_014_400.0
STEP = StepSpec(id="a", task="do it")


def waiting(name: str, until: float | None, reason: str = "budget") -> Execution:
    """A paused execution that goes on by itself then."""
    plan = Plan(path="p", steps=(STEP,), strategy=StrategyName.SINGLE, auto_resume=True)
    return Execution(
        id=name,
        plan=plan,
        created_at=NOON,
        budget=plan.budget,
        status=ExecutionStatus.PAUSED,
        reason=reason,
        until=until,
    )


class Woken:
    """Notes who is woken when; `errors` come up once each, by execution, `again` sets the alarm anew."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.alarms = clock, Alarms(clock, self)
        self.times: list[tuple[str, float]] = []
        self.errors: dict[str, Exception] = {}
        self.again: dict[str, Execution] = {}

    async def __call__(self, name: str) -> None:
        self.times.append((name, self.clock.now() - NOON))
        await anyio.lowlevel.checkpoint()
        if (execution := self.again.get(name)) is not None:
            self.alarms.set(execution)
        if (error := self.errors.pop(name, None)) is not None:
            raise error

    async def after(self, seconds: float) -> list[tuple[str, float]]:
        """Who has been woken, and when, once so many seconds more are over."""
        for _ in range(int(seconds)):
            self.clock.advance(1.0)
            await quiet()
        return self.times


@pytest.fixture
def woken() -> Woken:
    return Woken(FakeClock(NOON))


@asynccontextmanager
async def ringing(woken: Woken) -> AsyncGenerator[None]:
    """Have the alarms ring."""
    async with anyio.create_task_group() as group:
        group.start_soon(woken.alarms.run)
        await quiet()
        yield
        group.cancel_scope.cancel()


async def test_each_is_woken_once_at_its_time_and_not_before(woken: Woken) -> None:
    async with ringing(woken):
        woken.alarms.set(waiting("late", NOON + 9))
        woken.alarms.set(waiting("soon", NOON + 3))
        woken.alarms.set(waiting("never", None))
        assert await woken.after(2) == []
        assert await woken.after(20) == [("soon", 3.0), ("late", 9.0)]


async def test_a_new_time_takes_the_place_of_the_one_before(woken: Woken) -> None:
    async with ringing(woken):
        woken.alarms.set(waiting("a", NOON + 3))
        woken.alarms.set(waiting("a", NOON + 6))
        woken.alarms.set(waiting("b", NOON + 3))
        woken.alarms.set(waiting("b", None))
        assert await woken.after(20) == [("a", 6.0)]


async def test_one_whose_pause_is_over_at_once_is_not_woken_without_end(woken: Woken) -> None:
    woken.again["a"] = waiting("a", NOON + 3)  # it pauses at once again, until the same time
    async with ringing(woken):
        woken.alarms.set(waiting("a", NOON + 3))
        times = [at for _, at in await woken.after(30)]
    assert times[0] == 3.0
    assert 3 <= len(times) <= 1 + 27 / SOONEST_S
    assert min(later - at for at, later in pairwise(times)) >= SOONEST_S


@pytest.mark.parametrize(
    "error",
    [EngineError(), StorageError("The disk is full."), RuntimeError("a defect"), KeyError("a"), OSError(24)],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_keeps_one_from_going_on_it_is_tried_again_and_others_are_woken(
    woken: Woken, error: Exception
) -> None:
    woken.errors["a"] = error
    async with ringing(woken):
        woken.alarms.set(waiting("a", NOON + 3))
        woken.alarms.set(waiting("b", NOON + 6))
        assert await woken.after(10) == [("a", 3.0), ("b", 6.0)]
        assert await woken.after(AGAIN_S) == [("a", 3.0), ("b", 6.0), ("a", 3.0 + AGAIN_S)]


async def test_what_waits_for_an_answer_is_not_woken_at_the_end_of_a_quota(woken: Woken) -> None:
    async with ringing(woken):
        woken.alarms.set(waiting("a", NOON + 3, "approval"))
        assert await woken.after(10) == []
