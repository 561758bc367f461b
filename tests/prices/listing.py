"""A copy of the prices that the tests count on, in USD per million tokens."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from engine_mcp.core.budget import Usage

NOW = 1_795_276_800.0
"""2026-11-21 12:00 UTC."""
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """What input, output, cache writes for five minutes and for an hour, and cache reads cost."""

    input: str
    output: str
    write: str
    hour: str
    read: str

    def micros(self, usage: Usage) -> int:
        """What a use costs, counted in fractions."""
        return ceil(
            Fraction(self.input) * usage.tokens_in
            + Fraction(self.output) * usage.tokens_out
            + Fraction(self.write) * (usage.cache_write - usage.cache_write_1h)
            + Fraction(self.hour) * usage.cache_write_1h
            + Fraction(self.read) * usage.cache_read
        )


HAIKU_SHORT = Row("0.10", "0.50", "0.125", "0.20", "0.01")
HAIKU_LONG = Row("0.50", "2.50", "0.625", "1.00", "0.05")
ROWS = {
    "claude-fable-5-2": Row("8", "40", "10", "16", "0.20"),
    "claude-mythos-5-2": Row("8", "40", "10", "16", "0.20"),
    "claude-fable-5-1": Row("10", "50", "12.5", "20", "0.25"),
    "claude-fable-5": Row("10", "50", "12.5", "20", "1.00"),
    "claude-opus-5-5": Row("4", "20", "5", "8", "0.20"),
    "claude-opus-5": Row("5", "25", "6.25", "10", "0.50"),
    "claude-opus-4-8": Row("5", "25", "6.25", "10", "0.50"),
    "claude-opus-4-7": Row("5", "25", "6.25", "10", "0.50"),
    "claude-opus-4-6": Row("5", "25", "6.25", "10", "0.50"),
    "claude-opus-4-5": Row("5", "25", "6.25", "10", "0.50"),
    "claude-opus-4-1": Row("15", "75", "18.75", "30", "1.50"),
    "claude-opus-4-0": Row("15", "75", "18.75", "30", "1.50"),
    "claude-sonnet-5-5": Row("2", "10", "2.5", "4", "0.10"),
    "claude-sonnet-5": Row("2", "10", "2.5", "4", "0.20"),
    "claude-sonnet-4-6": Row("3", "15", "3.75", "6", "0.30"),
    "claude-haiku-4-5": Row("1", "5", "1.25", "2", "0.10"),
}
"""The models whose price depends neither on the length of the input nor, by now, on the date."""


def used(count: int) -> Usage:
    """As much of each kind, half of the writes for an hour."""
    return Usage(
        tokens_in=count,
        tokens_out=count,
        cache_read=count,
        cache_write=2 * count,
        cache_write_1h=count,
    )
