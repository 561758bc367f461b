"""What is sent of a conversation: legal however it was changed, and never changed by what is added."""

import pytest
from hypothesis import given as chosen_by
from hypothesis import settings
from hypothesis import strategies as st

from engine_mcp.core.context.cut import shape_of
from engine_mcp.core.context.mask import masked
from engine_mcp.core.context.turns import has_thinking
from engine_mcp.core.context.view import NO_SUMMARY, view
from engine_mcp.core.summary import Shape
from engine_mcp.core.window import Words
from tests.context.conversations import (
    CHANGES,
    PLAIN,
    SAYS,
    Cuts,
    Masks,
    Move,
    Restores,
    Says,
    Talk,
    answer,
    called,
    given,
    rounds,
    talks,
    thought,
    user,
)

SUMMARY = "# Summary\nport = 8080"
CHANGED = talks(
    st.tuples(st.lists(SAYS, min_size=1, max_size=8), CHANGES).map(lambda both: [*both[0], both[1]])
)


def words(message: Words, block: int = 0) -> str:
    """The text of a block of a message."""
    content = message["content"]
    assert isinstance(content, list)
    found = content[block]
    assert isinstance(found, dict)
    return str(found["text"])


def test_where_nothing_was_changed_all_messages_are_sent_as_they_are() -> None:
    messages = rounds(3, thinking=True)
    shown = view(messages, Shape(), "")
    assert all(new is old for new, old in zip(shown, messages, strict=True))


@pytest.mark.req("000:3.2.2", "000:2.3.3")
def test_a_summary_takes_the_place_of_the_messages_that_it_stands_for() -> None:
    messages = [*rounds(3), answer("Done."), user("More."), called("a"), given(a="1")]
    shown = view(messages, shape_of(messages, 8, 8), SUMMARY)
    assert shown[0] == user(SUMMARY)
    assert all(new is old for new, old in zip(shown[1:], messages[8:], strict=True))
    assert "The task." not in str(shown)


@pytest.mark.req("000:3.2.2")
def test_what_stays_of_a_loop_under_way_is_told_behind_the_summary_in_one_message() -> None:
    messages = rounds(3, thinking=True)
    (only,) = view(messages, shape_of(messages, 3, 3), SUMMARY)
    assert (only["role"], words(only)) == ("user", SUMMARY)
    told = words(only, 1)
    assert told.startswith("<<messages m3 to m6 of this conversation, told as text; ")
    assert told.endswith("<<end of what is told; the conversation goes on from here>>")
    assert (
        '<<m3 assistant calls files_read>>\n{"path": "c1.txt"}\n\n<<m4 result of files_read>>\nr1 x' in told
    )
    assert "Hm." not in told


def test_what_comes_after_is_shown_as_it_is() -> None:
    before = rounds(3, thinking=True)
    shape = shape_of(before, 3, 3)
    later = [thought(called("d")), given(d="4")]
    shown = view([*before, *later], shape, SUMMARY)
    assert shown[:-2] == view(before, shape, SUMMARY)
    assert shown[-2] is later[0]
    assert shown[-1] is later[1]


def test_without_a_summary_the_task_stays_at_the_beginning_and_the_rest_is_told() -> None:
    messages = rounds(9, thinking=True)
    shape = masked(messages, Shape())
    assert shape is not None
    (only,) = view(messages, shape, "")
    assert words(only) == "The task."
    assert "<<m2 result of files_read>>\n[result of `files_read`, 403 characters, begins " in words(only, 1)
    assert "`recall` m2 reads all of it]" in words(only, 1)
    assert f"<<m8 result of files_read>>\nr3 {'x' * 400}" in words(only, 1)


def test_results_are_masked_where_they_stand_if_nothing_has_to_be_told() -> None:
    messages = rounds(9)
    assert masked(messages, Shape()) == Shape(masked=7)
    shown = view(messages, Shape(masked=7), "")
    assert len(shown) == len(messages)
    assert ["[result of" in str(message) for message in shown] == [at in {2, 4, 6} for at in range(19)]
    assert all(shown[at] is messages[at] for at in range(19) if at not in {2, 4, 6})


def test_closed_loops_are_shown_without_their_thinking_and_with_their_stop_reasons() -> None:
    loop = [user("More."), thought(called("a")), given(a="1"), thought(answer("Done."))]
    messages = [user("The task."), answer("Hello."), *loop, user("And more.")]
    shown = view(messages, shape_of(messages, 2, 2), SUMMARY)
    assert shown[1:] == [user("More."), called("a"), given(a="1"), answer("Done."), user("And more.")]
    assert [message.get("stop_reason") for message in shown[2::2]] == ["tool_use", "end_turn"]


def test_the_rest_of_a_loop_is_told_and_what_the_user_asked_then_is_shown() -> None:
    messages = [*rounds(2), thought(answer("Done.")), user("More.")]
    first, second = view(messages, shape_of(messages, 3, 3), SUMMARY)
    assert words(first, 1).startswith("<<messages m3 to m5 ")
    assert second is messages[-1]


def test_an_answer_without_a_word_is_left_out() -> None:
    empty: Words = {"role": "assistant", "content": [], "stop_reason": "end_turn"}
    messages = [user("The task."), empty, user("More."), thought(empty), user("And more.")]
    assert view(messages[:3], Shape(), "") == [messages[0], messages[2]]
    assert view(messages, shape_of(messages, 2, 2), SUMMARY) == [user(SUMMARY), messages[2], messages[4]]


def test_a_summary_that_says_nothing_does_not_make_an_empty_message() -> None:
    assert view([user("The task.")], Shape(last=1), " ") == [user(NO_SUMMARY)]


# --- by chance


@chosen_by(talks())
@settings(max_examples=60)
def test_what_is_sent_is_legal_however_often_it_was_changed(talk: Talk) -> None:
    assert talk.objection is None


@chosen_by(talks(), st.one_of(CHANGES, st.just(Says())), SAYS)
@settings(max_examples=60)
def test_it_is_legal_at_once_after_a_change_and_after_the_turn_that_follows(
    talk: Talk, change: Move, says: Says
) -> None:
    talk.play(change)
    assert talk.objection is None
    talk.play(says)
    assert talk.objection is None


@chosen_by(CHANGED, st.lists(SAYS, min_size=1, max_size=4))
@settings(max_examples=60)
def test_what_is_added_never_changes_what_was_shown_before(talk: Talk, more: list[Says]) -> None:
    for says in more:
        before, count = talk.shown, len(talk.messages)
        talk.play(says)
        after = talk.shown
        assert after[: len(before)] == before
        new = [message for message in talk.messages[count:] if message["content"]]
        assert all(shown is added for shown, added in zip(after[len(before) :], new, strict=True))


@chosen_by(talks())
@settings(max_examples=60)
def test_the_view_is_the_same_every_time_and_leaves_the_record_alone(talk: Talk) -> None:
    before = [dict(message) for message in talk.messages]
    assert talk.shown == talk.shown
    assert talk.messages == before


@chosen_by(PLAIN, st.sampled_from([0, 1, 300, 3_000]))
@settings(max_examples=60)
def test_nothing_is_shown_twice_and_nothing_is_left_out(talk: Talk, keep: int) -> None:
    for at, message in enumerate(talk.messages):
        content = message["content"]
        assert isinstance(content, list)
        content.append({"type": "text", "text": f"canary-{at}-"})
    talk.messages = [
        {**message, "content": [block for block in message["content"] if not _is_thinking(block)]}
        for message in talk.messages
        if isinstance(message["content"], list)
    ]
    talk.play(Cuts(keep=keep))
    shown = str(talk.shown)
    found = [shown.count(f"canary-{at}-") for at in range(len(talk.messages))]
    assert found == [0] * talk.shape.last + [1] * (len(found) - talk.shape.last)


def _is_thinking(block: object) -> bool:
    return isinstance(block, dict) and "thinking" in str(block.get("type"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - any JSON


def test_the_originals_are_legal_again_after_they_are_restored() -> None:
    talk, thinks = Talk(), Says(thinking="Hm.", results=("1 " * 200,))
    moves: list[Move] = [thinks, thinks, Cuts(keep=1), thinks, Masks(keep=1), thinks, Restores()]
    for move in moves:
        talk.play(move)
    assert talk.objection is None
    assert not any(map(has_thinking, talk.shown))
    assert "m1 assistant calls files_read" in str(talk.shown)
