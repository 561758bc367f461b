"""Extraction: a summary without a model, of pins and of the sentences that matter most."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from engine_mcp.core.context.content import Content
from engine_mcp.core.context.evidence import plain, stems
from engine_mcp.core.context.hostile import hostile
from engine_mcp.core.context.outdated import Outdated
from engine_mcp.core.context.pin import Pin
from engine_mcp.core.context.pins import chosen, pins_of, standing
from engine_mcp.core.context.render import rendered
from engine_mcp.core.context.schema import LONGEST_ITEM, MOST_ITEMS
from engine_mcp.core.context.turns import blocks
from engine_mcp.core.context.units import units
from engine_mcp.core.window import Words

MARKER = "Written by code, without a model"
MOST_LOOKED_AT = 2_000
"""Sentences that are weighed, the latest ones."""
LAST_TURNS, LEAST_WORDS = 4, 4
_PINS_SHARE = 0.8
"""The share of the room that pins may take where not all of them fit."""
_TELLING = re.compile(
    r"\b(?:because|cause[ds]?|fix(?:ed|es)?|found|fail(?:s|ed|ure)?|works?|pass(?:es|ed)?|done|finished"
    r"|decided|implemented|turn(?:s|ed) out|therefore|instead|remain(?:s|ing)?|next|still|todo|blocked)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    at: int
    order: int
    weight: float


def extracted(
    messages: Sequence[Words],
    pins: Sequence[Pin],
    most_tokens: int,
    count: Callable[[str], int],
    why: str = "",
) -> Content:
    """A summary of messages that fits into `most_tokens` once it is rendered; `why` no model wrote it.

    Pins come first, then what the first message asks for, then the sentences of user and model that say
    most, the later ones rather. Raises ValueError where not even the pins that have to stay fit.
    """
    fits = _Fits(most_tokens, count)
    bare = Content(marker=f"{MARKER}: {why}" if why else f"{MARKER}.")
    content = fits.pinned(bare, pins)
    sentences = list(_sentences(messages, pins))
    goal = next((one.text for one in sentences if one.at == _first_user(messages)), "")
    if goal and fits(replace(content, goal=goal)):
        content = replace(content, goal=goal)
    best = sorted((one for one in sentences if one.text != goal), key=lambda one: (-one.weight, -one.order))
    best = best[:MOST_ITEMS]
    return fits.longest(len(best), lambda kept: replace(content, facts_verbatim=_in_order(best[:kept])))


@dataclass(frozen=True, slots=True)
class _Fits:
    """Whether a content is small enough once it is rendered."""

    most_tokens: int
    count: Callable[[str], int]

    def __call__(self, content: Content) -> bool:
        return self.count(rendered(content)) <= self.most_tokens

    def pinned(self, bare: Content, pins: Sequence[Pin]) -> Content:
        """The content with all pins, or with those that are worth most; raises ValueError."""
        room = self.most_tokens
        content = replace(bare, pins=tuple(pins))
        while not self(content):
            room = int(room * _PINS_SHARE)
            kept, _ = chosen(pins, room, self.count)
            content = replace(bare, pins=kept)
            if not room and not self(content):
                took = self.count(rendered(content))
                raise ValueError(f"What has to stay takes {took:,} tokens, more than {self.most_tokens:,}.")
        return content

    def longest(self, most: int, made: Callable[[int], Content]) -> Content:
        """What is made of the largest number up to `most` that fits; 0 is known to."""
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self(made(middle)) else (low, middle - 1)
        return made(low)


def _in_order(sentences: Sequence[_Sentence]) -> tuple[str, ...]:
    return tuple(one.text for one in sorted(sentences, key=lambda one: one.order))


def _sentences(messages: Sequence[Words], pins: Sequence[Pin]) -> Iterator[_Sentence]:
    """What user and model said and still holds, each sentence once; results of tools are no source."""
    outdated = Outdated(pins, standing((*pins, *pins_of(messages))).superseded)
    pinned = "\n".join(plain(pin.text) for pin in pins)
    worth = [stems(pin.text) for pin in pins]
    told = list(_told(messages))
    seen: set[str] = set()
    first = len(told) - MOST_LOOKED_AT
    for order, (at, text) in enumerate(told):
        said = plain(text)
        if said in seen or said in pinned or not _is_sentence(text):
            continue
        if outdated.replaced_in(text):
            continue
        seen.add(said)
        if order >= first or at == _first_user(messages):
            near = 1 if at >= len(messages) - LAST_TURNS else 0
            yield _Sentence(text, at, order, near + _weight(said, worth) + order / len(told))


def _is_sentence(text: str) -> bool:
    return len(text) <= LONGEST_ITEM and len(text.split()) >= LEAST_WORDS and not hostile(text)


def _told(messages: Sequence[Words]) -> Iterator[tuple[int, str]]:
    for at, message in enumerate(messages):
        for block in blocks(message):
            if block.get("type") == "text":
                yield from (
                    (at, unit.text) for unit in units(str(block.get("text", ""))) if unit.fence is None
                )


def _weight(said: str, worth: Sequence[frozenset[str]]) -> float:
    words = stems(said)
    about = sum(1 for pin in worth if pin and pin <= words)
    return min(about, 3) + (1.0 if _TELLING.search(said) else 0.0)


def _first_user(messages: Sequence[Words]) -> int:
    return next((at for at, message in enumerate(messages) if message.get("role") == "user"), -1)
