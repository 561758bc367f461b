"""Rebuilding the ledger: what the records tell and the ledger does not know is posted."""

from dataclasses import dataclass, replace

from engine_mcp.core.budget import Resource, Usage
from engine_mcp.core.execution import AttemptStatus, Execution
from engine_mcp.core.listing import Query
from engine_mcp.core.spending import Hold, Posting, cost_of, spent_in
from engine_mcp.errors import ExecutionNotFound, RecordCorrupt, RecordNewer
from engine_mcp.ports import Ledger, Store

PAGE = 100
EVENTS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What became of it: executions posted, and how many of their events had cost something.

    `ahead` are the ids of executions of which the ledger knows more than their records tell: it is not
    theirs, or they were put back from elsewhere; nothing of them was changed. `unreadable` are the ids
    of records that cannot be read.
    """

    executions: int = 0
    entries: int = 0
    ahead: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


async def rebuilt(ledger: Ledger, store: Store) -> Rebuilt:
    """Post what the ledger does not know of a project's executions, page by page.

    Executions that a process drives are left to it, since it alone knows what they hold. Raises
    StorageError where the ledger cannot be written; what was posted by then counts.
    """
    told, after = Rebuilt(), None
    while rows := (await store.list(Query(limit=PAGE, after=after))).rows:
        for row in rows:
            told = await _looked_at(told, ledger, store, row.id)
        after = rows[-1].id
    return told


async def _looked_at(told: Rebuilt, ledger: Ledger, store: Store, execution_id: str) -> Rebuilt:
    if await store.owner(execution_id) is not None:
        return told
    try:
        return await _caught_up(told, ledger, store, execution_id)
    except ExecutionNotFound:  # pruned since it was listed
        return told
    except (RecordCorrupt, RecordNewer):
        return replace(told, unreadable=(*told.unreadable, execution_id))


async def _caught_up(told: Rebuilt, ledger: Ledger, store: Store, execution_id: str) -> Rebuilt:
    posted = known = await ledger.posted(execution_id)
    entries, holds = 0, None
    while True:
        # one that is known comes along, to show that the record goes as far as the ledger
        events = await store.events(execution_id, max(0, posted - 1), EVENTS)
        if posted and not events:
            return replace(told, ahead=(*told.ahead, execution_id))
        new = [(number, event) for number, event in events if number > posted]
        if not new:
            break
        if holds is None:
            holds = _holds(await store.read(execution_id))
        costs = [event for _, event in new if cost_of(event) != Usage()]
        upto = new[-1][0]
        posting = Posting(
            execution_id=execution_id, after=posted, upto=upto, spent=spent_in(costs), holds=holds
        )
        if not await ledger.post(posting):  # somebody drives it by now, and posts itself
            break
        posted, entries = upto, entries + len(costs)
    return replace(told, executions=told.executions + (posted > known), entries=told.entries + entries)


def _holds(execution: Execution) -> tuple[Hold, ...]:
    """What attempts still hold whose process has died: it is not known what they spent of it."""
    return tuple(
        Hold(step=name, number=attempt.number, usage=left)
        for name, step in execution.steps.items()
        for attempt in step.attempts
        if attempt.status is AttemptStatus.RUNNING and (left := _left(attempt.reserved, step.used)) != Usage()
    )


def _left(reserved: Usage, used: Usage) -> Usage:
    return Usage(
        tokens_in=max(0, reserved.amount(Resource.TOKENS) - used.amount(Resource.TOKENS)),
        cost_micros=max(0, reserved.cost_micros - used.cost_micros),
        seconds=max(0.0, reserved.seconds - used.seconds),
        requests=max(0, reserved.requests - used.requests),
    )
