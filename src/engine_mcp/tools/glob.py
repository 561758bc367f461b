"""Glob patterns over paths: `*`, `?`, `[a-z]` within a name, `**` over folders, `{a,b}` for either."""

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence

from engine_mcp.errors import InvalidArgument

MOST_ALTERNATIVES = 64
_CHOICE = re.compile(r"\{([^{}]*)\}")
_ANY_FOLDERS = "**"

Fits = Callable[[Sequence[str]], bool]
"""Whether the names of a path, from the folder that is listed, fit a pattern."""

_Matcher = Callable[[str], object] | None


def compiled(pattern: str) -> Fits:
    """What `pattern` asks for; without a slash it is about the last name alone. Raises InvalidArgument."""
    fits = tuple(_one(choice) for choice in _choices(pattern))
    return lambda names: any(fit(names) for fit in fits)


def _choices(pattern: str) -> Iterable[str]:
    chosen = [pattern]
    while found := next((match for match in map(_CHOICE.search, chosen) if match), None):
        around = found.string
        chosen.remove(around)
        chosen += [
            f"{around[: found.start()]}{choice}{around[found.end() :]}" for choice in found[1].split(",")
        ]
        if len(chosen) > MOST_ALTERNATIVES:
            raise InvalidArgument(
                f"The pattern stands for more than {MOST_ALTERNATIVES} others.", field="pattern"
            )
    return chosen


def _one(pattern: str) -> Fits:
    if "/" not in pattern:
        matches = re.compile(fnmatch.translate(pattern)).match
        return lambda names: bool(matches(names[-1]))
    wanted = tuple(
        None if part == _ANY_FOLDERS else re.compile(fnmatch.translate(part)).match
        for part in pattern.split("/")
        if part not in {"", "."}
    )
    return lambda names: _fits(wanted, names)


def _fits(wanted: Sequence[_Matcher], names: Sequence[str]) -> bool:
    """Follow every way at once to lay the names along the pattern: no pattern takes exponential time."""
    at = _past_folders({0}, wanted)
    for name in names:
        after = {place for place in at if place < len(wanted) and wanted[place] is None}
        after |= {place + 1 for place in at if place < len(wanted) and _matches(wanted[place], name)}
        at = _past_folders(after, wanted)
    return len(wanted) in at


def _matches(matcher: _Matcher, name: str) -> bool:
    return matcher is not None and bool(matcher(name))


def _past_folders(at: set[int], wanted: Sequence[_Matcher]) -> set[int]:
    """The places in the pattern, and those behind each `**`, which may stand for no folder."""
    found = set(at)
    for place in range(len(wanted)):
        if place in found and wanted[place] is None:
            found.add(place + 1)
    return found
