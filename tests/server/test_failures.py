"""Business errors are told in full; defects are told without their inner life."""

import json
import logging
from typing import Any

import pytest
from mcp.types import CallToolResult, TextContent

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.errors import EngineError, InvalidArgument
from engine_mcp.server.failures import answered, failed, refused
from engine_mcp.server.json_schema import schema_of
from engine_mcp.server.results import Refusal
from tests.server.checking import conforming


def both(result: CallToolResult) -> dict[str, Any]:
    """What the result says, the same in both places."""
    [content] = result.content
    assert isinstance(content, TextContent)
    assert json.loads(content.text) == result.structured_content
    assert result.structured_content is not None
    return result.structured_content


def test_a_result_says_the_same_in_both_places() -> None:
    result = answered({"a": ["é", None, 1.5]})
    assert both(result) == {"a": ["é", None, 1.5]}
    assert not result.is_error


@pytest.mark.req("000:5.4.3", "002:L93")
@pytest.mark.parametrize("kind", EngineError.__subclasses__())
def test_every_error_says_code_message_and_hint(kind: type[EngineError]) -> None:
    result = refused(kind())
    entry = CATALOGUE[kind.code]
    found = both(result)
    assert (found["code"], found["message"], found["hint"]) == (kind.code, entry.cause, entry.remedy)
    assert found["next_actions"]
    assert result.is_error
    conforming(both(result), schema_of(Refusal))


def test_an_error_names_the_argument_it_is_about() -> None:
    assert both(refused(InvalidArgument("no", field="steps[2].depends_on")))["field"] == "steps[2].depends_on"


def test_an_error_stays_small_and_can_be_sent() -> None:
    result = refused(InvalidArgument("é\ud800" * 9000, field="f" * 9000, hint="h" * 9000))
    assert len(json.dumps(both(result)).encode()) < 8192
    json.dumps(both(result), ensure_ascii=False).encode()


def test_a_defect_is_told_without_its_inner_life_and_logged_with_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        result = failed(RuntimeError("the secret is 42"), "engine_status")
    assert both(result)["code"] == "internal"
    assert "42" not in str(both(result))
    assert "42" in caplog.text
    assert "engine_status" in caplog.text
