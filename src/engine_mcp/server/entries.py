"""The entries of an execution's ledger: what each attempt used of each model, in the order they started."""

from collections.abc import Iterator
from dataclasses import replace

from engine_mcp.core.budget import MICROS, Resource, Usage
from engine_mcp.core.charge import Charge
from engine_mcp.core.execution import Attempt, AttemptStatus, Execution, Step
from engine_mcp.server.results import LedgerEntry


def entries(execution: Execution, now: float) -> list[LedgerEntry]:
    """All entries; their tokens and costs add up to those of the attempts."""
    found = [(attempt, step) for step in execution.steps.values() for attempt in step.attempts]
    found.sort(key=lambda entry: entry[0].started_at)
    return [entry for attempt, step in found for entry in _of(attempt, step, now)]


def charges(execution: Execution) -> list[Charge]:
    """What the models of all attempts took."""
    return [
        charge for step in execution.steps.values() for attempt in step.attempts for charge in attempt.charges
    ]


def _of(attempt: Attempt, step: Step, now: float) -> Iterator[LedgerEntry]:
    """The entries of one attempt: one for each model, and one for what no model is charged with."""
    used = attempt.usage
    if attempt.status is AttemptStatus.RUNNING:
        used = step.used + Usage(requests=step.requests)
    seconds = (now if attempt.ended_at is None else attempt.ended_at) - attempt.started_at
    found = [_charged(charge, attempt, step) for charge in attempt.charges]
    tokens, rest = uncharged(attempt, used)
    if tokens or rest.cost_micros or not found:
        found.append(_entry(attempt, step, rest, tokens))
    first, *others = found
    yield first.model_copy(update={"requests": used.requests, "seconds": round(seconds, 3)})
    yield from others


def uncharged(attempt: Attempt, used: Usage) -> tuple[int, Usage]:
    """What no model is charged with, as when a process was killed: tokens, and the use with its cost."""
    charged = sum((charge.usage for charge in attempt.charges), start=Usage())
    tokens = used.amount(Resource.TOKENS) - charged.amount(Resource.TOKENS)
    return tokens, replace(used, cost_micros=used.cost_micros - charged.cost_micros)


def _charged(charge: Charge, attempt: Attempt, step: Step) -> LedgerEntry:
    entry = _entry(attempt, step, charge.usage, charge.usage.amount(Resource.TOKENS))
    return entry.model_copy(
        update={
            "model": charge.model or attempt.model,
            "reported_usd": _dollars(charge.reported_micros),
            "computed_usd": _dollars(charge.computed_micros),
            "price": charge.price or None,
        }
    )


def _entry(attempt: Attempt, step: Step, used: Usage, tokens: int) -> LedgerEntry:
    return LedgerEntry(
        step=step.spec.id,
        attempt=attempt.number,
        status=attempt.status,
        tokens=tokens,
        cost_usd=used.cost_micros / MICROS,
        cost_basis=used.cost_basis,
    )


def _dollars(micros: int | None) -> float | None:
    return None if micros is None else micros / MICROS
