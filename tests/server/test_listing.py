"""What a model reads before it calls a tool: five tools, closed, described, always the same."""

import json
from typing import Any

import pytest
from mcp.types import Tool
from pydantic import JsonValue

from engine_mcp.server.listing import INSTRUCTIONS, tools
from tests.house.sources import ROOT
from tests.server.checking import conforming

MOST_BYTES = 2048
NAMES = ["engine_execute", "engine_status", "engine_budget", "engine_interrupt", "engine_resume"]
BY_NAME = {tool.name: tool for tool in tools()}


def objects(schema: JsonValue) -> list[dict[str, Any]]:
    """Every schema of an object with known fields, wherever it stands."""
    match schema:
        case dict():
            inner = [found for value in schema.values() for found in objects(value)]
            return [schema, *inner] if "properties" in schema else inner
        case list():
            return [found for value in schema for found in objects(value)]
        case _:
            return []


@pytest.mark.req("003:L52")
def test_there_are_five_tools_in_a_fixed_order() -> None:
    assert [tool.name for tool in tools()] == NAMES
    assert tools() is tools()


@pytest.mark.parametrize("tool", tools(), ids=lambda tool: tool.name)
def test_a_tool_is_described_in_less_than_2_kb(tool: Tool) -> None:
    assert 200 < len((tool.description or "").encode()) < MOST_BYTES
    assert len(INSTRUCTIONS.encode()) < MOST_BYTES


@pytest.mark.req("003:L52")
@pytest.mark.parametrize("tool", tools(), ids=lambda tool: tool.name)
def test_every_object_of_a_schema_is_closed_and_every_field_described(tool: Tool) -> None:
    for schema in objects(tool.input_schema):
        assert schema["additionalProperties"] is False
        assert [name for name, field in schema["properties"].items() if "description" not in field] == []
    for schema in objects(tool.output_schema):
        assert schema["additionalProperties"] is False
    assert "$ref" not in json.dumps([tool.input_schema, tool.output_schema])
    assert tool.input_schema["type"] == "object"
    assert (tool.output_schema or {})["type"] == "object"


def test_choices_are_closed_lists() -> None:
    fields = BY_NAME["engine_execute"].input_schema["properties"]
    assert fields["strategy"]["enum"] == ["auto", "single", "multi", "parallel"]
    assert fields["runtime"]["anyOf"][0]["enum"] == ["claude-code", "opencode", "api", "command"]
    assert fields["runtime"]["anyOf"][1]["pattern"].startswith("^command:")
    assert len(fields["task_type"]["enum"]) == 6
    assert fields["on_cancel"]["enum"] == ["interrupt", "continue"]
    assert BY_NAME["engine_interrupt"].input_schema["properties"]["mode"]["enum"] == [
        "now",
        "after_step",
        "cancel",
    ]


def test_hints_say_what_a_call_may_do() -> None:
    hints = {tool.name: tool.annotations for tool in tools()}
    assert {name for name, hint in hints.items() if hint and hint.read_only_hint} == {"engine_status"}
    assert {name for name, hint in hints.items() if hint and hint.idempotent_hint} == {
        "engine_status",
        "engine_budget",
        "engine_interrupt",
    }
    assert {name for name, hint in hints.items() if hint and hint.destructive_hint} == {
        "engine_execute",
        "engine_interrupt",
        "engine_resume",
    }


def test_the_two_tools_that_begin_everything_ask_to_be_always_loaded() -> None:
    asking = {name for name, tool in BY_NAME.items() if tool.meta == {"anthropic/alwaysLoad": True}}
    assert asking == {"engine_execute", "engine_status"}


@pytest.mark.parametrize("tool", tools(), ids=lambda tool: tool.name)
def test_a_refusal_meets_the_output_schema_too(tool: Tool) -> None:
    conforming({"code": "c", "message": "m", "hint": "h", "field": "f"}, tool.output_schema or {})


def test_the_words_of_the_descriptions_are_those_of_the_glossary() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in row.strip("|").split("|")] for row in glossary.splitlines() if "|" in row
    ]
    banned = {word.strip() for row in rows[2:] for word in row[2].split(",") if word.strip()}
    told = " ".join([INSTRUCTIONS, *(tool.model_dump_json() for tool in tools())]).lower()
    words = set(told.replace('"', " ").replace(".", " ").replace(",", " ").replace(";", " ").split())
    assert {word for word in banned if word in words or f"{word}s" in words} == set()
