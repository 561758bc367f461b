"""Outdated values: what a later pin has taken the place of, however a sentence words it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine_mcp.core.context.evidence import plain
from engine_mcp.core.context.facts import replaced_in, value_of
from engine_mcp.core.context.pin import Pin

_TOKEN = re.compile(r"[^\s=,;()\[\]{}<>|\"]+")
_EDGES = ".,:;!?'"
_COMMON = """
a an and are as at be been by changed change for from has have if in is it its my new now of on
or our set so that the their then this to use used uses using value was we were will with you your
"""
_STOPS = frozenset(_COMMON.split())
_DIGITS = 4
"""A number of so many digits is one that one knows again."""

Tokens = frozenset[str]


@dataclass(frozen=True, slots=True)
class _Old:
    """An outdated value: its tokens, the words around it, those of the value that holds now.

    `is_named`: the newer pin itself says that it takes the place of this one.
    """

    text: str
    value: Tokens
    around: Tokens
    now: Tokens
    newer: Pin
    is_named: bool


class Outdated:
    """The values that do not hold any more."""

    def __init__(self, pins: Sequence[Pin], superseded: Sequence[Pin]) -> None:
        """`pins` hold, `superseded` do not."""
        self._standing = [(plain(pin.text), _tokens(pin.text)) for pin in pins]
        self._old = [old for pin in superseded if (old := _old(pin, pins)) is not None]

    def replaced_in(self, item: str) -> Pin | None:
        """The pin that holds in place of what an item says; None if the item says nothing outdated."""
        if not self._old:
            return None
        rest = plain(item)
        for said, _ in self._standing:
            rest = rest.replace(said, " ") if said else rest
        words, told = _tokens(rest), _tokens(item)
        return next((old.newer for old in self._old if self._says(old, rest, words, told)), None)

    def _says(self, old: _Old, rest: str, words: Tokens, told: Tokens) -> bool:
        if re.search(rf"(?<!\w){re.escape(old.text)}(?!\w|[.,]\d)", rest, re.IGNORECASE):
            return True
        if not old.value or not old.value <= words:
            return False
        if old.is_named:
            return not old.now & told
        near = len(old.around & told)
        others = [tokens for _, tokens in self._standing if old.value <= tokens]
        # Another thing may have the value that this one had.
        if any(len((tokens - old.value) & told) >= max(1, near) for tokens in others):
            return False
        return near > 0 or (not others and all(_is_known_again(token) for token in old.value))


def _old(pin: Pin, pins: Sequence[Pin]) -> _Old | None:
    newer = _newer(pin, pins)
    if newer is None:
        return None
    before, now = _tokens(pin.text), _tokens(newer.text)
    named = [tokens for one in replaced_in(newer.text) if (tokens := _tokens(one)) and tokens <= before]
    value = named[0] if named else _tokens(value_of(pin) or pin.text) - now
    return _Old(
        text=plain(pin.text).rstrip(_EDGES),
        value=value,
        around=before - value,
        now=now - before,
        newer=newer,
        is_named=bool(named),
    )


def _newer(pin: Pin, pins: Sequence[Pin]) -> Pin | None:
    """What took the place: a pin with the same key, else the later one that has most words in common."""
    same = [one for one in pins if pin.key and one.key == pin.key]
    if same:
        return same[-1]
    words = _tokens(pin.text)
    later = [one for one in pins if one.at >= pin.at]
    return max(later, key=lambda one: (len(words & _tokens(one.text)), one.at), default=None)


def _tokens(text: str) -> Tokens:
    tokens = (token.strip(_EDGES).casefold() for token in _TOKEN.findall(plain(text)))
    return frozenset(token for token in tokens if token and token not in _STOPS)


def _is_known_again(token: str) -> bool:
    digits = sum(letter.isdigit() for letter in token)
    return digits >= _DIGITS or (0 < digits < len(token)) or "/" in token
