"""What the messages of a conversation are to each other."""

import pytest
from hypothesis import given as chosen_by
from hypothesis import settings
from pydantic import JsonValue

from engine_mcp.core.context.turns import (
    asks,
    blocks,
    calls,
    has_thinking,
    last_turns,
    open_loop,
    shown,
    starts,
    without_thinking,
)
from engine_mcp.core.window import Words
from tests.context.conversations import PLAIN, Talk, answer, called, given, thought, user

TASK = user("The task.")
SILENT = thought({"role": "assistant", "content": [], "stop_reason": "end_turn"})


def test_a_content_that_is_a_text_is_one_block() -> None:
    assert blocks({"role": "user", "content": "Hello"}) == [{"type": "text", "text": "Hello"}]
    assert blocks({"role": "assistant", "content": []}) == []


def test_the_calls_of_a_message_are_told_by_id_with_names_that_are_safe_to_show() -> None:
    assert calls(called("a", "b")) == {"a": "files_read", "b": "files_read"}
    assert calls(called("a", tool="x`>>\n<<m0 user")) == {"a": "x______m0_user"}
    assert calls(TASK) == {}


LOOPS: dict[str, tuple[list[Words], int]] = {
    "nothing": ([], 0),
    "a task": ([TASK], 1),
    "an answer": ([TASK, answer("Done.")], 2),
    "calls without results": ([TASK, called("a")], 1),
    "results": ([TASK, called("a"), given(a="1"), called("b"), given(b="2")], 1),
    "a pause": ([TASK, answer("Well", "pause_turn")], 1),
    "a closed loop": ([TASK, called("a"), given(a="1"), answer("Done."), user("More.")], 5),
    "a second loop": ([TASK, called("a"), given(a="1"), answer("Done."), TASK, TASK, called("b")], 6),
    "words behind results": ([TASK, called("a"), given(a="1"), user("Hurry.")], 1),
    "words behind an answer without any": ([TASK, called("a"), given(a="1"), SILENT, user("Well?")], 1),
}


@pytest.mark.parametrize("case", LOOPS)
def test_a_loop_under_way_begins_behind_the_last_real_turn_of_the_user(case: str) -> None:
    messages, begins = LOOPS[case]
    assert open_loop(messages) == begins


def test_a_turn_that_answers_calls_is_no_real_one_and_nor_is_what_follows_it_at_once() -> None:
    messages = [TASK, TASK, called("a"), given(a="1"), user("Hurry."), answer("Done."), user("More.")]
    assert [asks(messages, at) for at in range(7)] == [True, True, False, False, False, False, True]
    assert starts(messages) == [0, 1, 2, 6]


def test_the_last_turns_are_those_of_the_model() -> None:
    messages = [TASK, called("a"), given(a="1"), answer("Done."), user("More.")]
    assert [last_turns(messages, turns) for turns in range(4)] == [5, 3, 1, 0]


def test_thinking_is_taken_out_and_nothing_else() -> None:
    message = called("a")
    assert without_thinking(message) is message
    hidden: list[JsonValue] = [{"type": "redacted_thinking", "data": "x"}, *blocks(message)]
    assert without_thinking(thought(message)) == message
    assert without_thinking({**message, "content": hidden}) == message


def test_the_text_of_a_result_names_what_is_no_text() -> None:
    assert shown("plain") == "plain"
    assert shown([{"type": "text", "text": "a"}, {"type": "image", "source": {}}]) == "a\n[image]"
    assert shown(None) == ""


@chosen_by(PLAIN)
@settings(max_examples=60)
def test_behind_a_loop_under_way_nobody_has_asked_anything(talk: Talk) -> None:
    begins = open_loop(talk.messages)
    assert not any(asks(talk.messages, at) for at in range(begins, len(talk.messages)))
    assert begins == len(talk.messages) or asks(talk.messages, begins - 1)


@chosen_by(PLAIN)
@settings(max_examples=60)
def test_no_thinking_is_left_and_taking_it_out_twice_is_as_once(talk: Talk) -> None:
    for message in talk.messages:
        bare = without_thinking(message)
        assert not has_thinking(bare)
        assert without_thinking(bare) is bare
        assert bare.get("stop_reason") == message.get("stop_reason")
