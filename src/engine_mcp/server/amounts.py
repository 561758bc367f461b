"""Amounts of what can be limited, as clients see them."""

from collections.abc import Iterable

from engine_mcp.core.budget import Limits, Resource, Usage, remaining
from engine_mcp.server.results import Amounts, ShownLimits


def amounts(usage: Usage) -> Amounts:
    """What was used."""
    return Amounts(
        tokens=usage.amount(Resource.TOKENS),
        cost_usd=usage.of(Resource.COST),
        seconds=round(usage.seconds, 3),
        requests=usage.requests,
    )


def left(limits: Iterable[Limits], used: Usage) -> Amounts:
    """What is left of each resource under the tightest of the limits; left out where there is none."""
    found: dict[str, float] = {}
    for each in limits:
        for kind in Resource:
            rest = remaining(each, used, kind)
            if rest is not None:
                found[kind.value] = min(rest, found.get(kind.value, rest))
    return Amounts.model_validate(found)


def shown_limits(limits: Limits) -> ShownLimits:
    """The limits that are set."""
    return ShownLimits(
        max_tokens=limits.max_tokens,
        max_cost_usd=limits.max_cost_usd,
        max_seconds=limits.max_seconds,
        max_requests=limits.max_requests,
        on_exceed=limits.on_exceed,
    )
