"""Figures with their demands, and the table they make."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scripts.markdown import table

TIMES = "\N{MULTIPLICATION SIGN}"
HEADINGS = ("What", "Measured", "Demand", "Reached", "How it came about")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value; without a demand it informs. NaN stands for what could not be measured.

    `detail` says what went into it; `because` is shown where the demand is missed.
    """

    what: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    detail: str = ""
    because: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the demand is met; None without a demand or without a value."""
        if math.isnan(self.value) or (self.at_least is None and self.at_most is None):
            return None
        high_enough = self.at_least is None or self.value >= self.at_least
        return high_enough and (self.at_most is None or self.value <= self.at_most)

    def row(self) -> tuple[str, ...]:
        """The cells of its line in the table."""
        return self.what, self._shown(self.value), self._demand(), self._verdict(), self._remarks()

    def _shown(self, value: float) -> str:
        if math.isnan(value):
            return "not measured"
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
        number = f"{value:,.{digits}f}"
        return f"{number}{self.unit}" if self.unit == TIMES else f"{number} {self.unit}".strip()

    def _demand(self) -> str:
        if self.at_least is not None:
            return f"≥ {self._shown(self.at_least)}"
        return "" if self.at_most is None else f"≤ {self._shown(self.at_most)}"

    def _verdict(self) -> str:
        return {None: "", True: "yes", False: "**no**"}[self.reached]

    def _remarks(self) -> str:
        missed = self.because if self.reached is False else ""
        return ". ".join(part for part in (self.detail, missed) if part)


def missing(what: str, why: str) -> Figure:
    """A figure that could not be measured, and why."""
    return Figure(what=what, value=math.nan, detail=why)


def rendered(figures: Iterable[Figure]) -> str:
    """The table as Markdown."""
    return table(HEADINGS, [figure.row() for figure in figures])


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which `percent` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
