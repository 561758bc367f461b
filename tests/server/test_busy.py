"""Busy: a client that is turned away is told when to come again."""

import pytest

from engine_mcp.errors import Busy, StorageError
from engine_mcp.server.failures import refused
from engine_mcp.server.json_schema import schema_of
from engine_mcp.server.results import Refusal
from tests.server.checking import conforming


@pytest.mark.req("002:L87")
def test_a_busy_engine_says_when_to_try_again() -> None:
    found = refused(Busy("8 executions run and 2 wait already.", retry_after_s=12.5)).structured_content
    assert found is not None
    assert (found["code"], found["retry_after_s"]) == ("busy", 12.5)
    conforming(found, schema_of(Refusal))


def test_where_nothing_is_known_no_time_is_told() -> None:
    for error in (Busy(), StorageError("The disk is full.")):
        found = refused(error).structured_content
        assert found is not None
        assert "retry_after_s" not in found
    assert Busy().retryable
