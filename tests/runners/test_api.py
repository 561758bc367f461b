"""The api runtime: what it asks the model, what it does with the answers, and how it ends."""

import json
import threading
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest
from pydantic import JsonValue

from engine_mcp.core.agent import AgentCall, AgentReport
from engine_mcp.core.budget import Usage
from engine_mcp.core.execution import Failure
from engine_mcp.core.tool import ToolResult, ToolSpec
from engine_mcp.errors import StorageError
from engine_mcp.runners.api_loop import MOST_PAUSES
from engine_mcp.runners.api_options import ApiOptions
from engine_mcp.runners.api_sdk import BREATH
from engine_mcp.runners.api_tools import LONGEST_RESULT, Tools, result_block
from engine_mcp.runners.api_turns import Call
from tests.runners.api_rig import (
    HEADERS,
    LIST,
    MODEL,
    READ,
    TASK,
    echo,
    raw,
    reserving,
    runner_at,
    shaped,
    sse,
)
from tests.runners.host import RecordingHost
from tests.wire.server import Wire
from tests.wire.turns import Text, Thinking, ToolUse, Turn

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks")]


# --- the request


@pytest.mark.req("003:L22")
async def test_the_prompt_reaches_the_model_with_nothing_that_the_api_refuses() -> None:
    with Wire() as wire:
        async with runner_at(wire.url) as runner:
            await runner.run(TASK, RecordingHost())
    assert wire.requests[0].body == {
        "model": MODEL,
        "max_tokens": 16_000,
        "stream": True,
        "system": "You are a tester.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Say hello."}]}],
        "cache_control": {"type": "ephemeral"},
    }
    assert wire.requests[0].headers["authorization"] == "Bearer a-key-for-tests"


async def test_tools_are_offered_under_names_that_the_api_allows_and_called_by_their_own() -> None:
    with Wire() as wire:
        wire.answer(Turn(blocks=[ToolUse("files_read", {"path": "a"}, id="c1")]))
        host = RecordingHost([READ], echo)
        async with runner_at(wire.url) as runner:
            await runner.run(TASK, host)
    assert wire.requests[0].body["tools"] == [
        {"name": "files_read", "description": "Read a file.", "input_schema": READ.input_schema}
    ]
    assert host.calls == [AgentCall(id="c1", name="files.read", arguments={"path": "a"})]


def test_names_stay_unique_and_within_their_length() -> None:
    names = ["a.b", "a_b", "a b", "x" * 200, "x" * 201, ""]
    tools = Tools([ToolSpec(name=name, description="", input_schema={}) for name in names])
    offered = [str(tool["name"]) for tool in tools.definitions if isinstance(tool, dict)]
    assert offered[:3] == ["a_b", "a_b_2", "a_b_3"]
    assert [tools.named(name) for name in offered] == names
    assert max(map(len, offered)) == 128


# --- the answer


@pytest.mark.req("004:L79")
@pytest.mark.parametrize("chunk", [1, 7, 100_000])
async def test_the_answer_is_told_as_it_is_written_and_is_the_output(chunk: int) -> None:
    said = "A first line.\nAnd — ünïcode 🙂 " * 20
    with Wire() as wire:
        wire.answer(Turn(blocks=[Thinking("let me see"), Text(said)], chunk=chunk))
        host = RecordingHost()
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, host)
    assert (result.failure, result.output, host.text) == (None, said, said)


async def test_the_use_of_each_turn_is_told_as_the_api_tells_it() -> None:
    with Wire() as wire:
        wire.answer(
            Turn(blocks=[ToolUse("files_read")], input_tokens=5, output_tokens=6, cache_write=7),
            Turn("done", input_tokens=8, output_tokens=9, cache_read=10),
        )
        host = RecordingHost([READ], echo)
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, host)
    assert host.used(result) == Usage(
        tokens_in=13, tokens_out=15, cache_read=10, cache_write=7, requests=2, cost_basis="unpriced"
    )


async def test_progress_counts_the_turns_and_names_the_tools() -> None:
    with Wire() as wire:
        wire.answer(Turn(blocks=[ToolUse("files_read"), ToolUse("files_list")]))
        host = RecordingHost([READ, LIST], echo)
        async with runner_at(wire.url) as runner:
            await runner.run(TASK, host)
    assert [(told.done, told.message) for told in host.progress] == [
        (0, "turn 1"),
        (1, "turn 1: files.read, files.list"),
        (1, "turn 2"),
    ]


# --- tool calls


class Together(RecordingHost):
    """Answers no call before all of `count` have come, and then the last one first."""

    def __init__(self, tools: list[ToolSpec], count: int) -> None:
        super().__init__(tools, echo)
        self._done = [anyio.Event() for _ in range(count)]

    async def call(self, call: AgentCall) -> ToolResult:
        result = await super().call(call)
        place = int(call.id)
        following = place + 1
        if following < len(self._done):
            await self._done[following].wait()
        self._done[place].set()
        return result


async def test_calls_of_a_turn_run_at_once_and_are_answered_in_their_order() -> None:
    calls = tuple(ToolUse("files_read", {"path": str(number)}, id=str(number)) for number in range(5))
    with Wire() as wire:
        wire.answer(Turn("I look.", blocks=calls))
        host = Together([READ], len(calls))
        with anyio.fail_after(20):
            async with runner_at(wire.url) as runner:
                result = await runner.run(TASK, host)
    assert result.output == "done"
    last = wire.requests[1].body["messages"][-1]
    assert last["role"] == "user"
    assert [block["tool_use_id"] for block in last["content"]] == list("01234")
    assert [json.loads(block["content"])["given"]["path"] for block in last["content"]] == list("01234")


@pytest.mark.parametrize(
    ("value", "shown"),
    [("a\nb", "a\nb"), ({"a": [1, None]}, '{"a":[1,null]}'), ("ü", "ü"), (None, "null"), ("a\udcff", "a?")],
)
def test_a_string_is_shown_as_it_is_and_any_other_value_as_compact_json(value: JsonValue, shown: str) -> None:
    assert result_block(Call("c", "n", {}), ToolResult(value=value)) == {
        "type": "tool_result",
        "tool_use_id": "c",
        "content": shown,
    }


def test_an_empty_result_has_no_content() -> None:
    assert result_block(Call("c", "n", {}), ToolResult(value="")) == {
        "type": "tool_result",
        "tool_use_id": "c",
    }


def test_a_large_result_is_cut_between_characters_and_says_so() -> None:
    content = result_block(Call("c", "n", {}), ToolResult(value="x" + "ü" * LONGEST_RESULT))["content"]
    assert isinstance(content, str)
    kept, _, note = content.partition("\n")
    assert len(kept.encode()) == LONGEST_RESULT - 1
    assert str(2 * LONGEST_RESULT + 1) in note


def test_a_failed_call_is_an_error_with_its_code_message_and_hint() -> None:
    failure = Failure("denied", "Not that.", "Ask first.")
    assert result_block(Call("c", "n", {}), ToolResult(failure=failure)) == {
        "type": "tool_result",
        "tool_use_id": "c",
        "content": "denied: Not that.\nAsk first.",
        "is_error": True,
    }


async def test_calls_that_nobody_can_carry_out_are_told_to_the_model() -> None:
    with Wire() as wire:
        wire.answer(
            Turn(blocks=[ToolUse("files_read", '{"path": '), ToolUse("rm_rf", {}), ToolUse("files_read")])
        )
        host = RecordingHost([READ], echo)
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, host)
    assert result.failure is None
    assert [call.arguments for call in host.calls] == [{}]
    torn, unknown, good = wire.requests[1].body["messages"][-1]["content"]
    assert torn["is_error"]
    assert torn["content"].startswith("invalid_argument: ")
    assert unknown["is_error"]
    assert unknown["content"].startswith("unknown_tool: There is no tool 'rm_rf'; there are: files_read.")
    assert "is_error" not in good
    assert wire.requests[1].body["messages"][1]["content"][0]["input"] == {"INVALID_JSON": '{"path": '}


class Full(RecordingHost):
    """A host whose disk is full."""

    async def call(self, call: AgentCall) -> ToolResult:
        await anyio.lowlevel.checkpoint()
        raise StorageError(f"no space for {call.name}")


async def test_an_error_of_the_engine_in_a_call_comes_out_as_it_is() -> None:
    with Wire() as wire:
        wire.answer(Turn(blocks=[ToolUse("files_read"), ToolUse("files_read")]))
        async with runner_at(wire.url) as runner:
            with pytest.raises(StorageError, match=r"no space for files\.read"):
                await runner.run(TASK, Full([READ]))


# --- stop reasons


async def test_a_paused_turn_is_sent_back_as_it_is_and_its_text_is_part_of_the_answer() -> None:
    with Wire() as wire:
        wire.answer(Turn("First half, ", stop_reason="pause_turn"), Turn("second half."))
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, RecordingHost())
    assert result.output == "First half, second half."
    last = wire.requests[1].body["messages"][-1]
    assert last == {"role": "assistant", "content": [{"type": "text", "text": "First half, "}]}


async def test_a_model_that_only_pauses_is_not_asked_for_ever() -> None:
    with Wire() as wire:
        wire.otherwise(Turn("Hm. ", stop_reason="pause_turn"))
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, RecordingHost())
    assert result.failure is not None
    assert result.failure.code == "turn_limit"
    assert len(wire.requests) == MOST_PAUSES


async def test_a_refusal_is_a_failure_with_what_was_said_and_is_not_remembered() -> None:
    with Wire() as wire:
        wire.answer(Turn("I would rather", stop_reason="refusal"))
        host = RecordingHost()
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, host)
    assert result.failure is not None
    assert (result.failure.code, result.output) == ("refused", "I would rather")
    assert [message["role"] for message in host.memory] == ["user"]
    assert host.used(result).tokens_out == 200


async def test_an_answer_cut_at_its_length_is_truncated_and_remembered() -> None:
    with Wire() as wire:
        wire.answer(Turn("Half of", stop_reason="max_tokens"))
        host = RecordingHost()
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, host)
    assert result.failure is not None
    assert (result.failure.code, result.output) == ("truncated", "Half of")
    assert host.memory[-1]["stop_reason"] == "max_tokens"


async def test_whole_calls_of_an_answer_cut_at_its_length_are_carried_out() -> None:
    cut = (ToolUse("files_read", {"path": "a"}, id="whole"), ToolUse("files_read", '{"path": "b', id="torn"))
    with Wire() as wire:
        wire.answer(Turn(blocks=cut, stop_reason="max_tokens"))
        host = RecordingHost([READ], echo)
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, host)
    assert (result.failure, result.output) == (None, "done")
    assert [call.id for call in host.calls] == ["whole"]
    assert [block["id"] for block in wire.requests[1].body["messages"][1]["content"]] == ["whole"]


async def test_a_cut_answer_that_the_api_would_not_take_back_is_not_remembered() -> None:
    with Wire() as wire:
        wire.answer(Turn(blocks=[Thinking("hm"), ToolUse("files_read", '{"pa')], stop_reason="max_tokens"))
        host = RecordingHost([READ], echo)
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, host)
    assert result.failure is not None
    assert (result.failure.code, result.output, len(host.memory)) == ("truncated", None, 1)


async def test_a_full_window_is_told() -> None:
    with Wire() as wire:
        wire.answer(Turn("As far as", stop_reason="model_context_window_exceeded"))
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, RecordingHost())
    assert result.failure is not None
    assert (result.failure.code, result.output) == ("context_overflow", "As far as")


async def test_an_answer_without_a_word_is_an_empty_text() -> None:
    with Wire() as wire:
        wire.answer(Turn())
        async with runner_at(wire.url) as runner:
            result = await runner.run(TASK, RecordingHost())
    assert (result.failure, result.output) == (None, "")


# --- limits


async def test_more_turns_than_allowed_end_the_attempt_with_what_was_said_last() -> None:
    with Wire() as wire:
        wire.otherwise(Turn("Looking.", blocks=[ToolUse("files_read")]))
        async with runner_at(wire.url, ApiOptions(max_turns=3)) as runner:
            result = await runner.run(TASK, RecordingHost([READ], echo))
    assert result.failure is not None
    assert (result.failure.code, result.output, len(wire.requests)) == ("turn_limit", "Looking.", 3)


async def test_an_answer_may_be_as_long_as_what_is_left_of_the_reservation() -> None:
    with Wire() as wire:
        wire.answer(Turn(blocks=[ToolUse("files_read")], input_tokens=100, output_tokens=50))
        async with runner_at(wire.url) as runner:
            await runner.run(reserving(1000), RecordingHost([READ], echo))
    first, second = [request.body["max_tokens"] for request in wire.requests]
    assert 800 < first < 1000, "what the request itself takes comes off as well"
    assert 1000 - 150 - (150 + 100) < second < 1000 - 150 - 150, "and what the last one took"


async def test_a_used_up_reservation_ends_the_attempt_before_another_request() -> None:
    with Wire() as wire:
        wire.otherwise(Turn("Looking.", blocks=[ToolUse("files_read")], input_tokens=400, cache_read=300))
        host = RecordingHost([READ], echo)
        async with runner_at(wire.url) as runner:
            result = await runner.run(reserving(2600), host)
    assert result.failure is not None
    assert (result.failure.code, result.output, len(wire.requests)) == ("spending_limit", "Looking.", 2)
    assert host.memory[-1]["role"] == "user"


async def test_an_answer_cut_by_the_reservation_is_no_fault_of_the_answer() -> None:
    with Wire() as wire:
        wire.answer(Turn("Half of", stop_reason="max_tokens"))
        async with runner_at(wire.url) as runner:
            result = await runner.run(reserving(500), RecordingHost())
    assert result.failure is not None
    assert (result.failure.code, result.output) == ("spending_limit", "Half of")


# --- structured output


async def test_an_output_schema_is_asked_of_the_api_and_the_answer_read_as_json() -> None:
    with Wire() as wire:
        wire.answer(Turn('{"path": "a"}'))
        async with runner_at(wire.url) as runner:
            result = await runner.run(shaped(READ.input_schema), RecordingHost())
    assert wire.requests[0].body["output_config"] == {
        "format": {"type": "json_schema", "schema": READ.input_schema}
    }
    assert (result.failure, result.output) == (None, {"path": "a"})


async def test_an_answer_that_should_be_json_and_is_not_is_kept_as_text() -> None:
    with Wire() as wire:
        wire.answer(Turn("Here you are: {}"))
        async with runner_at(wire.url) as runner:
            result = await runner.run(shaped(READ.input_schema), RecordingHost())
    assert result.failure is not None
    assert (result.failure.code, result.output) == ("output_invalid", "Here you are: {}")


async def test_an_attempt_without_a_model_asks_nobody() -> None:
    with Wire() as wire:
        async with runner_at(wire.url) as runner:
            result = await runner.run(replace(TASK, model=None), RecordingHost())
    assert result.failure is not None
    assert (result.failure.code, wire.requests) == ("model_unavailable", [])


# --- many at once


async def test_no_more_answers_come_in_at_once_than_allowed() -> None:
    gate = threading.Event()
    with Wire() as wire:
        wire.otherwise(Turn("one two three", gate=gate, chunk=1))
        hosts = [RecordingHost() for _ in range(5)]
        with anyio.fail_after(30):
            async with (
                runner_at(wire.url, ApiOptions(streams=2)) as runner,
                anyio.create_task_group() as group,
            ):
                for host in hosts:
                    group.start_soon(runner.run, TASK, host)
                await wire.received(2)
                while sum(bool(host.text) for host in hosts) < 2:  # noqa: ASYNC110 - texts come one by one
                    await anyio.sleep(0.01)
                assert len(wire.requests) == 2
                gate.set()
    assert [host.text for host in hosts] == ["one two three"] * 5


class Watching(RecordingHost):
    """Counts the texts that come between two turns of another task."""

    def __init__(self) -> None:
        super().__init__()
        self.since = 0
        self.most = 0

    def report(self, news: AgentReport) -> None:
        super().report(news)
        self.since += bool(news.text)
        self.most = max(self.most, self.since)


async def test_a_stream_whose_events_are_all_there_leaves_turns_to_others() -> None:
    body = HEADERS + sse(Turn("x" * 2000, chunk=1))
    host = Watching()

    async def look() -> None:
        while True:
            await anyio.lowlevel.checkpoint()
            host.since = 0

    with anyio.fail_after(30):
        async with (
            raw(lambda connection: connection.send(body)) as url,
            runner_at(url) as runner,
            anyio.create_task_group() as group,
        ):
            group.start_soon(look)
            result = await runner.run(TASK, host)
            assert result.output == "x" * 2000
            group.cancel_scope.cancel()
    assert host.most <= 2 * BREATH


async def test_many_streams_at_once_each_get_their_own_answer() -> None:
    with Wire() as wire:
        names = [f"number-{number:02d}" for number in range(32)]
        for name in names:
            wire.answer(Turn(f"I am {name}. " * 20, chunk=3), to=name)
        hosts = {name: RecordingHost() for name in names}
        with anyio.fail_after(60):
            async with (
                runner_at(wire.url, ApiOptions(streams=32)) as runner,
                anyio.create_task_group() as group,
            ):
                for name, host in hosts.items():
                    asked = replace(TASK, prompt=replace(TASK.prompt, text=name))
                    group.start_soon(runner.run, asked, host)
    assert {name: host.text for name, host in hosts.items()} == {
        name: f"I am {name}. " * 20 for name in names
    }
