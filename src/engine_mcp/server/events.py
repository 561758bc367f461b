"""Events as clients see them: what they say, without the plans, reports and outputs they carry."""

from dataclasses import fields
from typing import cast

from engine_mcp.core.budget import Limits, Resource, Usage
from engine_mcp.core.charge import Charge
from engine_mcp.core.event import Event, TextStreamed
from engine_mcp.core.execution import (
    Artifact,
    Asking,
    Failure,
    Message,
    Output,
    Progress,
    RecordedCall,
    Switched,
)
from engine_mcp.core.summary import Summary
from engine_mcp.core.window import WindowLimits
from engine_mcp.server.fitting import cut, dumps, size
from engine_mcp.server.results import JsonObject
from engine_mcp.server.times import utc
from engine_mcp.server.view import EventPage

PAGE_BYTES = 3000
PAGE_EVENTS = 100
TEXT_BYTES = 300
STREAMED_BYTES = 4000
"""Of streamed text, of which an event holds no more than 1000 characters, of four bytes each at most."""
_SILENT = frozenset({"at", "kind", "execution_id", "seed", "clock_ms"})
_TIMES = frozenset({"until"})
_NAMES = {"number": "attempt"}


def page(events: tuple[tuple[int, Event], ...], after: int, revision: int) -> EventPage:
    """As many of the `events`, numbered from `after` + 1, as fit into a page; at least one."""
    shown: list[JsonObject] = []
    room = PAGE_BYTES
    for number, event in events:
        row = shown_event(number, event)
        room -= size(row)
        if room < 0 and shown:
            break
        shown.append(row)
    cursor = after + len(shown)
    return EventPage(shown, cursor, more=cursor < revision)


def shown_event(number: int, event: Event) -> JsonObject:
    """An event with its number, its time and those of its fields that are short."""
    row: JsonObject = {"seq": number, "at": utc(event.at), "kind": event.kind}
    if isinstance(event, TextStreamed):
        return {**row, "step": event.step, "attempt": event.number, "text": cut(event.text, STREAMED_BYTES)}
    for field in fields(event):
        value: object = getattr(event, field.name)
        if field.name in _TIMES and isinstance(value, float | int):
            row[field.name] = utc(value)
        elif field.name not in _SILENT and (told := _told(value)) is not None:
            row[_NAMES.get(field.name, field.name)] = told
    return row


def _told(value: object) -> JsonObject | str | float | bool | None:
    """What is said of a field; None if nothing."""
    match value:
        case bool() | int() | float():
            return value
        case str():
            return cut(str(value), TEXT_BYTES) or None
        case tuple():
            items = cast("tuple[object, ...]", value)
            return cut(", ".join(item for item in items if isinstance(item, str)), TEXT_BYTES) or None
        case Output(artifact=None):
            return cut(dumps(value.value), TEXT_BYTES)
        case Output(artifact=Artifact() as artifact) | (Artifact() as artifact):
            return {"digest": artifact.digest, "size": artifact.size, "name": artifact.name}
        case _:
            return _told_fields(value)


def _told_fields(value: object) -> JsonObject | None:
    match value:
        case Message():
            return {"role": value.role, "content": _told(value.output)}
        case Failure():
            return {"code": value.code, "message": cut(value.message, TEXT_BYTES)}
        case Progress():
            return {"done": value.done, "total": value.total, "message": cut(value.message, TEXT_BYTES)}
        case RecordedCall():
            error = {"error": cut(value.error_name, TEXT_BYTES)} if value.error_name else {}
            return {"ordinal": value.ordinal, "name": cut(value.name, TEXT_BYTES), **error}
        case Limits() | WindowLimits() | Usage():
            given = {field.name: _told(getattr(value, field.name)) for field in fields(value)}
            return {name: amount for name, amount in given.items() if amount not in {None, 0, "none"}} or None
        case _:
            return _told_of_routes(value)


def _told_of_routes(value: object) -> JsonObject | None:
    match value:
        case Asking():
            until = {} if value.until is None else {"until": utc(value.until)}
            call = {"call": cut(value.call, TEXT_BYTES)} if value.call else {}
            return {**call, **until} or None
        case Switched():
            return {
                "from": value.origin.runtime,
                "to": value.to.runtime,
                "domain": value.domain,
                "code": value.code,
                "why": cut(value.why, TEXT_BYTES),
            }
        case Summary():
            return _told_summary(value)
        case Charge():
            return {"model": cut(value.model, TEXT_BYTES), "price": cut(value.price, TEXT_BYTES)}
        case _:
            return None


def _told_summary(summary: Summary) -> JsonObject:
    told: JsonObject = {
        "id": summary.id,
        "level": summary.level,
        "first": summary.first,
        "last": summary.last,
        "tokens_before": summary.tokens_before,
        "tokens_after": summary.tokens_after,
        "cost_usd": summary.usage.of(Resource.COST),
    }
    said = {"parent": summary.parent, "model": summary.model, "fallback": summary.fallback}
    return told | {name: cut(text, TEXT_BYTES) for name, text in said.items() if text}
