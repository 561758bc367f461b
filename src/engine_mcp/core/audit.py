"""The audit of an execution: its totals are the sums of what its journal says."""

from collections.abc import Iterable

from engine_mcp.core.budget import Usage
from engine_mcp.core.charge import Charge, merged
from engine_mcp.core.event import Event, UsageReported
from engine_mcp.core.execution import Execution
from engine_mcp.core.spending import cost_of

_COUNTED = {
    "tokens_in": "tokens of new input",
    "tokens_out": "tokens of output",
    "cache_read": "tokens read from a cache",
    "cache_write": "tokens written to a cache",
    "cache_write_1h": "tokens written to a cache for an hour",
    "requests": "requests",
    "cost_micros": "micro-dollars",
}


def replayed(events: Iterable[Event]) -> tuple[Usage, tuple[Charge, ...]]:
    """What events say was used in all, and what they charge for it by model and price list."""
    total, charges = Usage(), tuple[Charge, ...]()
    for event in events:
        total += cost_of(event)
        if isinstance(event, UsageReported) and event.charge is not None:
            charges = merged(charges, event.charge)
    return total, charges


def differences(execution: Execution, events: Iterable[Event]) -> tuple[str, ...]:
    """Where the totals of an execution are not those of its whole journal, a sentence for each amount."""
    total, _charges = replayed(events)
    return tuple(
        f"The execution {execution.id} counts {counted} {unit}, its journal {told}."
        for name, unit in _COUNTED.items()
        if (counted := getattr(execution.usage, name)) != (told := getattr(total, name))
    )
