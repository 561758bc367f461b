"""When a limit is new again, as the words about it say: only what can be read in one way."""

import re
from datetime import datetime

_BEFORE = r"(?:\breset\w*|regain access|try again|available again|\buntil|retry)[^\d\n]{0,30}"
_EPOCH = re.compile(rf"(?:{_BEFORE}|limit reached\|)(\d{{10}})(?!\d)", re.IGNORECASE)
_DATE = re.compile(
    rf"{_BEFORE}(\d{{4}}-\d\d-\d\d)(?:T| at | )(\d\d:\d\d(?::\d\d(?:\.\d+)?)?) ?(Z|UTC|[+-]\d\d:?\d\d)(?!\d)",
    re.IGNORECASE,
)
_UTC = frozenset({"Z", "UTC"})


def reset_in(text: str) -> float | None:
    """The time in Unix seconds: a number of them, or a date and time with their zone; else None."""
    if epoch := _EPOCH.search(text):
        return float(epoch[1])
    if not (found := _DATE.search(text)):
        return None
    date, time, zone = found.groups()
    offset = "+00:00" if zone.upper() in _UTC else zone
    try:
        return datetime.fromisoformat(f"{date}T{time}{offset}").timestamp()
    except ValueError:  # no such day
        return None
