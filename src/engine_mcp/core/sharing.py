"""Sharing: whether limits that executions share leave room for what attempts ask to hold."""

from collections.abc import Sequence

from engine_mcp.core.budget import OnExceed, Resource
from engine_mcp.core.period import Room, Standing
from engine_mcp.core.spending import Hold


def stops(standing: Standing, *, pauses: bool) -> bool:
    """Whether nothing starts where this limit is reached; `pauses` holds where the limit does not say."""
    if standing.cap or standing.limits.on_exceed is None:
        return standing.cap or pauses
    return standing.limits.on_exceed is OnExceed.PAUSE


def refused(room: Room, holds: Sequence[Hold], *, pauses: bool) -> bool:
    """Whether one of the limits that stop leaves less than all `holds` ask for together.

    A hold that asks for nothing of a limited resource which it can spend is refused once nothing is left
    of it. As long as attempts use no more than they hold, spent and held never pass a limit that stops.
    """
    return any(
        _lacking(standing, resource, holds)
        for standing in room.standings
        if stops(standing, pauses=pauses)
        for resource in Resource
    )


def _lacking(standing: Standing, resource: Resource, holds: Sequence[Hold]) -> bool:
    left = standing.left(resource)
    if left is None:
        return False
    asked = [hold.usage.amount(resource) for hold in holds if resource in hold.spends]
    others = [hold.usage.amount(resource) for hold in holds if resource not in hold.spends]
    return any(left < (sum(asked) if one else 1) for one in asked) or 0 < sum(others) > left
