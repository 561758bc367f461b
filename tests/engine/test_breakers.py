"""What many steps find broken keeps others away from it, until one has tried whether it is whole again."""

from collections.abc import Sequence
from dataclasses import replace

import anyio
import pytest

from engine_mcp.core.agent import AgentReport, AgentResult, AgentTask
from engine_mcp.core.breaker import Breaker, BreakerState
from engine_mcp.core.budget import Usage
from engine_mcp.core.execution import Execution, ExecutionStatus, StopMode
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.request import Resume
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.trial import ASK
from engine_mcp.ledger.memory import MemoryBreakers
from engine_mcp.ports import AgentHost
from engine_mcp.testing import FakeClock, Reply
from tests.engine.rig import DONE, Held, Rig, agent, came, check_record, failing, rested, statuses, until

pytestmark = pytest.mark.anyio

RUNNING, COMPLETED = ExecutionStatus.RUNNING, ExecutionStatus.COMPLETED
DOWN = failing("provider_error", "The provider is down.")
ENDPOINT = "endpoint nowhere"
WORD = AgentResult(output="OK", usage=Usage(tokens_in=7, tokens_out=1, requests=1))


def breaking(rig: Rig, *later: StepSpec) -> list[StepSpec]:
    """Steps that fail five times in all, one after another, and the steps that come after them."""
    names = [f"down{number}" for number in range(5)]
    rig.runner.replies = {**rig.runner.replies, **{name: [DOWN] for name in names}}
    return [*(agent(name, optional=True, max_attempts=1) for name in names), *later]


def slow(rig: Rig) -> None:
    rig.clock, rig.breakers = FakeClock(), MemoryBreakers()


def asked(rig: Rig) -> list[str]:
    """What the runner was asked for, in order; a trial's question has a mark."""
    return [f"{task.step.id}?" if task.prompt == ASK else task.step.id for task in rig.runner.tasks]


async def quiet() -> None:
    with anyio.fail_after(5):
        await anyio.wait_all_tasks_blocked()


async def opened(rig: Rig, engine: Engine, *later: StepSpec) -> Execution:
    execution = await engine.execute(rig.draft(*breaking(rig, *later), parallelism=1))
    await quiet()
    assert (await engine.treasury.breakers())[ENDPOINT].state is BreakerState.OPEN
    return await engine.show(execution.id)


async def test_after_five_failures_of_many_steps_nothing_starts_while_the_breaker_is_open(rig: Rig) -> None:
    slow(rig)
    async with rig.engine() as engine:
        execution = await opened(rig, engine, agent("later"))
        assert (execution.status, execution.steps["later"].status.value) == (RUNNING, "pending")
        rig.clock.advance(29)
        await quiet()
        assert asked(rig) == [f"down{number}" for number in range(5)]
        rig.clock.advance(3)
        execution = await rested(engine, execution)
    assert asked(rig)[5:] == ["later?", "later"]
    assert execution.status is COMPLETED


async def test_x_second_engine_knows_what_is_open_before_its_first_attempt(rig: Rig) -> None:
    slow(rig)
    async with rig.engine() as engine:
        await opened(rig, engine)
        async with rig.engine() as other:
            second = await other.execute(rig.draft(agent("b")))
            await quiet()
            assert asked(rig)[5:] == []
            rig.clock.advance(32)
            second = await rested(other, second)
    assert asked(rig)[5:] == ["b?", "b"]


async def test_x_trial_that_hangs_until_the_time_limit(rig: Rig) -> None:
    slow(rig)
    held = Held()
    rig.runner.replies = {"later": [held]}
    async with rig.engine() as engine:
        execution = await opened(rig, engine, agent("later", timeout_s=0.05, max_attempts=1), agent("last"))
        rig.clock.advance(32)
        await came(held.begun)
        await came(held.stopped)
        await anyio.sleep(0.05)
        await quiet()
        print(await engine.treasury.breakers(), asked(rig))
        assert (await engine.treasury.breakers())[ENDPOINT].state is BreakerState.OPEN


async def test_x_trial_interrupted_then_resumed(rig: Rig) -> None:
    slow(rig)
    held = Held()
    rig.runner.replies = {"later": [held, DONE]}
    async with rig.engine() as engine:
        execution = await opened(rig, engine, agent("later"))
        rig.clock.advance(32)
        await came(held.begun)
        assert asked(rig)[5:] == ["later?"]
        execution = await engine.interrupt(execution.id, StopMode.NOW, "x")
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert asked(rig)[5:] == ["later?", "later"]


async def test_x_two_engines_others_start_soon_after_success(rig: Rig) -> None:
    slow(rig)
    held = Held(WORD)
    rig.runner.replies = {"later": [held, DONE]}
    async with rig.engine() as engine, rig.engine() as other:
        execution = await opened(rig, engine, agent("later"))
        await other.treasury.breakers()
        second = await other.execute(rig.draft(agent("b")))
        await quiet()
        rig.clock.advance(32)
        await quiet()
        print(asked(rig)[5:])
        held.let_go.set()
        execution = await rested(engine, execution)
        for _ in range(40):
            rig.clock.advance(1)
            await quiet()
        print(asked(rig)[5:], statuses(await other.show(second.id)))
        second = await rested(other, second)


async def test_x_failing_trial_twice_as_long(rig: Rig) -> None:
    slow(rig)
    rig.runner.replies = {"later": [DOWN, WORD, DONE]}
    async with rig.engine() as engine:
        execution = await opened(rig, engine, agent("later"))
        rig.clock.advance(32)
        await quiet()
        print(await engine.treasury.breakers(), asked(rig)[5:])
        breaker = (await engine.treasury.breakers())[ENDPOINT]
        assert breaker.retry_at == rig.clock.now() + 60
        rig.clock.advance(59)
        await quiet()
        assert asked(rig)[5:] == ["later?"]
        rig.clock.advance(5)
        execution = await rested(engine, execution)
    assert asked(rig)[5:] == ["later?", "later?", "later"]
    print([a.usage for a in execution.steps["later"].attempts])


async def test_x_the_word_closes(rig: Rig) -> None:
    slow(rig)
    held = Held()
    rig.runner.replies = {"later": [WORD, held]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(*breaking(rig), parallelism=1))
        execution = await rested(engine, execution)
        execution = await engine.execute(rig.draft(agent("later"), agent("last")))
        rig.clock.advance(32)
        await came(held.begun)
        await quiet()
        print(asked(rig)[5:], await engine.treasury.breakers())
        assert asked(rig)[5:] == ["later?", "later", "last"]
