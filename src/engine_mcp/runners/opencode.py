"""The opencode runner: `opencode run` with JSON events, its prompt on stdin, and a clock of its own."""

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import anyio

from engine_mcp.core.agent import AgentResult, AgentTask
from engine_mcp.core.budget import Resource
from engine_mcp.core.execution import Failure
from engine_mcp.core.permission import grants
from engine_mcp.core.plan import Mode, StepSpec
from engine_mcp.core.route import Route
from engine_mcp.core.tool import Health
from engine_mcp.ports import AgentHost
from engine_mcp.runners import opencode_config
from engine_mcp.runners.child import Child, Line, Program, Stalled, overspent, started
from engine_mcp.runners.evidence import lines_of
from engine_mcp.runners.faults import not_started
from engine_mcp.runners.health import Probe
from engine_mcp.runners.opencode_asking import INSTALL, Asking
from engine_mcp.runners.opencode_lines import Reading, failure_of, session_missing, stalled
from engine_mcp.runners.opencode_project import Surveyed, survey
from engine_mcp.runners.opencode_retries import Retries
from engine_mcp.runners.opencode_route import route
from engine_mcp.runners.watch import UNCAPPED, Caps

HEALTH_S = 30.0
SIGNALS = 2
LOOK_S = 1.0
"""How often its log is looked at."""
BETWEEN_SIGNALS_S = 1.0
NAMED = "ses_"
"""How the sessions begin that OpenCode has named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One start of the program for an attempt."""

    task: AgentTask
    host: AgentHost
    program: Program
    prompt: str
    session: str | None
    retries: Retries
    reading: Reading
    opened: set[str] = field(default_factory=set[str])


class OpenCodeRunner:
    """Carries out attempts with the OpenCode of the user, in its own sessions.

    `environ`: the engine's own environment, of which it gets what it needs. `stall_s`: how long it may say
    and compute nothing. `retries`: how often it may repeat a request by itself before it is stopped.
    `grace_s`: how long it may take to end.
    """

    name = "opencode"
    tells_cost = False  # it tells 0 for a model whose price it does not know
    bounds = frozenset[Resource]()

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        binary: str = "opencode",
        stall_s: float = 600,
        retries: int = 2,
        grace_s: float = 5,
        caps: Caps = UNCAPPED,
    ) -> None:
        self._binary, self._stall_s, self._grace_s = binary, stall_s, grace_s
        self._retries, self._caps = retries, caps
        self._asking = Asking(environ, binary)
        self._probe = Probe(self._asking.health, limit_s=HEALTH_S)

    async def run(self, task: AgentTask, host: AgentHost) -> AgentResult:
        """Carry out one attempt; see `ports.Runner`."""
        place = await anyio.to_thread.run_sync(survey, task.project, self._asking.home)
        if (why := _forbidden(task.step, place)) is not None:
            return AgentResult(failure=why)
        session = task.session if task.begun and (task.session or "").startswith(NAMED) else None
        try:
            result = await self._played(await self._made(task, host, place, session))
            if result is None:
                result = await self._played(await self._made(task, host, place, None))
        except OSError as error:
            failure = not_started("OpenCode", error)
            missing = failure.code == "runtime_missing"
            return AgentResult(failure=replace(failure, hint=INSTALL) if missing else failure)
        return result or AgentResult(failure=failure_of(Reading(), None, ""))

    def objection(self, step: StepSpec) -> str:
        """Why OpenCode cannot carry out a step as it is planned."""
        return opencode_config.objection(step)

    def route(self, model: str | None) -> Route:
        """Where an attempt on this model would go; see `ports.Runner`."""
        return route(self.name, self._asking.environ, model)

    async def health(self, *, fresh: bool = False) -> Health:
        """Whether OpenCode is there, in a tested version, with a provider."""
        return await self._probe(fresh=fresh)

    async def _made(self, task: AgentTask, host: AgentHost, place: Surveyed, session: str | None) -> _Run:
        agent = opencode_config.agent_of(task.mark)
        config = opencode_config.inline(task, agent, place, await self._asking.servers())
        argv = [self._binary, "run", "--format=json", f"--title={task.mark}", f"--agent={agent}"]
        argv += ["--print-logs", "--log-level=ERROR"]  # only its log tells why it is silent
        argv += [f"--model={task.model}"] if task.model is not None else []
        argv += [f"--session={session}"] if session is not None else []
        begin = f"{task.prompt.system}\n\n{task.prompt.text}".strip()
        prompt = begin if session is None else task.prompt.again
        return _Run(
            task=task,
            host=host,
            program=Program(
                argv=tuple(argv),
                cwd=str(place.path),
                env={**self._asking.environ, "OPENCODE_CONFIG_CONTENT": config},
                mark=task.mark,
                scratch=("BUN_TMPDIR",),
                caps=self._caps,
            ),
            prompt=prompt,
            session=session,
            retries=Retries(self._retries, anyio.current_time),
            reading=Reading(task.model or "", prompt),
        )

    async def _played(self, run: _Run) -> AgentResult | None:
        """Carry out a run; None where the session that it was to go on with is not there."""
        code: int | None = None
        async with started(run.program) as child:
            try:
                await child.send(run.prompt.encode(errors="replace"))
                await child.end_input()
                if (given_up := await self._listen(child, run)) is not None:
                    await self._stop(child, run)
                    return AgentResult(output=run.reading.said or None, failure=given_up)
            except anyio.get_cancelled_exc_class():
                with anyio.CancelScope(shield=True):
                    await self._stop(child, run)
                raise
            finally:
                if (untold := run.reading.untold) is not None:
                    run.host.report(untold)
            with anyio.move_on_after(self._grace_s):
                code = await child.wait()
        if run.session is not None and session_missing(run.reading, child.errors):
            return None
        failure = overspent(child) or failure_of(run.reading, code, child.errors)
        return AgentResult(
            output=run.reading.answer if failure is None else run.reading.said, failure=failure
        )

    async def _listen(self, child: Child, run: _Run) -> Failure | None:
        """Tell what the program says, to its end; a failure where that is not worth waiting for."""
        try:
            async with aclosing(lines_of(child, self._stall_s, LOOK_S)) as lines:
                async for line in lines:
                    if line is not None:
                        await _hear(run, line)
                    elif (given_up := _excess(child, run)) is not None:
                        return given_up
        except Stalled:
            return stalled(self._stall_s, child.errors)
        return None

    async def _stop(self, child: Child, run: _Run) -> None:
        """Interrupt the program, which has no handler and may miss a signal, and take what it still says."""
        with anyio.move_on_after(self._grace_s):
            for _ in range(SIGNALS):
                await child.interrupt()
                with anyio.move_on_after(BETWEEN_SIGNALS_S):
                    await self._rest(child, run)
                    break
            await _open(run)

    async def _rest(self, child: Child, run: _Run) -> None:
        try:
            async for line in child.lines(self._grace_s):
                await _hear(run, line)
        except Stalled:  # it has been waited for long enough
            return


def _excess(child: Child, run: _Run) -> Failure | None:
    return run.retries.excess(child.errors, run.reading.broken_off)


async def _hear(run: _Run, line: Line) -> None:
    """Tell the news of a line, and the session's name."""
    news = None if line.cut else run.reading.take(line.text)
    await _open(run)
    if news is not None:
        if run.reading.reason:  # the step has ended; one that breaks off has begun too
            run.retries.answered()
        run.host.report(news)


async def _open(run: _Run) -> None:
    """Have the session's name recorded, if it is new."""
    session = run.reading.session
    if session is not None and session not in {run.session, *run.opened}:
        await run.host.opened(session)
        run.opened.add(session)


def _forbidden(step: StepSpec, place: Surveyed) -> Failure | None:
    """Why a step may not run here: OpenCode 1.18 may run plugins of a project whatever it is told."""
    if grants(step.permissions, "shell") == ():
        return None
    if place.links.countless and step.permissions.mode is not Mode.NONE:
        told = (
            f"The project has {len(place.links.paths)} links that lead out of it: OpenCode would follow them."
        )
        return Failure("denied", told, "Grant the step `shell`, or use another `runtime`.")
    if not place.plugins:
        return None
    text = (
        f"The project has plugins for OpenCode, which are code that it may run: {', '.join(place.plugins)}."
    )
    remedy = "Take them away, grant the step `shell`, or use another `runtime`."
    return Failure("denied", text[:2000], remedy)
