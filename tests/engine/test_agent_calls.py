"""Tool calls of an agent: the gate, the record, what is asked again after an interrupt, and code mode."""

import json
from collections.abc import Mapping

import anyio
import pytest
from pydantic import JsonValue

from engine_mcp.core.agent import AgentCall, AgentResult, AgentTask
from engine_mcp.core.budget import Limits
from engine_mcp.core.event import CallRecorded, CallStarted, MessageRecorded
from engine_mcp.core.execution import Execution, ExecutionStatus, Output, StopMode
from engine_mcp.core.plan import Mode, Permissions
from engine_mcp.core.request import Resume
from engine_mcp.core.tool import ToolResult
from engine_mcp.ports import AgentHost, Workbench
from engine_mcp.testing import capture_events
from tests.engine.rig import (
    DONE,
    Held,
    HeldTool,
    Rig,
    adapter,
    agent,
    allowing,
    came,
    check_record,
    echo,
    rested,
)

pytestmark = pytest.mark.anyio
LARGE = "x" * 40_000


class Asking:
    """A reply that makes these calls at once and keeps what it is told."""

    def __init__(self, *calls: AgentCall, then: Held | None = None) -> None:
        self.calls, self.then = calls, then
        self.told: dict[str, ToolResult] = {}
        self.tools: list[str] = []

    async def __call__(self, task: AgentTask, host: AgentHost) -> AgentResult:
        self.tools = [spec.name for spec in host.tools]
        async with anyio.create_task_group() as group:
            for call in self.calls:
                group.start_soon(self._ask, call, host)
        return await self.then(task, host) if self.then else DONE

    async def _ask(self, call: AgentCall, host: AgentHost) -> None:
        self.told[call.id] = await host.call(call)

    def codes(self) -> dict[str, str]:
        return {name: told.failure.code for name, told in self.told.items() if told.failure is not None}


def asked(name: str, arguments: JsonValue = None, *, id: str = "c1") -> AgentCall:  # noqa: A002 - the field's name
    return AgentCall(id=id, name=name, arguments={} if arguments is None else arguments)


async def stopped(rig: Rig, held: anyio.Event, *, permissions: Permissions) -> Execution:
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a", permissions=permissions)))
        await came(held)
        return await engine.interrupt(execution.id, StopMode.NOW, "stopped")


async def going_on(rig: Rig, execution: Execution, request: Resume | None = None) -> Execution:
    async with rig.engine() as engine:
        return await rested(engine, await engine.resume(execution.id, request or Resume()))


# --- the gate


@pytest.mark.req("004:L47", "004:L48", "004:L68")
async def test_an_agent_gets_the_answers_of_the_tools_it_may_call_and_no_others(rig: Rig) -> None:
    rig.tools = [adapter("read"), adapter("write", mode=Mode.WRITE), adapter("named", mode=None)]
    reply = Asking(asked("read", {"a": 1}, id="r"), asked("write", id="w"), asked("nothing", id="n"))
    rig.runner.replies = {"a": [reply]}
    await rig.run(rig.draft(agent("a")))
    assert reply.tools == ["read", "script"]
    assert reply.told["r"] == ToolResult(value={"a": 1})
    assert reply.codes() == {"w": "denied", "n": "denied"}


async def test_an_empty_list_of_tools_allows_an_agent_none(rig: Rig) -> None:
    rig.tools = [adapter("read")]
    reply = Asking(asked("read"))
    rig.runner.replies = {"a": [reply]}
    await rig.run(rig.draft(agent("a", permissions=allowing())))
    assert reply.tools == []
    assert reply.codes() == {"c1": "denied"}


async def test_arguments_that_do_not_meet_the_schema_are_refused_before_the_call(rig: Rig) -> None:
    rig.tools = [tool := adapter("read", schema={"type": "object", "required": ["path"]})]
    reply = Asking(asked("read"))
    rig.runner.replies = {"a": [reply]}
    await rig.run(rig.draft(agent("a")))
    assert reply.codes() == {"c1": "invalid_argument"}
    assert tool.calls == []


@pytest.mark.req("004:L230")
async def test_each_call_is_an_event_before_and_after(rig: Rig) -> None:
    rig.tools = [adapter("read")]
    rig.runner.replies = {"a": [Asking(asked("read", {"p": 1}, id="x"), asked("read", {"p": 2}, id="y"))]}
    execution = await rig.run(rig.draft(agent("a")))
    events = await capture_events(rig.store, execution.id)
    begun = {event.ordinal for event in events if isinstance(event, CallStarted)}
    ended = {event.call.ordinal for event in events if isinstance(event, CallRecorded)}
    assert begun == ended == {1, 2}
    assert execution.usage.requests == 2


async def test_a_call_with_an_effect_is_on_record_before_it_is_made(rig: Rig) -> None:
    seen: list[str] = []

    async def looking(arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        events = await capture_events(rig.store, rig.runner.tasks[0].execution_id)
        seen.extend(event.name for event in events if isinstance(event, CallStarted))
        return await echo(arguments, bench)

    rig.tools = [adapter("write", looking, changes=True)]
    rig.runner.replies = {"a": [Asking(asked("write"))]}
    await rig.run(rig.draft(agent("a")))
    assert seen == ["write"]


async def test_calls_beyond_the_limit_of_requests_pause_the_execution(rig: Rig) -> None:
    rig.tools = [tool := adapter("read")]
    reply = Asking(*(asked("read", {"p": number}, id=str(number)) for number in range(4)))
    rig.runner.replies = {"a": [reply]}
    execution = await rig.run(rig.draft(agent("a"), budget=Limits(max_requests=3)))
    assert (execution.status, execution.reason) == (ExecutionStatus.PAUSED, "budget")
    assert len(tool.calls) == execution.usage.requests == 3


# --- the record


@pytest.mark.req("004:L39")
async def test_a_call_that_was_answered_is_not_made_again_after_an_interrupt(rig: Rig) -> None:
    rig.tools = [tool := adapter("write", mode=Mode.READ, changes=True)]
    held, call = Held(), asked("write", {"n": 1})
    again = Asking(call)
    rig.runner.replies = {"a": [Asking(call, then=held), again]}
    execution = await stopped(rig, held.begun, permissions=Permissions())
    execution = await going_on(rig, execution)
    assert tool.calls == [{"n": 1}]
    assert again.told["c1"] == ToolResult(value={"n": 1})
    assert await check_record(rig.store, execution.id) == execution


@pytest.mark.parametrize("changes", [True, False], ids=["with an effect", "without"])
async def test_a_call_that_was_cut_off_is_made_again_only_where_that_does_no_harm(
    rig: Rig, *, changes: bool
) -> None:
    slow, call = HeldTool(), asked("slow", {"n": 1})
    rig.tools = [tool := adapter("slow", slow, changes=changes)]
    again = Asking(call, asked("slow", {"n": 2}, id="c2"))
    rig.runner.replies = {"a": [Asking(call), again]}
    execution = await stopped(rig, slow.begun, permissions=Permissions())
    slow.let_go.set()
    execution = await going_on(rig, execution)
    assert again.codes() == ({"c1": "outcome_unknown"} if changes else {})
    assert tool.calls == [{"n": 1}, {"n": 2}] if changes else [{"n": 1}, {"n": 1}, {"n": 2}]
    assert execution.steps["a"].unanswered == {}


async def test_an_error_is_answered_from_the_record_as_well(rig: Rig) -> None:
    held, call = Held(), asked("read")
    rig.tools = [adapter("read", schema={"type": "object", "required": ["path"]})]
    again = Asking(call)
    rig.runner.replies = {"a": [Asking(call, then=held), again]}
    execution = await stopped(rig, held.begun, permissions=Permissions())
    await going_on(rig, execution)
    assert again.codes() == {"c1": "invalid_argument"}


# --- conversations


@pytest.mark.req("004:L37", "004:L38", "004:L61")
async def test_a_conversation_is_remembered_message_by_message_and_recalled_after_an_interrupt(
    rig: Rig,
) -> None:
    messages: list[dict[str, JsonValue]] = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [{"type": "text", "text": LARGE}]},
    ]
    held, recalled = Held(), list[Mapping[str, JsonValue]]()

    async def talking(task: AgentTask, host: AgentHost) -> AgentResult:
        for message in messages:
            await host.remember(message)
        return await held(task, host)

    async def listening(task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        recalled.extend(await host.recall())
        return DONE

    rig.runner.replies = {"a": [talking, listening]}
    execution = await stopped(rig, held.begun, permissions=Permissions())
    roles = [
        e.message.role
        for e in await capture_events(rig.store, execution.id)
        if isinstance(e, MessageRecorded)
    ]
    assert roles == ["user", "assistant"]
    execution = await going_on(rig, execution)
    assert recalled == messages
    assert execution.steps["a"].messages == ()


async def test_a_step_that_runs_anew_recalls_nothing(rig: Rig) -> None:
    recalled: list[int] = []

    async def talking(task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        recalled.append(len(await host.recall()))
        await host.remember({"role": "user", "content": "Hello"})
        return DONE

    rig.runner.replies = {"a": [talking]}
    execution = await rig.run(rig.draft(agent("a")))
    await going_on(rig, execution, Resume(from_step="a"))
    assert recalled == [0, 0]


# --- code mode


async def run_script(rig: Rig, code: str, given: JsonValue = None) -> ToolResult:
    reply = Asking(asked("script", {"code": code, "input": given}))
    rig.runner.replies = {"a": [reply]}
    await rig.run(rig.draft(agent("a")))
    return reply.told["c1"]


async def test_a_script_of_an_agent_calls_the_tools_that_the_agent_may_call(scripting: Rig) -> None:
    scripting.tools = [tool := adapter("read"), adapter("write", mode=Mode.WRITE)]
    code = """
        const all = await Promise.all([1, 2, 3].map((n) => tools.call("read", { n })));
        const refused = await tools.call("write", {}).catch((error) => error.name);
        return { sum: all.reduce((sum, one) => sum + one.n, input), refused };
    """
    told = await run_script(scripting, code, 10)
    assert told == ToolResult(value={"sum": 16, "refused": "Denied"})
    assert len(tool.calls) == 3


async def test_what_a_script_of_an_agent_prints_comes_with_its_value(scripting: Rig) -> None:
    told = await run_script(scripting, "console.log('seen'); return 1")
    assert told == ToolResult(value={"value": 1, "console": ["seen"]})


async def test_a_script_of_an_agent_that_fails_says_how(scripting: Rig) -> None:
    told = await run_script(scripting, "throw new TypeError('no')")
    assert told.failure is not None
    assert (told.failure.code, told.failure.message) == ("js_error", "TypeError: no (line 1)")


async def test_a_script_of_an_agent_cannot_start_another(scripting: Rig) -> None:
    told = await run_script(
        scripting, "return await tools.call('script', { code: '1' }).catch((error) => error.name)"
    )
    assert told.value is not None


async def test_a_script_that_was_cut_off_runs_again_without_repeating_its_effects(scripting: Rig) -> None:
    held, counted = HeldTool(), adapter("count", changes=True)
    scripting.tools = [counted, adapter("slow", held)]
    code = "const one = await tools.call('count', { n: 1 }); await tools.call('slow', {}); return one.n"
    call = asked("script", {"code": code})
    again = Asking(call)
    scripting.runner.replies = {"a": [Asking(call), again]}
    execution = await stopped(scripting, held.begun, permissions=Permissions())
    held.let_go.set()
    await going_on(scripting, execution)
    assert again.told["c1"] == ToolResult(value=1)
    assert counted.calls == [{"n": 1}]


# --- large outputs


async def test_an_agent_can_read_the_rest_of_an_output_that_its_prompt_shows_in_part(rig: Rig) -> None:
    long = json.dumps(list(range(20_000)))
    reading = Asking(
        asked("output", {"step": "big", "offset": 20_000}), asked("output", {"step": "x"}, id="wrong")
    )
    rig.runner.replies = {"big": [AgentResult(output=long)], "a": [reading]}
    execution = await rig.run(rig.draft(agent("big"), agent("a", "big", permissions=allowing())))
    assert execution.steps["a"].output == Output(value="done")
    assert reading.tools == ["output"]
    assert reading.told["c1"].value == {"text": long[20_000:40_000], "next": 40_000, "total": len(long)}
    assert reading.codes() == {"wrong": "invalid_argument"}
