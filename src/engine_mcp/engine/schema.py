"""JSON Schema: whether a schema is one, and where a value does not meet it."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from pydantic import JsonValue

from engine_mcp.engine.outputs import dumps

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

_LONG = 300


def defect(schema: JsonValue) -> str:
    """Why a value is no JSON Schema of an object kind, in one line; empty if it is one."""
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415 - see _validator

    if not isinstance(schema, dict):
        return "A schema is an object."
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return _cut(str(error.message))
    return ""


def mismatch(schema: Mapping[str, JsonValue], value: JsonValue) -> str:
    """Where a value does not meet a JSON Schema and why, in one line; empty if it does."""
    worst = _worst(_validator(dumps(dict(schema))), value)
    if worst is None:
        return ""
    where = worst.json_path.removeprefix("$").lstrip(".")
    reason = _cut(worst.message)
    return f"{where}: {reason}" if where else reason


def _worst(validator: "Draft202012Validator", value: JsonValue) -> "ValidationError | None":
    from jsonschema.exceptions import best_match  # noqa: PLC0415 - see _validator  # pyright: ignore[reportUnknownVariableType]

    errors = validator.iter_errors(value)  # pyright: ignore[reportUnknownMemberType]
    return cast("ValidationError | None", best_match(errors))


@lru_cache(maxsize=256)
def _validator(schema: str) -> "Draft202012Validator":
    # Imported at first use: half the engine's start would go into it.
    from jsonschema import Draft202012Validator  # noqa: PLC0415

    return Draft202012Validator(json.loads(schema))


def _cut(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"
