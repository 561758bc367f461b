"""One answer as its events come in."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from engine_mcp.core.budget import Usage
from engine_mcp.runners.api_stream import INVALID_JSON, Reply, is_invalid, parsed_input
from tests.wire import stream
from tests.wire.turns import Text, Thinking, ToolUse, Turn

Event = Mapping[str, JsonValue]

TURN = Turn(
    blocks=[
        Thinking("why?", "sig"),
        Text("I look — at ünïcode 🙂"),
        ToolUse("files_read", {"path": "a", "n": [1]}),
    ],
    input_tokens=10,
    output_tokens=20,
    cache_read=30,
    cache_write=40,
)


def events(turn: Turn) -> list[Event]:
    return list(stream.events(turn, 1, "m"))


def fed(*listed: Event) -> Reply:
    reply = Reply()
    for event in listed:
        reply.feed(event)
    return reply


def start(index: int = 0, **block: JsonValue) -> Event:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int = 0, **change: JsonValue) -> Event:
    return {"type": "content_block_delta", "index": index, "delta": change}


def end(reason: str, **more: JsonValue) -> Event:
    return {"type": "message_delta", "delta": {"stop_reason": reason, **more}, "usage": {"output_tokens": 5}}


BEGIN: Event = {"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 1}}}


@given(st.integers(min_value=1, max_value=60))
def test_the_content_is_the_same_however_it_is_cut_into_deltas(chunk: int) -> None:
    turn = Turn(blocks=TURN.blocks, chunk=chunk)
    assert fed(*events(turn)).content(cut=False) == stream.message(turn, 1, "m")["content"]


def test_every_event_gives_the_text_that_it_adds_and_no_thinking() -> None:
    reply = Reply()
    told = [reply.feed(event) for event in events(TURN)]
    assert "".join(told) == reply.text == "I look — at ünïcode 🙂"


def test_text_that_a_block_begins_with_counts_as_said() -> None:
    reply = Reply()
    assert reply.feed(start(type="text", text="Well")) == "Well"
    assert reply.feed(delta(type="text_delta", text=", yes")) == ", yes"
    assert reply.content(cut=False) == [{"type": "text", "text": "Well, yes"}]


def test_the_use_of_a_whole_answer_is_what_the_api_tells() -> None:
    assert fed(*events(TURN)).used() == Usage(
        tokens_in=10, tokens_out=20, cache_read=30, cache_write=40, requests=1, cost_basis="unpriced"
    )


def test_later_totals_replace_earlier_ones_and_missing_ones_hold() -> None:
    last: Event = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"input_tokens": 9, "output_tokens": 5, "cache_read_input_tokens": None},
    }
    begun: Event = {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 7, "output_tokens": 1, "cache_read_input_tokens": 3}},
    }
    used = fed(begun, last).used()
    assert (used.tokens_in, used.tokens_out, used.cache_read) == (9, 5, 3)


def test_a_request_without_an_answer_is_a_request_and_nothing_more() -> None:
    assert fed().used() == Usage(requests=1)


@pytest.mark.parametrize("cut", range(1, len(events(TURN)) - 2))
def test_a_cut_answer_has_its_input_and_an_estimate_of_its_output(cut: int) -> None:
    used = fed(*events(TURN)[:cut]).used()
    assert (used.tokens_in, used.cache_read, used.cache_write, used.requests) == (10, 30, 40, 1)
    assert used.tokens_out >= 1


def test_the_estimate_counts_thinking_text_and_the_input_of_calls() -> None:
    cut = [
        BEGIN,
        start(0, type="thinking", thinking="", signature=""),
        delta(0, type="thinking_delta", thinking="t" * 30),
        start(1, type="text", text=""),
        delta(1, type="text_delta", text="x" * 30),
        start(2, type="tool_use", id="c", name="n", input={}),
        delta(2, type="input_json_delta", partial_json="j" * 30),
    ]
    assert fed(*cut).used().tokens_out == 60


def test_an_estimate_is_never_less_than_what_was_told() -> None:
    told: Event = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 500}}
    assert (
        fed(BEGIN, start(type="text", text=""), delta(type="text_delta", text="x"), told).used().tokens_out
        == 500
    )


def test_an_answer_without_its_end_has_no_stop_reason() -> None:
    assert fed(*events(TURN)[:-2]).stop_reason is None
    assert fed(*events(TURN)).stop_reason == "tool_use"


def test_why_the_model_refused_is_kept() -> None:
    details: JsonValue = {"type": "refusal", "category": "bio", "explanation": "No."}
    assert fed(BEGIN, end("refusal", stop_details=details)).stop_details == details


def test_a_call_without_any_input_has_an_empty_one() -> None:
    reply = fed(BEGIN, start(type="tool_use", id="c", name="n", input={}), end("tool_use"))
    assert reply.content(cut=False) == [{"type": "tool_use", "id": "c", "name": "n", "input": {}}]


@pytest.mark.parametrize(
    "text", ['{"a": ', "[1]", '"a"', "NaN", '{"a": NaN}', '{"a": "\\ud800"}', "[" * 100_000]
)
def test_input_that_is_no_json_object_is_kept_as_text_in_one(text: str) -> None:
    found = parsed_input(text)
    assert found == {INVALID_JSON: text}
    assert is_invalid(found)


@pytest.mark.parametrize("text", ["", "{}", '{"a": {"b": null}}', '{"INVALID_JSON": 1, "more": 2}'])
def test_any_other_input_is_valid(text: str) -> None:
    assert not is_invalid(parsed_input(text))


def test_what_the_api_would_not_take_back_is_left_out() -> None:
    reply = fed(
        BEGIN,
        start(0, type="thinking", thinking="", signature=""),
        delta(0, type="thinking_delta", thinking="cut off"),
        start(1, type="text", text=""),
        start(2, type="text", text=""),
        delta(2, type="text_delta", text="  \n"),
        start(3, type="text", text="kept"),
        end("end_turn"),
    )
    assert reply.content(cut=False) == [{"type": "text", "text": "kept"}]


@pytest.mark.parametrize("pieces", [(), ('{"path": "a',)])
def test_a_call_in_which_an_answer_was_cut_is_left_out(pieces: tuple[str, ...]) -> None:
    reply = fed(
        BEGIN,
        start(0, type="tool_use", id="a", name="n", input={}),
        start(1, type="tool_use", id="b", name="n", input={}),
        *(delta(1, type="input_json_delta", partial_json=piece) for piece in pieces),
        end("max_tokens"),
    )
    assert [block["id"] for block in reply.content(cut=True)] == ["a"]


def test_a_last_call_that_came_whole_before_the_cut_is_kept() -> None:
    reply = fed(
        BEGIN,
        start(type="tool_use", id="a", name="n", input={}),
        delta(type="input_json_delta", partial_json='{"path": "a"}'),
        end("max_tokens"),
    )
    assert [block["input"] for block in reply.content(cut=True)] == [{"path": "a"}]


def test_citations_are_gathered() -> None:
    cited: JsonValue = {"type": "char_location", "cited_text": "c"}
    reply = fed(
        BEGIN,
        start(type="text", text="", citations=None),
        delta(type="text_delta", text="as it says"),
        delta(type="citations_delta", citation=cited),
        end("end_turn"),
    )
    assert reply.content(cut=False) == [{"type": "text", "text": "as it says", "citations": [cited]}]


def test_events_and_blocks_of_unknown_types_do_no_harm() -> None:
    reply = fed(
        BEGIN,
        {"type": "weather", "index": 3},
        start(type="novelty", content="a", more=1),
        delta(type="novelty_delta", content="b"),
        end("end_turn"),
    )
    assert reply.content(cut=False) == [{"type": "novelty", "content": "ab", "more": 1}]
    assert reply.garbled == ""


def test_a_delta_of_a_block_that_was_never_begun_is_told() -> None:
    reply = fed(BEGIN, delta(4, type="text_delta", text="lost"), end("end_turn"))
    assert "4" in reply.garbled


def test_half_a_character_does_not_stay_in_a_text() -> None:
    reply = fed(BEGIN, start(type="text", text=""), delta(type="text_delta", text="a\ud83d"), end("end_turn"))
    assert reply.text == "a?"
    assert reply.content(cut=False) == [{"type": "text", "text": "a?"}]


def test_the_model_is_the_one_that_the_answer_names() -> None:
    assert Reply().model == fed(BEGIN).model == ""
    assert fed(*events(Turn("hello", model="another"))).model == "another"


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=6), st.integers(0, 300))
def test_a_cut_answer_is_never_charged_less_than_was_told(counts: list[int], length: int) -> None:
    told: list[Event] = [
        {"type": "message_delta", "delta": {}, "usage": {"input_tokens": count, "output_tokens": count}}
        for count in counts
    ]
    begun = fed(BEGIN, start(type="text", text=""), delta(type="text_delta", text="x" * length), *told)
    used = begun.used()
    assert begun.stop_reason is None
    assert used.tokens_in == max(7, *counts)
    assert used.tokens_out >= max(1, *counts)
