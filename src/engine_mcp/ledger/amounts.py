"""Amounts: a use as the ledger keeps it, one whole number for each resource that can be limited.

Which tokens they were and how sure the cost is are not kept: that is in the records. All tokens come
back as `tokens_in`.
"""

from collections.abc import Iterable

from engine_mcp.core.budget import MICROS, Resource, Usage

Amounts = tuple[int, int, int, int]
"""Tokens, micro-dollars, microseconds and requests, in the order of `Resource`."""


def amounts(usage: Usage) -> Amounts:
    """The amounts of a use."""
    return (
        usage.amount(Resource.TOKENS),
        usage.amount(Resource.COST),
        usage.amount(Resource.SECONDS),
        usage.amount(Resource.REQUESTS),
    )


def usage_of(found: Amounts) -> Usage:
    """The use that has these amounts."""
    tokens, micros, microseconds, requests = found
    return Usage(tokens_in=tokens, cost_micros=micros, seconds=microseconds / MICROS, requests=requests)


def total(found: Iterable[Amounts]) -> Amounts:
    """The sum of amounts."""
    tokens = micros = microseconds = requests = 0
    for each in found:
        tokens += each[0]
        micros += each[1]
        microseconds += each[2]
        requests += each[3]
    return tokens, micros, microseconds, requests
