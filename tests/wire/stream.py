"""A turn in the words of the Messages API: as one message, and as server-sent events."""

import json
from collections.abc import Iterator
from typing import Any

from tests.wire.turns import Block, Text, Thinking, Turn

Event = dict[str, Any]


def _usage(turn: Turn, output_tokens: int) -> dict[str, Any]:
    return {
        "input_tokens": turn.input_tokens,
        "cache_creation_input_tokens": turn.cache_write,
        "cache_read_input_tokens": turn.cache_read,
        "cache_creation": {"ephemeral_5m_input_tokens": turn.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def _whole(block: Block, number: int, index: int) -> dict[str, Any]:
    match block:
        case Text():
            return {"type": "text", "text": block.text}
        case Thinking():
            return {"type": "thinking", "thinking": block.text, "signature": block.signature}
        case _:
            given = block.id or f"toolu_{number:06d}_{index}"
            return {"type": "tool_use", "id": given, "name": block.name, "input": block.input}


def message(turn: Turn, number: int, model: str) -> dict[str, Any]:
    """The answer as one JSON object."""
    return {
        "id": f"msg_{number:06d}",
        "type": "message",
        "role": "assistant",
        "model": turn.model or model,
        "content": [_whole(block, number, index) for index, block in enumerate(turn.content)],
        "stop_reason": turn.ends,
        "stop_sequence": None,
        "usage": _usage(turn, turn.output_tokens),
    }


def _chunks(text: str, size: int) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _deltas(block: Block, size: int) -> Iterator[dict[str, Any]]:
    match block:
        case Text():
            yield from ({"type": "text_delta", "text": part} for part in _chunks(block.text, size))
        case Thinking():
            yield from ({"type": "thinking_delta", "thinking": part} for part in _chunks(block.text, size))
            yield {"type": "signature_delta", "signature": block.signature}
        case _:
            yield from (
                {"type": "input_json_delta", "partial_json": part} for part in _chunks(block.json, size)
            )


_EMPTY: dict[str, dict[str, Any]] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    "tool_use": {"input": {}},
}


def events(turn: Turn, number: int, model: str) -> Iterator[Event]:
    """The answer as the events of a stream."""
    whole = message(turn, number, model)
    opening: Event = {**whole, "content": [], "stop_reason": None, "usage": _usage(turn, 1)}
    yield {"type": "message_start", "message": opening}
    yield {"type": "ping"}
    for index, (block, shown) in enumerate(zip(turn.content, whole["content"], strict=True)):
        empty: dict[str, Any] = {**shown, **_EMPTY[shown["type"]]}
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in _deltas(block, turn.chunk):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ended = {"stop_reason": turn.ends, "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": _usage(turn, turn.output_tokens)}
    yield {"type": "message_stop"}


def usage_of(event: Event) -> dict[str, Any] | None:
    """The usage that an event tells, if it tells any."""
    match event["type"]:
        case "message_start":
            return event["message"]["usage"]
        case "message_delta":
            return event["usage"]
        case _:
            return None


def halves(sequence: Iterator[Event]) -> tuple[list[Event], list[Event]]:
    """The events up to the one in the middle of the deltas, and those after it."""
    listed = list(sequence)
    places = [place for place, event in enumerate(listed) if event["type"] == "content_block_delta"]
    cut = places[(len(places) - 1) // 2] + 1 if places else 2
    return listed[:cut], listed[cut:]


def encoded(event: Event) -> bytes:
    """The event as it stands on the wire."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def error(kind: str, text: str, request_id: str, details: object = None) -> dict[str, Any]:
    """An error as the API words it, as a body and as an event."""
    told: dict[str, Any] = {"type": kind, "message": text}
    if details is not None:
        told["details"] = details
    return {"type": "error", "error": told, "request_id": request_id}
