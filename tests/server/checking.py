"""Results against their schemas, and against the size that clients take whole."""

import json
from typing import Any

import jsonschema

from engine_mcp.server.json_schema import Schema
from engine_mcp.server.results import JsonObject

MOST_BYTES = 8192


def conforming(found: object, schema: Schema) -> None:
    """Raise ValidationError unless `found` meets the schema."""
    jsonschema.validate(found, schema, cls=jsonschema.Draft202012Validator)


def checked(found: JsonObject, schema: Schema) -> dict[str, Any]:
    """The result, which meets its schema and is small."""
    conforming(found, schema)
    assert len(json.dumps(found, ensure_ascii=False).encode()) < MOST_BYTES
    return found
