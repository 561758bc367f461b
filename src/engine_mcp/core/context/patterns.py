"""Patterns: by which words a sentence says a constraint, a decision, a preference, an open item or an error.

They look at units only, whose length is bounded, so that none of them takes long.
"""

import re
from dataclasses import dataclass

from engine_mcp.core.context.pin import PinKind, Voice
from engine_mcp.core.context.units import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a unit says, and where in it the words stand that say so."""

    kind: PinKind
    start: int = 0
    end: int = 0


_LABELS = {
    PinKind.CONSTRAINT: (
        "constraint|constraints|hard constraint|hard constraints|rule|rules|safety rule|safety rules|"
        "requirement|"
        "requirements|hard requirement|policy|limit|limits|important|non-goal|non-goals|non goals|warning"
    ),
    PinKind.DECISION: "decision|decisions|decided|agreed",
    PinKind.PREFERENCE: "preference|preferences|user preference|user preferences",
    PinKind.OPEN: (
        "todo|to do|to-do|fixme|open|open item|open items|open question|open questions|still open|"
        "still to do|"
        "left to do|remaining|pending|next|next step|next steps|next up|blocked|blocker"
    ),
    PinKind.FACT: "fact|facts|goal|goals|goal state|objective|remember|state",
}
LABELS = {name: kind for kind, names in _LABELS.items() for name in names.split("|")}
"""Words before a colon that say what follows; none of them is the name of a value."""
_LOOSE = (
    "note|nb|fyi|update|quick update|correction|edit|example|examples|hint|tip|summary|result|results|answer|"
    "question|problem|reason|idea|error|errors|exception|done|closed|status|task|step|ps|user|assistant|"
    "system|human|"
    "thanks|hello|hi|dear all|http|https"
)
LOOSE = frozenset(_LOOSE.split("|"))
"""Words before a colon that say nothing of what follows."""

_I = re.IGNORECASE
_CLAUSE = r"(?:^|[,;:.)(\u2014-]\s*|\b(?:and|but|so|then|please|also|always)\s+)"
_USER_RULE = re.compile(
    r"\b(?:must(?:n['\u2019]t)?|shall|never|may not|may only|can only|cannot be|should not|shouldn['\u2019]t"
    r"|have to|has to|needs? to|(?:is|are) (?:not allowed|required|forbidden|prohibited|off[ -]limits)"
    r"|not allowed"
    r"|forbidden|under no circumstances|at most|at least|no (?:more|less|fewer|later) than|at the latest"
    r"|only|avoid"
    r"|ensure|make sure|without (?:explicit |my |our |prior |first )?(?:approval|permission|consent"
    r"|asking|telling)"
    r"|do not|don['\u2019]t|always|capped at|limited to|maximum|minimum|stays? (?:below|under|within)"
    r"|(?:keep|leave) [^.]{1,60}? (?:below|under|within|unchanged|as (?:it|they) (?:is|are)|away|free"
    r"|unpushed)"
    r"|leave [^.]{1,60}? alone|stop and|no longer allowed|from now on|going forward)\b",
    _I,
)
_STANDS_FIRST = re.compile(r"(?:[\w *-]{1,40}:\s+)?\**(?:no|keep|stick to|\w+ (?:all|every|each))\b", _I)
_PLAIN_NO = re.compile(r"no(?:,| (?:problem|worries|idea|need|thanks|luck|change|changes yet|doubt)\b)", _I)
_NOT_A_RULE = re.compile(
    r"\bI (?:do not|don['\u2019]t) (?:know|think|see|understand|remember|believe|care|mind|get|have)\b"
    r"|\b(?:not only|if only|only (?:saw|see|noticed|wanted|just)|have to (?:admit|say|go)|you (?:do not"
    r"|don['\u2019]t)"
    r" (?:need|have) to|never ?mind|has to do with|must have (?:been|\w+ed))\b",
    _I,
)
_OWN_RULE = re.compile(
    r"\b(?:must(?: not|n['\u2019]t)?|never|may (?:not|only)|at most|no more than|(?:is"
    r"|are) (?:not allowed|forbidden))\b",
    _I,
)
_DECISION = re.compile(
    r"\b(?:decided|decision is|chose|have chosen|opted|settled on|agreed (?:on|to|that)|going with"
    r"|in favou?r of"
    r"|(?:we|I)(?:['\u2019]ll| will| are going to| am going to| shall)? (?:use|go with|switch to"
    r"|stick with|migrate to)"
    r"|let['\u2019]?s (?:use|go with|switch|stick)|switch(?:ed|ing)? (?:from\b.{1,80}? )?to|instead of"
    r"|rather than"
    r"|(?:am|are|is|be) replac(?:ed|ing)\b.{0,80}? (?:by|with)|replaced?\b.{1,80}? (?:by|with)|no longer use"
    r"|migrat(?:e|ed|ing) (?:from\b.{1,80}? )?to)\b",
    _I,
)
_USE = re.compile(_CLAUSE + r"(?:use|go with|switch to|stick with|choose|pick)\s+\S", _I)
_PREFERENCE = re.compile(
    r"\b(?:prefer(?:s|red|ence)?|please (?:always|keep|answer|write|reply|format|make|stick)"
    r"|I(?:['\u2019]d| would)? (?:really )?(?:like|love|rather)|I(?:['\u2019]m| am) (?:a fan|fond) of"
    r"|I (?:dis)?like"
    r"|I (?:hate|want|would want)|(?:the )?user (?:wants?|likes?|asks? for|dislikes?|would like)"
    r"|(?:answer|reply|write|explain|respond) in)\b",
    _I,
)
_OWN_PREFERENCE = re.compile(
    r"\b(?:(?:the )?user(?:['\u2019]s)? (?:\w+ )?(?:prefer\w*|wants?|likes?|dislikes?|asked)"
    r"|you (?:prefer|asked me|want me|like|told me))\b",
    _I,
)
_STRONG = re.compile(r"\b(?:must|never|do not|don['\u2019]t|at most|forbidden|not allowed|only)\b", _I)
_OPEN = re.compile(
    r"\[ \]|\b(?:TODO|FIXME)\b|\b(?:still (?:to do|to be done|open|missing|needs?|has to|have to)|left to do"
    r"|remains? to be|not (?:yet )?(?:done|finished|fixed|implemented|tested) yet|is not yet|are not yet"
    r"|(?i:next step is|next up|the next step|open question|awaiting|waiting for (?:the )?(?:user|review"
    r"|approval)))\b"
)
_CHANGED = re.compile(
    r"\b(?:now \w+s|(?:is|are) now|no longer|ha(?:s|ve) (?:changed|moved)|(?:moved|renamed|changed) to)\b", _I
)
_DONE = re.compile(r"\[[xX]\]\s")
_NAMED_ERROR = re.compile(
    r"\b(?:[A-Za-z_]\w{0,60}\.){0,6}[A-Z]\w{0,80}(?:Error|Exception|Interrupt|Timeout|Violation)\b(?::"
    r"|\(|\s*$)"
)
_ERROR_LINE = re.compile(
    r"^\s{0,20}(?:\[?(?:ERROR|FATAL|CRITICAL)\]?\b[:\s]|(?:error|fatal|panic|fail(?:ed|ure)?"
    r"|E)(?:\[\w{1,10}\])?:\s"
    r"|[\w./-]{1,80}: (?:fatal )?error:|npm ERR!|FAILED\s|E {3}\S)",
    re.MULTILINE,
)
_ERROR_SAID = re.compile(r"\b(?:error|exception|failure)(?: (?:message|code|is|was|says))?:\s+\S", _I)
_EXIT = re.compile(
    r"\b(?:exit(?:ed)?(?: with)?(?: (?:code|status))?|exit[ _]code|return(?:ed)? code)[ :=]{1,3}"
    r"(?:-\d{1,3}|[1-9]\d{0,2})\b",
    _I,
)
_ORDER = re.compile(
    r"\byou (?:must|should|shall|will|need to|have to|are to)\b|\b(?:ignore|disregard) (?:the|this|all"
    r"|any|previous)\b",
    _I,
)


def statement(unit: Unit, by: Voice) -> Statement | None:
    """What a sentence of the user or of the model says that binds; None: nothing, or it is a question.

    A model only tells of its own decisions and of what it was told, so that it takes clearer words from it.
    """
    text = unit.text
    if found := _OPEN.search(text) or _DONE.match(text):
        return _at(PinKind.OPEN, found)
    labelled = LABELS.get(unit.label)
    if text.endswith("?") and labelled is None:
        return None
    return _bound(text, by) or (Statement(kind=labelled) if labelled else _changed(text, by))


def _bound(text: str, by: Voice) -> Statement | None:
    if by is Voice.USER:
        wish, rule = _PREFERENCE.search(text), _rule(text)
        if rule and (wish is None or _STRONG.search(text)):
            return _at(PinKind.CONSTRAINT, rule)
        if decided := _DECISION.search(text) or _USE.search(text):
            return _at(PinKind.DECISION, decided) if wish is None else _at(PinKind.PREFERENCE, wish)
    else:
        wish, rule = _OWN_PREFERENCE.search(text), _OWN_RULE.search(text)
        if rule and not _NOT_A_RULE.search(text):
            return _at(PinKind.CONSTRAINT, rule)
        if decided := _DECISION.search(text):
            return _at(PinKind.DECISION, decided)
    return _at(PinKind.PREFERENCE, wish) if wish else None


def _changed(text: str, by: Voice) -> Statement | None:
    """What the user says is otherwise than before, in whatever words."""
    found = _CHANGED.search(text) if by is Voice.USER else None
    return _at(PinKind.FACT, found) if found else None


def _rule(text: str) -> re.Match[str] | None:
    if _NOT_A_RULE.search(text) and not _STRONG.search(_NOT_A_RULE.sub("", text)):
        return None
    if found := _USER_RULE.search(text):
        return found
    first = _STANDS_FIRST.match(text)
    return None if _PLAIN_NO.match(text) else first


def error_in(text: str) -> Statement | None:
    """Where a sentence quotes an error."""
    found = _NAMED_ERROR.search(text) or _ERROR_LINE.search(text) or _ERROR_SAID.search(text)
    found = found or _EXIT.search(text)
    return _at(PinKind.ERROR, found) if found else None


def error_line(line: str) -> bool:
    """Whether a line of output is an error: a traceback's last, a marked one, a failed command's end."""
    named = _NAMED_ERROR.match(line.lstrip("E "))
    return bool(named or _ERROR_LINE.match(line) or _EXIT.search(line))


def is_order(text: str) -> bool:
    """Whether a text tells its reader what to do."""
    return bool(_ORDER.search(text))


def _at(kind: PinKind, found: re.Match[str]) -> Statement:
    return Statement(kind=kind, start=found.start(), end=found.end())
