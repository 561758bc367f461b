"""Older results of tools become stubs, which say how to read the whole of them."""

from hypothesis import given as chosen_by
from hypothesis import settings
from hypothesis import strategies as st
from pydantic import JsonValue

from engine_mcp.core.context.mask import masked, masked_message, stub, stubs
from engine_mcp.core.context.turns import Block, blocks, spoken
from engine_mcp.core.summary import Shape
from engine_mcp.core.window import Words
from tests.context.conversations import IMAGE, PLAIN, Talk, called, failed, given, rounds, user

LONG = "def main():\n    return 1\n" + "# more\n" * 100


def result(content: JsonValue, *, error: bool = False) -> Block:
    return {"type": "tool_result", "tool_use_id": "a", "content": content, "is_error": error}


def test_a_stub_tells_tool_size_first_words_and_where_the_whole_is() -> None:
    told = stub(result(LONG), 12, "files_read")
    assert told == (
        f"[result of `files_read`, {len(LONG)} characters, begins "
        '"def main(): return 1 # more # more # more # more # more # more # more # more # m"; '
        "`recall` m12 reads all of it]"
    )


def test_of_an_error_the_first_line_stays_as_it_is() -> None:
    first = "runtime_failed: " + "it broke " * 50
    told = stub(result(f"{first}\n{LONG}", error=True), 3, "run")
    assert told.startswith(f"{first} [error of `run`, ")
    assert told.endswith("; `recall` m3 reads all of it]")


def test_a_result_stays_that_is_smaller_than_its_stub() -> None:
    messages = [user("Go."), called("a", "b", "c"), given(a="short", b=LONG, c="")]
    first, second, third = blocks(masked_message(messages, 2))
    assert (first["content"], third["content"]) == ("short", "")
    assert str(second["content"]).startswith("[result of `files_read`")
    assert stubs(messages, 0, 3) == 1


def test_a_message_that_has_nothing_to_mask_stays_the_same_object() -> None:
    messages = [user(LONG), called("a"), given(a="short"), called("b"), failed(b="not_found: " + "x" * 500)]
    assert all(masked_message(messages, at) is message for at, message in enumerate(messages))
    assert masked(messages, Shape(), 0) is None


def test_images_become_stubs_too() -> None:
    messages: list[Words] = [user("Go."), called("a"), {"role": "user", "content": [result([IMAGE])]}]
    assert '"[image]"' in str(masked_message(messages, 2)["content"])


def test_the_results_of_the_last_turns_stay() -> None:
    messages = rounds(10)
    shape = masked(messages, Shape(), 6)
    assert shape == Shape(masked=9)
    assert spoken(messages[9:]) == 6
    assert masked(messages, Shape(), 10) is None
    assert masked(messages, Shape()) == shape
    assert masked(messages, Shape(), 0) == Shape(masked=21)


def test_nothing_is_masked_that_is_masked_or_summarized_already() -> None:
    messages = rounds(10)
    assert masked(messages, Shape(masked=9), 6) is None
    assert masked(messages, Shape(last=9, masked=9), 6) is None
    assert masked(messages, Shape(last=5, masked=7, retold=15), 6) == Shape(last=5, masked=9, retold=21)


def test_a_loop_under_way_with_thinking_is_told_once_its_results_are_masked() -> None:
    messages = rounds(10, thinking=True)
    assert masked(messages, Shape()) == Shape(masked=9, retold=21)


@chosen_by(PLAIN, st.integers(0, 6))
@settings(max_examples=60)
def test_masks_make_smaller_what_they_change_and_change_nothing_else(talk: Talk, keep: int) -> None:
    shape = masked(talk.messages, Shape(), keep)
    for at, message in enumerate(talk.messages):
        new = masked_message(talk.messages, at)
        assert {**new, "content": None} == {**message, "content": None}
        for old, changed in zip(blocks(message), blocks(new), strict=True):
            if changed is not old:
                assert len(str(changed["content"])) < len(str(old["content"]))
                assert {**changed, "content": None} == {**old, "content": None}
                assert len(str(changed["content"]).splitlines()) == 1
    assert (shape is None) == (stubs(talk.messages, 0, 0 if shape is None else shape.masked) == 0)
