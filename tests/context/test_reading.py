"""Whatever a model writes as a summary gives a bounded content, or a reason in words why it gives none."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from engine_mcp.core.context.content import Content, Decision, ErrorNote
from engine_mcp.core.context.reading import read
from engine_mcp.core.context.render import source_of
from engine_mcp.core.context.schema import (
    LARGEST,
    LISTS,
    LONGEST_GOAL,
    LONGEST_ITEM,
    MOST_ITEMS,
    PROPERTIES,
    SCHEMA,
)

WRITTEN: dict[str, JsonValue] = {
    "goal": "Let the export write CSV.",
    "success_criteria": ["The tests pass."],
    "constraints_verbatim": ["JSON must stay as it is."],
    "decisions": [{"what": "A table of writers.", "why": "No classes are needed."}],
    "files": [{"path": "/etc/passwd", "action": "written", "detail": ""}],
    "done": ["The writer of CSV."],
    "open_items": ["The command line."],
    "errors": [{"verbatim": "KeyError: 'csv'", "resolution": "The table had no entry."}],
    "facts_verbatim": ["delimiter = ;"],
    "failed_approaches": ["A writer class."],
    "next_steps": ["Write the option."],
    "preferences": ["Short names."],
}
CONTENT = Content(
    goal="Let the export write CSV.",
    success_criteria=("The tests pass.",),
    constraints_verbatim=("JSON must stay as it is.",),
    decisions=(Decision(what="A table of writers.", why="No classes are needed."),),
    done=("The writer of CSV.",),
    open_items=("The command line.",),
    errors=(ErrorNote(verbatim="KeyError: 'csv'", resolution="The table had no entry."),),
    facts_verbatim=("delimiter = ;",),
    failed_approaches=("A writer class.",),
    next_steps=("Write the option.",),
    preferences=("Short names.",),
)
TEXT = json.dumps(WRITTEN)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*PROPERTIES, "x"]), inner),
    max_leaves=20,
)


def objects(schema: JsonValue) -> list[dict[str, JsonValue]]:
    """Every object that a schema describes."""
    match schema:
        case {"type": "object", "properties": dict(properties)}:
            return [schema, *(one for below in properties.values() for one in objects(below))]
        case {"type": "array", "items": items}:
            return objects(items)
        case _:
            return []


def test_every_object_of_the_schema_names_all_of_its_fields_and_allows_no_others() -> None:
    found = objects(SCHEMA)
    assert len(found) == 4
    for each in found:
        properties = each["properties"]
        assert isinstance(properties, dict)
        assert each["additionalProperties"] is False
        assert each["required"] == list(properties)


def test_the_schema_asks_for_what_a_content_holds_but_for_what_code_adds() -> None:
    assert set(PROPERTIES) == set(Content.__dataclass_fields__) - {"budget", "pins", "marker"}
    assert set(LISTS) < set(PROPERTIES)


@pytest.mark.parametrize(
    "answer",
    [
        WRITTEN,
        TEXT,
        f"\n{json.dumps(WRITTEN, indent=2)}\n",
        f"Here it is:\n```json\n{TEXT}\n```\nAnything else?",
        f"```\nnot this\n```\n~~~ JSON\n{TEXT}\n~~~",
        f"````json\n{TEXT}",
        f"The summary: {TEXT} That is all.",
    ],
)
def test_an_answer_is_read_from_json_from_text_and_from_a_fence(answer: JsonValue) -> None:
    assert read(answer) == CONTENT


def test_files_are_never_taken_from_a_model() -> None:
    assert read(WRITTEN).files == ()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("I cannot do that.", "not a JSON object"),
        ("[1, 2]", "not a JSON object"),
        ('"text"', "not a JSON object"),
        (TEXT[:-20], "not a JSON object"),
        ("```json\n" + TEXT[:40] + "\n```", "not a JSON object"),
        ('{"goal": ' * 20_000, "nested too deep|not a JSON object"),
        ("x" * (LARGEST + 1), "longer than"),
        (None, "not a JSON object"),
        (7, "not a JSON object"),
        (["goal"], "not a JSON object"),
    ],
)
def test_what_is_no_object_is_refused_in_words(answer: JsonValue, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(answer)


def test_unknown_fields_and_values_of_other_types_are_left_out() -> None:
    written: JsonValue = {
        "goal": ["not a text"],
        "done": ["kept", 1, None, {"a": "b"}, "", "  ", "kept"],
        "next_steps": "not a list",
        "decisions": ["not an object", {"why": "of nothing"}, {"what": "kept", "why": 3}],
        "errors": {"verbatim": "not a list"},
        "pins": ["invented"],
        "marker": "invented",
        "budget": {"cost_usd": 0},
        "more": "ignored",
    }
    assert read(written) == Content(done=("kept",), decisions=(Decision(what="kept"),))


def test_too_many_items_and_too_long_texts_are_cut_at_the_end_of_a_word() -> None:
    long = "word " * LONGEST_GOAL
    content = read({"goal": long, "done": [long, *(str(number) for number in range(MOST_ITEMS))]})
    assert len(content.goal) <= LONGEST_GOAL
    assert content.goal.endswith("word")
    assert len(content.done) == MOST_ITEMS
    assert len(content.done[0]) <= LONGEST_ITEM


def test_half_of_a_path_is_not_taken_for_one() -> None:
    path = "src/" + "a" * LONGEST_ITEM
    assert read({"done": [f"Wrote {path}", path]}).done == ("Wrote",)


def test_characters_that_hide_or_turn_text_round_are_gone() -> None:
    content = read({"goal": "a\x00b\u202ec\ud800d\u200be"})
    assert content.goal == "a b c\ufffdd e"


@given(JSON)
@settings(max_examples=60)
def test_no_json_does_more_than_raise_value_error(answer: JsonValue) -> None:
    try:
        content = read(answer)
    except ValueError:
        return
    assert read(json.loads(source_of(content))) == content


@pytest.mark.parametrize("unit", ["```json\n", "`", "{", '{"a":', "```" + " " * 80 + "!\n", "\\", '["'])
def test_reading_takes_no_longer_than_its_length(unit: str) -> None:
    text = (unit * LARGEST)[:LARGEST]
    began = time.perf_counter()
    with pytest.raises(ValueError, match="not a JSON object"):
        read(text)
    assert time.perf_counter() - began < 2
