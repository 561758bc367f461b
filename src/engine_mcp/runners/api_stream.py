"""One answer of the model as its events come in: its content, how it ended and what it used."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from engine_mcp.core.budget import Usage

Block = dict[str, JsonValue]
INVALID_JSON = "INVALID_JSON"
"""The only key of a tool's input that was no JSON object; its value is the text as it came."""

_USED = {
    "tokens_in": "input_tokens",
    "tokens_out": "output_tokens",
    "cache_read": "cache_read_input_tokens",
    "cache_write": "cache_creation_input_tokens",
}


@dataclass(slots=True)
class _Piecemeal:
    """A content block as it grows: what it began as, and the pieces of its texts by field."""

    start: Block
    pieces: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    citations: list[JsonValue] = field(default_factory=list[JsonValue])

    def add(self, delta: Mapping[str, JsonValue]) -> str:
        """Take a delta; what it adds to the text that people see."""
        kind = delta.get("type")
        if kind == "citations_delta":
            self.citations.append(delta.get("citation"))
            return ""
        if kind == "signature_delta":
            self.start["signature"] = delta.get("signature")
            return ""
        for name, value in delta.items():
            if name != "type" and isinstance(value, str):
                self.pieces.setdefault(name, []).append(value)
        text = delta.get("text")
        return text if kind == "text_delta" and isinstance(text, str) else ""

    def joined(self, name: str) -> str:
        """A text so far."""
        start = self.start.get(name)
        return (start if isinstance(start, str) else "") + "".join(self.pieces.get(name, ()))

    @property
    def size(self) -> int:
        """The bytes that came piece by piece."""
        return sum(len(piece.encode(errors="replace")) for pieces in self.pieces.values() for piece in pieces)

    def block(self) -> Block:
        """The block as the API would have given it whole."""
        found = dict(self.start)
        for name in self.pieces:
            if name == "partial_json":
                found["input"] = parsed_input(self.joined(name))
            else:
                found[name] = _encodable(self.joined(name))
        if self.citations:
            found["citations"] = [*_items(found.get("citations")), *self.citations]
        return found

    def whole(self, *, cut: bool) -> bool:
        """Whether the API would take it back; with `cut` it is the last block of a cut answer."""
        match self.start.get("type"):
            case "text":
                return bool(self.joined("text").strip())
            case "thinking":
                return bool(self.start.get("signature"))
            case "tool_use" if cut:
                given = self.block().get("input")
                return self.joined("partial_json") != "" and not is_invalid(given)
            case _:
                return True


class Reply:
    """An answer that comes in event by event; lives outside of what may be cancelled meanwhile.

    `model` is the one that answers, as the provider names it. `stop_reason` is None until the message has
    ended; `garbled` says what made no sense, if anything. `most` is how many tokens the answer may have.
    """

    def __init__(self) -> None:
        self.request_id = ""
        self.model = ""
        self.most: int | None = None
        self.begun = False
        self.stop_reason: str | None = None
        self.stop_details: Mapping[str, JsonValue] = {}
        self.garbled = ""
        self._blocks: dict[int, _Piecemeal] = {}
        self._used: dict[str, int] = {}

    def feed(self, event: Mapping[str, JsonValue]) -> str:
        """Take an event; the text that it adds. Events of unknown types change nothing."""
        match event.get("type"):
            case "message_start":
                self._begin(_fields(event.get("message")))
            case "content_block_start":
                self._blocks[_index(event)] = _Piecemeal(dict(_fields(event.get("content_block"))))
                return self._blocks[_index(event)].joined("text")
            case "content_block_delta":
                return self._add(event)
            case "message_delta":
                self._end(_fields(event.get("delta")))
                self._count(_fields(event.get("usage")))
            case _:
                pass
        return ""

    def _begin(self, message: Mapping[str, JsonValue]) -> None:
        self.begun = True
        model = message.get("model")
        self.model = model if isinstance(model, str) else ""
        self._count(_fields(message.get("usage")))

    def _add(self, event: Mapping[str, JsonValue]) -> str:
        block = self._blocks.get(_index(event))
        if block is None:
            self.garbled = self.garbled or f"a delta of block {_index(event)}, which was never begun"
            return ""
        return block.add(_fields(event.get("delta")))

    def _end(self, delta: Mapping[str, JsonValue]) -> None:
        reason = delta.get("stop_reason")
        if isinstance(reason, str):
            self.stop_reason = reason
        self.stop_details = _fields(delta.get("stop_details"))

    def _count(self, usage: Mapping[str, JsonValue]) -> None:
        # Later numbers are totals too, those that are left out still hold, and nothing is taken back.
        counts = [(name, usage.get(told)) for name, told in _USED.items()]
        counts.append(
            ("cache_write_1h", _fields(usage.get("cache_creation")).get("ephemeral_1h_input_tokens"))
        )
        for name, count in counts:
            if isinstance(count, int):
                self._used[name] = max(count, self._used.get(name, 0))

    @property
    def text(self) -> str:
        """What the model has said so far."""
        said = (block.joined("text") for block in self._ordered if block.start.get("type") == "text")
        return _encodable("".join(said))

    @property
    def _ordered(self) -> list[_Piecemeal]:
        return [self._blocks[index] for index in sorted(self._blocks)]

    def content(self, *, cut: bool) -> list[Block]:
        """The blocks as the API takes them back, in their order.

        Blank texts and thinking without its signature are left out; with `cut` (the answer
        was cut at a limit) also the call in which it was cut.
        """
        ordered = self._ordered
        return [block.block() for block in ordered if block.whole(cut=cut and block is ordered[-1])]

    def used(self) -> Usage:
        """What the answer has used; unless it ended, its output is estimated, rather too high."""
        if not self.begun:
            return Usage(requests=1)
        told = Usage(requests=1, cost_basis="unpriced", **self._used)
        if self.stop_reason is not None:
            return told
        said = estimated(block.size for block in self._ordered)
        said = said if self.most is None else min(said, self.most)
        return replace(told, tokens_out=max(told.tokens_out, said))


def estimated(sizes: Iterable[int]) -> int:
    """The tokens of so many bytes, one for each 1.5: fewer are met in no kind of text that was measured."""
    return -(-sum(sizes) * 2 // 3)


def parsed_input(text: str) -> JsonValue:
    """A tool's input; where it is no JSON object, an object that says so and holds the text."""
    try:
        value: JsonValue = json.loads(text or "{}", parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return {INVALID_JSON: _encodable(text)}
    return value if isinstance(value, dict) else {INVALID_JSON: text}


def is_invalid(given: JsonValue) -> bool:
    """Whether a tool's input is one that was no JSON object."""
    return isinstance(given, dict) and set(given) == {INVALID_JSON}


def _refuse(name: str) -> JsonValue:
    raise ValueError(f"{name} is not JSON")


def _encodable(text: str) -> str:
    """The text without what UTF-8 cannot say: a request could not be sent with it."""
    return text.encode(errors="replace").decode()


def _fields(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _items(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _index(event: Mapping[str, JsonValue]) -> int:
    index = event.get("index")
    return index if isinstance(index, int) else -1
