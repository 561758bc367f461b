"""What a text still holds of the pins, and which of them there is room for."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache

from engine_mcp.core.context.pin import Pin, PinKind, Voice
from engine_mcp.core.context.superseded import EXACT, GIVEN, RANK
from engine_mcp.core.context.values import values

_ENDS = " .,;:!"
_GOES_ON = re.compile(r"[\w%]|[./:@-]\w|[/\\]")
_GOES_BEFORE = re.compile(r"\w$|[\w][./:@-]$|[/\\$]$")
_LEAST = 4
"""Tokens that no pin is smaller than."""


def is_kept(text: str, pin: Pin) -> bool:
    """Whether a text holds a pin word for word.

    Composition (NFC), white space and punctuation at the end do not count; nor does case, but for paths,
    ids and commands, alone or inside of a statement. A value that only goes on in the text is not it: `/a`
    is not in `/a/b`, nor `3.1` in `3.11`.
    """
    exact = pin.kind in EXACT
    wanted = _composed(pin.text).strip(_ENDS) or _composed(pin.text)
    if not _holds(text, wanted, exact=exact):
        return False
    return exact or all(
        _holds(text, _composed(one.text), exact=True) for one in values(pin.text) if one.kind in EXACT
    )


def chosen(
    pins: Iterable[Pin], most_tokens: int, count: Callable[[str], int]
) -> tuple[tuple[Pin, ...], tuple[Pin, ...]]:
    """The pins that fit into `most_tokens`, and those left out, each in the order given.

    The task, the user's pins and the user's constraints are always in, whatever they take. The others
    follow by the importance of their kind, of a kind the latest first; where a large one does not fit,
    smaller ones may.
    """
    given = list(pins)
    places = sorted(range(len(given)), key=lambda place: (_rank(given[place]), -given[place].at, place))
    inside: set[int] = set()
    left = most_tokens
    for place in places:
        pin = given[place]
        if not must_stay(pin) and left < _LEAST:
            break
        took = count(f"- {pin.text}\n")
        if must_stay(pin) or took <= left:
            inside.add(place)
            left -= took
    kept = tuple(pin for place, pin in enumerate(given) if place in inside)
    return kept, tuple(pin for place, pin in enumerate(given) if place not in inside)


def must_stay(pin: Pin) -> bool:
    """Whether a pin is never left out: it is given, or a constraint that the user set."""
    return pin.kind in GIVEN or (pin.kind is PinKind.CONSTRAINT and pin.by is Voice.USER)


def _rank(pin: Pin) -> int:
    """The rank of the kind; what a model says it must do counts as what it decided."""
    own = pin.kind is PinKind.CONSTRAINT and not must_stay(pin)
    return RANK[PinKind.DECISION if own else pin.kind]


def _holds(text: str, wanted: str, *, exact: bool) -> bool:
    composed, folded = _whole(text)
    where, what = (composed, wanted) if exact else (folded, wanted.casefold())
    place = where.find(what) if what else -1
    while place >= 0:
        if _stands_alone(where, place, place + len(what)):
            return True
        place = where.find(what, place + 1)
    return False


def _stands_alone(text: str, start: int, end: int) -> bool:
    before = text[start].isalnum() and _GOES_BEFORE.search(text[max(0, start - 2) : start])
    after = text[end - 1].isalnum() and _GOES_ON.match(text[end : end + 2])
    return not before and not after


def _composed(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


@lru_cache(maxsize=2)  # the same summary is looked at for every pin
def _whole(text: str) -> tuple[str, str]:
    composed = _composed(text)
    return composed, composed.casefold()
