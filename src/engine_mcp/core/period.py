"""Periods: the days and months of a user, over which all executions share limits."""

from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from enum import StrEnum

from engine_mcp.core.budget import Limits, Resource, Usage

QUARTER_S = 900
"""What is spent is kept by quarters of an hour, from which the days of every time zone are made."""


class Period(StrEnum):
    """What shared limits are counted over."""

    DAY = "day"
    MONTH = "month"


def bounds(period: Period, at: float, zone: tzinfo) -> tuple[float, float]:
    """When the period that holds `at` begins and when the next one does, in Unix seconds."""
    day = datetime.fromtimestamp(at, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    first = day if period is Period.DAY else day.replace(day=1)
    if period is Period.DAY:
        following = datetime.fromordinal(first.toordinal() + 1)
    else:
        year, month = divmod(first.year * 12 + first.month, 12)
        following = datetime(year, month + 1, 1)  # noqa: DTZ001 - its zone is set below
    return first.timestamp(), following.replace(tzinfo=zone).timestamp()


def limit_name(
    resource: Resource, period: Period | None = None, step: str = "", until: float | None = None
) -> str:
    """What tells a limit from all others that an execution can pass; that of a period ends `until` a time."""
    whose = f"step {step}" if step else ""
    if period is not None:
        whose = f"{period.value} until {until or 0:.0f}"
    return f"{whose} {resource.value}".strip()


def passed_text(resource: Resource, limit: float, used: float, *, period: str = "", step: str = "") -> str:
    """The warning that a limit was passed, in its own unit."""
    whose = f" of this {period}" if period else f" of the step {step!r}" if step else ""
    return f"The budget's {resource} limit of {limit:g}{whose} was passed: {used:g}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A limit that executions share: what it is on, what is spent and held of it, until when it counts.

    `cap`: the operator's, which always pauses. `period` None: a limit of every execution for itself.
    """

    period: Period | None = None
    limits: Limits = field(default_factory=Limits)
    spent: Usage = field(default_factory=Usage)
    held: Usage = field(default_factory=Usage)
    cap: bool = False
    resets_at: float | None = None

    def left(self, resource: Resource) -> int | None:
        """What is neither spent nor held, as an amount; may be negative. None without a limit."""
        limit = self.limits.amount(resource)
        return None if limit is None else limit - self.spent.amount(resource) - self.held.amount(resource)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Every shared limit as it stood at one moment; what this execution holds is counted in `held`."""

    standings: tuple[Standing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An entry of the audit: who changed the limits of a period when (Unix seconds), and to what.

    `before` and `after` are the limits, `spent` what had been spent by then. `reset`: what the limits
    were before does not stand any more.
    """

    at: float
    by: str
    period: Period = Period.DAY
    before: Limits = field(default_factory=Limits)
    after: Limits = field(default_factory=Limits)
    spent: Usage = field(default_factory=Usage)
    reset: bool = False
