"""Limits, usage, and what is left: integers of tokens, requests and micro-dollars, and seconds."""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Self


class OnExceed(StrEnum):
    """What happens at a limit: go on and say so, or keep everything and wait for more budget."""

    WARN = "warn"
    PAUSE = "pause"


class Resource(StrEnum):
    """What a limit can be set on."""

    TOKENS = "tokens"
    COST = "cost_usd"
    SECONDS = "seconds"
    REQUESTS = "requests"


MICROS = 1_000_000
"""Micro-dollars in a dollar, and microseconds in a second."""


MOST_COUNTED, MOST_USD, MOST_SECONDS = 10**15, 1e9, 1e9
"""The highest limits that can be asked for: tokens or requests, dollars, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most an execution or step may use; None sets no limit. `on_exceed` None: as the operator says."""

    max_tokens: int | None = None
    max_cost_usd: float | None = None
    max_seconds: float | None = None
    max_requests: int | None = None
    on_exceed: OnExceed | None = None

    def of(self, resource: Resource) -> float | None:
        """The limit on one resource, in its own unit."""
        match resource:
            case Resource.TOKENS:
                return self.max_tokens
            case Resource.COST:
                return self.max_cost_usd
            case Resource.SECONDS:
                return self.max_seconds
            case Resource.REQUESTS:
                return self.max_requests

    def amount(self, resource: Resource) -> int | None:
        """The limit on one resource in whole tokens, micro-dollars, microseconds or requests, cut."""
        limit = self.of(resource)
        if limit is None or resource in _WHOLE:
            return None if limit is None else int(limit)
        return int(Decimal(repr(limit)) * MICROS)

    @property
    def limited(self) -> bool:
        """Whether there is any limit at all."""
        return not (
            self.max_tokens is None
            and self.max_cost_usd is None
            and self.max_seconds is None
            and self.max_requests is None
        )

    def merged(self, other: Self) -> Self:
        """These limits with every value that `other` sets put in its place."""
        given = {name: value for name in _FIELDS if (value := getattr(other, name)) is not None}
        return replace(self, **given)


_WHOLE = frozenset({Resource.TOKENS, Resource.REQUESTS})
_FIELDS = ("max_tokens", "max_cost_usd", "max_seconds", "max_requests", "on_exceed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What was used. `requests` counts model calls and tool calls; seconds are those of attempts.

    `tokens_in` are those that no cache held; `cache_write_1h` says how many of `cache_write` are kept
    for an hour.
    """

    tokens_in: int = 0
    tokens_out: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    requests: int = 0
    seconds: float = 0.0
    cost_micros: int = 0
    cost_basis: str = "none"

    def __add__(self, other: "Usage") -> "Usage":
        """Both together; the basis of the cost is the one that says least for sure."""
        if other is _NOTHING or other == _NOTHING:
            return self
        return Usage(
            tokens_in=self.tokens_in + other.tokens_in,
            tokens_out=self.tokens_out + other.tokens_out,
            cache_read=self.cache_read + other.cache_read,
            cache_write=self.cache_write + other.cache_write,
            cache_write_1h=self.cache_write_1h + other.cache_write_1h,
            requests=self.requests + other.requests,
            seconds=self.seconds + other.seconds,
            cost_micros=self.cost_micros + other.cost_micros,
            cost_basis=max(self.cost_basis, other.cost_basis, key=_BASES.index),
        )

    def of(self, resource: Resource) -> float:
        """The use of one resource, in the unit of its limit."""
        match resource:
            case Resource.TOKENS:
                return self.tokens_in + self.tokens_out + self.cache_read + self.cache_write
            case Resource.COST:
                return self.cost_micros / MICROS
            case Resource.SECONDS:
                return self.seconds
            case Resource.REQUESTS:
                return self.requests

    def amount(self, resource: Resource) -> int:
        """The use of one resource in whole tokens, micro-dollars, microseconds or requests."""
        match resource:
            case Resource.TOKENS:
                return self.tokens_in + self.tokens_out + self.cache_read + self.cache_write
            case Resource.COST:
                return self.cost_micros
            case Resource.SECONDS:
                return round(self.seconds * MICROS)
            case Resource.REQUESTS:
                return self.requests


_BASES = ("none", "reported", "computed", "estimated", "unpriced")
_NOTHING = Usage()


def remaining(limits: Limits, used: Usage, resource: Resource) -> float | None:
    """What may still be used of a resource, in the unit of its limit, never below 0; None without a limit."""
    limit = limits.amount(resource)
    if limit is None:
        return None
    left = max(0, limit - used.amount(resource))
    return left if resource in _WHOLE else left / MICROS


def reached(limits: Limits, used: Usage) -> Resource | None:
    """The first resource whose limit leaves nothing more to use."""
    for resource in Resource:
        limit = limits.amount(resource)
        if limit is not None and used.amount(resource) >= limit:
            return resource
    return None
