"""The claude-code runtime: drives the real `claude -p`, in and out as stream-json."""

from collections.abc import Mapping
from contextlib import AsyncExitStack, aclosing, suppress
from signal import SIGINT
from uuid import uuid4

import anyio
import anyio.to_thread

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.agent import AgentResult, AgentTask
from engine_mcp.core.budget import Resource
from engine_mcp.core.execution import Failure
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.route import Route
from engine_mcp.core.tool import Health
from engine_mcp.ports import AgentHost
from engine_mcp.runners.child import Child, Line, Stalled, overspent, started
from engine_mcp.runners.claude_health import examine, missing
from engine_mcp.runners.claude_launch import INTERRUPT, Launch, Opening, first_lines
from engine_mcp.runners.claude_lines import Reading
from engine_mcp.runners.claude_permissions import objection
from engine_mcp.runners.claude_result import refused_session, without_result
from engine_mcp.runners.claude_route import route
from engine_mcp.runners.claude_settings import has_session, user_settings
from engine_mcp.runners.evidence import lines_of
from engine_mcp.runners.faults import not_started
from engine_mcp.runners.health import Probe
from engine_mcp.runners.surroundings import found
from engine_mcp.runners.watch import UNCAPPED, Caps


class ClaudeCodeRunner:
    """Fulfils `ports.Runner`.

    `environ`: the engine's own environment, of which the CLI gets what it needs. `stall_s`: how long it
    may say and compute nothing. `retries`: how often it may repeat a request by itself; where it is asked
    to wait for more than a minute it never does. `grace_s`: how long it may take to save its session when
    it is stopped.
    """

    name = "claude-code"
    tells_cost = True
    bounds = frozenset({Resource.COST})

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        binary: str = "claude",
        stall_s: float = 600,
        retries: int = 2,
        grace_s: float = 5,
        caps: Caps = UNCAPPED,
    ) -> None:
        self._environ, self._binary = environ, binary
        self._stall_s, self._grace_s = stall_s, grace_s
        self._retries, self._caps = retries, caps
        self._settings = user_settings(environ)
        self._probe = Probe(self._look)

    async def run(self, task: AgentTask, host: AgentHost) -> AgentResult:
        """Carry out one attempt; see `ports.Runner`."""
        launch = await self._launch()
        if launch is None:
            absent = missing(self._binary)
            return AgentResult(failure=Failure("runtime_missing", absent.detail, absent.remedy))
        for opening in await self._openings(task):
            if opening.session not in {None, task.session}:
                await host.opened(opening.session or "")
            run = _Run(task, host, opening, self._grace_s)
            ended = await run.carry_out(launch, self._stall_s)
            if ended is not None:
                return ended
        return AgentResult(failure=_failed("runtime_failed", "Claude Code opens no session."))

    def objection(self, step: StepSpec) -> str:
        """Why a step cannot be carried out here; see `ports.Runner`."""
        return objection(step.permissions)

    def route(self, model: str | None) -> Route:
        """Where an attempt on this model would go; see `ports.Runner`."""
        return route(self.name, self._launched("").env(), self._settings, model)

    async def health(self, *, fresh: bool = False) -> Health:
        """Whether it is there, of a tested version and logged in; see `ports.Runner`."""
        return await self._probe(fresh=fresh)

    async def _openings(self, task: AgentTask) -> tuple[Opening, ...]:
        """The ways to open the session; the next is only taken where the one before was refused.

        What is known may be wrong: a session that was announced but never begun, one that was begun
        without our knowledge, or a transcript that was cut off before anything was in it.
        """
        if task.session is None:
            return (Opening(None),)
        goes_on = task.begun and await anyio.to_thread.run_sync(has_session, self._environ, task.session)
        this = task.session
        return Opening(this, goes_on), Opening(this, not goes_on), Opening(str(uuid4()))

    async def _launch(self) -> Launch | None:
        path = await anyio.to_thread.run_sync(found, self._binary, self._environ)
        if path is None:
            return None
        self._settings = await anyio.to_thread.run_sync(user_settings, self._environ)
        return self._launched(path)

    def _launched(self, path: str) -> Launch:
        return Launch(path, self._environ, self._settings, self._retries, self._caps)

    async def _look(self) -> Health:
        launch = await self._launch()
        return missing(self._binary) if launch is None else await examine(launch)


class _Run:
    """One start of the CLI, to its end or to its stop."""

    def __init__(self, task: AgentTask, host: AgentHost, opening: Opening, grace_s: float) -> None:
        self._task, self._host, self._opening = task, host, opening
        self._grace_s = grace_s
        self._reading = Reading(fresh=not opening.goes_on)
        self._session = opening.session

    async def carry_out(self, launch: Launch, stall_s: float) -> AgentResult | None:
        """Run it; None where it refused the session, which costs nothing."""
        async with AsyncExitStack() as stack:
            try:
                child = await stack.enter_async_context(started(launch.program(self._task, self._opening)))
            except OSError as error:
                return AgentResult(failure=not_started("Claude Code", error))
            try:
                return self._kept(child, await self._answered(child, stall_s))
            except anyio.get_cancelled_exc_class():
                with anyio.CancelScope(shield=True):
                    await self._stop(child)
                raise
            finally:
                if (untold := self._reading.untold) is not None:
                    self._host.report(untold)

    def _kept(self, child: Child, result: AgentResult | None) -> AgentResult | None:
        """The result without secrets: what came piece by piece may have one that no line had."""
        return result and child.secrets.kept_from(result)

    async def _answered(self, child: Child, stall_s: float) -> AgentResult | None:
        await child.send(first_lines(self._task, self._opening))
        try:
            await self._follow(child, stall_s)
        except Stalled as stalled:
            await self._stop(child)
            failure = _failed("runtime_stalled", str(stalled))
            return AgentResult(output=self._reading.text or None, failure=failure)
        await self._close(child)
        return await self._result(child)

    async def _follow(self, child: Child, stall_s: float) -> None:
        """Tell the news up to the result; raises Stalled where nothing shows that it still works."""
        async with aclosing(lines_of(child, stall_s, stall_s)) as lines:
            async for line in lines:
                if line is not None and await self._ended_by(line):
                    return

    async def _rest(self, child: Child, *, to_the_end: bool = False) -> None:
        """Tell the last news, up to the result or to the end of the output, while they come in time."""
        with anyio.move_on_after(self._grace_s), suppress(Stalled):
            async with aclosing(child.lines(self._grace_s)) as lines:
                async for line in lines:
                    if await self._ended_by(line) and not to_the_end:
                        return

    async def _ended_by(self, line: Line) -> bool:
        """Tell the news of a line; whether there is a result now."""
        for news in self._reading.take(line.text):
            self._host.report(news)
        await self._tell_session()
        return self._reading.ending is not None

    async def _tell_session(self) -> None:
        """Tell the session's name where Claude Code chose it."""
        named = self._reading.session
        if named is not None and named != self._session:
            self._session = named
            await self._host.opened(named)

    async def _close(self, child: Child) -> None:
        """Let it save its session and end, within the grace."""
        await child.end_input()
        await self._rest(child, to_the_end=True)

    async def _result(self, child: Child) -> AgentResult | None:
        reading, ending = self._reading, self._reading.ending
        if ending is None:
            code = None
            with anyio.move_on_after(self._grace_s):
                code = await child.wait()
            if reading.session is None and refused_session(child.errors):
                return None
            failure = overspent(child) or without_result(
                code, child.errors, began=reading.session is not None
            )
            return AgentResult(output=reading.text or None, failure=failure)
        if ending.lost:
            return None
        if ending.failure is not None:
            return AgentResult(output=reading.text or None, failure=ending.failure)
        return AgentResult(output=ending.output, windows=ending.windows)

    async def _stop(self, child: Child) -> None:
        """Have the turn interrupted, by a request first and by a signal then; the last news are told."""
        if self._reading.ending is None:
            await child.send(INTERRUPT)
            await self._rest(child)
        if self._reading.ending is None:
            await child.interrupt(SIGINT)
        await self._close(child)


def _failed(code: str, message: str) -> Failure:
    return Failure(code, message, CATALOGUE[code].remedy)
