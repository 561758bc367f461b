"""The five tools: arguments → engine → result. The engine owns the executions, never a request."""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import anyio
from mcp.types import CallToolResult
from pydantic import JsonValue

from engine_mcp.core.execution import Execution, ExecutionStatus, StopMode
from engine_mcp.core.listing import Query
from engine_mcp.core.plan import OnCancel
from engine_mcp.core.shrinking import unrestored
from engine_mcp.engine.engine import Engine
from engine_mcp.errors import EngineError, ExecutionFinished, ExecutionNotFound
from engine_mcp.server.arguments import Edge, drafted, parsed, resumption
from engine_mcp.server.asking import NOBODY, Asker, Attendance, HandedBack, Reach, Warn, unheard
from engine_mcp.server.budgeting import broken, budget_of, shared_limits, spending
from engine_mcp.server.contexts import contexts, summarized_again
from engine_mcp.server.events import PAGE_EVENTS, page
from engine_mcp.server.failures import answered, failed, refused
from engine_mcp.server.following import Reductions
from engine_mcp.server.outcome import final, interrupted
from engine_mcp.server.overview import Sight, overview
from engine_mcp.server.progress import Patience, Reporter, Tell, waited
from engine_mcp.server.remedies import Place
from engine_mcp.server.results import JsonObject
from engine_mcp.server.schemas import (
    ID_PATTERN,
    BudgetArguments,
    ExecuteArguments,
    InterruptArguments,
    ResumeArguments,
    StatusArguments,
    refuse,
)
from engine_mcp.server.view import PLAIN, Answer, view

_log = logging.getLogger(__name__)
STOP_S = 15.0

Given = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool, as far as the tool needs to know.

    `given_up` tells, once the call is cancelled, why its caller wants the work to stop; None if
    nobody said so. `warn` warns the client, `reach` says how the person behind it can be asked.
    """

    tell: Tell
    given_up: Callable[[], str | None]
    warn: Warn = unheard
    reach: Reach = NOBODY


class Tools:
    """Carries out the calls of the tools on one engine."""

    def __init__(self, engine: Engine, edge: Edge) -> None:
        self._engine, self._edge = engine, edge
        self.asker = Asker(engine)
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
        """The result of a call, failures included.

        Raises KeyError where there is no such tool, and HandedBack where a person is to be asked first.
        """
        tool = self._tools[name]
        place = Place(tool=name, execution_id=_named(given))
        try:
            return answered(await tool(given, call))
        except ExecutionNotFound as error:
            return refused(await self._with_latest(error), place)
        except ExecutionFinished as error:
            return await self._ended(error, place)
        except EngineError as error:
            return refused(error, place)
        except HandedBack:
            raise
        except Exception as error:  # noqa: BLE001 - a defect costs this call, not the server
            return failed(error, name)

    async def execute(self, given: Given, call: Call) -> JsonObject:
        """Start an execution and wait a little."""
        said = parsed(ExecuteArguments, given)
        if (begun := call.reach.begun) is not None:
            return await self._awaited(await self._engine.show(begun.execution_id), said.wait_s, call)
        draft = await anyio.to_thread.run_sync(drafted, said, self._edge)
        execution = await _whole(self._engine.execute(draft))
        return await self._awaited(execution, said.wait_s, call)

    async def resume(self, given: Given, call: Call) -> JsonObject:
        """Go on with an execution and wait a little."""
        said = parsed(ResumeArguments, given)
        if (begun := call.reach.begun) is not None:
            return await self._awaited(await self._engine.show(begun.execution_id), said.wait_s, call)
        request = resumption(said, self._edge)
        before = await self._engine.show(said.execution_id)
        again = await summarized_again(self._engine, before, request)
        warnings = unrestored(before, request.restore), again
        execution = await _whole(self._engine.resume(said.execution_id, request))
        answer = replace(PLAIN, warnings=tuple(warning for warning in warnings if warning))
        return await self._awaited(execution, said.wait_s, call, answer)

    async def status(self, given: Given, call: Call) -> JsonObject:
        """Show an execution, or the engine."""
        said = parsed(StatusArguments, given)
        if said.execution_id is None:
            return await self._overview(said)
        refuse(said, "needs to be left out where execution_id is given", "status", "text", "after")
        execution = await self._engine.show(said.execution_id)
        execution = await self._attended(execution, Patience(said.wait_s, said.cursor), call)
        if said.cursor is None:
            return await self._view(execution)
        events = await self._engine.events(execution.id, said.cursor, PAGE_EVENTS)
        return await self._view(execution, Answer(page=page(events, said.cursor, execution.revision)))

    async def budget(self, given: Given, call: Call) -> JsonObject:
        """Show a budget, changed if asked."""
        del call
        return await budget_of(self._engine, parsed(BudgetArguments, given))

    async def interrupt(self, given: Given, call: Call) -> JsonObject:
        """Stop an execution and tell what happened."""
        del call
        said = parsed(InterruptArguments, given)
        before = await self._engine.show(said.execution_id)
        reason = said.reason or "engine_interrupt"
        after = await self._engine.interrupt(said.execution_id, StopMode(said.mode), reason)
        return await self._view(after, Answer(happened=interrupted(before, after)))

    async def _overview(self, said: StatusArguments) -> JsonObject:
        refuse(said, "needs execution_id", "cursor", "wait_s")
        query = Query(status=said.status, text=said.text or "", limit=said.limit + 1, after=said.after)
        found, health = await self._engine.list(query), await self._engine.health()
        return overview(
            Sight(
                page=found,
                limit=said.limit,
                health=health,
                load=self._engine.load(),
                breakers=await broken(self._engine),
                spending=await spending(self._engine),
            )
        )

    async def _awaited(
        self, execution: Execution, seconds: float, call: Call, answer: Answer = PLAIN
    ) -> JsonObject:
        try:
            await anyio.lowlevel.checkpoint()
            execution = await self._attended(execution, Patience(seconds), call)
        except anyio.get_cancelled_exc_class():
            await self._give_up(execution, call)
            raise
        return await self._view(execution, answer)

    async def _attended(self, execution: Execution, patience: Patience, call: Call) -> Execution:
        """The execution once it rests or patience is at its end; a person is asked meanwhile."""
        attendance = Attendance(self.asker, self._engine, call.reach, call.warn)
        execution = await attendance.begin(execution)
        if not patience.seconds:
            return execution
        report, until = Reporter(call.tell), anyio.current_time() + patience.seconds
        reductions = Reductions(self._engine.events, report, execution.revision)

        async def look(now: Execution) -> None:
            await reductions.look(now)
            await attendance.look(now)

        try:
            while True:
                execution = await waited(self._engine.wait, execution, patience, report, look)
                execution = await attendance.answered(execution, until, report)
                patience = replace(patience, seconds=until - anyio.current_time())
                if patience.seconds <= 0 or not patience.bears(execution):
                    return execution
        except anyio.get_cancelled_exc_class():
            attendance.withdraw()
            raise

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

    async def _view(self, execution: Execution, answer: Answer = PLAIN) -> JsonObject:
        answer = replace(answer, contexts=await contexts(self._engine, execution))
        if execution.status is ExecutionStatus.PAUSED and execution.reason == "budget":
            answer = replace(answer, room=await shared_limits(self._engine))
        now, snapshot = self._engine.parts.clock.now(), self._engine.place(execution.id)
        return view(execution, now=now, snapshot=snapshot, answer=answer)

    async def _ended(self, error: ExecutionFinished, place: Place) -> CallToolResult:
        execution = await self._engine.show(place.execution_id or "")
        cancelled = execution.status is ExecutionStatus.CANCELLED
        return refused(final(execution, error), replace(place, cancelled=cancelled))

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


def _named(given: Given) -> str | None:
    """The execution that a call names, if it could be one."""
    name = given.get("execution_id")
    return name if isinstance(name, str) and re.fullmatch(ID_PATTERN, name) else None
