"""Reading what a model wrote as a summary: whatever it is, what comes of it is a bounded `Content`."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace

from pydantic import JsonValue

from engine_mcp.core.context.content import Content, Decision, ErrorNote
from engine_mcp.core.context.schema import LARGEST, LISTS, LONGEST_GOAL, LONGEST_ITEM, MOST_ITEMS

_FENCE = re.compile(r"[`~]{3,}\s*\w*")
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
"""What no text needs: control characters, and marks that hide or turn round what stands there."""
_HALF = re.compile("[\ud800-\udfff]")

Fields = dict[str, JsonValue]


def read(answer: JsonValue) -> Content:
    """The content of an answer: a JSON object, or a text that holds one.

    Unknown fields, values of wrong types and files are left out, whatever is too long is cut. Raises
    ValueError, saying why there is no object.
    """
    fields = _parsed(answer) if isinstance(answer, str) else answer
    if not isinstance(fields, dict):
        raise ValueError("The answer is not a JSON object.")  # noqa: TRY004 - what was written, not a bug
    content = Content(
        goal=_text(fields.get("goal"), LONGEST_GOAL),
        decisions=tuple(Decision(what=what, why=why) for what, why in _pairs(fields, "decisions")),
        errors=tuple(ErrorNote(verbatim=told, resolution=how) for told, how in _pairs(fields, "errors")),
    )
    return replace(content, **{name: _texts(fields.get(name)) for name in LISTS})


def _parsed(text: str) -> JsonValue:
    if len(text) > LARGEST:
        raise ValueError(f"The answer is longer than {LARGEST:,} characters.")
    if not text.strip():
        raise ValueError("The answer is empty.")
    why = "it holds none"
    for candidate in _candidates(text):
        try:
            value, _ = json.JSONDecoder().raw_decode(candidate)
        except RecursionError:
            why = "it is nested too deep"
        except ValueError as error:
            why = str(error)
        else:
            if isinstance(value, dict):
                return value  # pyright: ignore[reportUnknownVariableType] - what JSON gives is a JsonValue
    raise ValueError(f"The answer is not a JSON object: {why}.")


def _candidates(text: str) -> Iterator[str]:
    """What may be the object: the whole, the longest fenced block, what begins with the first brace."""
    yield text.strip()
    if block := max(_blocks(text), key=len, default=""):
        yield block
    if "{" in text:
        yield text[text.index("{") :]


def _blocks(text: str) -> Iterator[str]:
    """The fenced blocks, line by line: a pattern over the whole text would take forever on some."""
    block: list[str] | None = None
    for line in text.splitlines():
        if _FENCE.fullmatch(line.strip()):
            if block is not None:
                yield "\n".join(block).strip()
            block = [] if block is None else None
        elif block is not None:
            block.append(line)


def _pairs(fields: Fields, name: str) -> Iterator[tuple[str, str]]:
    first, second = ("what", "why") if name == "decisions" else ("verbatim", "resolution")
    seen: set[str] = set()
    for item in _items(fields.get(name)):
        if not isinstance(item, dict):
            continue
        text = _text(item.get(first))
        if text and text not in seen:
            seen.add(text)
            yield text, _text(item.get(second))


def _texts(value: JsonValue) -> tuple[str, ...]:
    texts = (_text(item) for item in _items(value))
    return tuple(dict.fromkeys(text for text in texts if text))


def _items(value: JsonValue) -> list[JsonValue]:
    return value[:MOST_ITEMS] if isinstance(value, list) else []


def _text(value: JsonValue, most: int = LONGEST_ITEM) -> str:
    if not isinstance(value, str):
        return ""
    # What lies far behind the end cannot matter, and may be very long.
    text = _HALF.sub("\ufffd", _UNSEEN.sub(" ", value[: 4 * most])).strip()
    return text if len(text) <= most else _cut(text[: most + 1])


def _cut(text: str) -> str:
    """All but the last word, which is half of one: half of a path or of a number is another one."""
    kept = text.rsplit(maxsplit=1)[0].rstrip()
    return kept if len(kept) < len(text) else ""
