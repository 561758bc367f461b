"""Events and executions as JSON, by the shapes of their frozen dataclasses.

A field that is None is left out: None is the default of every field that may be None.
"""

import json
from dataclasses import fields
from functools import cache
from types import MappingProxyType
from typing import Any, get_args

from pydantic import JsonValue, TypeAdapter
from pydantic_core import from_json

from engine_mcp.core.event import (
    AttemptFailed,
    AttemptSucceeded,
    CallRecorded,
    Event,
    ExecutionCreated,
    ExecutionResumed,
)
from engine_mcp.core.execution import Execution
from engine_mcp.errors import StorageError

Raw = dict[str, JsonValue]

# A value lies deeper in a snapshot than in its event; the parser's own limit must not be met there.
_MARGIN = 10
_HALF = b"\\ud"
_NO_NUMBER = b":null"  # fields that are None are left out
_PLAIN = (str, int, type(None))


def _kind(shape: type[Any]) -> str:
    return next(str(field.default) for field in fields(shape) if field.name == "kind")


KINDS = MappingProxyType({_kind(shape): shape for shape in get_args(Event)})
"""The class of every kind of event."""


@cache
def _adapter(shape: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def encode_event(event: Event) -> bytes:
    """One line of JSON without its end; raises StorageError for what could not be read again."""
    adapter = _adapter(type(event))
    text = _encoded(adapter, event)
    if not _doubtful(event) and _NO_NUMBER not in text:
        return text
    try:
        adapter.validate_python(_probed(text))
    except ValueError as error:
        raise StorageError(
            f"The event {event.kind} holds a value that JSON cannot keep.",
            hint="Values must be JSON: finite numbers, and not nested more than 150 deep.",
        ) from error
    return text


def _doubtful(event: Event) -> bool:
    """Whether an event holds JSON of any shape, which need not be readable again."""
    match event:
        case AttemptSucceeded() | AttemptFailed():
            return event.output is not None and not isinstance(event.output.value, _PLAIN)
        case ExecutionCreated() | ExecutionResumed() | CallRecorded():
            return True
        case _:
            return False


def decode_event(raw: Raw) -> Event:
    """The event of a JSON object; raises ValueError where it is none."""
    shape = KINDS.get(str(raw.get("kind")))
    if shape is None:
        raise ValueError(f"There is no event of the kind {raw.get('kind')!r}.")
    return _adapter(shape).validate_python(raw)


def encode_state(execution: Execution, indent: int | None = None) -> bytes:
    """The complete state as one JSON object."""
    return _encoded(_adapter(Execution), execution, indent)


def decode_state(raw: Raw) -> Execution:
    """The execution of a JSON object; raises ValueError where it is none."""
    return _adapter(Execution).validate_python(raw)


def parsed(text: bytes) -> Any:  # noqa: ANN401 - JSON of any shape
    """Parse JSON; raises ValueError."""
    try:
        return from_json(text)
    except ValueError:
        return json.loads(text)  # slower, but it takes half a surrogate pair, which JavaScript can make


def _probed(text: bytes) -> Any:  # noqa: ANN401 - JSON of any shape
    halves = _HALF in text
    value = from_json(b"[" * _MARGIN + (text.replace(_HALF, b"\\u0") if halves else text) + b"]" * _MARGIN)
    if halves:
        return parsed(text)
    for _ in range(_MARGIN):
        value = value[0]
    return value


def _encoded(adapter: TypeAdapter[Any], value: Event | Execution, indent: int | None = None) -> bytes:
    try:
        return adapter.dump_json(value, indent=indent, exclude_none=True)
    except ValueError as error:
        try:
            plain = adapter.dump_python(value, exclude_none=True, warnings="error")
            compact = None if indent else (",", ":")
            return json.dumps(plain, indent=indent, separators=compact, default=list).encode()
        except (ValueError, RecursionError):
            raise StorageError("A value cannot be kept as JSON.") from error
