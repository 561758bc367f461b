"""Rendering: the text of a summary as it stands in a conversation, and what the next one is built on."""

import json
import re
from collections.abc import Iterable, Iterator

from pydantic import JsonValue

from engine_mcp.core.context.content import Content, FileNote
from engine_mcp.core.context.pin import Pin, PinKind
from engine_mcp.core.context.schema import LISTS, PROPERTIES

TITLE = "# Summary of the conversation so far"
PINNED = "Pinned (verbatim)"
RECALL = (
    "Any message can be read again with the tool `recall`, by its id such as `m12`; "
    "`m0` is the first prompt, with its context and results."
)
_LINES = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_SHORT = frozenset({PinKind.PATH, PinKind.ID, PinKind.NUMBER, PinKind.FACT})
"""Pins that say all there is; of others one may want to read what stood around them."""


def rendered(content: Content) -> str:
    """The text that stands for the messages: the same for the same content, empty parts left out.

    Every line of what others wrote is an item of a list or goes on with one, so that it can neither be
    taken for a heading nor for a mark of the conversation.
    """
    parts = [f"## {heading}\n\n{text}" for heading, lines in _parts(content) if (text := "\n".join(lines))]
    note = f"({_line(content.marker)})" if content.marker else ""
    return "\n\n".join(part for part in (TITLE, note, *parts, RECALL) if part)


def source_of(content: Content) -> str:
    """What the next summary is to bring up to date, as JSON: all that a model may write, in its order."""
    told = {name: _told(content, name) for name in PROPERTIES if name != "files"}
    return json.dumps({name: value for name, value in told.items() if value}, ensure_ascii=False, indent=1)


def _told(content: Content, name: str) -> JsonValue:
    match name:
        case "goal":
            return content.goal
        case "decisions":
            return [{"what": one.what, "why": one.why} for one in content.decisions]
        case "errors":
            return [{"verbatim": one.verbatim, "resolution": one.resolution} for one in content.errors]
        case _:
            return list[JsonValue](_texts(content, name))


def _texts(content: Content, name: str) -> tuple[str, ...]:
    assert name in LISTS  # noqa: S101 - the fields of the schema are those of the content
    texts: tuple[str, ...] = getattr(content, name)
    return texts


def _parts(content: Content) -> Iterator[tuple[str, Iterable[str]]]:
    yield "Goal", _items([content.goal] if content.goal else [])
    yield "Criteria", _items(content.success_criteria)
    yield "Constraints", _items(content.constraints_verbatim)
    yield "Decisions", _items(_joined(one.what, "because", one.why) for one in content.decisions)
    yield "Done", _items(content.done)
    yield "Open", _items(content.open_items)
    yield "Errors", _items(_joined(one.verbatim, "resolved:", one.resolution) for one in content.errors)
    yield "Facts", _items(content.facts_verbatim)
    yield "What failed", _items(content.failed_approaches)
    yield "Next steps", _items(content.next_steps)
    yield "Preferences", _items(content.preferences)
    yield PINNED, _pins(content.pins)
    yield "Files (from the record)", _items(_file(note) for note in content.files)
    yield (
        "Budget left (from the record)",
        _items(f"{name}: {left:g}" for name, left in content.budget.items()),
    )


def _pins(pins: Iterable[Pin]) -> Iterator[str]:
    by_kind: dict[PinKind, list[str]] = {kind: [] for kind in PinKind}
    for pin in pins:
        at = "" if pin.at < 0 or pin.kind in _SHORT else f" (m{pin.at})"
        by_kind[pin.kind].append(f"{pin.text}{at}")
    for kind, texts in by_kind.items():
        if texts:
            yield f"{kind}:"
            yield from _items(texts)


def _file(note: FileNote) -> str:
    action = f": {note.action}" if note.action else ""
    return _line(f"{note.path}{action}{f', {note.detail}' if note.detail else ''}")


def _joined(text: str, word: str, more: str) -> str:
    return f"{text} ({word} {more})" if more else text


def _items(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        first, *others = _LINES.split(text)
        yield f"- {first}"
        yield from (f"  {line}" for line in others)


def _line(text: str) -> str:
    return " ".join(_LINES.split(text))
