"""The budget of an execution as clients see it: limits, what is spent, held and left, entry by entry."""

from dataclasses import dataclass

from engine_mcp.core.admission import reserved, spent
from engine_mcp.core.budget import MICROS, Limits, Resource, Usage
from engine_mcp.core.execution import Attempt, Execution
from engine_mcp.server.fitting import Detail, cut, fitted
from engine_mcp.server.results import Account, Amounts, JsonObject, LedgerEntry
from engine_mcp.server.view import shown_limits


def account(execution: Execution, *, now: float, happened: str | None = None) -> JsonObject:
    """The budget as a JSON object of less than 8 KB, as `results.Account` describes it.

    `now` is Unix time, `happened` what the call did that gives this result.
    """
    return fitted(lambda detail: _Ledger(execution, detail, now).drawn(happened))


@dataclass(frozen=True, slots=True)
class _Ledger:
    """An execution whose budget is to be drawn with some detail."""

    execution: Execution
    detail: Detail
    now: float

    def drawn(self, happened: str | None) -> JsonObject:
        execution, rows = self.execution, self.detail.rows
        used, held = spent(execution, self.now), reserved(execution.running)
        entries = self._entries()
        return Account(
            execution_id=execution.id,
            status=execution.status,
            limits=shown_limits(execution.budget),
            spent=_amounts(used),
            reserved=_amounts(held),
            remaining=_remaining(execution.budget, used + held),
            warnings=[cut(text, self.detail.text) for text in execution.warnings[-rows:]],
            entries=entries[-rows:],
            happened=happened,
            truncated=f"The first {len(entries) - rows} of {len(entries)} entries are left out to stay small."
            if len(entries) > rows
            else None,
        ).dumped()

    def _entries(self) -> list[LedgerEntry]:
        found = [(attempt, name) for name, step in self.execution.steps.items() for attempt in step.attempts]
        found.sort(key=lambda entry: entry[0].started_at)
        return [self._entry(attempt, name) for attempt, name in found]

    def _entry(self, attempt: Attempt, step: str) -> LedgerEntry:
        ended, used = attempt.ended_at, attempt.usage
        return LedgerEntry(
            step=step,
            attempt=attempt.number,
            status=attempt.status,
            tokens=int(used.of(Resource.TOKENS)),
            requests=used.requests,
            seconds=round((self.now if ended is None else ended) - attempt.started_at, 3),
            cost_usd=used.cost_micros / MICROS,
            cost_basis=used.cost_basis,
        )


def _amounts(usage: Usage) -> Amounts:
    return Amounts(
        tokens=int(usage.of(Resource.TOKENS)),
        cost_usd=usage.of(Resource.COST),
        seconds=round(usage.seconds, 3),
        requests=usage.requests,
    )


def _remaining(limits: Limits, used: Usage) -> Amounts:
    left = {
        kind.value: round(max(0.0, limit - used.of(kind)), 6)
        for kind in Resource
        if (limit := limits.of(kind)) is not None
    }
    return Amounts.model_validate(left)
