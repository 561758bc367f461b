"""Which of all pins still stand: of two values of one thing the latest, of near-duplicates one."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from engine_mcp.core.context.facts import DONE, plain, purpose_of, replaced_in, value_of
from engine_mcp.core.context.pin import Pin, PinKind, Voice
from engine_mcp.core.context.values import values

IMPORTANCE = (
    PinKind.TASK,
    PinKind.USER,
    PinKind.CONSTRAINT,
    PinKind.PREFERENCE,
    PinKind.DECISION,
    PinKind.OPEN,
    PinKind.FACT,
    PinKind.ERROR,
    PinKind.ID,
    PinKind.NUMBER,
    PinKind.PATH,
    PinKind.COMMAND,
)
"""Kinds of pins, from those that may not be missed to those that can be found out again."""
RANK = {kind: rank for rank, kind in enumerate(IMPORTANCE)}
GIVEN = frozenset({PinKind.TASK, PinKind.USER})
EXACT = frozenset({PinKind.PATH, PinKind.ID, PinKind.COMMAND})
"""Kinds in which an upper case letter is another than a lower case one."""
_RULES = frozenset({PinKind.CONSTRAINT, PinKind.PREFERENCE})
_SAYS_SO = frozenset({PinKind.DECISION, PinKind.CONSTRAINT, PinKind.PREFERENCE, PinKind.FACT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The pins that stand, in the order of their messages, and those whose value another one replaced."""

    pins: tuple[Pin, ...] = ()
    superseded: tuple[Pin, ...] = ()


@dataclass(frozen=True, slots=True)
class _Said:
    pin: Pin
    value: str

    @property
    def shown(self) -> str:
        return self.value or plain(self.pin.text)

    @property
    def done(self) -> bool:
        return self.pin.kind is PinKind.OPEN and bool(DONE.match(self.pin.text))


def standing(pins: Iterable[Pin]) -> Standing:
    """Which pins stand, which were replaced; the same pins again give the same.

    The latest of those with one key stands. A message that gives several values to one key speaks of
    several things: they all stand, and replace nothing. What a statement says it takes the place of
    ("instead of X") is replaced as well. What the user asked for is replaced by the user's words alone.
    """
    ordered = sorted((_Said(pin, value_of(pin)) for pin in pins), key=lambda one: one.pin.at)
    ordered = _single(ordered)
    gone = _by_key(ordered) | _by_words(ordered)
    kept = [one for place, one in enumerate(ordered) if place not in gone and not one.done]
    still = {(one.pin.key, one.shown) for one in kept if one.pin.key}
    replaced = [ordered[place] for place in sorted(gone)]
    stale = [one.pin for one in replaced if not one.pin.key or (one.pin.key, one.shown) not in still]
    return Standing(pins=_apart([one.pin for one in kept]), superseded=_apart(stale))


def _single(ordered: Sequence[_Said]) -> list[_Said]:
    """The pins, without the keys that one message gives several values."""
    told: dict[tuple[int, str], set[str]] = defaultdict(set)
    for one in ordered:
        told[one.pin.at, one.pin.key].add(one.shown)
    return [
        _Said(replace(one.pin, key=""), one.value) if len(told[one.pin.at, one.pin.key]) > 1 else one
        for one in ordered
    ]


def _may_replace(new: Pin, old: Pin) -> bool:
    if old.kind in GIVEN:
        return False
    return new.by is Voice.USER or old.by is not Voice.USER or old.kind not in _RULES


def _by_key(ordered: Sequence[_Said]) -> set[int]:
    latest: dict[str, int] = {}
    for place, one in enumerate(ordered):
        before = latest.get(one.pin.key)
        if one.pin.key and (before is None or _may_replace(one.pin, ordered[before].pin)):
            latest[one.pin.key] = place
    return {
        place
        for place, one in enumerate(ordered)
        if one.pin.key
        and place < (last := latest[one.pin.key])
        and one.shown != ordered[last].shown
        and _may_replace(ordered[last].pin, one.pin)
    }


def _by_words(ordered: Sequence[_Said]) -> set[int]:
    """What a later statement says it takes the place of, unless both say what for and it is not the same."""
    holding: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    gone: set[int] = set()
    for place, one in enumerate(ordered):
        if one.pin.kind not in _SAYS_SO:
            continue
        purpose = purpose_of(one.pin.text)
        for old in replaced_in(one.pin.text):
            held = holding.get(old, {})
            for name in ("", purpose) if purpose else tuple(held):
                given = {
                    before for before in held.get(name, ()) if _may_replace(one.pin, ordered[before].pin)
                }
                gone |= given
                held[name] = [before for before in held.get(name, ()) if before not in given]
        if one.value:
            holding[one.value][purpose].append(place)
    return gone


def _apart(pins: Sequence[Pin]) -> tuple[Pin, ...]:
    """One of each set of near-duplicates: of the most important kind, and as it was said last."""
    best: dict[str, int] = {}
    for place, pin in enumerate(pins):
        name = _name(pin)
        known = best.get(name)
        if known is None or _better(pin, pins[known]):
            best[name] = place
    return tuple(pins[place] for place in sorted(best.values()))


def _name(pin: Pin) -> str:
    if pin.kind in GIVEN:
        return f"{pin.kind} {pin.text}"
    if pin.kind in EXACT:
        held = {one.text for one in values(pin.text)} or {pin.text}
        return f"{pin.kind} {' '.join(sorted(held))}"
    return plain(pin.text)


def _better(pin: Pin, known: Pin) -> bool:
    """Whether a later pin stands for an earlier one; of a path or an id the first that named it stands."""
    if RANK[pin.kind] != RANK[known.kind]:
        return RANK[pin.kind] < RANK[known.kind]
    return pin.kind not in EXACT and (pin.by is Voice.USER or known.by is not Voice.USER)
