"""Load: how busy an engine is, and when somebody who was turned away should come again."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

SOONEST_S = 1.0
LATEST_S = 300.0
UNKNOWN_S = 30.0
"""How long an execution takes where none has ended yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How busy the engine is: executions and attempts at work, executions waiting, and the most of each."""

    running: int
    pending: int
    executions: int
    steps_running: int
    steps: int


def retry_after(durations: Sequence[float], waiting: int, places: int) -> float:
    """Seconds until a newcomer can expect a place, from 1 to 300.

    `durations` are the seconds that the last executions took, `waiting` how many wait already, `places`
    how many run at once. The median speaks for all of them: one very long execution says little.
    """
    typical_s = median(durations) if durations else UNKNOWN_S
    return min(LATEST_S, max(SOONEST_S, typical_s * (waiting + 1) / max(1, places)))
