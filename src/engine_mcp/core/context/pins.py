"""Pins: what of a conversation must survive every summary word for word, found by code.

What binds (constraints, decisions, preferences, open items) and what is so (facts) is taken from the words
of the user and of the model alone: what a tool gave, or what stands in a fence, is material, whoever wrote
it. A fence gives commands, settings and errors. A tool's result gives little, since it can be looked up
again: the first error lines, and of a short one, which tells what was done, a few ids, paths and numbers
without the words around them. An error that speaks to its reader is none. Thinking and summaries are no
source.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from pydantic import JsonValue

from engine_mcp.core.context.facts import facts, key_of
from engine_mcp.core.context.hostile import hostile
from engine_mcp.core.context.kept import chosen, is_kept, must_stay
from engine_mcp.core.context.patterns import Statement, error_in, error_line, is_order, statement
from engine_mcp.core.context.pin import Pin, PinKind, Voice
from engine_mcp.core.context.render import TITLE
from engine_mcp.core.context.superseded import RANK, Standing, standing
from engine_mcp.core.context.units import Unit, excerpt, units
from engine_mcp.core.context.values import LONGEST_VALUE, command_of, values

__all__ = ["LONGEST", "MOST", "Standing", "chosen", "is_kept", "must_stay", "pins_of", "standing"]

LONGEST = 400
"""Characters of a pin at most."""
MOST = {Voice.USER: 64, Voice.ASSISTANT: 24, Voice.TOOL: 8}
"""Pins of one message at most, by who speaks in it."""
SHORT_RESULT = 400
"""Characters of a result that only tells what was done."""
MOST_ERRORS, MOST_VALUES = 2, 4
"""Errors and values that one result gives at most."""
LONGEST_LINE = 2000
_AROUND = 160
"""Characters around an id or a number that say what it is of."""
_SETTINGS = frozenset(("env", "ini", "toml", "yaml", "yml", "conf", "cfg", "properties", "dotenv"))
_LITERAL = re.compile(
    r"[\w.-]{1,60}\s?[=:]\s?(?:[\"'`]?[\d/.~:][^\s,;(){}]{0,200}[\"'`]?|true|false|https?://\S{1,300})"
)
_BARE = frozenset({PinKind.PATH, PinKind.COMMAND})
"""Values that say by themselves what they are of."""
_COMMANDS = ("command", "cmd")
_PATHS = ("path", "file_path", "filename")
_LINE = re.compile(r"[^\n\r]+")


def pins_of(messages: Iterable[Mapping[str, JsonValue]], first: int = 0) -> tuple[Pin, ...]:
    """The pins of messages of the API's shape, the first of which is at `first` of its conversation.

    The text of a pin stands in its message as it is, is at most `LONGEST` characters long and overlaps no
    other one's. A message gives at most `MOST` pins, the most important ones of them. In the order in which
    they were said; in time and size linear in the messages.
    """
    return tuple(pin for at, message in enumerate(messages, first) for pin in _of(message, at))


def _of(message: Mapping[str, JsonValue], at: int) -> Iterator[Pin]:
    voice = {"user": Voice.USER, "assistant": Voice.ASSISTANT}.get(str(message.get("role")))
    if voice is None:
        return
    found = [pin for block in _blocks(message.get("content")) for pin in _of_block(block, voice, at)]
    places: list[int] = []
    for by in {voice, Voice.TOOL}:
        own = [place for place, pin in enumerate(found) if pin.by is by]
        places += sorted(own, key=lambda place: (RANK[found[place].kind], place))[: MOST[by]]
    yield from (found[place] for place in sorted(places))


def _blocks(content: JsonValue) -> Iterator[Mapping[str, JsonValue]]:
    if isinstance(content, str):
        yield {"type": "text", "text": content}
    elif isinstance(content, list):
        yield from (block for block in content if isinstance(block, dict))


def _of_block(block: Mapping[str, JsonValue], voice: Voice, at: int) -> Iterator[Pin]:
    match block.get("type"):
        case "text":
            yield from _of_words(_text(block.get("text")), voice, at)
        case "tool_use":
            yield from _of_call(block.get("input"), voice, at)
        case "tool_result":
            yield from _of_result(block, at)
        case _:
            return


def _text(value: JsonValue) -> str:
    """A text, or the texts of a list of blocks."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    texts = (block.get("text") for block in value if isinstance(block, dict) and block.get("type") == "text")
    return "\n".join(text for text in texts if isinstance(text, str))


def _of_words(text: str, voice: Voice, at: int) -> Iterator[Pin]:
    if text.startswith(TITLE):
        return
    for unit in units(text):
        found = _of_line(unit, voice, at) if unit.fence is not None else _of_sentence(unit, voice, at)
        yield from found


def _of_line(unit: Unit, voice: Voice, at: int) -> Iterator[Pin]:
    """The pin of a line inside of a fence."""
    if command := command_of(unit.text, unit.fence):
        yield Pin(kind=PinKind.COMMAND, text=command, at=at, by=voice)
    elif _is_error(unit.text):
        yield Pin(kind=PinKind.ERROR, text=excerpt(unit.text, 0, 0, LONGEST), at=at, by=voice)
    elif unit.fence in _SETTINGS or (not unit.fence and _LITERAL.fullmatch(unit.text)):
        yield from islice(_facts(unit.text, voice, at, sparing=False), 1)


def _of_sentence(unit: Unit, voice: Voice, at: int) -> Iterator[Pin]:
    if command := command_of(unit.text, None):
        yield Pin(kind=PinKind.COMMAND, text=command, at=at, by=voice)
        return
    if says := statement(unit, voice):
        plainly = list(_facts(unit.text, voice, at, sparing=False)) if says.kind is PinKind.FACT else []
        yield from plainly or _of_statement(unit.text, says, voice, at)
    elif error := error_in(unit.text):
        yield from _of_statement(unit.text, error, voice, at)
    elif found := list(_facts(unit.text, voice, at, sparing=voice is not Voice.USER)):
        yield from found
    else:
        yield from _values(unit.text, voice, at)


def _of_statement(text: str, says: Statement, voice: Voice, at: int) -> Iterator[Pin]:
    """A statement as it was said; of one that is too long what stands around its telling words."""
    shown = excerpt(text, says.start, says.end, LONGEST)
    key = key_of(text, says.kind) if shown == text else ""
    yield Pin(kind=says.kind, text=shown, at=at, key=key, by=voice)
    if shown != text:
        start = text.index(shown)
        yield from _values(text[:start], voice, at)
        yield from _values(text[start + len(shown) :], voice, at)


def _facts(text: str, voice: Voice, at: int, *, sparing: bool) -> Iterator[Pin]:
    for fact in facts(text, sparing=sparing):
        if len(fact.text) <= LONGEST:
            yield Pin(kind=PinKind.FACT, text=fact.text, at=at, key=fact.key, by=voice)


def _values(text: str, voice: Voice, at: int) -> Iterator[Pin]:
    """The values that a text holds; ids and numbers with the words around them that say what they are of."""
    found = values(text)
    end = 0
    for place, value in enumerate(found):
        if value.start < end:
            continue
        shown, start = value.text, value.start
        if value.kind not in _BARE:
            last = next((one.start for one in found[place + 1 :] if one.kind in _BARE), len(text))
            shown = excerpt(text[end:last], value.start - end, value.end - end, _AROUND).lstrip(",;:.) ")
            start = text.index(shown, end)
        end = start + len(shown)
        yield Pin(kind=value.kind, text=shown, at=at, by=voice)


def _of_call(given: JsonValue, voice: Voice, at: int) -> Iterator[Pin]:
    if not isinstance(given, dict):
        return
    for names, kind in ((_COMMANDS, PinKind.COMMAND), (_PATHS, PinKind.PATH)):
        for name in names:
            value = given.get(name)
            if isinstance(value, str) and value.strip() and len(value) <= LONGEST_VALUE:
                yield Pin(kind=kind, text=value, at=at, by=voice)


def _of_result(block: Mapping[str, JsonValue], at: int) -> Iterator[Pin]:
    text = _text(block.get("content"))
    failed = block.get("is_error") is True
    errors = (line for line in _lines(text) if _is_error(line, failed=failed))
    for line in islice(errors, MOST_ERRORS):
        yield Pin(kind=PinKind.ERROR, text=excerpt(line, 0, 0, LONGEST), at=at, by=Voice.TOOL)
    if not failed and len(text) <= SHORT_RESULT:
        for value in islice(values(text), MOST_VALUES):
            yield Pin(kind=value.kind, text=value.text, at=at, by=Voice.TOOL)


def _is_error(line: str, *, failed: bool = False) -> bool:
    return (failed or error_line(line)) and not hostile(line) and not is_order(line)


def _lines(text: str) -> Iterator[str]:
    """The lines of an output; those too long to be read by anybody are none."""
    for found in _LINE.finditer(text):
        if found.end() - found.start() <= LONGEST_LINE and (line := found[0].strip()):
            yield line
