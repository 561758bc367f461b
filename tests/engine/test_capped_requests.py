"""Requests of scripts and agents keep to the operator's cap and to the limit of a day, to the call."""

from dataclasses import replace
from datetime import UTC

import pytest

from engine_mcp.core.agent import AgentCall, AgentResult, AgentTask
from engine_mcp.core.budget import Limits, OnExceed, Resource
from engine_mcp.core.execution import Execution, ExecutionStatus
from engine_mcp.core.period import Change, Period
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.request import Resume
from engine_mcp.ledger.memory import MemoryLedger
from engine_mcp.ports import AgentHost
from engine_mcp.testing import FakeClock, ScriptedTool
from tests.engine.played import PlayedSandbox
from tests.engine.rig import Rig, adapter, agent, code, rested, soon

pytestmark = pytest.mark.anyio

PAUSED, COMPLETED = ExecutionStatus.PAUSED, ExecutionStatus.COMPLETED
NOON = 1_800_014_400.0
FOUR = Limits(max_requests=4)
WARNS = Limits(on_exceed=OnExceed.WARN)
ONE_BY_ONE, TOGETHER = "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", "[10]"


class Calling:
    """A reply that makes ten calls, one after the other, and remembers for which answer it waited last."""

    async def __call__(self, task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        for number in range(10):
            await host.call(AgentCall(id=f"c{number}", name="echo", arguments={"n": number}))
        return AgentResult(output="done")


WORK = {
    "script, one by one": code("s", ONE_BY_ONE),
    "script, together": code("s", TOGETHER),
    "agent": agent("s"),
}
EACH = pytest.mark.parametrize("step", WORK.values(), ids=WORK)


@pytest.fixture
def echo(rig: Rig) -> ScriptedTool:
    """Give a rig at noon with a ledger, scripts that are played, and a tool that counts its calls."""
    rig.clock, rig.ledger, rig.sandbox = FakeClock(NOON), MemoryLedger(UTC, {}), PlayedSandbox()
    tool = adapter("echo")
    rig.tools, rig.runner.replies = [tool], {"s": [Calling()], "t": [Calling()]}
    return tool


def capped(rig: Rig) -> None:
    rig.options = replace(rig.options, caps=FOUR)


async def limited(rig: Rig, limits: Limits = FOUR) -> None:
    assert rig.ledger is not None
    await rig.ledger.limit(Period.DAY, limits, Change(at=NOON, by="test", period=Period.DAY))


async def spent(rig: Rig) -> tuple[int, int]:
    """The requests of the day that are spent and held."""
    assert rig.ledger is not None
    usage = await rig.ledger.spent(Period.DAY, rig.clock.now())
    (standing,) = (await rig.ledger.room(rig.clock.now())).standings
    return usage.amount(Resource.REQUESTS), standing.held.requests


def check_stopped(execution: Execution, tool: ScriptedTool) -> None:
    assert (execution.status, execution.reason) == (PAUSED, "budget")
    assert (execution.usage.requests, len(tool.calls)) == (4, 4)


@EACH
async def test_the_operators_cap_stops_calls_even_where_the_plan_only_warns(
    rig: Rig, echo: ScriptedTool, step: StepSpec
) -> None:
    capped(rig)
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(step, budget=WARNS)))
        check_stopped(execution, echo)
        request = Resume(budget=Limits(max_requests=99))
        execution = await rested(engine, await engine.resume(execution.id, request))
    check_stopped(execution, echo)


@EACH
async def test_the_limit_of_a_day_stops_calls_and_nothing_stays_held(
    rig: Rig, echo: ScriptedTool, step: StepSpec
) -> None:
    await limited(rig)
    check_stopped(await rig.run(rig.draft(step)), echo)
    assert await spent(rig) == (4, 0)


@EACH
async def test_the_limit_of_a_day_that_only_warns_stops_no_call(
    rig: Rig, echo: ScriptedTool, step: StepSpec
) -> None:
    await limited(rig, FOUR.merged(WARNS))
    execution = await rig.run(rig.draft(step))
    assert (execution.status, len(echo.calls)) == (COMPLETED, 10)


async def test_two_scripts_side_by_side_share_the_requests_of_a_day(rig: Rig, echo: ScriptedTool) -> None:
    await limited(rig, Limits(max_requests=9))
    async with rig.engine() as engine:
        draft = rig.draft(code("s", TOGETHER), code("t", ONE_BY_ONE))
        execution = await rested(engine, await engine.execute(draft))
    assert (execution.status, execution.reason) == (PAUSED, "budget")
    assert len(echo.calls) <= 9
    assert await spent(rig) == (len(echo.calls), 0)


async def test_a_script_and_an_agent_side_by_side_share_the_operators_cap(
    rig: Rig, echo: ScriptedTool
) -> None:
    rig.options = replace(rig.options, caps=Limits(max_requests=9))
    execution = await rig.run(rig.draft(code("s", ONE_BY_ONE), agent("t"), budget=WARNS))
    assert (execution.status, execution.reason) == (PAUSED, "budget")
    assert execution.usage.requests == len(echo.calls) <= 9


async def test_two_engines_share_the_requests_of_a_day(rig: Rig, echo: ScriptedTool) -> None:
    await limited(rig, Limits(max_requests=7))
    async with rig.engine() as engine, rig.engine() as other:
        begun = [(door, await door.execute(rig.draft(code("s", ONE_BY_ONE)))) for door in (engine, other)]
        ended = [await soon(rig, door, one, lambda now: now.status is PAUSED) for door, one in begun]
    assert {one.reason for one in ended} == {"budget"}
    assert sum(one.usage.requests for one in ended) == len(echo.calls) <= 7
    assert await spent(rig) == (len(echo.calls), 0)
