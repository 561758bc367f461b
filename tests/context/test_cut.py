"""Where a conversation may be cut, and how what stays can be shown."""

import pytest
from hypothesis import given as chosen_by
from hypothesis import settings
from hypothesis import strategies as st

from engine_mcp.core.context.cut import cut, shape_of, told_until
from engine_mcp.core.context.turns import calls, has_results, spoken
from engine_mcp.core.summary import Shape
from tests.context.conversations import PLAIN, Talk, answer, called, given, rounds, thought, user

TASK, MORE = user("The task."), user("More.")
CLOSED = [TASK, called("a"), given(a="1"), answer("Done.")]


def test_the_last_turns_stay_that_hold_as_many_tokens_as_may_be_kept() -> None:
    messages = rounds(5)
    sizes = [10] * len(messages)
    assert [cut(messages, sizes, keep) for keep in (110, 109, 99, 60, 59, 40, 39, 20)] == [
        0,
        1,
        3,
        5,
        7,
        7,
        9,
        9,
    ]


def test_no_more_than_six_turns_stay_however_small_they_are() -> None:
    messages = rounds(20)
    last = cut(messages, [1] * len(messages), 10_000)
    assert spoken(messages[last:]) == 6
    assert spoken(messages[cut(messages, [1] * len(messages), 10_000, turns=3) :]) == 3


def test_what_was_said_last_stays_however_large_it_is_unless_nothing_may() -> None:
    messages = rounds(3)
    sizes = [1, 1, 1, 1, 1, 1, 5_000]
    assert cut(messages, sizes, 100) == 5
    assert cut(messages, sizes, 0) == 7
    assert cut([*CLOSED, MORE], [1, 1, 1, 1, 900], 100) == 4


def test_an_answer_stays_with_the_results_that_it_tells_of() -> None:
    messages = [*CLOSED, MORE]
    assert [cut(messages, [10] * 5, keep) for keep in (50, 49, 40, 39, 10)] == [0, 1, 1, 4, 4]


def test_a_conversation_of_one_task_is_not_cut() -> None:
    assert cut([TASK], [900], 10) == 0


@chosen_by(PLAIN, st.integers(0, 3_000), st.integers(1, 8))
@settings(max_examples=60)
def test_a_call_is_never_split_from_its_result(talk: Talk, keep: int, turns: int) -> None:
    messages = talk.messages
    sizes = [len(str(message["content"])) for message in messages]
    last = cut(messages, sizes, keep, turns)
    assert 0 <= last <= len(messages)
    if 0 < last < len(messages):
        assert not calls(messages[last - 1])
        assert not has_results(messages[last])
    units = [at for at in range(len(messages)) if calls(messages[at]) or at == last]
    assert last >= max(units, default=0) or (sum(sizes[last:]) <= keep and spoken(messages[last:]) <= turns)


# --- how what stays can be shown


def test_messages_without_thinking_can_be_shown_from_a_real_turn_of_the_user_on() -> None:
    assert shape_of([*CLOSED, MORE], 4, 4) == Shape(last=4, masked=4)
    assert shape_of([*rounds(3), answer("Done."), MORE, called("a"), given(a="1")], 8, 8) == Shape(
        last=8, masked=8
    )


def test_what_begins_inside_of_a_loop_has_to_be_told() -> None:
    messages = rounds(3)
    assert shape_of(messages, 3, 3) == Shape(last=3, masked=3, retold=7)
    assert told_until(messages, 3, 7) == 7


def test_a_loop_under_way_with_thinking_has_to_be_told_wherever_it_was_cut() -> None:
    messages = [*CLOSED, MORE, thought(called("b")), given(b="2"), called("c"), given(c="3")]
    for last in (0, 1, 4, 7):
        assert shape_of(messages, last, 0).retold == 9
        assert told_until(messages, last, 9) == 9


def test_closed_loops_can_be_shown_without_their_thinking() -> None:
    messages = [TASK, answer("Hello."), MORE, thought(called("a")), given(a="1"), answer("Done."), MORE]
    assert shape_of(messages, 2, 2) == Shape(last=2, masked=2, retold=7)
    assert told_until(messages, 2, 7) == 2
    assert told_until(messages, 3, 7) == 6


def test_where_nothing_stays_nothing_is_told() -> None:
    assert shape_of(rounds(3, thinking=True), 7, 7) == Shape(last=7, masked=7)


def test_a_change_needs_the_results_of_all_calls() -> None:
    with pytest.raises(ValueError, match="no results yet"):
        shape_of([TASK, called("a")], 0, 0)
