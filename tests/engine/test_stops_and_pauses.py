"""Stops, pauses and going on: what asks meanwhile, what is told of a pause, and limits that change."""

from dataclasses import replace

import anyio
import pytest

from engine_mcp.core.agent import AgentCall, AgentResult, AgentTask
from engine_mcp.core.budget import Limits
from engine_mcp.core.execution import Execution, ExecutionStatus, StepStatus, StopMode
from engine_mcp.core.plan import Mode
from engine_mcp.core.request import Resume
from engine_mcp.errors import InvalidArgument
from engine_mcp.ports import AgentHost
from engine_mcp.testing import ScriptedTool
from tests.engine.played import PlayedSandbox
from tests.engine.rig import (
    Held,
    Rig,
    adapter,
    agent,
    allowing,
    came,
    check_record,
    code,
    rested,
    statuses,
    tool,
    until,
)
from tests.engine.trouble import Trouble, troubled

pytestmark = pytest.mark.anyio

PAUSED, COMPLETED = ExecutionStatus.PAUSED, ExecutionStatus.COMPLETED
INTERRUPTED = ExecutionStatus.INTERRUPTED
MAY = allowing("echo")


class CallsLater:
    """A reply that waits to be let go, and makes a call then."""

    def __init__(self) -> None:
        self.begun, self.let_go = anyio.Event(), anyio.Event()

    async def __call__(self, task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        self.begun.set()
        await self.let_go.wait()
        told = await host.call(AgentCall(id="c1", name="echo", arguments={"n": 1}))
        return AgentResult(output=told.value, failure=told.failure)


@pytest.fixture
def asked(rig: Rig) -> ScriptedTool:
    """Give a rig with a tool that is asked about."""
    found = adapter("echo", mode=Mode.NONE, changes=True)
    rig.tools, rig.ask = [found], frozenset({"echo"})
    return found


async def test_after_the_step_means_a_call_that_asks_for_an_approval_too(
    rig: Rig, asked: ScriptedTool
) -> None:
    reply = CallsLater()
    rig.runner.replies = {"a": [reply]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a", permissions=MAY), agent("b", "a")))
        await came(reply.begun)
        execution = await engine.interrupt(execution.id, StopMode.AFTER_STEP, "a break")
        assert execution.status is ExecutionStatus.RUNNING
        reply.let_go.set()
        execution = await rested(engine, execution)
        assert execution.status is INTERRUPTED
        assert statuses(execution) == {"a": "awaiting_approval", "b": "pending"}
        assert asked.calls == []
        execution = await rested(engine, await engine.resume(execution.id, Resume(approve=("a",))))
    assert (execution.status, len(asked.calls)) == (COMPLETED, 1)
    assert await check_record(rig.store, execution.id) == execution


async def test_while_one_asks_the_others_end_before_an_after_step_stop(rig: Rig, asked: ScriptedTool) -> None:
    reply, other = CallsLater(), Held()
    reply.let_go.set()
    rig.runner.replies = {"a": [reply], "b": [other]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a", permissions=MAY), agent("b"), agent("c", "b")))
        await came(other.begun)
        await until(engine, execution, lambda now: now.steps["a"].status is StepStatus.AWAITING_APPROVAL)
        await engine.interrupt(execution.id, StopMode.AFTER_STEP, "a break")
        assert not other.stopped.is_set()
        other.let_go.set()
        execution = await rested(engine, execution)
    assert execution.status is INTERRUPTED
    assert statuses(execution) == {"a": "awaiting_approval", "b": "completed", "c": "pending"}
    assert asked.calls == []


async def test_a_pause_for_storage_says_why_among_the_warnings_and_once(rig: Rig) -> None:
    trouble = Trouble()
    reliable, rig.store = rig.store, troubled(rig.store, trouble)
    held = Held()
    rig.runner.replies = {"a": [held]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b", "a")))
        await came(held.begun)
        trouble.begin(1)
        held.let_go.set()
        execution = await rested(engine, execution)
        assert (execution.status, execution.reason) == (PAUSED, "storage")
        (warning,) = execution.warnings
        assert warning.startswith("There is no space left. ")
        assert len(warning) > len("There is no space left. ")  # what to do about it
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert (execution.status, execution.warnings) == (COMPLETED, (warning,))
    assert await check_record(reliable, execution.id) == execution


# --- limits of steps that change as they go on


def two_limited() -> tuple[Limits, Limits]:
    return Limits(max_requests=1), Limits(max_requests=9, max_seconds=500.0)


async def at_its_limit(rig: Rig) -> Execution:
    """An execution whose first step has made the only call that it may make."""
    rig.sandbox, rig.tools = PlayedSandbox(), [adapter("echo")]
    own, others = two_limited()
    steps = (
        tool("done", "echo"),
        code("a", "[1, 1, 1]", "done", budget=own),
        code("b", "[1]", "a", budget=others),
    )
    execution = await rig.run(rig.draft(*steps))
    assert (execution.status, execution.reason) == (PAUSED, "budget")
    assert statuses(execution) == {"done": "completed", "a": "interrupted", "b": "pending"}
    return execution


async def test_a_step_goes_on_where_it_is_with_another_limit_of_its_own(rig: Rig) -> None:
    execution = await at_its_limit(rig)
    own, others = two_limited()
    async with rig.engine() as engine:
        request = Resume(step_budgets={"a": Limits(max_requests=3), "b": Limits(max_requests=1)})
        execution = await rested(engine, await engine.resume(execution.id, request))
    assert execution.status is COMPLETED
    assert execution.steps["a"].spec.budget == replace(own, max_requests=3)
    assert execution.steps["b"].spec.budget == replace(others, max_requests=1)  # its seconds stay
    assert [call["n"] for call in rig.tools[0].calls[1:]] == [0, 1, 2, 0]  # none was made twice
    assert await check_record(rig.store, execution.id) == execution


async def test_with_a_limit_that_is_spent_it_pauses_again(rig: Rig) -> None:
    execution = await at_its_limit(rig)
    async with rig.engine() as engine:
        request = Resume(step_budgets={"a": Limits(max_requests=2)})
        execution = await rested(engine, await engine.resume(execution.id, request))
    assert (execution.status, execution.reason) == (PAUSED, "budget")
    assert len(rig.tools[0].calls) == 3


@pytest.mark.parametrize("name", ["done", "nobody"])
async def test_no_limit_is_set_for_what_is_not_still_to_be_done(rig: Rig, name: str) -> None:
    execution = await at_its_limit(rig)
    async with rig.engine() as engine:
        with pytest.raises(InvalidArgument, match=r"is not still to be completed; those are: a, b\.") as told:
            await engine.resume(execution.id, Resume(step_budgets={name: Limits(max_requests=5)}))
        assert told.value.field == "step_budgets"
        assert await engine.show(execution.id) == execution
