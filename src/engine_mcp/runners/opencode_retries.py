"""OpenCode's own retries: only its log tells of them, and it obeys a pause of whatever length."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from engine_mcp.core.execution import Failure
from engine_mcp.core.fault import LONGEST, Signs
from engine_mcp.runners.faults import fault

LONGEST_PAUSE_S = 60.0
"""Whoever is asked for a longer pause is waited for by the engine, which may do something else meanwhile."""
_FAILED = re.compile(
    r'^timestamp=(?P<at>\S+) level=ERROR \S+ message="stream error" .*?'
    r'error\.error(?:\.type=(?P<kind>\S+) error\.error\.message)?=(?P<told>"(?:[^"\\]|\\.)*"|\S+)',
    re.MULTILINE,
)
_KIND = re.compile(r"^\w+Error: ")
_OWN_BACKOFF_S = 2.0
"""Its first pause; each is twice as long as the last, with up to a quarter of jitter."""
_SLACK, _SLACK_S = 1.5, 8.0
"""How much longer a pause of its own can look, with its jitter and with what a request takes under load.

One that was asked for and looks like its own is told as none: the engine then waits as it would anyway.
"""
ASKING = frozenset({"rate_limited", "overloaded", "provider_error", "quota_exhausted"})
"""Where a provider answers and may ask for a pause; a connection that breaks asks for none."""


class Retries:
    """The requests that failed and that it makes again, of which it may make `most` in a row.

    `clock` gives seconds on a clock that only goes forward.
    """

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most, self._clock = most, clock
        self._seen: dict[str, Signs] = {}
        self._in_row: list[str] = []
        self._since = 0.0

    def answered(self) -> None:
        """Take note that a request was answered after all."""
        self._in_row.clear()

    def excess(self, log: str, broken_off: int = 0) -> Failure | None:
        """Why the run is not worth waiting for any longer; None if it is.

        `log` is all that it has written, `broken_off` counts the answers that broke off in a row: of those
        whose connection was cut the log says nothing.
        """
        for found in _FAILED.finditer(log):
            if (at := found["at"]) not in self._seen:
                self._seen[at] = _signs(found)
                self._in_row.append(at)
                self._since = self._clock()
        if broken_off > max(self._most, len(self._in_row)):
            return fault(Signs(text=f"The answer broke off, {broken_off} times in a row.", cut=True))
        if not self._in_row:
            return None
        if len(self._in_row) > self._most:
            return self._failure(self._asked_for())
        if self._clock() - self._since > LONGEST_PAUSE_S:
            return self._failure(LONGEST_PAUSE_S + 1)
        return None

    def _asked_for(self) -> float | None:
        """The pause that it was asked for: the last one, where that is none of its own."""
        if len(self._in_row) < 2:  # noqa: PLR2004 - a pause lies between two
            return None
        before, last = (datetime.fromisoformat(at) for at in self._in_row[-2:])
        pause_s = (last - before).total_seconds()
        own_s = _OWN_BACKOFF_S * 2 ** (len(self._in_row) - 2)
        own = own_s <= pause_s <= own_s * _SLACK + _SLACK_S
        return None if own else round(pause_s, 3)

    def _failure(self, retry_after_s: float | None) -> Failure:
        signs = self._seen[self._in_row[-1]]
        failure = fault(replace(signs, retry_after_s=retry_after_s), "provider_error")
        return failure if failure.code in ASKING else replace(failure, retry_after_s=None)


def _signs(found: re.Match[str]) -> Signs:
    told = found["told"].removeprefix('"').removesuffix('"').replace('\\"', '"')
    return Signs(text=_KIND.sub("", told)[:LONGEST], kind=found["kind"] or "")
