"""Doubt: what a lost attempt may have used and not told, estimated rather too high."""

from engine_mcp.core.budget import Resource, Usage
from engine_mcp.core.charge import pending
from engine_mcp.core.execution import Step
from engine_mcp.core.plan import StepKind

FIRST_TOKENS = 20_000
FIRST_MICROS = 50_000
"""What a first turn is taken to have used of which nothing is known, where a share stands behind it."""


def in_doubt(step: Step) -> Usage:
    """The cost of what was told and never priced, and one turn more like those before.

    Its process told of every turn when it ended, so that no more than one is unknown. The estimate
    keeps to the share of the attempt.
    """
    attempt = step.attempt
    if attempt is None or step.spec.kind is StepKind.CODE:
        return Usage(requests=len(step.unanswered))
    if step.spec.kind is StepKind.TOOL:
        return Usage(requests=attempt.reserved.requests)
    told = pending(attempt.charges, step.used.cost_micros)
    used = step.used + told
    turns = max(1, used.requests)
    share, found = attempt.reserved, dict[Resource, int]()
    for kind, first in ((Resource.TOKENS, FIRST_TOKENS), (Resource.COST, FIRST_MICROS)):
        most = share.amount(kind)
        turn = -(-used.amount(kind) // turns) if used.requests else 0
        turn = turn or (first if most else 0)
        found[kind] = max(0, min(turn, most - used.amount(kind))) if most else turn
    requests = 1 + len(step.unanswered)
    if most := attempt.reserved.requests:
        requests = max(0, min(requests, most - used.requests - step.requests))
    unheard = Usage(
        tokens_in=found[Resource.TOKENS],
        cost_micros=found[Resource.COST],
        requests=requests,
        cost_basis="estimated" if any(found.values()) else "unpriced",
    )
    return told + unheard
