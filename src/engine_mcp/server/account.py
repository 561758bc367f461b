"""The budget of an execution as clients see it: limits, what is spent, held and left, entry by entry."""

from dataclasses import dataclass

from engine_mcp.core.admission import reserved, spent
from engine_mcp.core.charge import drift
from engine_mcp.core.execution import Execution
from engine_mcp.server.amounts import amounts, left, shown_limits
from engine_mcp.server.entries import charges, entries
from engine_mcp.server.fitting import Detail, cut, fitted
from engine_mcp.server.results import Account, JsonObject, LedgerEntry

DRIFT = 0.05
"""The part by which reported and computed costs may differ before that is a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a call asks of an account, and what it did.

    `after` is how many entries to pass over, None for the newest; `limit` how many to list. `audit` are
    the differences found between totals and journal, None if nobody looked.
    """

    after: int | None = None
    limit: int = 100
    happened: str | None = None
    audit: tuple[str, ...] | None = None


def account(
    execution: Execution, *, now: float, happened: str | None = None, asked: Asked | None = None
) -> JsonObject:
    """The budget as a JSON object of less than 8 KB, as `results.Account` describes it.

    `now` is Unix time, `happened` what the call did that gives this result.
    """
    wanted = asked or Asked(happened=happened)
    rows = entries(execution, now)
    return fitted(lambda detail: _Account(execution, rows, detail, now).drawn(wanted))


@dataclass(frozen=True, slots=True)
class _Account:
    """An execution whose budget is to be drawn with some detail."""

    execution: Execution
    rows: list[LedgerEntry]
    detail: Detail
    now: float

    def drawn(self, asked: Asked) -> JsonObject:
        execution, rows = self.execution, self.detail.rows
        used, held = spent(execution, self.now), reserved(execution.running)
        apart = drift(charges(execution))
        shown, begin = self._page(asked)
        end = begin + len(shown)
        found = None if asked.audit is None else [cut(text, self.detail.text) for text in asked.audit[:rows]]
        return Account(
            scope="execution",
            execution_id=execution.id,
            status=execution.status,
            limits=shown_limits(execution.budget),
            spent=amounts(used),
            reserved=amounts(held),
            remaining=left([execution.budget], used + held),
            warnings=[cut(text, self.detail.text) for text in (*execution.warnings, *_apart(apart))[-rows:]],
            entries=shown,
            entries_total=len(self.rows),
            next=end if asked.after is not None and end < len(self.rows) else None,
            drift=None if apart is None else round(apart, 4),
            audit=found,
            happened=asked.happened,
            truncated=self._left_out(begin) if asked.after is None else None,
        ).dumped()

    def _page(self, asked: Asked) -> tuple[list[LedgerEntry], int]:
        """The entries to list, and how many come before them."""
        most = min(asked.limit, self.detail.rows)
        begin = max(0, len(self.rows) - most) if asked.after is None else min(asked.after, len(self.rows))
        return self.rows[begin : begin + most], begin

    def _left_out(self, begin: int) -> str | None:
        if not begin:
            return None
        total = len(self.rows)
        return f"The first {begin} of {total} entries are left out; `after` 0 lists them page by page."


def _apart(apart: float | None) -> tuple[str, ...]:
    """The warning about reported costs that are not the computed ones."""
    if apart is None or abs(apart) <= DRIFT:
        return ()
    way = "more" if apart > 0 else "less"
    text = f"The reported costs are {abs(apart):.0%} {way} than the price list says"
    return (f"{text}: one of the two is wrong, or the account has other prices.",)
