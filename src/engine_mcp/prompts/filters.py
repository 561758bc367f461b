"""The filters of templates. Each takes a value that is there; none makes much more of it than it was."""

import json
from collections.abc import Callable, Mapping, Sized
from types import MappingProxyType

from engine_mcp.prompts import fences
from engine_mcp.prompts.meter import bounded


def code(value: object) -> str:
    """A path or a name, marked as code and on one line."""
    return fences.code(text_of(value))


def fenced(value: object, kind: object = "") -> str:
    """A block that its content cannot end."""
    return fences.fenced(text_of(value), text_of(kind))


def join(values: object, between: object = "") -> str:
    """The items of a list as one text; raises TypeError where it is none."""
    if not isinstance(values, list | tuple):
        raise TypeError("join takes a list")
    items = [text_of(item) for item in values]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - any item can be shown
    mark = text_of(between)
    bounded(sum(len(item) + len(mark) for item in items))
    return mark.join(items)


def as_json(value: object) -> str:
    """The value as JSON, indented."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def length(value: object) -> int:
    """How many characters or items there are; raises TypeError."""
    if not isinstance(value, Sized):
        raise TypeError("length takes a text or a list")
    return len(value)


def lower(value: object) -> str:
    """The text in small letters."""
    return text_of(value).lower()


def trim(value: object) -> str:
    """The text without white space around it."""
    return text_of(value).strip()


def upper(value: object) -> str:
    """The text in capitals."""
    return text_of(value).upper()


def text_of(value: object) -> str:
    """A text as it is, anything else as JSON."""
    return value if isinstance(value, str) else as_json(value)


FILTERS: Mapping[str, Callable[..., object]] = MappingProxyType(
    {
        "code": code,
        "fenced": fenced,
        "join": join,
        "json": as_json,
        "length": length,
        "lower": lower,
        "trim": trim,
        "upper": upper,
    }
)
