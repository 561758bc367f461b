"""Checking a summary: nothing invented, outdated or hostile stays in it, and no pin is missing."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from engine_mcp.core.context.content import Content, Decision, ErrorNote
from engine_mcp.core.context.evidence import Evidence, plain, sentence, spoken
from engine_mcp.core.context.hostile import hostile, taken_back
from engine_mcp.core.context.loss import Lost
from engine_mcp.core.context.outdated import Outdated
from engine_mcp.core.context.pin import Pin, PinKind
from engine_mcp.core.context.pins import is_kept
from engine_mcp.core.context.schema import LISTS

MOST_LEFT = 0.6
"""The share of the tokens before that may be left after a summary."""
LONGEST_EXCERPT = 200
_UNTRUE = frozenset({"invented", "hostile"})
_BETWEEN = "\n\n\u241e\n\n"
_PASSING = frozenset({PinKind.ERROR, PinKind.OPEN, PinKind.COMMAND, PinKind.PATH})
_SENTENCE = 3
"""Words that a sentence has at least."""
_FREELY, _IN_PART, _WHOLE = range(3)
_QUOTED = {"constraints_verbatim": _WHOLE, "facts_verbatim": _IN_PART}
"""How literally the items of a list are to be those of the conversation."""
_SAYINGS = frozenset(
    {PinKind.TASK, PinKind.USER, PinKind.CONSTRAINT, PinKind.DECISION, PinKind.PREFERENCE, PinKind.OPEN}
)
"""Pins that mean something else as a part of another sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A summary that says nothing but what it may, and what was taken out of it.

    `distrust` says why none of it should be used: most of what was written had to be taken out.
    """

    content: Content
    lost: tuple[Lost, ...]
    distrust: str = ""


def checked(
    content: Content, pins: Sequence[Pin], superseded: Sequence[Pin], source: str, previous: str = ""
) -> Checked:
    """The content without what cannot be relied on, and with every pin.

    `source` is the transcript that was summarized, `previous` the JSON of the summary that it was built on.
    Takes time in proportion to the source, about two seconds for a million characters: not for an event loop.
    """
    known = "\n\n".join((previous, *(pin.text for pin in pins)))
    check = _Check(
        evidence=Evidence(f"{source}\n\n{known}"),
        binding=Evidence(f"{spoken(source)}\n\n{known}"),
        outdated=Outdated(pins, superseded),
        pinned=frozenset(sentence(pin.text) for pin in pins),
        holding=tuple(sentence(pin.text) for pin in pins if _holds(pin)),
    )
    kept = check.content(content)
    before = _count(content)
    dropped = sum(1 for one in check.lost if one.kind in _UNTRUE)
    distrust = f"{dropped} of its {before} items are not of the conversation." if 2 * dropped > before else ""
    return Checked(content=replace(kept, pins=missing(kept, pins)), lost=tuple(check.lost), distrust=distrust)


def acceptable(before_tokens: int, after_tokens: int, content: Content) -> str:
    """Why a summary is of no use, in words; empty if it is one. Both counts are of what it stands for."""
    if not _count(content):
        return "The summary says nothing."
    if after_tokens > MOST_LEFT * before_tokens:
        most = int(MOST_LEFT * before_tokens)
        return (
            f"The summary takes {after_tokens:,} tokens in place of {before_tokens:,}; at most {most:,} help."
        )
    return ""


def missing(content: Content, pins: Iterable[Pin]) -> tuple[Pin, ...]:
    """The pins that the content does not say word for word."""
    quoted = (
        *content.constraints_verbatim,
        *content.facts_verbatim,
        *(one.verbatim for one in content.errors),
    )
    whole = frozenset(sentence(text) for text in quoted)
    # One text behind the other, so that no pin is found where one ends and the next begins.
    texts = _BETWEEN.join(_texts(content))
    return tuple(pin for pin in pins if not _is_said(pin, whole, texts))


def _holds(pin: Pin) -> bool:
    """Whether a pin says something that a summary could say is not so; errors and open items may pass."""
    return pin.kind not in _PASSING and len(pin.text.split()) >= _SENTENCE


def _is_said(pin: Pin, whole: frozenset[str], texts: str) -> bool:
    return sentence(pin.text) in whole if pin.kind in _SAYINGS else is_kept(texts, pin)


def _texts(content: Content) -> Iterable[str]:
    """Everything that a model wrote."""
    yield content.goal
    for name in LISTS:
        yield from getattr(content, name)
    for decision in content.decisions:
        yield from (decision.what, decision.why)
    for error in content.errors:
        yield from (error.verbatim, error.resolution)


def _count(content: Content) -> int:
    return sum(1 for text in _texts(content) if text)


@dataclass
class _Check:
    """The check of one summary; `lost` grows with what is taken out.

    `binding` is the evidence that a constraint is taken from: what a tool gave sets none.
    """

    evidence: Evidence
    binding: Evidence
    outdated: Outdated
    pinned: frozenset[str]
    holding: tuple[str, ...]
    lost: list[Lost] = field(default_factory=list[Lost])

    def content(self, content: Content) -> Content:
        lists = {
            name: tuple(
                item for item in getattr(content, name) if self._may_stay(item, _QUOTED.get(name, _FREELY))
            )
            for name in LISTS
        }
        return replace(
            content,
            goal=content.goal if self._may_stay(content.goal) else "",
            decisions=tuple(one for each in content.decisions for one in self._decision(each)),
            errors=tuple(one for each in content.errors for one in self._error(each)),
            **lists,
        )

    def _decision(self, decision: Decision) -> Iterable[Decision]:
        if self._may_stay(decision.what):
            yield decision if self._may_stay(decision.why) else replace(decision, why="")

    def _error(self, error: ErrorNote) -> Iterable[ErrorNote]:
        if self._may_stay(error.verbatim, _IN_PART):
            yield error if self._may_stay(error.resolution) else replace(error, resolution="")

    def _may_stay(self, item: str, quoted: int = _FREELY) -> bool:
        if not item or sentence(item) in self.pinned:
            return True
        found = next(self._objections(item, quoted), None)
        if found is None:
            return True
        kind, why = found
        at = self.evidence.nearest(item)
        self.lost.append(Lost(id=at, kind=kind, excerpt=item[:LONGEST_EXCERPT], why=why))
        return False

    def _objections(self, item: str, quoted: int) -> Iterator[tuple[str, str]]:
        """Why an item may not stay: the kind of the loss, and the reason in words."""
        if sign := hostile(item):
            yield "hostile", f"it speaks to its reader: {sign[:80]!r}"
        if word := self._taken_back(item):
            yield "hostile", f"it takes back what is pinned: {word!r}"
        if newer := self.outdated.replaced_in(item):
            yield newer.kind, f"a later value holds: {newer.text[:80]!r}"
        if quoted and not self._quotes(item, quoted):
            yield "invented", "nobody said it in these words"
        if unsaid := self.evidence.unsaid(item):
            yield "invented", f"nobody said {unsaid[:80]!r}"
        if not self.evidence.is_about(item):
            yield "hostile", "it is not about anything that was said"

    def _taken_back(self, item: str) -> str:
        said = plain(item)
        return next(
            (word for pin in self.holding if pin in said and (word := taken_back(said.replace(pin, " ")))), ""
        )

    def _quotes(self, item: str, quoted: int) -> bool:
        if quoted == _WHOLE:
            return self.binding.quotes(item, whole=True)
        return self.evidence.quotes(item)
