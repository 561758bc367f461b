"""Fences: how text that may hold anything stands in a prompt without ending where it does not end."""

import re

_RUN = re.compile(r"`+")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f]+")
SHORTEST = 3


def fenced(text: str, kind: str = "") -> str:
    """A block with a fence longer than any run of backticks inside it."""
    fence = "`" * max(SHORTEST, _longest(text) + 1)
    end = "" if not text or text.endswith("\n") else "\n"
    return f"{fence}{kind}\n{text}{end}{fence}"


def code(text: str) -> str:
    """A short text, such as a path, on one line and marked as code."""
    line = _UNSEEN.sub(" ", text)
    mark = "`" * (_longest(line) + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{mark}{space}{line}{space}{mark}"


def _longest(text: str) -> int:
    return max((len(run) for run in _RUN.findall(text)), default=0)
