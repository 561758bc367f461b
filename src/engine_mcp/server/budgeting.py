"""`engine_budget`: the budget of an execution, and the limits that all executions of a user share."""

import logging
from collections.abc import Mapping

from engine_mcp.core.audit import differences
from engine_mcp.core.breaker import Breaker
from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.event import Event
from engine_mcp.core.execution import Execution
from engine_mcp.core.period import Period, Room, Standing
from engine_mcp.core.spending import cost_of
from engine_mcp.engine.engine import Engine
from engine_mcp.errors import EngineError, InvalidArgument
from engine_mcp.server.account import Asked, account
from engine_mcp.server.advice import NO_ROOM
from engine_mcp.server.arguments import limited
from engine_mcp.server.outcome import budget_changed, period_changed
from engine_mcp.server.periods import Spending, period_account
from engine_mcp.server.results import JsonObject
from engine_mcp.server.schemas import BudgetArguments, refuse

_log = logging.getLogger(__name__)
PAGE = 1000
CALLER = "engine_budget"
"""Who is told in the audit to have changed a limit."""


async def budget_of(engine: Engine, said: BudgetArguments) -> JsonObject:
    """The budget that is asked for, changed if that is asked too."""
    if said.scope == "execution":
        return await _of_execution(engine, said)
    refuse(said, f"needs the scope execution, not {said.scope}", "execution_id", "after", "audit")
    return await _of_period(engine, Period(said.scope), said)


async def spending(engine: Engine) -> tuple[Spending, Spending] | None:
    """What the user's executions spend together this day and this month; None where that cannot be read."""
    try:
        room = await engine.treasury.room()
        day, month = [
            Spending(period=period, spent=await engine.treasury.spent(period), room=room) for period in Period
        ]
    except EngineError as error:
        _log.warning("what is spent cannot be read: %s", error)
        return None
    return day, month


async def broken(engine: Engine) -> Mapping[str, Breaker]:
    """What is broken or has failed lately, by part; nothing where that cannot be read."""
    try:
        return await engine.treasury.breakers()
    except EngineError as error:
        _log.warning("the breakers cannot be read: %s", error)
        return {}


async def shared_limits(engine: Engine) -> Room:
    """The limits that all executions share and the operator's on each; none where they cannot be read."""
    caps = engine.treasury.caps
    try:
        room = await engine.treasury.room()
    except EngineError as error:
        _log.warning("the shared limits cannot be read: %s", error)
        room = NO_ROOM
    each = (Standing(limits=caps, cap=True),) if caps.limited else ()
    return Room(standings=(*each, *room.standings))


async def _of_execution(engine: Engine, said: BudgetArguments) -> JsonObject:
    if said.execution_id is None:
        hint = "Name one, or give `scope`: day or month for what all executions share."
        raise InvalidArgument("The argument 'execution_id' is missing.", field="execution_id", hint=hint)
    limits, happened = limited(said.budget), None
    if not said.reset and limits == Limits():
        execution = await engine.show(said.execution_id)
    else:
        execution = await engine.set_budget(said.execution_id, limits, reset=said.reset)
        happened = budget_changed(limits, reset=said.reset)
    found = await audited(engine, execution) if said.audit else None
    asked = Asked(after=said.after, limit=said.limit, happened=happened, audit=found)
    return account(execution, now=engine.parts.clock.now(), asked=asked)


async def _of_period(engine: Engine, period: Period, said: BudgetArguments) -> JsonObject:
    limits, happened = limited(said.budget), None
    if said.reset or limits != Limits():
        before = Spending(period=period, room=await engine.treasury.room()).limits
        await engine.treasury.limit(period, limits, CALLER, reset=said.reset)
        happened = period_changed(period, before, limits, reset=said.reset)
    room, spent = await engine.treasury.room(), await engine.treasury.spent(period)
    changes = await engine.treasury.changes(period, said.limit)
    return period_account(Spending(period=period, spent=spent, room=room), changes, happened=happened)


async def audited(engine: Engine, execution: Execution) -> tuple[str, ...]:
    """Where the totals of an execution are not the sums of its journal."""
    paid: list[Event] = []
    at = 0
    while at < execution.revision and (page := await engine.events(execution.id, at, PAGE)):
        at = page[-1][0]
        paid += (
            event for number, event in page if number <= execution.revision and cost_of(event) != _NOTHING
        )
    return differences(execution, paid)


_NOTHING = Usage()
