"""Evidence: what a text really says, so that nothing else is taken for having been said in it."""

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

from engine_mcp.core.context.hostile import hostile
from engine_mcp.core.context.units import units

MOST_LOOKS = 1_000
"""Places of a text that are looked at for one value."""
LEAST_SHARED = 0.3
"""The share of its words and values that a sentence has in common with what it sums up."""
SHORTEST = 2
_STEM = 5

_ESCAPED_QUOTE, _ESCAPED_SPACE = re.compile(r'\\{1,8}(?=")'), re.compile(r"\\[nrt]")
_MARKUP = re.compile("[*`\"\u201c\u201d]|(?<!\\w)'|'(?!\\w)")
_TOKEN = re.compile(r"[^\s()\[\]{}<>|;=]+")
_MARKS_OF_END = " .,:;!?)]"
_EDGES, _FRONT = ".,:;!?' ", ",:;!?' "
_AMOUNT = re.compile(
    r"(?<![\w.,])(?P<money>[$\u20ac\u00a3])?(?P<number>\d{1,30}(?:,\d{3})*(?:\.\d{1,30})?)"
    r"(?:(?P<gap>[ -]?)(?P<unit>%|[^\W\d_]{1,20}))?(?!\w|[.,]\d)"
)
_FILE = re.compile(r"[\w@~+-][\w@~+.-]{0,200}\.[A-Za-z]\w{0,7}")
_PROSE_WITH_SIGNS = """
and/or either/or he/she yes/no true/false on/off pass/fail read/write input/output n/a i/o client/server
before/after e.g i.e a.m p.m u.s
"""
_PROSE = frozenset(_PROSE_WITH_SIGNS.split())
_WORD = re.compile(r"[^\W\d_]{4,}")
_NO = re.compile(
    r"\b(?:not|never|no|nor|neither|without|cannot|avoid|forbidden|unless)\b|\w{1,20}n't\b", re.IGNORECASE
)
_MARK = re.compile(r"^<<(m\d{1,9}) [^\n]*>>$", re.MULTILINE)
"""The mark of a message in a transcript."""
_RESULT = re.compile(r"^<<m\d{1,9} (?:result|error) of [^\n]*>>$.*?(?=^<<m\d|\Z)", re.MULTILINE | re.DOTALL)
_ALIASES = {
    "ms": ("ms", "msec", "millisecond", "milliseconds"),
    "s": ("s", "sec", "secs", "second", "seconds"),
    "min": ("min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "day": ("d", "day", "days"),
    "week": ("week", "weeks"),
    "month": ("month", "months"),
    "year": ("year", "years"),
    "byte": ("b", "byte", "bytes"),
    "kb": ("kb", "kilobyte", "kilobytes"),
    "mb": ("mb", "megabyte", "megabytes"),
    "gb": ("gb", "gigabyte", "gigabytes"),
    "tb": ("tb", "terabyte", "terabytes"),
    "kib": ("kib",),
    "mib": ("mib",),
    "gib": ("gib",),
    "%": ("%", "percent"),
    "$": ("$", "usd", "dollar", "dollars"),
    "\u20ac": ("\u20ac", "eur", "euro", "euros"),
    "\u00a3": ("\u00a3", "gbp"),
    "token": ("token", "tokens"),
    "row": ("row", "rows"),
    "request": ("request", "requests"),
    "hz": ("hz",),
    "px": ("px", "pixel", "pixels"),
}
_UNITS = {alias: unit for unit, aliases in _ALIASES.items() for alias in aliases}
_COMMON = """
about added after agent again also already answer asked because been before being change changed
code complete completed could created does done each ensure error errors existing failed file
files find first fixed found from goal have implement implemented into item just made make more
must need needed needs next only open other project read remain remaining result results should
some state step still such task tests text than that their them then there these they this
through update updated used user using value values want wants were what when where which while
will with work working would wrote write written your
"""
_EMPTY = frozenset(word[:_STEM] for word in _COMMON.split())
"""Words, by their beginnings, that any summary may use."""


def plain(text: str) -> str:
    """A text without what does not change what it says: white space, emphasis, quotation marks, escapes."""
    text = unicodedata.normalize("NFC", text).replace("\u2019", "'").replace("\u2018", "'")
    text = _ESCAPED_SPACE.sub(" ", _ESCAPED_QUOTE.sub("", text))
    return " ".join(_MARKUP.sub("", text).split())


@dataclass(frozen=True)
class Evidence:
    """A text that summaries are held against."""

    text: str

    def quotes(self, item: str, *, whole: bool = False) -> bool:
        """Whether the text says the item word for word, and does not say that it is not so.

        With `whole`, nothing may follow in the same sentence, which might say when it holds.
        """
        said = " ".join(_sentences(item)).strip(_EDGES)
        text, _ = self._sentences
        # A quotation may begin a sentence where the text does not, or the other way round.
        spellings = (said, said[:1].swapcase() + said[1:])
        return any(
            self._is_meant(at, at + len(said), whole=whole)
            for spelling in spellings
            for at in _places(text, spelling)
        )

    def unsaid(self, item: str) -> str:
        """The first path, id, number or address of the item that the text does not have; empty if none."""
        for token, following in pairwise([*_tokens(item), ""]):
            if not self._says(token, following):
                return f"{token} {following}" if following.lower() in _UNITS else token
        return ""

    def is_about(self, item: str) -> bool:
        """Whether the item has enough words in common with the text to be about the same."""
        words = stems(item)
        values = sum(1 for token in _tokens(item) if _is_value(token))
        return len(words & self._stems) + values >= LEAST_SHARED * (len(words) + values)

    def nearest(self, item: str) -> str:
        """The id of the message that has most words of the item, the latest of several.

        The first one's where none has any; empty if the text is no transcript.
        """
        words = _told(item)
        found: Counter[str] = Counter()
        for name, block in self._blocks.items():
            found[name] = len(words & block)
        best = max(found.values(), default=0)
        alike = [name for name in found if found[name] == best]
        return "" if not alike else alike[-1] if best else alike[0]

    @cached_property
    def _plain(self) -> str:
        return plain(self.text)

    @cached_property
    def _sentences(self) -> tuple[str, list[int]]:
        """The sentences of the text one after the other, and where each begins."""
        sentences = list(_sentences(_MARK.sub("\n", self.text)))
        return " ".join(sentences), list(accumulate((len(one) + 1 for one in sentences), initial=0))

    @cached_property
    def _stems(self) -> frozenset[str]:
        return stems(self.text)

    @cached_property
    def _amounts(self) -> frozenset[tuple[str, str]]:
        return frozenset(each for found in _AMOUNT.finditer(self._plain) for each in _readings(found))

    @cached_property
    def _blocks(self) -> dict[str, frozenset[str]]:
        """The words and values of each message."""
        blocks: dict[str, frozenset[str]] = {}
        starts = list(_MARK.finditer(self.text))
        ends = [mark.start() for mark in starts[1:]] + [len(self.text)]
        for mark, end in zip(starts, ends, strict=False):
            blocks[mark[1]] = blocks.get(mark[1], frozenset()) | _told(self.text[mark.end() : end])
        return blocks

    def _is_meant(self, start: int, end: int, *, whole: bool) -> bool:
        text, starts = self._sentences
        sentence = bisect_right(starts, start) - 1
        if _NO.search(text, starts[sentence], start) or hostile(text[starts[sentence] : start]):
            return False
        following = text[end : starts[bisect_right(starts, end - 1)]].strip(_MARKS_OF_END)
        return not whole or not following or text[end] in ";.!?"

    def _says(self, token: str, following: str) -> bool:
        amount = _AMOUNT.fullmatch(token)
        if amount and (amount["unit"] is None or amount["unit"].lower() in _UNITS):
            return self._says_amount(amount, following)
        if not _is_value(token):
            return True
        short = (token, token.removeprefix("./"), token.lstrip("v#"), token.rstrip("/"))
        return any(next(_places(self._plain, one), None) is not None for one in dict.fromkeys(short))

    def _says_amount(self, amount: re.Match[str], following: str) -> bool:
        number, unit = _reading(amount)
        unit = unit or _UNITS.get(following.lower(), "")
        # Counting a few things is no claim about a value.
        few = not unit and len(number) == 1
        return few or (number, unit) in self._amounts


def _tokens(text: str) -> list[str]:
    return [token.lstrip(_FRONT).rstrip(_EDGES) for token in _TOKEN.findall(plain(text))]


def _told(text: str) -> frozenset[str]:
    return stems(text) | {token for token in _tokens(text) if _is_value(token)}


def _sentences(text: str) -> Iterator[str]:
    return (said for unit in units(text) if (said := plain(unit.text)))


def _places(text: str, said: str) -> Iterator[int]:
    """Where a text has this as whole words."""
    at = text.find(said) if said else -1
    for _ in range(MOST_LOOKS):
        if at < 0:
            return
        if _stands_alone(text, at, at + len(said)):
            yield at
        at = text.find(said, at + 1)


def sentence(text: str) -> str:
    """A text as it is compared with another one, its punctuation at the end left out."""
    return plain(text).rstrip(_EDGES)


def spoken(transcript: str) -> str:
    """A transcript without the results of tools: what user and model said themselves."""
    return _RESULT.sub("", transcript)


def stems(text: str) -> frozenset[str]:
    """The beginnings of the words of a text, without the words that any text has."""
    return frozenset(word[:_STEM] for word in _WORD.findall(text.casefold())) - _EMPTY


def _readings(found: re.Match[str]) -> Iterator[tuple[str, str]]:
    number, unit = _reading(found)
    if found["unit"] is None or unit or found["gap"]:
        yield number, unit
        yield number, ""


def _reading(found: re.Match[str]) -> tuple[str, str]:
    unit = found["money"] or _UNITS.get((found["unit"] or "").lower(), "")
    return found["number"].replace(",", ""), unit


def _is_value(token: str) -> bool:
    """Whether a token is a path, an id, an address or a name of code, and no word of a sentence."""
    if len(token) < SHORTEST or token.lower() in _PROSE:
        return False
    if any(mark in token for mark in "_\\@/") or any(letter.isdigit() for letter in token):
        return True
    return _FILE.fullmatch(token) is not None or (token[0] == "." and token[1:].isalnum())


def _stands_alone(text: str, start: int, end: int) -> bool:
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    if text[start].isalnum() and before and (before[-1].isalnum() or before[-1] in "_-."):
        return False
    if not text[end - 1].isalnum():
        return True
    return not (after[:1].isalnum() or after[:1] == "_" or (after[:1] in {*"-.,"} and after[1:].isalnum()))
