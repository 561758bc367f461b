"""A disk that fails while an agent works, and what of an agent's work is shown as a result."""

from collections.abc import Mapping

import anyio
import pytest
from pydantic import JsonValue

from engine_mcp.core.agent import AgentCall, AgentResult, AgentTask
from engine_mcp.core.event import AttemptFailed
from engine_mcp.core.execution import Execution, ExecutionStatus, Failure, Output
from engine_mcp.core.graph import output_of
from engine_mcp.core.plan import Mode
from engine_mcp.core.request import Resume
from engine_mcp.core.tool import ToolResult
from engine_mcp.ports import AgentHost, Workbench
from engine_mcp.testing import capture_events
from tests.engine.rig import DONE, Rig, adapter, agent, rested, tool, values
from tests.engine.trouble import Trouble, troubled

pytestmark = pytest.mark.anyio
WRITTEN = AgentCall(id="c1", name="artifact", arguments={})


@pytest.fixture
def trouble(rig: Rig) -> Trouble:
    """Give the trouble of the rig's store, which begins when it is told to."""
    found = Trouble(of=frozenset({"append"}))
    rig.store = troubled(rig.store, found)
    return found


async def twice(rig: Rig, trouble: Trouble, execution: Execution) -> Execution:
    """The execution after it paused for its disk and went on."""
    assert (execution.status, execution.reason) == (ExecutionStatus.PAUSED, "storage")
    events = await capture_events(rig.store, execution.id)
    assert [event for event in events if isinstance(event, AttemptFailed)] == []
    trouble.end()
    async with rig.engine() as engine:
        return await rested(engine, await engine.resume(execution.id, Resume()))


@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "in a group"])
async def test_a_message_that_cannot_be_recorded_pauses_and_fails_nothing(
    rig: Rig, trouble: Trouble, *, grouped: bool
) -> None:
    async def remembering(task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        trouble.begin(times=1)
        if not grouped:
            await host.remember({"role": "user", "content": "hello"})
        async with anyio.create_task_group() as group:
            group.start_soon(host.remember, {"role": "user", "content": "hello"})
        return DONE

    rig.runner.replies = {"a": [remembering, DONE]}
    execution = await twice(rig, trouble, await rig.run(rig.draft(agent("a"))))
    assert values(execution) == {"a": "done"}


async def test_an_artifact_that_cannot_be_mentioned_is_no_answer_for_the_record(
    rig: Rig, trouble: Trouble
) -> None:
    async def keeping(arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        del arguments
        kept = await bench.keep(b"content", name="a.txt", media_type="text/plain")
        return ToolResult(value=kept.digest)

    told: list[ToolResult] = []

    async def asking(task: AgentTask, host: AgentHost) -> AgentResult:
        if task.number == 1:
            await host.remember({"role": "user", "content": "hello"})
            trouble.begin(times=1)
        told.append(await host.call(WRITTEN))
        return DONE

    rig.tools = [adapter("artifact", keeping, mode=Mode.READ)]
    rig.runner.replies = {"a": [asking]}
    execution = await twice(rig, trouble, await rig.run(rig.draft(agent("a"))))
    assert execution.status is ExecutionStatus.COMPLETED
    assert told[-1].failure is None
    assert [item.name for item in execution.artifacts] == ["a.txt"]


async def test_a_tool_step_whose_artifact_cannot_be_mentioned_pauses(rig: Rig, trouble: Trouble) -> None:
    async def keeping(arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        del arguments
        if not trouble.failed:
            trouble.begin(times=1)
        kept = await bench.keep(b"content", name="a.txt", media_type="text/plain")
        return ToolResult(value=kept.name)

    rig.tools = [adapter("artifact", keeping)]
    execution = await twice(rig, trouble, await rig.run(rig.draft(tool("a", "artifact"))))
    assert values(execution) == {"a": "a.txt"}


# --- what is a result


HALF = AgentResult(output="Half of an answer", failure=Failure("tool_error", "It broke."))


async def test_what_a_failed_step_wrote_is_kept_with_it_and_is_not_the_output_of_the_whole(rig: Rig) -> None:
    rig.runner.replies = {"a": [HALF]}
    execution = await rig.run(rig.draft(agent("a")))
    assert execution.steps["a"].output == Output(value="Half of an answer")
    assert output_of(execution) is None


async def test_what_an_optional_step_wrote_before_it_failed_is_no_output_of_a_completed_execution(
    rig: Rig,
) -> None:
    rig.runner.replies = {"a": [HALF]}
    execution = await rig.run(rig.draft(agent("a", optional=True), agent("b")))
    assert execution.status is ExecutionStatus.COMPLETED
    assert output_of(execution) == Output(value={"b": "done"})
