"""The process dies before or after any durable write, and another one brings the work to its end."""

from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from engine_mcp.core.event import AttemptStarted, AttemptSucceeded
from engine_mcp.core.execution import Execution, ExecutionStatus, StepStatus
from engine_mcp.core.listing import Query
from engine_mcp.core.plan import Draft
from engine_mcp.core.request import Resume
from engine_mcp.engine.engine import Engine
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import Crash, CrashingStore, CrashPoint, capture_events
from tests.engine.plans import SCENES, WORK, Scene, planned
from tests.engine.rig import ACTIVE, Rig, check_record, rested, statuses, values

pytestmark = pytest.mark.anyio

ENDS = {ExecutionStatus.COMPLETED, ExecutionStatus.FAILED}


@dataclass
class World:
    """A store that outlives the processes that write to it."""

    rig: Rig
    draft: Draft

    async def execution(self) -> Execution | None:
        """The execution on record, if it was ever created."""
        page = await self.rig.store.list(Query())
        return await self.rig.store.read(page.rows[0].id) if page.rows else None

    async def process(self, point: CrashPoint) -> None:
        """Go on in a process of its own, until the execution ends or the process dies."""
        store = CrashingStore(self.rig.store, point)
        try:
            async with replace(self.rig, store=store).engine() as engine:
                await self._go_on(engine)
        except* Crash:
            assert point.dead
        finally:
            found = await self.execution()
            if found is not None:
                assert isinstance(self.rig.store, MemoryStore)
                self.rig.store.abandon(found.id)

    async def _go_on(self, engine: Engine) -> None:
        found = await self.execution()
        execution = found or await rested(engine, await engine.execute(self.draft))
        while execution.status not in ENDS:
            assert execution.status not in ACTIVE
            waiting = tuple(
                name for name, step in execution.steps.items() if step.status is StepStatus.AWAITING_APPROVAL
            )
            execution = await rested(engine, await engine.resume(execution.id, Resume(approve=waiting)))

    async def repeated(self, execution: Execution) -> list[str]:
        """The steps that were started again after they had completed."""
        done: set[str] = set()
        again: list[str] = []
        for event in await capture_events(self.rig.store, execution.id):
            if isinstance(event, AttemptStarted) and event.step in done:
                again.append(event.step)
            elif isinstance(event, AttemptSucceeded):
                done.add(event.step)
        return again

    def effects(self) -> Counter[str]:
        """How often each task was carried out and each call was made."""
        calls: list[JsonValue] = [call.get("n") for one in self.rig.tools for call in one.calls]
        return Counter([task.step.id for task in self.rig.runner.tasks] + [f"call {n}" for n in calls])


async def undisturbed(rig: Rig, scene: Scene) -> tuple[Execution, Counter[str]]:
    own = scene.on(rig)
    world = World(own, own.draft(*scene.steps))
    await world.process(CrashPoint(0))
    execution = await world.execution()
    assert execution is not None
    return execution, world.effects()


async def check(world: World, expected: Execution, most: Counter[str]) -> None:
    """The work has ended as if nothing had happened, with at most so many effects."""
    execution = await world.execution()
    assert execution is not None
    assert await check_record(world.rig.store, execution.id) == execution
    assert (execution.status, statuses(execution)) == (expected.status, statuses(expected))
    assert values(execution) == values(expected)
    assert await world.repeated(execution) == []
    assert world.effects() - most == Counter()


def repeating(usual: Counter[str], times: int) -> Counter[str]:
    """The usual effects, and each of them so many times more."""
    return usual + Counter(dict.fromkeys(usual, times))


@pytest.mark.req(
    "SPEC:7.crash-at-every-write", "002:L199", "000:4.4.4", "000:7.1.4", "001:L59", "002:L63", "002:L238"
)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", SCENES)
async def test_a_crash_at_any_write_changes_neither_the_result_nor_what_is_done_twice(
    rig: Rig, name: str, *, after: bool
) -> None:
    scene = SCENES[name]
    expected, usual = await undisturbed(rig, scene)
    at = 1
    while True:
        own = scene.on(rig)
        world = World(own, own.draft(*scene.steps))
        point = CrashPoint(at, after=after)
        await world.process(point)
        if not point.dead:
            break
        await world.process(CrashPoint(0))
        await check(world, expected, repeating(usual, 1))
        at += 1
    assert at > 4


@pytest.mark.req("SPEC:7.crash-at-every-write", "000:4.4.4")
@pytest.mark.parametrize("name", ["diamond", "calls", "retries", "approvals"])
@pytest.mark.parametrize("second", [1, 2, 3, 5])
async def test_a_crash_of_the_process_that_recovers_is_survived_too(rig: Rig, name: str, second: int) -> None:
    scene = SCENES[name]
    expected, usual = await undisturbed(rig, scene)
    for first in range(2, 12):
        for after in (False, True):
            own = scene.on(rig)
            world = World(own, own.draft(*scene.steps))
            points = [CrashPoint(first, after=after), CrashPoint(second, after=not after), CrashPoint(0)]
            for point in points:
                await world.process(point)
            await check(world, expected, repeating(usual, 2))


@pytest.mark.req("SPEC:7.crash-at-every-write")
@settings(max_examples=75, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(work=WORK, crashes=st.lists(st.tuples(st.integers(1, 25), st.booleans()), max_size=4))
async def test_any_plan_survives_any_crashes(
    rig: Rig, work: list[tuple[str, int]], crashes: list[tuple[int, bool]]
) -> None:
    scene = Scene(planned(work))
    expected, usual = await undisturbed(rig, scene)
    own = scene.on(rig)
    world = World(own, own.draft(*scene.steps))
    for at, after in crashes:
        await world.process(CrashPoint(at, after=after))
    await world.process(CrashPoint(0))
    # Scripts that run side by side make calls of the same number.
    most = Counter({name: times * (1 + len(crashes)) for name, times in usual.items()})
    await check(world, expected, most)
