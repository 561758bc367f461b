"""Transcripts: messages as plain text, for who summarizes them, and where they cannot be shown as such."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine_mcp.core.context.turns import Block, blocks, called_before, named, shown
from engine_mcp.core.window import Words

_BREAKS = "\\n\\r\\x0b\\x0c\\x1c-\\x1e\\x85\\u2028\\u2029"
_BLANKS = "\\t \\xa0\\xad\\u1680\\u180e\\u2000-\\u200f\\u202a-\\u202f\\u205f-\\u206f\\u3000\\ufeff"
_MARK = re.compile(f"(^|[{_BREAKS}])([{_BLANKS}]*)(?=[<\\uff1c\\ufe64]{{2}})")
"""The start of a line that begins as a mark does, whatever a reader may take for a line or for two `<`."""
_ID = re.compile(r"m(0|[1-9][0-9]{0,8})")
_HIDDEN = frozenset({"thinking", "redacted_thinking"})


@dataclass(frozen=True, slots=True)
class _Part:
    """What a block says, and `by` whom."""

    by: str
    text: str
    is_result: bool = False


def told(messages: Sequence[Words], first: int, last: int, longest: int | None = None) -> str:
    """The messages from `first` up to `last` as text, each part behind a mark with the message's id.

    All of it is word for word but thinking, which is left out, and lines that begin like a mark, which get a
    backslash. Results longer than `longest` characters are cut in the middle.
    """
    found = [
        f"{mark(f'm{at} {part.by}')}\n{_within(part, at, longest)}"
        for at in range(first, min(last, len(messages)))
        for part in _parts(messages, at)
    ]
    return "\n\n".join(found)


def mark(text: str) -> str:
    """A line that nothing told can hold."""
    return f"<<{text}>>"


def message_read(messages: Sequence[Words], name: str) -> str | None:
    """The whole of a message by its id, as `m12`; None if there is none. Thinking is left out.

    What it says stands there word for word; several parts each stand behind a mark.
    """
    named = _ID.fullmatch(name.strip())
    if named is None or (at := int(named[1])) >= len(messages):
        return None
    parts = list(_parts(messages, at))
    if len(parts) == 1:
        return parts[0].text
    return "\n\n".join(f"{mark(f'm{at} {part.by}')}\n{part.text}" for part in parts)


def _parts(messages: Sequence[Words], position: int) -> Iterator[_Part]:
    role, tools = str(messages[position].get("role")), called_before(messages, position)
    for block in blocks(messages[position]):
        if block.get("type") not in _HIDDEN:
            yield _part(block, role, tools)


def _part(block: Block, role: str, tools: dict[str, str]) -> _Part:
    match block.get("type"):
        case "text":
            return _Part(role, str(block.get("text", "")))
        case "tool_use":
            return _Part(f"{role} calls {named(str(block.get('name', '')))}", _json(block.get("input")))
        case "tool_result":
            kind = "error" if block.get("is_error") is True else "result"
            tool = tools.get(str(block.get("tool_use_id"))) or "a call"
            return _Part(f"{kind} of {tool}", shown(block.get("content")), is_result=True)
        case kind:
            return _Part(f"{role} {named(str(kind))}", _json(block))


def _within(part: _Part, position: int, longest: int | None) -> str:
    size = len(part.text)
    if not part.is_result or longest is None or size <= longest:
        return neutral(part.text)
    begin, end = longest - longest // 3, longest // 3
    cut = mark(f"cut: {size - longest:,} of {size:,} characters; `recall` m{position} reads all of it")
    return "\n".join((neutral(part.text[:begin]), cut, neutral(part.text[size - end :])))


def neutral(text: str) -> str:
    """The text, in which nothing looks like a mark."""
    return _MARK.sub(r"\1\2\\", text)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
