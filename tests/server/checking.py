"""Results against their schemas, and against the size that clients take whole."""

import json
from typing import Any

from engine_mcp.engine.schema import mismatch
from engine_mcp.server.json_schema import Schema
from engine_mcp.server.results import JsonObject

MOST_BYTES = 8192


def conforming(found: dict[str, Any], schema: Schema) -> None:
    """Raise AssertionError unless `found` meets the schema."""
    assert mismatch(schema, found) == ""


def checked(found: JsonObject, schema: Schema) -> dict[str, Any]:
    """The result, which meets its schema and is small."""
    conforming(found, schema)
    assert len(json.dumps(found, ensure_ascii=False).encode()) < MOST_BYTES
    return found
