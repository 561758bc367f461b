"""The five tools: arguments → engine → result. The engine owns the executions, never a request."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import anyio
from mcp.types import CallToolResult
from pydantic import JsonValue

from engine_mcp.core.budget import Limits
from engine_mcp.core.execution import Execution, StopMode
from engine_mcp.core.listing import Query
from engine_mcp.core.plan import OnCancel
from engine_mcp.engine.engine import Engine
from engine_mcp.errors import EngineError, ExecutionNotFound, InvalidArgument
from engine_mcp.server.account import account
from engine_mcp.server.arguments import Edge, drafted, limited, parsed, resumption
from engine_mcp.server.events import PAGE_EVENTS, page
from engine_mcp.server.failures import answered, failed, refused
from engine_mcp.server.outcome import budget_changed, interrupted
from engine_mcp.server.overview import Sight, overview
from engine_mcp.server.progress import Patience, Reporter, Tell, waited
from engine_mcp.server.results import JsonObject
from engine_mcp.server.schemas import (
    BudgetArguments,
    ExecuteArguments,
    InterruptArguments,
    ResumeArguments,
    StatusArguments,
)
from engine_mcp.server.view import Answer, view

_log = logging.getLogger(__name__)
STOP_S = 15.0

Given = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool, as far as the tool needs to know.

    `given_up` tells, once the call is cancelled, why its caller wants the work to stop; None if
    nobody said so.
    """

    tell: Tell
    given_up: Callable[[], str | None]


class Tools:
    """Carries out the calls of the tools on one engine."""

    def __init__(self, engine: Engine, edge: Edge) -> None:
        self._engine, self._edge = engine, edge
        self._tools: Mapping[str, Callable[[Given, Call], Awaitable[JsonObject]]] = {
            "engine_execute": self.execute,
            "engine_status": self.status,
            "engine_budget": self.budget,
            "engine_interrupt": self.interrupt,
            "engine_resume": self.resume,
        }

    def __contains__(self, name: str) -> bool:
        return name in self._tools

    async def call(self, name: str, given: Given, call: Call) -> CallToolResult:
        """The result of a call, failures included; raises KeyError where there is no such tool."""
        tool = self._tools[name]
        try:
            return answered(await tool(given, call))
        except ExecutionNotFound as error:
            return refused(await self._with_latest(error))
        except EngineError as error:
            return refused(error)
        except Exception as error:  # noqa: BLE001 - a defect costs this call, not the server
            return failed(error, name)

    async def execute(self, given: Given, call: Call) -> JsonObject:
        """Start an execution and wait a little."""
        said = parsed(ExecuteArguments, given)
        draft = await anyio.to_thread.run_sync(drafted, said, self._edge)
        execution = await _whole(self._engine.execute(draft))
        return await self._awaited(execution, said.wait_s, call)

    async def resume(self, given: Given, call: Call) -> JsonObject:
        """Go on with an execution and wait a little."""
        said = parsed(ResumeArguments, given)
        request = resumption(said, self._edge)
        execution = await _whole(self._engine.resume(said.execution_id, request))
        return await self._awaited(execution, said.wait_s, call)

    async def status(self, given: Given, call: Call) -> JsonObject:
        """Show an execution, or the engine."""
        said = parsed(StatusArguments, given)
        if said.execution_id is None:
            return await self._overview(said)
        _refuse(said, "needs to be left out where execution_id is given", "status", "text", "after")
        execution = await self._engine.show(said.execution_id)
        patience = Patience(said.wait_s, said.cursor)
        execution = await waited(self._engine.wait, execution, patience, Reporter(call.tell))
        if said.cursor is None:
            return self._view(execution)
        events = await self._engine.events(execution.id, said.cursor, PAGE_EVENTS)
        return self._view(execution, Answer(page=page(events, said.cursor, execution.revision)))

    async def budget(self, given: Given, call: Call) -> JsonObject:
        """Show a budget, changed if asked."""
        del call
        said = parsed(BudgetArguments, given)
        limits = limited(said.budget)
        if not said.reset and limits == Limits():
            execution, happened = await self._engine.show(said.execution_id), None
        else:
            execution = await self._engine.set_budget(said.execution_id, limits, reset=said.reset)
            happened = budget_changed(limits, reset=said.reset)
        return account(execution, now=self._engine.parts.clock.now(), happened=happened)

    async def interrupt(self, given: Given, call: Call) -> JsonObject:
        """Stop an execution and tell what happened."""
        del call
        said = parsed(InterruptArguments, given)
        before = await self._engine.show(said.execution_id)
        reason = said.reason or "engine_interrupt"
        after = await self._engine.interrupt(said.execution_id, StopMode(said.mode), reason)
        return self._view(after, Answer(happened=interrupted(before, after)))

    async def _overview(self, said: StatusArguments) -> JsonObject:
        _refuse(said, "needs execution_id", "cursor", "wait_s")
        query = Query(status=said.status, text=said.text or "", limit=said.limit + 1, after=said.after)
        found, health = await self._engine.list(query), await self._engine.health()
        return overview(Sight(page=found, limit=said.limit, health=health, load=self._engine.load()))

    async def _awaited(self, execution: Execution, seconds: float, call: Call) -> JsonObject:
        try:
            await anyio.lowlevel.checkpoint()
            patience = Patience(seconds)
            execution = await waited(self._engine.wait, execution, patience, Reporter(call.tell))
        except anyio.get_cancelled_exc_class():
            await self._give_up(execution, call)
            raise
        return self._view(execution)

    async def _give_up(self, execution: Execution, call: Call) -> None:
        """Interrupt what a caller does not want any more; the engine itself sees to the end of the server."""
        reason = call.given_up()
        if reason is None or execution.plan.on_cancel is OnCancel.CONTINUE:
            return
        why = f"the call was cancelled: {reason}" if reason else "the call was cancelled"
        with anyio.move_on_after(STOP_S, shield=True):
            try:
                await self._engine.interrupt(execution.id, StopMode.NOW, why)
            except EngineError as error:
                _log.info("%s was not interrupted for its cancelled call: %s", execution.id, error)

    def _view(self, execution: Execution, answer: Answer = Answer()) -> JsonObject:  # noqa: B008 - frozen
        now, snapshot = self._engine.parts.clock.now(), self._engine.place(execution.id)
        return view(execution, now=now, snapshot=snapshot, answer=answer)

    async def _with_latest(self, error: ExecutionNotFound) -> EngineError:
        latest = await self._engine.list(Query(limit=3))
        known = "; ".join(f"{row.id} ({row.status}, {row.title[:60]})" for row in latest.rows)
        hint = f"The latest executions are: {known}." if known else "There are no executions yet."
        return ExecutionNotFound(error.message, field=error.field or "execution_id", hint=hint)


async def _whole(work: Awaitable[Execution]) -> Execution:
    """The execution that comes of it; a cancel waits, or it could leave one that nobody knows of."""
    with anyio.CancelScope(shield=True):
        return await work
    raise AssertionError("nothing cancels a shield from within")


def _refuse(said: StatusArguments, why: str, *names: str) -> None:
    for name in names:
        if getattr(said, name) != StatusArguments.model_fields[name].default:
            raise InvalidArgument(f"{name} {why}.", field=name)
