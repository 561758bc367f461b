"""What stops an agent's attempt from within: its share of the money, and the same call without end."""

from collections.abc import Callable

import anyio
import pytest

from engine_mcp.core.agent import AgentCall, AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import Limits, Resource, Usage
from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.core.request import Resume
from engine_mcp.engine.warden import REPEATS
from engine_mcp.ports import AgentHost
from engine_mcp.testing import ListedPrices
from tests.engine.rig import Rig, adapter, agent, allowing, check_record, failures, rested

pytestmark = pytest.mark.anyio

PAUSED, COMPLETED = ExecutionStatus.PAUSED, ExecutionStatus.COMPLETED


class Turns:
    """A reply of so many turns, each of which costs the same; over attempts of one session it goes on."""

    def __init__(self, turns: int, *, micros: int = 0, tokens: int = 0) -> None:
        self.turns, self.done = turns, 0
        self.usage = Usage(
            requests=1, tokens_in=tokens, cost_micros=micros, cost_basis="reported" if micros else "none"
        )

    async def __call__(self, task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        while self.done < self.turns:
            host.report(AgentReport(text="Thinking."))
            await anyio.lowlevel.checkpoint()
            self.done += 1
            host.report(AgentReport(usage=self.usage))
            await anyio.lowlevel.checkpoint()
        return AgentResult(output="done")


def unbound(rig: Rig, reply: Turns) -> Rig:
    rig.runner.bounds, rig.runner.replies = frozenset(), {"a": [reply]}
    return rig


@pytest.mark.parametrize(
    ("reply", "limits"),
    [
        (lambda: Turns(9, micros=300_000), Limits(max_cost_usd=1.0)),
        (lambda: Turns(9, tokens=300), Limits(max_tokens=1000)),
    ],
    ids=["cost", "tokens"],
)
async def test_a_runtime_that_knows_no_bounds_is_stopped_one_turn_early_and_never_passes_the_limit(
    rig: Rig, reply: Callable[[], Turns], limits: Limits
) -> None:
    turns = reply()
    unbound(rig, turns)
    execution = await rig.run(rig.draft(agent("a"), budget=limits))
    assert (execution.status, execution.reason) == (PAUSED, "budget")
    attempt = execution.steps["a"].attempts[0]
    assert attempt.failure is not None
    assert attempt.failure.code == "spending_limit"
    kind = Resource.COST if limits.max_cost_usd else Resource.TOKENS
    assert attempt.usage.amount(kind) * 10 == (limits.amount(kind) or 0) * 9
    assert execution.usage.amount(kind) <= (limits.amount(kind) or 0)
    assert await check_record(rig.store, execution.id) == execution


async def test_with_more_money_it_goes_on_in_the_same_session(rig: Rig) -> None:
    unbound(rig, Turns(5, micros=300_000))
    async with rig.engine() as engine:
        execution = await rested(
            engine, await engine.execute(rig.draft(agent("a"), budget=Limits(max_cost_usd=1.0)))
        )
        assert execution.status is PAUSED
        more = Resume(budget=Limits(max_cost_usd=3.0))
        execution = await rested(engine, await engine.resume(execution.id, more))
    assert execution.status is COMPLETED
    assert len({task.session for task in rig.runner.tasks}) == 1
    assert execution.usage.cost_micros == 1_500_000


async def test_a_share_that_is_used_up_is_followed_by_another_in_the_same_session(rig: Rig) -> None:
    unbound(rig, Turns(4, micros=300_000))
    draft = rig.draft(agent("a"), agent("b"), budget=Limits(max_cost_usd=2.0))
    execution = await rig.run(draft)
    assert execution.status is COMPLETED
    shares = [task.reserved.cost_micros for task in rig.runner.tasks if task.step.id == "a"]
    assert (shares[0], len(shares)) == (1_000_000, 2)
    assert len({task.session for task in rig.runner.tasks if task.step.id == "a"}) == 1
    assert execution.usage.cost_micros == 1_200_000


async def test_a_runtime_that_keeps_to_its_share_by_itself_is_not_stopped(rig: Rig) -> None:
    unbound(rig, Turns(3, micros=300_000))
    rig.runner.bounds = frozenset({Resource.COST})
    execution = await rig.run(rig.draft(agent("a"), budget=Limits(max_cost_usd=1.0)))
    assert (execution.status, len(rig.runner.tasks)) == (COMPLETED, 1)


async def test_the_last_turn_of_a_share_may_end_the_work(rig: Rig) -> None:
    unbound(rig, Turns(3, micros=300_000))
    execution = await rig.run(rig.draft(agent("a"), budget=Limits(max_cost_usd=1.0)))
    assert (execution.status, len(rig.runner.tasks)) == (COMPLETED, 1)


async def test_what_is_priced_here_counts_against_the_share(rig: Rig) -> None:
    class Priced(Turns):
        async def __call__(self, task: AgentTask, host: AgentHost) -> AgentResult:
            del task
            for _ in range(self.turns):
                host.report(AgentReport(text="x"))
                await anyio.lowlevel.checkpoint()
                host.report(AgentReport(usage=Usage(requests=1, tokens_in=1000), model="m"))
                await anyio.lowlevel.checkpoint()
            return AgentResult(output="done")

    rig.prices = ListedPrices({"m": (300, 600)})
    rig.runner.tells_cost = False
    unbound(rig, Priced(9))
    draft = rig.draft(agent("a", model="m"), budget=Limits(max_cost_usd=1.0))
    execution = await rig.run(draft)
    assert (execution.status, execution.reason) == (PAUSED, "budget")
    assert execution.usage.cost_micros == 900_000


class Repeating:
    """A reply that makes the same call so many times, through the engine or by the runtime itself."""

    def __init__(self, times: int, *, own: bool = False, change: bool = False) -> None:
        self.times, self.own, self.change = times, own, change

    async def __call__(self, task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        for number in range(self.times):
            n = number if self.change else 0
            if self.own:
                host.report(AgentReport(called=f"bash {n}"))
                await anyio.lowlevel.checkpoint()
            else:
                await host.call(AgentCall(id=f"c{number}", name="echo", arguments={"n": n}))
                await anyio.lowlevel.checkpoint()
        return AgentResult(output="done")


OWN = pytest.mark.parametrize("own", [False, True], ids=["through the engine", "by itself"])


@OWN
async def test_the_same_call_without_end_is_no_progress(rig: Rig, *, own: bool) -> None:
    rig.tools = [adapter("echo")]
    rig.runner.replies = {"a": [Repeating(99, own=own)]}
    execution = await rig.run(rig.draft(agent("a", permissions=allowing("echo"))))
    assert failures(execution) == {"a": "no_progress"}
    assert len(rig.runner.tasks) == 1
    assert len(rig.tools[0].calls) <= (0 if own else REPEATS)


@OWN
@pytest.mark.parametrize(("times", "change"), [(REPEATS - 1, False), (99, True)], ids=["few", "different"])
async def test_fewer_or_different_calls_are_work(rig: Rig, times: int, *, own: bool, change: bool) -> None:
    rig.tools = [adapter("echo")]
    rig.runner.replies = {"a": [Repeating(times, own=own, change=change)]}
    execution = await rig.run(rig.draft(agent("a", permissions=allowing("echo"))))
    assert execution.status is COMPLETED


async def test_an_attempt_that_does_not_get_on_keeps_what_it_used_and_wrote(rig: Rig) -> None:
    async def stuck(task: AgentTask, host: AgentHost) -> AgentResult:
        host.report(
            AgentReport(text="I look.", usage=Usage(requests=1, cost_micros=7, cost_basis="reported"))
        )
        return await Repeating(99, own=True)(task, host)

    rig.runner.replies = {"a": [stuck]}
    execution = await rig.run(rig.draft(agent("a")))
    assert failures(execution) == {"a": "no_progress"}
    assert execution.usage.cost_micros == 7
    output = execution.steps["a"].output
    assert output is not None
    assert output.value == "I look."
