"""Facts: what a sentence says a named thing is, and what it says takes the place of what."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from engine_mcp.core.context.patterns import LABELS, LOOSE
from engine_mcp.core.context.pin import Pin, PinKind
from engine_mcp.core.context.values import values

MOST_WORDS = 12
"""Words of a value at most: what is longer tells a story, and another story does not replace it."""
_I = re.IGNORECASE
_LEAD = re.compile(
    r"(?:(?:quick )?update|actually|correction|sorry|no|now|note|also|and|but|so|ok|okay|well|please"
    r"|remember(?: that)?"
    r"|from now on|by the way|fyi)\b[,:]?\s+",
    _I,
)
_LABEL = re.compile(r"\**([A-Za-z][A-Za-z /-]{0,30}?)\**:\**\s+")
_SUBJECT = r"(?P<name>(?:[\w'\u2019./()`-]{1,40}\s+){0,6}?[\w'\u2019./()`-]{1,40})"
_VERB = (
    r"(?:is now set to|is now|now is|is set to|is still|is currently|(?:has |was |is |were |have )?(?:been )?"
    r"(?:moved|changed|raised|lowered|increased|reduced|renamed|switched|updated|set|extended|cut) to"
    r"|(?:must|should|has to|shall|will|may) (?:now )?(?:be|stay|equal)|equals|becomes|lives at|is|are)"
)
_IS = re.compile(
    rf"(?P<the>(?:the|our|my|your|its|this|a|an)\s+)?{_SUBJECT}\s+{_VERB}\s+(?P<value>\S.*)", _I | re.DOTALL
)
_NAMED = re.compile(
    r"[`*\"']{0,2}(?P<name>[A-Za-z_][\w.\-\[\]]{0,60}(?: [\w.\-]{1,40}){0,3})[`*\"']{0,2}"
    r"(?:\s{0,3}(?P<sign>[=])\s{0,3}|(?P<colon>:)\s{1,8})(?P<value>[^\s=>].{0,400})",
    re.DOTALL,
)
_CLAUSE = re.compile(r"(?:,\s+(?:and |but |so )?|;\s+|\s+(?:and|but)\s+)(?=(?:the|our|my|your|its)\s)", _I)
_PRONOUN = re.compile(
    r"\b(?:it|this|that|these|those|there|here|he|she|they|we|i|you|who|which|what|where|when|how|why|if"
    r"|whether|because"
    r"|since|while|all|everything|nothing|something|one|first thing|problem|issue|reason|idea|question"
    r"|point|thing|only"
    r"|think|know|see|says?|said|find|make|sure|must|never|not|to|do|does|did)\b",
    _I,
)
_IDLE = frozenset(
    ("the", "a", "an", "our", "my", "your", "its", "new", "current", "currently", "now", "updated", "latest")
)
_STORY = re.compile(
    r"(?:not|that|because|why|how|what|where|when|being|going|\w+(?:ing|ed)|built|made|done|written|run"
    r"|to|a|an|very|quite|too|also|just"
    r"|already|so)\b",
    _I,
)
_TELLING = re.compile(r"[\d`\"'/$%_]|[A-Z]")
_LIMIT = re.compile(
    r"\b(at most|at least|no more than|no less than|no fewer than|up to|maximum(?: of)?|minimum(?: of)?"
    r"|capped at|limited to"
    r"|below|under|within|exceed)(\s+[$\u20ac\u00a3]?)\d[\d,.]{0,20}(?<![.,])",
    _I,
)
_CHOICE = re.compile(
    r"\b(?:use|using|go with|going with|chose|choose|pick|picked|settled on|opted for|decided on"
    r"|decided for|stick with"
    r"|switch(?:ed|ing)?(?: from .{1,60}?)? to|migrat(?:e|ed|ing)(?: from .{1,60}?)? to|replac(?:e|ed"
    r"|ing) .{1,60}? (?:with|by))"
    r"\s+(?:the |a |an |only )?",
    _I,
)
_OLD = re.compile(
    r"\b(?:instead of|rather than|in place of|no longer (?:use |using )?|in favou?r of dropping|stop using"
    r"|(?:switch(?:ed|ing)?|mov(?:e|ed|ing)|migrat(?:e|ed|ing)|chang(?:e|ed|ing)(?: \w+){0,3}) (?:away )?from"
    r"|replac(?:e|es|ed|ing)|drop(?:ped|ping)?)\s+(?:using |the |a |an |our |to use )?",
    _I,
)
_TERM = re.compile(r"[`\"']?([^\s,;:!?()`\"']{1,80}(?:\s+[^\s,;:!?()`\"']{1,80}){0,3})")
_STOP = re.compile(
    r"\s(?:for|as|because|instead|rather|since|in|on|with|and|or|but|so|to|by|at|from|over|everywhere"
    r"|here|now|when|if|which"
    r"|that|is|are|was|until|per|any|anymore|again|via|than|not|then|while|favou?r)\b.*",
    _I | re.DOTALL,
)
_PURPOSE = re.compile(r"\bfor\s+(?:the |our |all |every )?([\w-]{1,40})", _I)
_BOX = re.compile(r"(?:[-*+]\s*)?\[[ xX]\]\s*(.+)", re.DOTALL)
DONE = re.compile(r"(?:[-*+]\s*)?\[[xX]\]\s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """That a named thing has a value; `text` is the clause that says so."""

    key: str
    value: str
    text: str


def plain(text: str) -> str:
    """A text as it is compared: composed, in lower case, white space and punctuation at its ends gone."""
    folded = unicodedata.normalize("NFC", text).casefold()
    return " ".join(folded.split()).strip(" .,;:!*`\"'")


def facts(text: str, *, sparing: bool = False) -> tuple[Fact, ...]:
    """The facts of a sentence, clause by clause; with `sparing` only those whose value tells something."""
    bounds = [0, *(found.end() for found in _CLAUSE.finditer(text)), len(text)]
    ends = [*(found.start() for found in _CLAUSE.finditer(text)), len(text)]
    clauses = [text[start:end] for start, end in zip(bounds, ends, strict=False)]
    found = [fact for clause in clauses if (fact := _fact(clause, sparing=sparing))]
    if found and len(found) == len(clauses):
        return tuple(found)
    alone = _fact(text, sparing=sparing)
    return (alone,) if alone else tuple(found)


def _fact(clause: str, *, sparing: bool) -> Fact | None:
    body, labelled = _body(clause)
    if named := _NAMED.match(body):
        return _named(named, clause.strip())
    said = _IS.match(body)
    if said is None or _PRONOUN.search(said["name"]):
        return None
    value = said["value"].strip().rstrip(".!;")
    told = bool(_TELLING.search(value))
    if not (said["the"] or labelled or told) or (sparing and not told) or _is_story(value):
        return None
    return _made(said["name"], value, clause.strip())


def _body(clause: str) -> tuple[str, bool]:
    """A clause without the words before it that say nothing of it, and whether one of them was a label."""
    body, labelled = clause.strip(), False
    for _ in range(4):
        label = _LABEL.match(body)
        if label and label[1].strip().lower() in LABELS.keys() | LOOSE:
            body, labelled = body[label.end() :], labelled or label[1].strip().lower() in LABELS
        elif lead := _LEAD.match(body):
            body = body[lead.end() :]
        else:
            break
    return body, labelled


def _is_story(value: str) -> bool:
    return len(value.split()) > MOST_WORDS or "?" in value or bool(_STORY.match(value))


def _named(found: re.Match[str], clause: str) -> Fact | None:
    name, value = found["name"].strip(), found["value"].strip()
    word = name.lower()
    if word in LABELS or word in LOOSE or not value or value.startswith(("//", "=", "{", "(", "[")):
        return None
    if found["colon"] and (len(value.split()) > MOST_WORDS or _PRONOUN.search(word) or value.endswith("?")):
        return None
    if found["sign"] and (" " in name or len(value.split()) > MOST_WORDS):
        name = name.rsplit(" ", 1)[-1]
    return _made(name, value, clause)


def _made(name: str, value: str, clause: str) -> Fact | None:
    words = [word for word in re.split(r"[\s_]+", plain(name)) if word not in _IDLE]
    key = " ".join(words)
    value = plain(value)
    return Fact(key=key, value=value, text=clause) if key and any(map(str.isalnum, value)) else None


def key_of(text: str, kind: PinKind) -> str:
    """What a later statement with the same key replaces; empty where a statement says more than a value."""
    if kind is PinKind.OPEN:
        box = _BOX.match(text)
        return f"open {plain(box[1])}" if box else ""
    found = facts(text)
    if len(found) == 1 and plain(found[0].text) == plain(text):
        return found[0].key
    limit = list(_LIMIT.finditer(text))
    if kind is PinKind.CONSTRAINT and len(limit) == 1:
        first = limit[0]
        return f"limit {plain(text[: first.start()] + first[1] + ' #' + text[first.end() :])}"
    return ""


def value_of(pin: Pin) -> str:
    """What a pin says that another one may say otherwise, in lower case; empty where that is all of it."""
    match pin.kind:
        case PinKind.PATH | PinKind.ID | PinKind.NUMBER | PinKind.COMMAND:
            inside = next((one.text for one in values(pin.text) if one.kind is pin.kind), pin.text)
            return inside if pin.kind is not PinKind.NUMBER else plain(inside)
        case PinKind.FACT | PinKind.CONSTRAINT | PinKind.DECISION | PinKind.PREFERENCE:
            return _stated(pin)
        case _:
            return ""


def _stated(pin: Pin) -> str:
    if pin.key.startswith("limit "):
        limit = _LIMIT.search(pin.text)
        return plain(limit[0][len(limit[1]) :]) if limit else ""
    found = facts(pin.text)
    if len(found) == 1:
        return found[0].value
    return next(iter(chosen_in(pin.text)), "")


def chosen_in(text: str) -> Iterator[str]:
    """What a sentence says was chosen, in lower case."""
    yield from _terms(_CHOICE, text)


def replaced_in(text: str) -> Iterator[str]:
    """What a sentence says is not to be any more, in lower case: "instead of X", "from X to"."""
    yield from _terms(_OLD, text)


def _terms(before: re.Pattern[str], text: str) -> Iterator[str]:
    for found in before.finditer(text):
        if term := _TERM.match(text, found.end()):
            yield plain(_STOP.sub("", term[1]))


def purpose_of(text: str) -> str:
    """What a choice was made for, if it says so."""
    found = _PURPOSE.search(text)
    return found[1].casefold() if found else ""
