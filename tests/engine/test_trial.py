"""Before an attempt goes where something was broken, one word is asked for; only then the work begins."""

from dataclasses import replace

import pytest

from engine_mcp.core.agent import AgentReport, AgentResult, AgentTask
from engine_mcp.core.breaker import OPEN_S, Breaker, BreakerState
from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.execution import ExecutionStatus, StopMode
from engine_mcp.core.plan import Mode, Permissions
from engine_mcp.core.request import Resume
from engine_mcp.core.tool import Health
from engine_mcp.engine.engine import Engine
from engine_mcp.ledger.memory import MemoryBreakers
from engine_mcp.ports import AgentHost
from engine_mcp.testing import FakeClock, ListedPrices, ScriptedRunner
from tests.engine.rig import (
    DONE,
    Held,
    Rig,
    agent,
    asked,
    came,
    check_record,
    failing,
    failures,
    quiet,
    rested,
    soon,
)

pytestmark = pytest.mark.anyio

COMPLETED, PAUSED = ExecutionStatus.COMPLETED, ExecutionStatus.PAUSED
ENDPOINT, HARNESS = "endpoint nowhere", "harness scripted"
WORD = AgentResult(output="OK", usage=Usage(requests=1, tokens_in=7, tokens_out=1))
WORK = AgentResult(output="done", usage=Usage(requests=1, tokens_in=100, tokens_out=10))


@pytest.fixture
def open_rig(rig: Rig) -> Rig:
    """Give a rig on which the endpoint was broken, and may be tried by now."""
    return opened(rig)


def opened(rig: Rig, part: str = ENDPOINT, code: str = "provider_error") -> Rig:
    rig.clock, rig.breakers = FakeClock(), Known(rig.clock.now() - 1, part, code)
    return rig


class Known(MemoryBreakers):
    """Breakers that know from the beginning of a part that is broken."""

    def __init__(self, until: float, part: str, code: str) -> None:
        super().__init__()
        self._found[part] = Breaker(
            part=part,
            state=BreakerState.OPEN,
            failures=5,
            changed_at=until - OPEN_S,
            retry_at=until,
            code=code,
            since=until - OPEN_S,
            openings=1,
        )


async def state(engine: Engine, part: str = ENDPOINT) -> BreakerState:
    found = await engine.treasury.breakers()
    return found[part].state if part in found else BreakerState.CLOSED


async def test_the_word_is_asked_for_without_tools_and_leaves_nothing_in_the_session(open_rig: Rig) -> None:
    rig = open_rig
    tools: list[int] = []

    async def word(task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        tools.append(len(host.tools))
        await host.opened("a session of the trial")
        await host.remember({"role": "assistant", "content": "OK"})
        host.report(AgentReport(text="OK"))
        assert await host.recall() == ()
        return WORD

    async def work(task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        assert await host.recall() == []
        return WORK

    rig.runner.replies = {"a": [word, work]}
    permissions = Permissions(mode=Mode.WRITE)
    execution = await rig.run(
        rig.draft(agent("a", permissions=permissions, output_schema={"type": "string"}))
    )
    assert execution.status is COMPLETED
    trial, task = rig.runner.tasks
    assert tools == [0]
    assert (trial.step.permissions, trial.step.output_schema) == (
        Permissions(mode=Mode.NONE, allowed_tools=()),
        None,
    )
    assert (task.step.permissions, task.begun) == (permissions, False)
    assert trial.session != task.session == execution.steps["a"].session
    assert execution.steps["a"].attempts[0].partial is None
    assert await check_record(rig.store, execution.id) == execution


async def test_the_word_is_paid_for(open_rig: Rig) -> None:
    rig = open_rig
    rig.prices, rig.runner.tells_cost = ListedPrices({"m": (1, 1)}), False
    word, work = (replace(result, model="m") for result in (WORD, WORK))
    rig.runner.replies = {"a": [word, work]}
    execution = await rig.run(rig.draft(agent("a", model="m")))
    assert (execution.usage.requests, execution.usage.cost_micros) == (2, 8 + 110)
    assert len(execution.steps["a"].attempts) == 1


async def test_the_word_of_a_failing_trial_is_paid_for_too(open_rig: Rig) -> None:
    rig = open_rig
    rig.runner.replies = {"a": [replace(failing("provider_error"), usage=WORD.usage), WORD, WORK]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        execution = await soon(rig, engine, execution, lambda now: now.status is COMPLETED)
    assert execution.usage.requests == 3
    assert [attempt.usage.requests for attempt in execution.steps["a"].attempts] == [1, 2]


async def test_the_answered_word_lets_the_others_start(open_rig: Rig) -> None:
    rig = open_rig
    word, work = Held(WORD), Held(WORK)
    rig.runner.replies = {"a": [word, work]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b")))
        await came(word.begun)
        await quiet()
        assert asked(rig.runner) == ["a?"]
        assert await state(engine) is BreakerState.HALF_OPEN
        word.let_go.set()
        await came(work.begun)
        await quiet()
        assert asked(rig.runner) == ["a?", "a", "b"]
        assert await state(engine) is BreakerState.CLOSED
        work.let_go.set()
        await rested(engine, execution)


async def test_a_trial_that_hangs_until_its_time_limit_heals_nothing(open_rig: Rig) -> None:
    rig = open_rig
    hanging, held = Held(), Held()
    rig.runner.replies = {"a": [hanging], "b": [held]}
    async with rig.engine() as engine:
        steps = (agent("a", timeout_s=0.05, max_attempts=1, optional=True), agent("b"))
        execution = await engine.execute(rig.draft(*steps))
        await came(hanging.stopped)
        await came(held.begun)
        assert asked(rig.runner) == ["a?", "b?"]
        assert await state(engine) is BreakerState.HALF_OPEN
        held.let_go.set()
        execution = await rested(engine, execution)
    assert failures(execution) == {"a": "timeout"}


@pytest.mark.parametrize("code", ["refused", "tool_error", "internal", "request_rejected"])
async def test_a_trial_that_fails_otherwise_heals_nothing(open_rig: Rig, code: str) -> None:
    rig = open_rig
    held = Held(WORD)
    rig.runner.replies = {"a": [failing(code)], "b": [held, DONE]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a", optional=True), agent("b")))
        await came(held.begun)
        assert asked(rig.runner) == ["a?", "b?"]
        held.let_go.set()
        execution = await rested(engine, execution)
    assert execution.status is COMPLETED


async def test_a_trial_that_was_interrupted_is_given_back(open_rig: Rig) -> None:
    rig = open_rig
    held = Held()
    rig.runner.replies = {"a": [held, DONE], "b": [WORD, DONE]}
    async with rig.engine() as engine:
        one = await engine.execute(rig.draft(agent("a")))
        await came(held.begun)
        two = await engine.execute(rig.draft(agent("b")))
        await quiet()
        assert asked(rig.runner) == ["a?"]
        await engine.interrupt(one.id, StopMode.NOW, "a break")
        two = await soon(rig, engine, two, lambda now: now.status is COMPLETED)
        assert asked(rig.runner) == ["a?", "b?", "b"]
        one = await rested(engine, await engine.resume(one.id, Resume()))
    assert asked(rig.runner) == ["a?", "b?", "b", "a"]
    assert one.status is COMPLETED


async def test_a_trial_whose_engine_is_left_is_given_back(open_rig: Rig) -> None:
    rig = open_rig
    held = Held()
    rig.runner.replies = {"a": [held, DONE], "b": [WORD, DONE]}
    async with rig.engine() as engine:
        await engine.execute(rig.draft(agent("a")))
        await came(held.begun)
    async with rig.engine() as engine:
        two = await engine.execute(rig.draft(agent("b")))
        two = await soon(rig, engine, two, lambda now: now.status is COMPLETED)
        assert rig.clock.now() - two.created_at < OPEN_S + 5
    assert asked(rig.runner) == ["a?", "b?", "b"]


async def test_a_runtime_that_was_missing_is_looked_for_and_asked_nothing(rig: Rig) -> None:
    opened(rig, HARNESS, "runtime_missing")
    execution = await rig.run(rig.draft(agent("a")))
    assert (execution.status, asked(rig.runner)) == (COMPLETED, ["a"])


async def test_a_runtime_that_is_still_missing_opens_again_without_a_question(rig: Rig) -> None:
    opened(rig, HARNESS, "runtime_missing")

    class Fresh(ScriptedRunner):
        async def health(self, *, fresh: bool = False) -> Health:
            return Health(usable=not fresh, detail="It is gone.")

    rig.runner = Fresh()
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"))))
        assert await state(engine, HARNESS) is BreakerState.OPEN
    assert failures(execution) == {"a": "runtime_missing"}
    assert rig.runner.tasks == []


async def test_a_trial_keeps_to_the_share_of_the_attempt(open_rig: Rig) -> None:
    rig = open_rig
    rig.runner.replies = {"a": [WORD, WORK]}
    await rig.run(rig.draft(agent("a"), budget=Limits(max_tokens=1000)))
    assert [task.reserved.tokens_out for task in rig.runner.tasks] == [1000, 1000]
