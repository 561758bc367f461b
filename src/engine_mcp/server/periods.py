"""What all executions of a user spend together in a day or month, as clients see it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine_mcp.core.budget import Limits, Resource, Usage
from engine_mcp.core.period import Change, Period, Room, Standing
from engine_mcp.server.advice import NO_ROOM
from engine_mcp.server.amounts import amounts, left, shown_limits
from engine_mcp.server.fitting import Detail, cut, fitted
from engine_mcp.server.results import Amounts, JsonObject, PeriodAccount, ShownChange, ShownSpending
from engine_mcp.server.times import utc

_NOTHING = Usage()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What is known of a period that holds this moment: what is spent, and the limits on it."""

    period: Period
    spent: Usage = _NOTHING
    room: Room = NO_ROOM

    @property
    def standings(self) -> list[Standing]:
        """The limits of the period."""
        return [standing for standing in self.room.standings if standing.period is self.period]

    @property
    def used(self) -> Usage:
        """What is spent; the limits count it at the same moment as what is held."""
        found = self.standings
        return found[0].spent if found else self.spent

    @property
    def held(self) -> Usage:
        """What running attempts may still use; known where there is a limit."""
        found = self.standings
        return found[0].held if found else _NOTHING

    @property
    def limits(self) -> Limits:
        """The limits that were set."""
        return next((standing.limits for standing in self.standings if not standing.cap), Limits())

    @property
    def caps(self) -> Limits | None:
        """The operator's limits."""
        return next((standing.limits for standing in self.standings if standing.cap), None)

    @property
    def resets_at(self) -> float | None:
        """When the period ends; known where there is a limit."""
        return next((standing.resets_at for standing in self.standings), None)


def shown_spending(spending: Spending) -> ShownSpending:
    """The period in short."""
    limited = bool(spending.standings)
    return ShownSpending(
        spent=amounts(spending.used),
        limits=shown_limits(spending.limits) if spending.limits != Limits() else None,
        caps=shown_limits(spending.caps) if spending.caps is not None else None,
        reserved=amounts(spending.held) if limited else None,
        remaining=_left(spending) if limited else None,
        resets_at=_resets_at(spending),
    )


def period_account(
    spending: Spending, changes: Sequence[Change], *, happened: str | None = None
) -> JsonObject:
    """The period as a JSON object of less than 8 KB, as `results.PeriodAccount` describes it.

    `changes` are those of its limits, the newest first; `happened` is what the call did.
    """
    return fitted(lambda detail: _drawn(spending, changes, detail, happened))


def _drawn(spending: Spending, changes: Sequence[Change], detail: Detail, happened: str | None) -> JsonObject:
    shown = changes[: detail.rows]
    cut_off = f"Only the newest {len(shown)} changes are listed, to stay small."
    return PeriodAccount(
        scope=spending.period,
        limits=shown_limits(spending.limits),
        caps=shown_limits(spending.caps) if spending.caps is not None else None,
        spent=amounts(spending.used),
        reserved=amounts(spending.held),
        remaining=_left(spending),
        resets_at=_resets_at(spending),
        warnings=list(_warnings(spending)),
        changes=[_change(change, detail.text) for change in shown],
        happened=happened,
        truncated=cut_off if len(shown) < len(changes) else None,
    ).dumped()


def _left(spending: Spending) -> Amounts:
    limits = (standing.limits for standing in spending.standings)
    return left(limits, spending.used + spending.held)


def _resets_at(spending: Spending) -> str | None:
    return None if spending.resets_at is None else utc(spending.resets_at)


def _warnings(spending: Spending) -> Iterator[str]:
    for standing in spending.standings:
        whose = "operator's" if standing.cap else "shared"
        for kind in Resource:
            limit, used = standing.limits.of(kind), standing.spent.of(kind)
            if limit is not None and used >= limit:
                how = "passed" if used > limit else "reached"
                yield f"The {whose} {kind} limit of {limit:g} of this {spending.period} is {how}: {used:g}."


def _change(change: Change, text: int) -> ShownChange:
    return ShownChange(
        at=utc(change.at),
        by=cut(change.by, text),
        before=shown_limits(change.before),
        after=shown_limits(change.after),
        spent=amounts(change.spent),
        reset=change.reset,
    )
