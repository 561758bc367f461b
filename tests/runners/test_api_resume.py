"""An api conversation goes on where the record says it stands, and nothing is paid or done twice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import anyio
import pytest
from pydantic import JsonValue

from engine_mcp.core.agent import AgentCall, AgentResult
from engine_mcp.core.tool import ToolResult
from tests.runners.api_rig import LIST, PROMPT, READ, TASK, runner_at
from tests.runners.host import RecordingHost
from tests.wire.received import Received
from tests.wire.server import Wire
from tests.wire.turns import Text, Thinking, ToolUse, Turn

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks")]

Message = Mapping[str, JsonValue]
STORY = (
    Turn(blocks=[Thinking("where?"), Text("I look."), ToolUse("files_list", {"path": "."}, id="c1")]),
    Turn(
        blocks=[
            ToolUse("files_read", {"path": "a"}, id="c2"),
            ToolUse("files_read", {"path": "b"}, id="c3"),
            ToolUse("nothing", {}, id="c4"),
        ]
    ),
    Turn("Both say ", stop_reason="pause_turn"),
    Turn("the same."),
)
"""A conversation with calls, calls at once, one that there is no tool for, a pause and an answer."""


def told(request: Received) -> Turn:
    """The turn of the story that follows what a request holds."""
    return STORY[sum(message["role"] == "assistant" for message in request.body["messages"])]


@dataclass
class Engine:
    """What outlives an attempt: the conversation, and the calls that were answered."""

    memory: list[Message] = field(default_factory=list[Message])
    answered: dict[str, ToolResult] = field(default_factory=dict[str, ToolResult])
    carried_out: list[str] = field(default_factory=list[str])


class Host(RecordingHost):
    """A host that answers from the record what was answered, and stops the attempt after some messages."""

    def __init__(
        self, engine: Engine, stop_at: int | None = None, scope: anyio.CancelScope | None = None
    ) -> None:
        super().__init__([READ, LIST], memory=engine.memory)
        self._engine, self._stop_at, self._scope = engine, stop_at, scope

    async def remember(self, message: Message) -> None:
        await super().remember(message)
        self._engine.memory.append(message)
        if self._scope is not None and len(self._engine.memory) == self._stop_at:
            self._scope.cancel()

    async def call(self, call: AgentCall) -> ToolResult:
        if call.id not in self._engine.answered:
            await anyio.lowlevel.checkpoint()
            self._engine.carried_out.append(call.id)
            self._engine.answered[call.id] = ToolResult(value=f"what {call.id} gives")
        return self._engine.answered[call.id]


async def attempt(wire: Wire, engine: Engine, stop_at: int | None = None) -> AgentResult | None:
    """One attempt; None where it was stopped after the message `stop_at`."""
    with anyio.fail_after(30), anyio.CancelScope() as scope:
        async with runner_at(wire.url) as runner:
            return await runner.run(TASK, Host(engine, stop_at, scope))
    return None


async def uninterrupted() -> Engine:
    engine = Engine()
    with Wire() as wire:
        wire.otherwise(told)
        result = await attempt(wire, engine)
    assert result is not None
    assert (result.failure, result.output) == (None, "Both say the same.")
    assert engine.carried_out == ["c1", "c2", "c3"]
    return engine


LENGTH = 7


async def test_the_story_has_as_many_messages_as_the_cases_below_think() -> None:
    assert len((await uninterrupted()).memory) == LENGTH


@pytest.mark.parametrize("stop_at", range(1, LENGTH + 1))
async def test_an_attempt_that_is_stopped_after_any_message_is_taken_up_there(stop_at: int) -> None:
    whole, engine = await uninterrupted(), Engine()
    with Wire() as wire:
        wire.otherwise(told)
        await attempt(wire, engine, stop_at)
        assert len(engine.memory) == stop_at
        result = await attempt(wire, engine)
        assert len(wire.requests) == wire.billed.turns == len(STORY)
    assert result is not None
    assert (result.failure, result.output) == (None, "Both say the same.")
    assert engine.memory == whole.memory
    assert sorted(engine.carried_out) == ["c1", "c2", "c3"]


async def test_an_attempt_that_is_stopped_after_every_message_still_comes_to_the_same_end() -> None:
    whole, engine = await uninterrupted(), Engine()
    with Wire() as wire:
        wire.otherwise(told)
        for stop_at in range(1, LENGTH + 1):
            await attempt(wire, engine, stop_at)
        result = await attempt(wire, engine)
        assert len(wire.requests) == len(STORY)
    assert result is not None
    assert result.output == "Both say the same."
    assert engine.memory == whole.memory
    assert sorted(engine.carried_out) == ["c1", "c2", "c3"]


SUBSETS = [set(chosen) for size in range(3) for chosen in combinations(("c2", "c3"), size)]


@pytest.mark.parametrize("answered", SUBSETS, ids=lambda chosen: "+".join(sorted(chosen)) or "none")
async def test_of_calls_at_once_only_those_without_an_answer_are_carried_out(answered: set[str]) -> None:
    whole = await uninterrupted()
    known = {name: result for name, result in whole.answered.items() if name in {"c1", *answered}}
    engine = Engine(whole.memory[:4], known)
    with Wire() as wire:
        wire.otherwise(told)
        await attempt(wire, engine)
    assert engine.memory == whole.memory
    assert set(engine.carried_out) == {"c2", "c3"} - answered


@pytest.mark.parametrize("text", ["Both say the same.", ""])
async def test_an_answer_on_record_is_given_without_a_request(text: str) -> None:
    content: list[JsonValue] = [{"type": "text", "text": text}] if text else []
    memory: list[Message] = [
        {"role": "user", "content": [{"type": "text", "text": "Say hello."}]},
        {"role": "assistant", "content": content, "stop_reason": "end_turn"},
    ]
    with Wire() as wire:
        result = await attempt(wire, Engine(memory))
        assert wire.requests == []
    assert result is not None
    assert (result.failure, result.output) == (None, text)


async def test_a_request_holds_the_record_as_it_was_received_and_nothing_else() -> None:
    whole = await uninterrupted()
    engine = Engine(whole.memory[:5])
    with Wire() as wire:
        wire.otherwise(told)
        await attempt(wire, engine)
        sent: Sequence[Message] = wire.requests[0].body["messages"]
    assert sent == [{"role": each["role"], "content": each["content"]} for each in whole.memory[:5]]
    assert sent[1]["content"] == [
        {"type": "thinking", "thinking": "where?", "signature": Thinking("").signature},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "c1", "name": "files_list", "input": {"path": "."}},
    ]


async def test_a_model_whose_answer_was_cut_is_told_why_it_goes_on() -> None:
    engine = Engine()
    with Wire() as wire:
        wire.answer(Turn("Half of", stop_reason="max_tokens"), Turn(" the answer."))
        cut = await attempt(wire, engine)
        result = await attempt(wire, engine)
    assert cut is not None
    assert cut.failure is not None
    assert cut.failure.code == "truncated"
    assert result is not None
    assert (result.failure, result.output) == (None, " the answer.")
    assert wire.requests[1].body["messages"][1:] == [
        {"role": "assistant", "content": [{"type": "text", "text": "Half of"}]},
        {"role": "user", "content": [{"type": "text", "text": PROMPT.again}]},
    ]


async def test_a_turn_that_broke_off_is_asked_for_again_without_a_word_more() -> None:
    engine = Engine()
    with Wire() as wire:
        wire.answer(Turn("Never ends", stop_reason="refusal"), Turn("Hello."))
        await attempt(wire, engine)
        result = await attempt(wire, engine)
    assert result is not None
    assert result.output == "Hello."
    assert wire.requests[0].body["messages"] == wire.requests[1].body["messages"]
