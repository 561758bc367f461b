"""The meter of a rendering: what a template does is counted, and ended where it is too much."""

from time import monotonic

MOST_STEPS = 100_000
LONGEST_S = 10.0
MOST_CHARACTERS = 8 << 20


class Runaway(Exception):
    """A template does more than any prompt needs."""


class Meter:
    """Counts the steps of one rendering: turns of its loops, filters, included templates."""

    def __init__(self, longest_s: float = LONGEST_S) -> None:
        """Start the clock, in seconds."""
        self._longest_s = longest_s
        self._until = monotonic() + longest_s
        self._left = MOST_STEPS

    def step(self, count: int = 1) -> None:
        """Count steps; raises Runaway where there are too many or they take too long."""
        self._left -= count
        if self._left < 0:
            raise Runaway(f"the template takes more than {MOST_STEPS} steps")
        if monotonic() > self._until:
            raise Runaway(f"the template takes longer than {self._longest_s:g} s")


def bounded(characters: int) -> None:
    """Take note of a text that a template makes; raises Runaway where it is too long."""
    if characters > MOST_CHARACTERS:
        raise Runaway(f"the template makes a text of more than {MOST_CHARACTERS >> 20} Mi characters")
