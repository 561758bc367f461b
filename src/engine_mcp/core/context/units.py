"""Units: the sentences and lines that a text is made of, each as it stands in the text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST_UNIT = 2000
_WRAPPED = 50
"""A line of at least so many characters may have been broken only because it was full."""

_FENCE = re.compile(r"[ \t]{0,12}(`{3,400}|~{3,400})[ \t]{0,12}([\w+.#-]{0,40})")
_MARK = re.compile(r"[ \t]{0,80}(?:#{1,6}[ \t]|>[ \t]?|(?:[-*+•]|\d{1,3}[.)])[ \t])?[ \t]{0,80}")
_NAMED = re.compile(r"[\w.-]{1,60}(?:[ \t][\w.-]{1,60}){0,3}[ \t]?[:=][ \t]")
_LABEL = re.compile(r"(?:\*\*|__)?([A-Za-z][A-Za-z /-]{0,30}?)(?:\*\*|__)?:(?:\*\*|__)?\s")
_BOUND = re.compile(r"(?<![.!?])[.!?]{1,3}[\"')\]*]{0,3}(?=\s{1,4}[^\sa-z])")
_ABBREVIATED = re.compile(r"(?:^|[\s(])(?:e\.g|i\.e|vs|cf|approx|Dr|Mr|Mrs)$")
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A sentence of prose, or a line inside of a fence.

    `label` is the word before the first colon of its paragraph, in lower case. `fence` is the language of
    the fence around it, empty if the fence names none; None: it is prose.
    """

    text: str
    label: str = ""
    fence: str | None = None


@dataclass(slots=True)
class _Paragraph:
    start: int = 0
    end: int = 0
    line: int = 0


def units(text: str) -> Iterator[Unit]:
    """The units of a text in their order, none longer than `LONGEST_UNIT`; takes time linear in the text."""
    held = _Paragraph()
    fence, language, position = "", "", 0
    for line in text.splitlines(keepends=True):
        start, position = position, position + len(line)
        found = _FENCE.match(line)
        if fence:
            if found and _closes(line, fence):
                fence = ""
            elif (words := line.strip()) and len(words) <= LONGEST_UNIT:
                yield Unit(text=words, fence=language)
        elif found:
            yield from _sentences(text, held)
            held, fence, language = _Paragraph(), found[1], found[2].lower()
        else:
            first = start + _mark(line)
            if not _goes_on(text, held, first, start):
                yield from _sentences(text, held)
                held = _Paragraph(first, first, first)
            held.line, held.end = first, max(first, start + len(line.rstrip()))
    yield from _sentences(text, held)


def _closes(line: str, fence: str) -> bool:
    words = line.strip()
    return len(words) >= len(fence) and not words.strip(fence[0])


def _mark(line: str) -> int:
    found = _MARK.match(line)
    return found.end() if found else 0


def _goes_on(text: str, held: _Paragraph, first: int, start: int) -> bool:
    """Whether the line that begins at `start`, its words at `first`, only goes on with the one before."""
    if held.end <= held.start or first >= len(text) or text[first] in "\r\n":
        return False
    if text[start:first].strip() or text[held.end - 1] in ".!?:;":
        return False
    if _NAMED.match(text, first):
        return False
    return text[first].islower() or held.end - held.line >= _WRAPPED


def _sentences(text: str, held: _Paragraph) -> Iterator[Unit]:
    label = _LABEL.match(text, held.start, held.end)
    said = label[1].strip().lower() if label else ""
    start = held.start
    for bound in _BOUND.finditer(text, held.start, held.end):
        if not _ABBREVIATED.search(text[max(start, bound.start() - 8) : bound.start()]):
            yield from _bounded(text, start, bound.end(), said)
            start = bound.end()
    yield from _bounded(text, start, held.end, said)


def _bounded(text: str, start: int, end: int, label: str) -> Iterator[Unit]:
    """A sentence, or the pieces of one that is too long; a word that is too long belongs to none."""
    if end - start <= LONGEST_UNIT:
        words = text[start:end].strip()
        if any(map(str.isalnum, words)):
            yield Unit(text=words, label=label)
        return
    first = last = start
    for word in _WORD.finditer(text, start, end):
        if word.end() - first > LONGEST_UNIT:
            if last > first:
                yield Unit(text=text[first:last].strip(), label=label)
            first = word.start()
        last = word.end()
        if last - first > LONGEST_UNIT:
            first = last
    if words := text[first:last].strip():
        yield Unit(text=words, label=label)


def excerpt(text: str, start: int, end: int, most: int) -> str:
    """What stands around `start` to `end` of a text: whole words, `most` characters at most."""
    if len(text) <= most:
        return text
    end = min(end, start + most)
    spare = (most - (end - start)) // 2
    first, last = max(0, start - spare), min(len(text), end + spare)
    if first and (gap := re.search(r"\s", text[first : start + 1])):
        first += gap.end()
    elif first:
        first = start
    if last < len(text):
        cut = max(text.rfind(" ", end, last), text.rfind("\n", end, last))
        last = cut if cut > 0 else end
    return text[first:last].strip()
