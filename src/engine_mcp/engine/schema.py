"""JSON Schema: whether a schema is one, and where a value does not meet it."""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from pydantic import JsonValue

from engine_mcp.engine.outputs import dumps

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

_LONG = 300
_REFERRING = ("$ref", "$dynamicRef")


def defect(schema: JsonValue) -> str:
    """Why a value is no JSON Schema of an object kind, in one line; empty if it is one."""
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415 - see _validator

    if not isinstance(schema, dict):
        return "A schema is an object."
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return _cut(str(error.message))
    return _dangling(schema)


def _dangling(schema: Mapping[str, JsonValue]) -> str:
    """Which reference of a schema leads out of it or nowhere; empty if none does."""
    from referencing.exceptions import Unresolvable  # noqa: PLC0415 - see _validator
    from referencing.jsonschema import DRAFT202012, EMPTY_REGISTRY  # noqa: PLC0415 - see _validator

    whole = DRAFT202012.create_resource(dict(schema))
    left = [(whole, EMPTY_REGISTRY.resolver_with_root(whole))]
    while left:
        part, resolver = left.pop()
        try:
            for reference in _references(part.contents):
                resolver.lookup(reference)
            left += [(inner, resolver.in_subresource(inner)) for inner in part.subresources()]
        except Unresolvable as error:
            return _cut(f"It refers to {error.ref!r}, which is no part of it.")
        except ValueError as error:
            return _cut(f"It refers to what is no address: {error}")
    return ""


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        given = cast("Mapping[str, object]", schema)
        yield from (value for name in _REFERRING if isinstance(value := given.get(name), str))


def mismatch(schema: Mapping[str, JsonValue], value: JsonValue) -> str:
    """Where a value does not meet a JSON Schema and why, in one line; empty if it does."""
    from referencing.exceptions import Unresolvable  # noqa: PLC0415 - see _validator

    try:
        worst = _worst(_validator(dumps(dict(schema))), value)
    except (RecursionError, Unresolvable) as error:
        why = "it goes round in circles" if isinstance(error, RecursionError) else str(error)
        return _cut(f"the schema cannot be applied: {why}")
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
    from referencing.jsonschema import EMPTY_REGISTRY  # noqa: PLC0415

    # With this registry nothing is looked up elsewhere; by default it would be, from the network or a file.
    return Draft202012Validator(json.loads(schema), registry=EMPTY_REGISTRY)


def _cut(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"
