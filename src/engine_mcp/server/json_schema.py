"""JSON Schemas as clients get them: without references, titles and nulls, for people and models to read."""

from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

Schema = dict[str, Any]
# Each type by itself: some clients know no schema with several, or with none.
_ANY_JSON = {"anyOf": [{"type": kind} for kind in ("object", "array", "string", "number", "boolean", "null")]}


class _Plain(GenerateJsonSchema):
    """What is left out may as well be null, which a schema need not say."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        if not isinstance(found.get("default"), bool | int | float | str):
            found.pop("default", None)
        return found

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        found = super().enum_schema(schema)
        found.pop("description", None)  # it speaks to readers of the code
        return found

    def field_title_should_be_set(self, schema: object) -> bool:
        del schema
        return False


def schema_of(model: type[BaseModel], mode: JsonSchemaMode = "validation") -> Schema:
    """The schema of a model, whole in itself; the model may not refer to itself."""
    schema = model.model_json_schema(schema_generator=_Plain, mode=mode)
    definitions = {**schema.pop("$defs", {}), "JsonValue": _ANY_JSON}
    found = cast("Schema", _inlined(schema, definitions))
    found.pop("description", None)
    return found


def _inlined(node: object, definitions: Schema) -> object:
    """A copy with every reference replaced by what it refers to, and without the titles of classes."""
    match node:
        case {"$ref": str(ref)}:
            fields = cast("Schema", node)
            beside = {key: value for key, value in fields.items() if key != "$ref"}
            return _inlined({**definitions[ref.rpartition("/")[2]], **beside}, definitions)
        case dict():
            fields = cast("Schema", node)
            inlined = {
                key: _inlined(value, definitions)
                for key, value in fields.items()
                if key != "title" or not isinstance(value, str)
            }
            if inlined.get("additionalProperties") == _ANY_JSON:
                inlined["additionalProperties"] = True
            return inlined
        case list():
            return [_inlined(item, definitions) for item in cast("list[object]", node)]
        case _:
            return node
