"""The engine as clients see it: its executions, what it can run, and how busy it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine_mcp.core.breaker import Breaker, BreakerState
from engine_mcp.core.listing import Listed, Page
from engine_mcp.core.load import Load
from engine_mcp.core.plan import StrategyName
from engine_mcp.core.tool import Health
from engine_mcp.server.fitting import Detail, cut, fitted
from engine_mcp.server.periods import Spending, shown_spending
from engine_mcp.server.results import (
    JsonObject,
    ListedExecution,
    Overview,
    ShownBreaker,
    ShownHealth,
    ShownLoad,
    ShownPeriods,
)
from engine_mcp.server.times import utc


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is known of the engine at one moment: rows up to `limit`, health by kind and name.

    The page has one row more where there are more. `breakers` are by part, `spending` is that of the day
    and of the month, None where nobody knows.
    """

    page: Page
    limit: int
    health: Mapping[str, Mapping[str, Health]]
    load: Load
    breakers: Mapping[str, Breaker] = field(default_factory=dict[str, Breaker])
    spending: tuple[Spending, Spending] | None = None


def overview(sight: Sight) -> JsonObject:
    """The engine as a JSON object of less than 8 KB, as `results.Overview` describes it."""
    return fitted(lambda detail: _drawn(sight, detail))


def _drawn(sight: Sight, detail: Detail) -> JsonObject:
    rows = sight.page.rows[: min(sight.limit, detail.rows)]
    shown = [_listed(row, detail.text) for row in rows]
    load = sight.load
    return Overview(
        executions=shown,
        total=sight.page.total,
        next=rows[-1].id if len(rows) < len(sight.page.rows) else None,
        runtimes=_health(sight, "runtimes", detail.text),
        tools=_health(sight, "tools", detail.text),
        strategies=sorted(StrategyName),
        load=ShownLoad(
            running=load.running,
            pending=load.pending,
            executions=load.executions,
            steps_running=load.steps_running,
            steps=load.steps,
        ),
        breakers=[_breaker(held, detail.text) for held in _worst(sight.breakers)[: detail.rows]],
        spending=_spending(sight.spending),
    ).dumped()


def _spending(spending: tuple[Spending, Spending] | None) -> ShownPeriods | None:
    if spending is None:
        return None
    day, month = spending
    return ShownPeriods(day=shown_spending(day), month=shown_spending(month))


def _worst(breakers: Mapping[str, Breaker]) -> list[Breaker]:
    """What is broken before what has only failed, the latest first."""
    return sorted(
        breakers.values(), key=lambda held: (held.state is BreakerState.CLOSED, -held.changed_at, held.part)
    )


def _breaker(held: Breaker, text: int) -> ShownBreaker:
    return ShownBreaker(
        part=cut(held.part, text),
        state=held.state,
        failures=held.failures,
        code=held.code,
        evidence=cut(held.evidence, text),
        retry_at=None if held.retry_at is None else utc(held.retry_at),
    )


def _listed(row: Listed, text: int) -> ListedExecution:
    return ListedExecution(
        execution_id=row.id,
        status=row.status,
        title=cut(row.title, min(text, 200)),
        created_at=utc(row.created_at),
        updated_at=utc(row.updated_at),
        steps=row.steps,
        done=row.done,
        reason=cut(row.reason, min(text, 200)) if row.reason else None,
    )


def _health(sight: Sight, kind: str, text: int) -> dict[str, ShownHealth]:
    return {
        name: ShownHealth(
            usable=health.usable,
            version=health.version or None,
            detail=cut(health.detail, text) if health.detail else None,
            remedy=cut(health.remedy, text) if health.remedy else None,
        )
        for name, health in sight.health.get(kind, {}).items()
    }
