"""What many steps find broken keeps others away from it, until one has tried whether it is whole again."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from engine_mcp.core.breaker import OPEN_S, Breaker, BreakerState
from engine_mcp.core.execution import Execution, ExecutionStatus, StopMode
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.request import Resume
from engine_mcp.engine.engine import Engine
from engine_mcp.errors import StorageError
from engine_mcp.ledger.breakers import SqliteBreakers
from engine_mcp.ledger.memory import MemoryBreakers
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import FakeClock, ScriptedRunner
from tests.engine.played import PlayedSandbox
from tests.engine.rig import (
    DONE,
    Held,
    Rig,
    adapter,
    agent,
    asked,
    check_record,
    code,
    failing,
    failures,
    quiet,
    rested,
    soon,
    statuses,
    tool,
)

pytestmark = pytest.mark.anyio

RUNNING, COMPLETED = ExecutionStatus.RUNNING, ExecutionStatus.COMPLETED
DOWN = failing("provider_error", "The provider is down.")
ENDPOINT = "endpoint nowhere"
DOWNS = [f"down{number}" for number in range(5)]


@pytest.fixture(params=["memory", "file"])
def breaking(rig: Rig, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """Give a rig with steps that find the endpoint broken, and breakers that engines share."""
    rig.clock, rig.runner.replies = FakeClock(), {name: [DOWN] for name in DOWNS}
    if request.param == "memory":
        rig.breakers = MemoryBreakers()
        yield rig
        return
    rig.breakers = kept = SqliteBreakers(tmp_path / "home" / "ledger.sqlite")
    yield rig
    kept.close()


def downs(*later: StepSpec) -> list[StepSpec]:
    return [*(agent(name, optional=True, max_attempts=1) for name in DOWNS), *later]


async def found(engine: Engine) -> Breaker:
    return (await engine.treasury.breakers())[ENDPOINT]


async def broken(rig: Rig, engine: Engine) -> None:
    """Find the endpoint broken so often that its breaker opens, by steps that have no other way."""
    steps = [replace(step, runtime="scripted") for step in downs()]
    execution = await rested(engine, await engine.execute(rig.draft(*steps, parallelism=1)))
    assert execution.status is COMPLETED
    assert set(failures(execution).values()) == {"provider_error"}
    assert (await found(engine)).state is BreakerState.OPEN


async def passed(rig: Rig, engine: Engine, execution: Execution, seconds: int) -> Execution:
    """The execution after so many seconds."""
    at = rig.clock.now() + seconds

    def over(now: Execution) -> bool:
        return rig.clock.now() >= at - 0.1 or now.status is COMPLETED

    return await soon(rig, engine, execution, over, by=seconds / 5)


def later(rig: Rig) -> list[str]:
    """What was asked for after the endpoint was found broken."""
    assert asked(rig.runner)[: len(DOWNS)] == DOWNS
    return asked(rig.runner)[len(DOWNS) :]


@pytest.mark.req("002:L92")
async def test_after_five_failures_of_many_steps_no_attempt_starts_while_the_breaker_is_open(
    breaking: Rig,
) -> None:
    rig = breaking
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(*downs(agent("a")), parallelism=1))
        execution = await passed(rig, engine, execution, int(OPEN_S) - 1)
        assert (execution.status, str(execution.steps["a"].status)) == (RUNNING, "pending")
        assert (await found(engine)).state is BreakerState.OPEN
        assert later(rig) == []
        execution = await soon(rig, engine, execution, lambda now: now.status is COMPLETED)
        assert await engine.treasury.breakers() == {}
    assert later(rig) == ["a?", "a"]
    assert await check_record(rig.store, execution.id) == execution


async def test_four_failures_open_nothing(breaking: Rig) -> None:
    rig = breaking
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(*downs()[:4], agent("a"))))
    assert execution.status is COMPLETED
    assert "a?" not in asked(rig.runner)


async def test_what_lies_on_another_endpoint_or_on_none_is_not_kept_waiting(breaking: Rig) -> None:
    rig = breaking
    rig.others = [ScriptedRunner(name="spare", endpoint="elsewhere")]
    rig.sandbox, rig.tools = PlayedSandbox(), [adapter("echo")]
    async with rig.engine() as engine:
        await broken(rig, engine)
        steps = (agent("a", runtime="spare"), code("b", "[]"), tool("c", "echo"))
        execution = await rested(engine, await engine.execute(rig.draft(*steps)))
    assert execution.status is COMPLETED
    assert asked(rig.others[0]) == ["a"]


async def test_a_step_with_a_free_way_goes_round_what_is_broken(breaking: Rig) -> None:
    rig = breaking
    rig.others = [ScriptedRunner(name="spare", endpoint="elsewhere")]
    async with rig.engine() as engine:
        await broken(rig, engine)
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"))))
    assert [attempt.runtime for attempt in execution.steps["a"].attempts] == ["spare"]
    (switch,) = execution.steps["a"].switches
    assert "The provider is down." in switch.why


@pytest.mark.parametrize("anew", [False, True], ids=["an engine that was there", "a new engine"])
async def test_a_second_engine_knows_what_is_open_before_its_first_attempt(
    breaking: Rig, *, anew: bool
) -> None:
    rig = breaking
    async with rig.engine() as other:
        async with rig.engine() as first:
            await broken(rig, first)
        if not anew:
            await waits_and_tries(rig, other)
    if anew:
        async with rig.engine() as engine:
            await waits_and_tries(rig, engine)


async def waits_and_tries(rig: Rig, engine: Engine) -> None:
    """Check that an engine knows what another one found broken."""
    execution = await engine.execute(rig.draft(agent("a")))
    execution = await passed(rig, engine, execution, int(OPEN_S) - 1)
    assert later(rig) == []
    await soon(rig, engine, execution, lambda now: now.status is COMPLETED)
    assert later(rig) == ["a?", "a"]


async def test_of_two_engines_only_one_tries_and_the_other_follows_soon(breaking: Rig) -> None:
    rig = breaking
    held = Held()
    rig.runner.replies = {**rig.runner.replies, "a": [held, DONE], "b": [held, DONE]}
    async with rig.engine() as engine, rig.engine() as other:
        await broken(rig, engine)
        one = await engine.execute(rig.draft(agent("a")))
        two = await other.execute(rig.draft(agent("b")))
        await passed(rig, engine, one, int(OPEN_S) + 2)
        await passed(rig, other, two, 5)
        assert later(rig) in (["a?"], ["b?"])
        began = rig.clock.now()
        held.let_go.set()
        await soon(rig, engine, one, lambda now: now.status is COMPLETED)
        await soon(rig, other, two, lambda now: now.status is COMPLETED)
    assert rig.clock.now() - began <= OPEN_S + 5
    assert sorted(name for name in later(rig) if name.endswith("?")) == [later(rig)[0]]


async def test_a_failing_trial_opens_for_twice_as_long(breaking: Rig) -> None:
    rig = breaking
    rig.runner.replies = {**rig.runner.replies, "a": [DOWN, DOWN, DONE]}
    async with rig.engine() as engine:
        await broken(rig, engine)
        execution = await engine.execute(rig.draft(agent("a")))
        for number, lasting in enumerate((OPEN_S, 2 * OPEN_S, 4 * OPEN_S)):
            breaker = await found(engine)
            assert breaker.retry_at == breaker.changed_at + lasting
            assert len(later(rig)) == number
            execution = await passed(rig, engine, execution, int(lasting) + 3)
        execution = await soon(rig, engine, execution, lambda now: now.status is COMPLETED)
    assert later(rig) == ["a?", "a?", "a?", "a"]
    assert [str(attempt.status) for attempt in execution.steps["a"].attempts] == [
        "failed",
        "failed",
        "succeeded",
    ]


async def test_an_execution_that_waits_can_be_interrupted(breaking: Rig) -> None:
    rig = breaking
    async with rig.engine() as engine:
        await broken(rig, engine)
        execution = await engine.execute(rig.draft(agent("a")))
        await passed(rig, engine, execution, 3)
        execution = await engine.interrupt(execution.id, StopMode.NOW, "a break")
        assert (execution.status, statuses(execution)) == (ExecutionStatus.INTERRUPTED, {"a": "pending"})
        rig.clock.advance(99)
        await quiet()
    assert later(rig) == []


async def test_whoever_resumes_says_that_it_is_mended(breaking: Rig) -> None:
    rig = breaking
    async with rig.engine() as engine:
        await broken(rig, engine)
        execution = await engine.execute(rig.draft(agent("a")))
        await passed(rig, engine, execution, 3)
        execution = await engine.interrupt(execution.id, StopMode.NOW, "a break")
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
        assert execution.status is COMPLETED
        assert await engine.treasury.breakers() == {}
    assert later(rig) == ["a"]


async def test_a_breaker_that_opens_in_the_midst_keeps_the_next_try_of_a_step_waiting(breaking: Rig) -> None:
    rig = breaking
    rig.runner.replies = {"a": [DOWN] * 5 + [DONE]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a", max_attempts=9)))
        execution = await soon(rig, engine, execution, lambda now: len(now.steps["a"].attempts) == 5)
        await quiet()
        assert (await found(engine)).state is BreakerState.OPEN
        opened = (await found(engine)).changed_at
        execution = await soon(rig, engine, execution, lambda now: len(now.steps["a"].attempts) == 6)
        assert rig.clock.now() - opened >= OPEN_S
        execution = await soon(rig, engine, execution, lambda now: now.status is COMPLETED)
    assert asked(rig.runner) == ["a"] * 5 + ["a?", "a"]


class Locked(MemoryBreakers):
    """Breakers that cannot be used from a given question on, for so many questions."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.asked, self.at = 0, at

    def _ask(self) -> None:
        self.asked += 1
        if self.asked == self.at:
            raise StorageError("The breakers are locked.")

    async def read(self) -> Mapping[str, Breaker]:
        self._ask()
        return await super().read()

    async def write(self, before: Breaker | None, after: Breaker) -> bool:
        self._ask()
        return await super().write(before, after)


async def test_breakers_that_cannot_be_used_cost_no_result(rig: Rig) -> None:
    at = 1
    while True:
        rig.store, rig.clock, rig.breakers = MemoryStore(), FakeClock(leap=True), Locked(at)
        rig.runner = ScriptedRunner({"a": [DOWN, DONE], "b": [DONE]})
        async with rig.engine() as engine:
            execution = await rested(engine, await engine.execute(rig.draft(agent("a"), agent("b", "a"))))
            if execution.status is not COMPLETED:
                assert (execution.status, execution.reason) == (ExecutionStatus.PAUSED, "storage")
                execution = await rested(engine, await engine.resume(execution.id, Resume()))
        assert execution.status is COMPLETED
        assert asked(rig.runner) == ["a", "a", "b"]
        if rig.breakers.asked < at:
            break
        at += 1
    assert at > 3
