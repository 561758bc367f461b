"""Spending: what an execution used, by quarters of an hour, as the ledger of its user keeps it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from engine_mcp.core.budget import Resource, Usage
from engine_mcp.core.event import (
    AttemptFailed,
    AttemptInterrupted,
    AttemptLost,
    AttemptSucceeded,
    CallRecorded,
    Event,
    UsageReported,
)
from engine_mcp.core.period import QUARTER_S

_PAID = (UsageReported, AttemptSucceeded, AttemptFailed, AttemptInterrupted, AttemptLost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What an attempt has reserved and may still use; `spends` are the resources that it can use at all."""

    step: str
    number: int
    usage: Usage
    spends: tuple[Resource, ...] = tuple(Resource)


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """What the events numbered `after`+1 to `upto` of an execution cost, and what its attempts now hold.

    `spent` is keyed by quarters of an hour: Unix seconds // 900.
    """

    execution_id: str
    after: int
    upto: int
    spent: Mapping[int, Usage] = field(default_factory=dict[int, Usage])
    holds: tuple[Hold, ...] = ()


def cost_of(event: Event) -> Usage:
    """What an event says was used."""
    if isinstance(event, _PAID):
        return event.usage
    if isinstance(event, CallRecorded):
        return Usage(requests=event.requests)
    return Usage()


def step_of(event: Event) -> str | None:
    """The step that an event of the spending kind is about."""
    return event.step if isinstance(event, (*_PAID, CallRecorded)) else None


def spent_in(events: Iterable[Event]) -> dict[int, Usage]:
    """What events cost, by the quarter of an hour in which they happened."""
    found: dict[int, Usage] = {}
    for event in events:
        if (usage := cost_of(event)) != Usage():
            quarter = int(event.at // QUARTER_S)
            found[quarter] = found.get(quarter, Usage()) + usage
    return found
