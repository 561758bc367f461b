"""The wire server refuses what the Messages API refuses, and fails the test for it."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, cast

import anthropic
import pytest
from anthropic import Anthropic
from anthropic.types import Message as Answer

from tests.wire.server import Wire
from tests.wire.turns import ToolUse, Turn

Message = dict[str, Any]
ASK: Message = {"role": "user", "content": "What is in a?"}
RESULT: Message = {"type": "tool_result", "tool_use_id": "c1", "content": "1"}
GIVEN: Message = {"role": "user", "content": [RESULT]}
CALL = Turn(thinking="Where?", text="I look.", blocks=[ToolUse("read", {"path": "a"}, id="c1")])


@pytest.fixture(scope="module")
def sdk() -> Iterator[Anthropic]:
    with Anthropic(api_key="test", max_retries=0, timeout=10) as client:
        yield client


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as server:
        yield server


@pytest.fixture
def client(sdk: Anthropic, wire: Wire) -> Anthropic:
    return sdk.with_options(base_url=wire.url)


def said(client: Anthropic, *messages: Message, **more: object) -> Message:
    """The answer to a conversation, as a message of it."""
    asked: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": messages, **more}
    answer = cast("Answer", client.messages.create(**asked))
    content = [block.to_dict(exclude_none=True) for block in answer.content]
    return {"role": "assistant", "content": content}


def without(message: Message, kind: str) -> Message:
    return {**message, "content": [block for block in message["content"] if block["type"] != kind]}


def called(*names: str) -> Message:
    blocks: list[Message] = [{"type": "tool_use", "id": name, "name": "read", "input": {}} for name in names]
    return {"role": "assistant", "content": blocks}


def given(*names: str) -> Message:
    return {"role": "user", "content": [{**RESULT, "tool_use_id": name} for name in names]}


ILLEGAL: dict[str, tuple[list[Message], str]] = {
    "no message": ([], "at least one message"),
    "an answer first": ([called("c1"), given("c1")], 'must use the "user" role'),
    "no result": ([ASK, called("c1"), ASK], "found without `tool_result`.*: c1"),
    "no message after the call": ([ASK, called("c1")], "found without `tool_result`"),
    "one result of two": ([ASK, called("c1", "c2"), given("c1")], "found without `tool_result`.*: c2"),
    "a result too late": ([ASK, called("c1"), ASK, called("c2"), given("c1", "c2")], "without.*: c1"),
    "no call": ([given("c1")], "unexpected `tool_use_id`.*: c1"),
    "another call": ([ASK, called("c1"), given("c1", "c2")], "unexpected `tool_use_id`.*: c2"),
    "two results": ([ASK, called("c1"), given("c1", "c1")], "a single result"),
    "an empty message": ([{"role": "user", "content": []}], "non-empty content"),
    "an empty answer inside": ([ASK, {"role": "assistant", "content": []}, ASK], "non-empty content"),
    "a blank text": ([{"role": "user", "content": " "}], "non-whitespace"),
}


@pytest.mark.parametrize("case", ILLEGAL)
def test_what_the_api_does_not_take_is_refused(client: Anthropic, wire: Wire, case: str) -> None:
    messages, why = ILLEGAL[case]
    with pytest.raises(anthropic.BadRequestError, match=why):
        said(client, *messages)
    assert len(wire.violations) == len(wire.forgiven()) == 1
    assert wire.billed.turns == 0


def test_results_may_come_in_several_messages_of_the_user(client: Anthropic) -> None:
    said(client, ASK, called("c1", "c2"), given("c1"), given("c2"), ASK)


def test_a_violation_fails_the_test_in_the_end(sdk: Anthropic) -> None:
    with ExitStack() as stack:
        wire = stack.enter_context(Wire())
        with pytest.raises(anthropic.BadRequestError):
            said(sdk.with_options(base_url=wire.url), GIVEN)
        with pytest.raises(AssertionError, match="unexpected `tool_use_id`"):
            stack.close()


# --- thinking


def test_thinking_comes_first_and_signed(client: Anthropic, wire: Wire) -> None:
    wire.answer(CALL)
    thinking, text, call = said(client, ASK)["content"]
    assert (thinking["type"], thinking["thinking"]) == ("thinking", "Where?")
    assert (text["text"], call["id"]) == ("I look.", "c1")
    assert thinking["signature"].startswith("wire-")


def test_thinking_is_taken_back_where_it_was_thought(client: Anthropic, wire: Wire) -> None:
    wire.answer(CALL, Turn("It is 1.", thinking="So."))
    system: Any = {"system": "Be kind."}
    first = said(client, ASK, **system)
    second = said(client, ASK, first, GIVEN, **system)
    cached = {"type": "text", "text": ASK["content"], "cache_control": {"type": "ephemeral"}}
    said(client, {"role": "user", "content": [cached]}, first, GIVEN, second, ASK, **system)
    assert wire.violations == []


def changed(kind: str, first: Message) -> tuple[list[Message], dict[str, Any]]:
    """A conversation with something changed before its thinking, or in it."""
    thinking = {**first["content"][0], "thinking": "Elsewhere."}
    match kind:
        case "an earlier word":
            return [{**ASK, "content": "What is in b?"}, first, GIVEN], {}
        case "a message put before":
            return [ASK, {"role": "assistant", "content": "Hm."}, ASK, first, GIVEN], {}
        case "the system prompt":
            return [ASK, first, GIVEN], {"system": "Be brief."}
        case "the tools":
            tool = {"name": "read", "input_schema": {"type": "object"}}
            return [ASK, first, GIVEN], {"tools": [tool]}
        case _:
            return [ASK, {**first, "content": [thinking, *first["content"][1:]]}, GIVEN], {}


@pytest.mark.parametrize(
    "kind", ["an earlier word", "a message put before", "the system prompt", "the tools", "the thinking"]
)
def test_thinking_behind_anything_else_is_refused(client: Anthropic, wire: Wire, kind: str) -> None:
    wire.answer(CALL)
    messages, more = changed(kind, said(client, ASK))
    with pytest.raises(anthropic.BadRequestError, match="bound to a different conversation"):
        said(client, *messages, **more)
    assert len(wire.violations) == len(wire.forgiven()) == 1


def test_a_loop_under_way_must_keep_its_thinking_and_a_closed_one_need_not(
    client: Anthropic, wire: Wire
) -> None:
    wire.answer(CALL)
    bare = without(said(client, ASK), "thinking")
    said(client, ASK, bare, GIVEN, {"role": "assistant", "content": "It is 1."}, ASK)
    with pytest.raises(anthropic.BadRequestError, match="expected `thinking`"):
        said(client, ASK, bare, GIVEN)
    with pytest.raises(anthropic.BadRequestError, match="expected `thinking`"):
        said(client, ASK, bare, GIVEN, called("c2"), given("c2"))
    assert len(wire.forgiven()) == 2


def test_calls_without_a_thought_need_none_later(client: Anthropic, wire: Wire) -> None:
    wire.answer(CALL, Turn(blocks=CALL.blocks))
    said(client, ASK)
    said(client, ASK, said(client, ASK), GIVEN)
    assert wire.violations == []
