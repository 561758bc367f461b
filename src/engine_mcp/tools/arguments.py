"""Reading arguments that meet a tool's schema, and the parts that several schemas share."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import JsonValue

from engine_mcp.errors import InvalidArgument

Arguments = Mapping[str, JsonValue]
T = TypeVar("T", str, bool)

PATH: dict[str, JsonValue] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 4096,
    "description": "Path relative to the project's directory, or absolute and inside it.",
}
ENCODING: JsonValue = {
    "enum": ["utf-8", "base64"],
    "default": "utf-8",
    "description": "How bytes become a string: as UTF-8 text, or as base64 for any other file.",
}


def given(arguments: Arguments, name: str, default: T) -> T:
    """A string or boolean, of the type of its default; raises InvalidArgument."""
    value = arguments.get(name, default)
    if not isinstance(value, type(default)):
        raise InvalidArgument(f"{name} is a {type(default).__name__}.", field=name)
    return value


def number(arguments: Arguments, name: str, default: int) -> int:
    """A whole number; raises InvalidArgument."""
    value = arguments.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise InvalidArgument(f"{name} is a whole number.", field=name)
    return int(value)
