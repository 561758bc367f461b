"""The handoff packet: what one role tells the next, in a fixed shape of bounded size."""

import json
import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pydantic import JsonValue

LARGEST = 16 << 10
MOST_ITEMS = 50
LONGEST_ITEM = 2000
_OPENS = re.compile(r"^```handoff[ \t]*\r?\n", re.MULTILINE)
_CLOSES = re.compile(r"^```[ \t]*\r?$", re.MULTILINE)
_LISTS = ("constraints", "decisions", "files_changed", "failed_approaches", "open_items")
_TEXTS = ("summary", "next_step")


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """What is handed on; `source` says who wrote it, `problem` why it was not the role itself.

    `task` and `budget_left` (by resource, in the unit of its limit) always come from the record.
    """

    task: str = ""
    summary: str = ""
    constraints: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    files_changed: tuple[str, ...] = ()
    failed_approaches: tuple[str, ...] = ()
    open_items: tuple[str, ...] = ()
    next_step: str = ""
    budget_left: Mapping[str, float] | None = None
    source: str = "role"
    problem: str = ""

    def dumped(self) -> dict[str, JsonValue]:
        """The packet as JSON, without what is empty."""
        texts: dict[str, JsonValue] = {name: getattr(self, name) for name in ("task", *_TEXTS)}
        lists: dict[str, JsonValue] = {name: list[JsonValue](getattr(self, name)) for name in _LISTS}
        rest: dict[str, JsonValue] = {"source": self.source, "problem": self.problem}
        if self.budget_left is not None:
            rest["budget_left"] = dict[str, JsonValue](self.budget_left)
        return {name: value for name, value in (texts | lists | rest).items() if value}


_ITEM: JsonValue = {"type": "string", "maxLength": LONGEST_ITEM, "pattern": r"\S"}
SCHEMA: Mapping[str, JsonValue] = {
    "type": "object",
    "properties": {
        **dict.fromkeys(_TEXTS, _ITEM),
        **{name: {"type": "array", "maxItems": MOST_ITEMS, "items": _ITEM} for name in _LISTS},
    },
    "required": ["summary", "next_step"],
    "additionalProperties": False,
}
"""What a role writes: the part of a packet that only it can know."""


def split(output: JsonValue) -> tuple[str, str | None]:
    """The answer of a role and the text of its packet: the last block fenced as `handoff`."""
    text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
    last = _last(_CLOSES.finditer(text))
    opened = None if last is None else _last(_OPENS.finditer(text, 0, last.start()))
    closed = None if opened is None else _CLOSES.search(text, opened.end())
    if opened is None or closed is None:
        return text, None
    return (text[: opened.start()] + text[closed.end() :]).strip(), text[opened.end() : closed.start()]


def _last(found: Iterable[re.Match[str]]) -> re.Match[str] | None:
    return next(iter(deque(found, maxlen=1)), None)


def parsed(written: str | None) -> Packet:
    """The packet that a role wrote; raises ValueError, saying why it is none."""
    if written is None:
        raise ValueError("The answer has no block fenced as handoff.")
    if len(written.encode(errors="surrogatepass")) > LARGEST:
        raise ValueError(f"The handoff is larger than {LARGEST >> 10} KiB.")
    try:
        value: object = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The handoff is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("The handoff is not an object.")  # noqa: TRY004 - what was written, not a bug
    return _packet(value)  # pyright: ignore[reportUnknownArgumentType] - checked key by key


def _packet(value: dict[object, object]) -> Packet:
    if unknown := sorted(repr(str(name))[1:-1] for name in value if name not in (*_TEXTS, *_LISTS)):
        raise ValueError(f"The handoff has unknown fields: {', '.join(unknown)[:200]}.")
    packet = Packet()
    for name in _TEXTS:
        packet = replace(packet, **{name: _text(value.get(name), name)})
    for name in _LISTS:
        packet = replace(packet, **{name: _items(value.get(name, []), name)})
    return packet


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"The handoff's {name} is not a text.")
    if len(value) > LONGEST_ITEM:
        raise ValueError(f"The handoff's {name} is longer than {LONGEST_ITEM} characters.")
    return value


def _items(value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"The handoff's {name} is not a list.")  # noqa: TRY004 - what was written, not a bug
    items: list[object] = value  # pyright: ignore[reportUnknownVariableType] - checked one by one
    if len(items) > MOST_ITEMS:
        raise ValueError(f"The handoff's {name} has more than {MOST_ITEMS} items.")
    return tuple(_text(item, name) for item in items)
