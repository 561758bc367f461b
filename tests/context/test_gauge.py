"""The gauge trusts what the provider told, counts only what was added since, and errs upward."""

from copy import deepcopy
from itertools import pairwise
from math import ceil

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from bench.counting import MODEL, OVERHEAD, offs, told
from engine_mcp.context.tokens import Tokens
from engine_mcp.core.window import Anchor, Words
from engine_mcp.engine.gauge import (
    CALL,
    IMAGE,
    MESSAGE,
    MOST,
    OLDER,
    PAGE,
    TOOLS,
    UNSURE,
    USUAL,
    Gauge,
    Ratios,
    Weight,
    usual,
)
from tests.context.texts import FOREIGN, KINDS, conversation, drawn

OLD = "claude-sonnet-4-5"
SAID: Words = {"role": "assistant", "content": [{"type": "text", "text": "one two three"}]}


class Counter:
    """Counts ten tokens for each word, and knows which texts it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def count(self, text: str) -> int:
        self.asked.append(text)
        return 10 * len(text.split())


def gauge(counter: Counter | None = None, model: str | None = MODEL, ratios: Ratios | None = None) -> Gauge:
    return Gauge((counter or Counter()).count, ratios or Ratios(), model)


def user(*blocks: JsonValue) -> Words:
    return {"role": "user", "content": list(blocks)}


def text(words: str) -> dict[str, JsonValue]:
    return {"type": "text", "text": words}


def alone(*blocks: JsonValue, model: str | None = OLD) -> float:
    """The tokens of a message with these blocks, counted ones as they are, without those around it."""
    weight = gauge(model=model).weigh([user(*blocks)]).tokens
    return weight - MESSAGE


@pytest.fixture(scope="module")
def counter() -> Tokens:
    """The true counter."""
    tokens = Tokens()
    anyio.run(tokens.open)
    return tokens


# --- what a message has


@pytest.mark.parametrize(
    ("block", "counted", "fixed"),
    [
        (text("one two"), 20, 0),
        ({"type": "thinking", "thinking": "one two three", "signature": "not counted"}, 30, 0),
        ({"type": "redacted_thinking", "data": "x" * 400}, 0, 100),
        ({"type": "tool_use", "id": "not counted", "name": "read", "input": {"path": "a b"}}, 30, CALL),
        ({"type": "tool_result", "tool_use_id": "not counted", "content": "one two"}, 20, CALL),
        ({"type": "tool_result", "tool_use_id": "t", "content": [text("one"), text("two")]}, 20, CALL),
        ({"type": "tool_result", "tool_use_id": "t"}, 0, CALL),
        ({"type": "image", "source": {"type": "base64", "data": "x y " * 999}}, 0, IMAGE),
        ({"type": "document", "source": {"type": "base64", "data": "x" * 60_000}}, 0, 2 * PAGE),
        ({"type": "document", "source": {"type": "text", "data": "one"}}, 10, 0),
        ({"type": "nobody knows it", "what": "is it"}, 40, 0),
    ],
)
def test_a_message_counts_by_the_texts_of_its_blocks_and_by_constants(
    block: JsonValue, counted: int, fixed: int
) -> None:
    assert alone(block) == ceil(counted * OLDER) + fixed


@pytest.mark.parametrize(
    "content", ["one two three", [text("one"), text("two three")], [text("one two three")]]
)
def test_a_message_may_be_a_plain_text(content: JsonValue) -> None:
    assert gauge(model=OLD).weigh([{"role": "user", "content": content}]).tokens == MESSAGE + 36


def test_the_size_of_a_message_and_of_a_text_are_told_as_the_provider_would_count_them() -> None:
    assert gauge(model=OLD).size(SAID) == MESSAGE + 36
    assert gauge().text("one two three") == 48


def test_a_request_counts_with_what_it_has_besides_messages() -> None:
    bare = gauge().weigh([SAID])
    assert gauge().weigh([SAID], ["four words of system"]).tokens == bare.tokens + 64
    assert gauge().weigh([SAID], ['{"input_schema": 1}']).tokens == bare.tokens + 32 + TOOLS


# --- what is counted anew


def test_only_what_was_added_is_counted() -> None:
    counter, messages = Counter(), conversation(1, 20)
    weighing = gauge(counter)
    before = weighing.weigh(messages[:-1], OVERHEAD)
    counter.asked.clear()
    after = weighing.weigh(messages, OVERHEAD)
    assert len(counter.asked) == 1
    assert after.tokens > before.tokens
    assert weighing.weigh(messages[:-1], OVERHEAD) == before
    assert len(counter.asked) == 1


def test_the_same_messages_in_new_objects_are_not_counted_again() -> None:
    counter, messages = Counter(), conversation(1, 20)
    weighing = gauge(counter)
    before = weighing.weigh(messages, OVERHEAD)
    counter.asked.clear()
    assert weighing.weigh(deepcopy(messages), OVERHEAD) == before
    assert counter.asked == []


def test_after_a_summary_only_the_summary_is_counted() -> None:
    counter, messages = Counter(), conversation(1, 20)
    weighing = gauge(counter)
    weighing.weigh(messages, OVERHEAD)
    counter.asked.clear()
    summary: Words = {"role": "user", "content": "What happened so far."}
    shown = [summary, *messages[30:]]
    assert weighing.weigh(shown, OVERHEAD) == gauge().weigh(shown, OVERHEAD)
    assert counter.asked == ["What happened so far."]


def test_a_message_that_was_exchanged_counts_in_its_new_form() -> None:
    messages: list[Words] = [*conversation(1, 20)]
    weighing = gauge()
    weighing.weigh(messages, OVERHEAD)
    messages[10] = user({"type": "tool_result", "tool_use_id": "t", "content": "a stub"})
    assert weighing.weigh(messages, OVERHEAD) == gauge().weigh(messages, OVERHEAD)


@given(st.lists(st.integers(0, 40), max_size=12))
@settings(max_examples=40)
def test_whatever_was_weighed_before_a_request_weighs_the_same(cuts: list[int]) -> None:
    messages, kept = conversation(3, 20, characters=80), gauge()
    for cut in cuts:
        shown = messages[cut:] if cut % 2 else messages[:cut]
        assert kept.weigh(shown, OVERHEAD) == gauge().weigh(shown, OVERHEAD)


# --- what was told


def test_what_was_told_is_taken_as_it_is_and_only_the_rest_is_counted() -> None:
    messages = [*conversation(1, 20), SAID]
    weight = gauge().weigh(messages, OVERHEAD, Anchor(tokens=7000, messages=len(messages) - 1))
    assert weight == Weight(7000 + MESSAGE + 48, 7000 + MESSAGE + ceil(30 * USUAL * UNSURE))
    everything = Anchor(tokens=7000, messages=len(messages))
    assert gauge().weigh(messages, OVERHEAD, everything) == Weight(7000, 7000)


@pytest.mark.parametrize("covered", [-1, 12])
def test_what_was_told_of_other_messages_than_there_are_is_not_used(covered: int) -> None:
    messages, anchor = conversation(1, 5), Anchor(tokens=7000, messages=covered)
    assert gauge().weigh(messages, OVERHEAD, anchor) == gauge().weigh(messages, OVERHEAD)


def test_what_was_told_is_expected_of_the_model_from_then_on_in_every_conversation() -> None:
    ratios, long = Ratios(), user(text("word " * 100))
    first = gauge(ratios=ratios)
    first.learn([long], [], MESSAGE + 1000)
    assert ratios.of(MODEL) == pytest.approx(USUAL + 0.3 * (1 - USUAL))
    for _ in range(30):
        first.learn([long], [], MESSAGE + 1000)
    assert gauge(ratios=ratios).weigh([long]).tokens == pytest.approx(MESSAGE + 1000, abs=2)
    assert gauge(ratios=ratios, model=OLD).weigh([long]).tokens == MESSAGE + 1200


@pytest.mark.parametrize(("report", "learned"), [(10**9, 2.5), (1, 0.6), (-5, 0.6)])
def test_no_report_makes_a_ratio_absurd(report: int, learned: float) -> None:
    ratios = Ratios()
    for _ in range(50):
        ratios.learn(MODEL, 1000, report)
    assert ratios.of(MODEL) == pytest.approx(learned)


def test_a_report_of_a_short_request_says_nothing_of_texts() -> None:
    ratios = Ratios()
    ratios.learn(MODEL, 50, 500)
    assert ratios.of(MODEL) == USUAL


@pytest.mark.parametrize(
    ("model", "ratio"),
    [
        ("claude-opus-5-5", USUAL),
        ("claude-opus-5", USUAL),
        ("claude-fable-5-2", USUAL),
        ("claude-opus-4-7", USUAL),
        ("us.anthropic.claude-opus-4.8-v1:0", USUAL),
        ("claude-opus-4-6", OLDER),
        ("anthropic/claude-sonnet-4.5", OLDER),
        ("claude-haiku-4-5@20251001", OLDER),
        ("claude-sonnet-4-20250514", OLDER),
        ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", OLDER),
        ("Claude-3-Opus", OLDER),
        ("sonnet", USUAL),
        ("gpt-7", USUAL),
        ("", USUAL),
        (None, USUAL),
    ],
)
def test_before_any_report_current_and_unknown_models_count_more_than_older_ones(
    model: str | None, ratio: float
) -> None:
    assert usual(model) == Ratios().of(model) == ratio


@given(st.floats(0.1, 5), st.integers(0, 41), st.sampled_from([MODEL, OLD, None]))
@settings(max_examples=40)
def test_the_high_bound_is_never_below_what_is_expected_nor_falls_as_messages_are_added(
    ratio: float, covered: int, model: str | None
) -> None:
    ratios, messages = Ratios(), conversation(3, 20, characters=80)
    for _ in range(9):
        ratios.learn(model, 1000, int(1000 * ratio))
    assert ratios.of(model) <= MOST
    weighing, anchor = gauge(model=model, ratios=ratios), Anchor(tokens=500, messages=covered)
    weights = [weighing.weigh(messages[:n], OVERHEAD, anchor) for n in range(covered, len(messages) + 1)]
    assert all(weight.high >= weight.tokens for weight in weights)
    assert all(one.high <= other.high for one, other in pairwise(weights))


# --- against what the wire counts


@pytest.mark.req("000:3.1.1", "000:L292")
@pytest.mark.parametrize("kinds", [(), *((kind,) for kind in KINDS)], ids=["mixed", *KINDS])
def test_the_expected_count_is_within_a_tenth_of_the_providers_and_hardly_below_it(
    counter: Tokens, kinds: tuple[str, ...]
) -> None:
    found = offs(counter.count, conversation(5, 60, *kinds))
    assert len(found) == 60
    assert min(error for error, _ in found) > -0.05
    assert max(error for error, _ in found) < 0.1
    assert min(high for _, high in found) >= 0


@pytest.mark.parametrize("kind", [*KINDS, *FOREIGN])
def test_without_any_report_the_high_bound_is_one(counter: Tokens, kind: str) -> None:
    content = FOREIGN[kind] * 30 if kind in FOREIGN else drawn(kind, 8000)
    messages: list[Words] = [user(text(content))]
    weight = Gauge(counter.count, Ratios(), MODEL).weigh(messages, OVERHEAD)
    assert told(messages) <= weight.high <= 2 * told(messages)
