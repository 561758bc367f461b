"""What a role hands on is found in its answer, checked, and of bounded size."""

import json
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import JsonValue

from engine_mcp.core.handoff import (
    LARGEST,
    LONGEST_ITEM,
    MOST_ITEMS,
    SCHEMA,
    Packet,
    parsed,
    split,
)

LEAST: dict[str, JsonValue] = {"summary": "s", "next_step": "n"}
LISTS = ("constraints", "decisions", "files_changed", "failed_approaches", "open_items")
ITEMS = st.one_of(
    st.text(max_size=5), st.integers(), st.none(), st.sampled_from([" ", "x" * LONGEST_ITEM, "x" * 2001])
)
FIELDS = st.sampled_from(["summary", "next_step", *LISTS, "task"])
WRITTEN = st.dictionaries(FIELDS, st.one_of(ITEMS, st.lists(ITEMS, max_size=3)), max_size=4)


def block(text: str, end: str = "\n") -> str:
    return f"```handoff{end}{text}{end}```"


@pytest.mark.req("003:L37")
def test_a_packet_is_what_stands_in_the_last_block_fenced_as_handoff() -> None:
    answer, written = split(f"Done.\n\n{block('first')}\n\nAnd this:\n\n{block('second')}\nBye.\n")
    assert written is not None
    assert written.strip() == "second"
    assert "first" in answer
    assert answer.startswith("Done.")
    assert answer.endswith("Bye.")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no block",
        "```handoff\n{}",
        "``` handoff\n{}\n```",
        "```json\n{}\n```",
        "text ```handoff\n{}\n```",
        "```handoffs\n{}\n```",
        "```\n```handoff",
    ],
)
def test_an_answer_without_a_block_is_left_as_it_is(text: str) -> None:
    assert split(text) == (text, None)


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n", "\t\r\n"])
def test_blocks_are_found_whatever_ends_their_lines(end: str) -> None:
    answer, written = split(f"a{end}{block(json.dumps(LEAST), end)}{end}")
    assert answer == "a"
    assert parsed(written) == Packet(summary="s", next_step="n")


def test_a_block_that_was_begun_twice_counts_from_its_last_beginning() -> None:
    assert split(f"```handoff\n{block('x')}")[1] == "x\n"


def test_blocks_of_another_kind_after_it_do_not_matter() -> None:
    assert split(f"{block('x')}\n```js\n1\n```\nend")[1] == "x\n"


def test_an_output_that_is_no_text_is_its_json() -> None:
    assert split({"ä": [1]}) == ('{"ä": [1]}', None)


def test_a_hostile_answer_takes_no_more_time_than_its_length() -> None:
    hostile = "```handoff\n" * 100_000
    began = process_time()
    assert split(hostile) == (hostile, None)
    assert split(f"```\n{hostile}")[1] is None
    assert split(f"{hostile}```")[1] == ""
    assert process_time() - began < 5


@given(st.text(), st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3))
def test_whatever_is_fenced_comes_back(before: str, value: dict[str, str]) -> None:
    written = json.dumps(value)
    assert split(f"{before}\n{block(written)}")[1] == f"{written}\n"


@pytest.mark.req("003:L37")
def test_a_packet_with_every_field_is_read() -> None:
    value = {**LEAST, **{name: [f"{name} 1", f"{name} 2"] for name in LISTS}}
    packet = parsed(json.dumps(value))
    assert packet.source == "role"
    assert packet.dumped() == {**value, "source": "role"}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (None, "no block"),
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 10_000, "not JSON"),
        ("[]", "not an object"),
        ("null", "not an object"),
        ("{}", "summary is not a text"),
        (json.dumps({"summary": "s"}), "next_step is not a text"),
        (json.dumps({**LEAST, "summary": " "}), "summary is not a text"),
        (json.dumps({**LEAST, "summary": 1}), "summary is not a text"),
        (json.dumps({**LEAST, "task": "mine"}), "unknown fields: task"),
        (json.dumps({**LEAST, "budget_left": {}, "a": 1}), "unknown fields: a, budget_left"),
        (json.dumps({**LEAST, "decisions": "d"}), "decisions is not a list"),
        (json.dumps({**LEAST, "decisions": [1]}), "decisions is not a text"),
        (json.dumps({**LEAST, "decisions": ["d"] * (MOST_ITEMS + 1)}), "decisions has more than 50"),
        (json.dumps({**LEAST, "next_step": "x" * (LONGEST_ITEM + 1)}), "next_step is longer than 2000"),
        (json.dumps({**LEAST, "x" * 1000: 1}), "unknown fields"),
        (json.dumps({**LEAST, "decisions": ["x" * 500] * 40}), "larger than 16 KiB"),
    ],
)
def test_what_is_no_packet_is_refused_with_the_reason(written: str | None, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        parsed(written)
    assert len(str(caught.value)) < 500


def test_the_size_is_that_of_the_bytes() -> None:
    wide = json.dumps({**LEAST, "decisions": ["ü" * 1500] * 6}, ensure_ascii=False)
    assert len(wide) < LARGEST < len(wide.encode())
    with pytest.raises(ValueError, match="larger"):
        parsed(wide)


@given(WRITTEN)
def test_what_is_read_is_exactly_what_meets_the_schema(value: dict[str, JsonValue]) -> None:
    valid = not list(Draft202012Validator(SCHEMA).iter_errors(value))  # pyright: ignore[reportUnknownMemberType] - not typed
    try:
        packet = parsed(json.dumps(value))
    except ValueError:
        assert not valid
    else:
        assert valid
        kept = {name: item for name, item in packet.dumped().items() if name != "source"}
        assert kept == {name: item for name, item in value.items() if item != []}


def test_a_dumped_packet_leaves_out_what_is_empty() -> None:
    packet = Packet(task="t", budget_left={"tokens": 5}, source="engine", problem="why")
    assert packet.dumped() == {
        "task": "t",
        "budget_left": {"tokens": 5},
        "source": "engine",
        "problem": "why",
    }
