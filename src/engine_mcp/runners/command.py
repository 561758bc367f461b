"""The runner for any CLI: a declared template says how to call it and how to read what it writes."""

import math
import os
import secrets
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.agent import AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import Resource, Usage
from engine_mcp.core.execution import Failure
from engine_mcp.core.fault import Signs
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.route import Route
from engine_mcp.core.tool import Health
from engine_mcp.ports import AgentHost
from engine_mcp.runners.child import Caps, Child, Program, Stalled, overspent, started
from engine_mcp.runners.command_conversation import Conversation
from engine_mcp.runners.command_output import Reading
from engine_mcp.runners.command_template import Passing, Template
from engine_mcp.runners.faults import fault, not_started
from engine_mcp.runners.health import Probe
from engine_mcp.runners.surroundings import found, surroundings
from engine_mcp.runners.watch import UNCAPPED

SAID = 2000
"""How much of the end of stderr a failure tells."""
SHOWN = 200


class CommandRunner:
    """Carries out attempts with the CLI of one template; `name` is `command` or `command:<template>`.

    `environ` is the engine's environment. A CLI that writes nothing for `stall_s` seconds is stopped; one
    that is stopped gets an interrupt and `grace_s` seconds to save its session.
    """

    bounds = frozenset[Resource]()

    def __init__(
        self,
        name: str,
        template: Template,
        *,
        environ: Mapping[str, str],
        stall_s: float,
        grace_s: float = 5,
        caps: Caps = UNCAPPED,
    ) -> None:
        self.name = name
        self._template, self._caps = template, caps
        self._environ = {**surroundings(environ, template.pass_env), **template.env}
        self._stall_s = stall_s
        self._grace_s = grace_s
        self._probe = Probe(self._ask)

    def objection(self, step: StepSpec) -> str:
        """Why the step cannot be carried out: permissions that the CLI is not known to keep to."""
        mode, named = step.permissions.mode, step.permissions.allowed_tools
        if named is not None:
            return f"{self.name} cannot be held to the tools {', '.join(named) or '(none)'}: it has its own."
        if mode not in self._template.modes:
            kept = ", ".join(self._template.modes) or "none"
            return f"{self.name} cannot be kept to the mode {mode}; its template declares {kept}."
        return ""

    def route(self, model: str | None) -> Route:
        """Where an attempt would go: nobody knows whom the CLI asks, so its account is named after it."""
        pool = self.name.replace(":", " ")
        return Route(runtime=self.name, family=pool, pool=pool, model=model)

    @property
    def tells_cost(self) -> bool:
        """Whether the template says where the cost is told."""
        return bool(self._template.usage.cost_usd)

    async def health(self, *, fresh: bool = False) -> Health:
        """Whether the program is there and tells its version."""
        return await self._probe(fresh=fresh)

    async def run(self, task: AgentTask, host: AgentHost) -> AgentResult:
        """Carry out one attempt; its text comes line by line."""
        talk = await Conversation.begun(task, host, self._template)
        prompt = task.prompt.again if talk.goes_on else f"{task.prompt.system}\n\n{task.prompt.text}".strip()
        async with _filed(prompt, self._directory) as path, AsyncExitStack() as running:
            program = self._program(task, talk, {"prompt": prompt, "prompt_file": path})
            try:
                child = await running.enter_async_context(started(program))
            except (OSError, ValueError) as error:
                return AgentResult(failure=not_started(str(self._template.argv[0]), error))
            host.report(AgentReport(usage=Usage(requests=1, cost_basis=self._basis)))
            given = prompt.encode(errors="replace") if self._template.prompt is Passing.STDIN else b""
            return await self._carried_out(child, given, talk)

    def _program(self, task: AgentTask, talk: Conversation, values: dict[str, str]) -> Program:
        values["project"] = task.project
        if task.model is not None:
            values["model"] = task.model
        if task.session is not None and (talk.goes_on or not self._template.session):
            values["session"] = task.session
        mode = task.step.permissions.mode
        argv = self._template.call(values, mode, resume=talk.goes_on)
        return Program(argv=argv, cwd=task.project, env=self._environ, mark=task.mark, caps=self._caps)

    async def _carried_out(self, child: Child, given: bytes, talk: Conversation) -> AgentResult:
        ended = False
        try:
            await child.send(given)
            await child.end_input()
            await talk.follow(child, self._stall_s)
            code = await self._code(child)
            ended = True
        except Stalled:
            text = f"{self.name} wrote nothing for {self._stall_s:g} s."
            return _ended(talk.reading, Failure("runtime_stalled", text, CATALOGUE["runtime_stalled"].remedy))
        finally:
            if not ended:
                await self._stop(child, talk)
        return _ended(talk.reading, overspent(child) or self._failure(code, child.errors, talk.reading))

    async def _code(self, child: Child) -> int:
        """The exit code of a CLI that has closed its output; it may work on without it, but not for ever."""
        with anyio.move_on_after(self._stall_s):
            return await child.wait()
        raise Stalled

    async def _stop(self, child: Child, talk: Conversation) -> None:
        """Let the CLI save its session and tell what it used; what is left after the grace is killed."""
        with anyio.move_on_after(self._grace_s, shield=True):
            await child.interrupt()
            try:
                await talk.follow(child, self._grace_s)
                await child.wait()
            except Stalled:
                return

    def _failure(self, code: int, errors: str, reading: Reading) -> Failure | None:
        said = errors.strip()[-SAID:]
        if code != 0:
            why = reading.error or said or "it said nothing on stderr"
            text = f"{self.name} ended with exit code {code}: {why}"
            return fault(Signs(text=text, exit_code=code))
        if reading.error:
            return fault(Signs(text=f"{self.name}: {reading.error}"))
        if not reading.incomplete:
            return None
        text = f"{self.name}: {reading.incomplete} {said}".strip()
        if reading.too_large:
            return Failure("output_too_large", text, CATALOGUE["output_too_large"].remedy)
        return fault(Signs(text=text))

    @property
    def _directory(self) -> str | None:
        """Where the prompt is put as a file: where the CLI keeps its own; None where it is not wanted."""
        if self._template.prompt is not Passing.FILE:
            return None
        return self._environ.get("TMPDIR") or tempfile.gettempdir()

    @property
    def _basis(self) -> str:
        """What is known of the cost before the CLI tells it; money that nobody tells is not nothing."""
        return "none" if self._template.usage.cost_usd else "unpriced"

    async def _ask(self) -> Health:
        template = self._template
        program = str(template.argv[0])
        path = found(program, self._environ)
        if path is None:
            remedy = f"Install {program}, or put its directory on the PATH of the engine."
            return Health(usable=False, detail=f"{program} is not on the PATH.", remedy=remedy)
        if not template.probe:
            return Health(usable=True, detail=path)
        asked = Program(
            argv=(path, *template.probe), cwd="/", env=self._environ, mark=f"probe/{secrets.token_hex(8)}"
        )
        async with started(asked) as child:
            await child.end_input()
            said = [line.text.decode(errors="replace").strip() async for line in child.lines(math.inf)]
            code = await child.wait()
        version = next((line for line in said if line), "")[:SHOWN]
        if code == 0:
            return Health(usable=True, version=version, detail=path)
        why = child.errors.strip()[-SHOWN:] or version or "nothing"
        remedy = f"Start `{' '.join((program, *template.probe))}` by hand and see what it lacks."
        return Health(usable=False, detail=f"{path} exits with {code} and says: {why}", remedy=remedy)


@asynccontextmanager
async def _filed(prompt: str, directory: str | None) -> AsyncGenerator[str]:
    """The path of a file with the prompt, there as long as the block lasts; empty where none is needed."""
    if directory is None:
        yield ""
        return
    path = await anyio.to_thread.run_sync(_written, prompt, directory)
    try:
        yield path
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.Path(path).unlink(missing_ok=True)


def _written(prompt: str, directory: str) -> str:
    descriptor, path = tempfile.mkstemp(prefix="prompt-", suffix=".txt", dir=directory)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
        file.write(prompt)
    return path


def _ended(reading: Reading, failure: Failure | None) -> AgentResult:
    return AgentResult(output=reading.output, failure=failure)
