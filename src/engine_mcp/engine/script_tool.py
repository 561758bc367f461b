"""Code mode as a tool of an agent: its script calls the same tools, behind the same gate."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import JsonValue

from engine_mcp.core.agent import AgentCall, AgentReport
from engine_mcp.core.execution import Outcome, Progress
from engine_mcp.core.plan import Mode
from engine_mcp.core.script import HostAnswer, HostCall, Script, ScriptResult
from engine_mcp.core.tool import Health, ToolResult, ToolSpec
from engine_mcp.engine.attempt import Running, failure
from engine_mcp.engine.outputs import dumps
from engine_mcp.ports import AgentHost, Workbench

NAME = "script"
SLEEP = "sleep"
MARGIN_S = 10.0
SPEC = ToolSpec(
    name=NAME,
    description=(
        "Run JavaScript in a sandbox and get its `return` value as JSON. Inside: `await tools.call(name, "
        "arguments)` for the tools of this step, `files.read/list/stat/write` where they are allowed, "
        "`Promise.all` for many calls at once, `console.log`, and `input`. No network, no modules. Use it "
        "to work through many files or much text without reading all of it yourself."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "code": {"type": "string", "minLength": 1, "maxLength": 200_000},
            "input": {"description": "Any JSON value; the script sees it as `input`."},
        },
        "required": ["code"],
        "additionalProperties": False,
    },
    mode=Mode.NONE,
    requests=0,
)


class _Calls:
    """The host of one such script: its calls are calls of the agent, told apart by their ordinal."""

    def __init__(self, attempt: Running, host: AgentHost, call: str) -> None:
        self._attempt, self._host, self._call = attempt, host, call

    async def call(self, call: HostCall) -> HostAnswer:
        """Carry out a call as one of the agent's."""
        given: JsonValue = json.loads(call.arguments)
        if call.name == SLEEP:
            return await self._sleep(given)
        if call.name == NAME:
            return HostAnswer(error_name="Denied", error_message="A script cannot start another one.")
        result = await self._host.call(
            AgentCall(id=f"{self._call}.{call.ordinal}", name=call.name, arguments=given, inner=True)
        )
        if result.failure is None:
            return HostAnswer(value=dumps(result.value), at_ms=self._now_ms())
        name = "Denied" if result.failure.code == "denied" else "ToolError"
        return HostAnswer(error_name=name, error_message=result.failure.message, at_ms=self._now_ms())

    async def _sleep(self, given: JsonValue) -> HostAnswer:
        asked = given.get("ms") if isinstance(given, dict) else None
        clock = self._attempt.parts.clock
        await clock.sleep_until(
            clock.now() + (max(0.0, asked) / 1000 if isinstance(asked, int | float) else 0)
        )
        return HostAnswer(value="null", at_ms=self._now_ms())

    def _now_ms(self) -> int:
        return int(self._attempt.parts.clock.now() * 1000)

    def progress(self, done: float, total: float | None, message: str) -> None:
        """Pass progress on as the agent's."""
        self._host.report(AgentReport(progress=Progress(done=done, total=total, message=message)))


@dataclass(frozen=True, slots=True)
class ScriptTool:
    """Fulfils `ports.ToolAdapter` for one attempt; `call` is the id of the call that is carried out."""

    attempt: Running
    host: AgentHost
    call: str = ""

    @property
    def spec(self) -> ToolSpec:
        """What the model is told of code mode."""
        return replace(SPEC, timeout_s=self.attempt.step.spec.limits.wall_s + MARGIN_S)

    async def execute(self, arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        """Run the script; how it ended otherwise than with a value is a failure with its code."""
        del bench
        limits = self.attempt.step.spec.limits
        script = Script(
            code=str(arguments["code"]),
            input=dumps(arguments.get("input")),
            tools=tuple(sorted(spec.name for spec in self.host.tools if spec.name != NAME)),
            limits=limits,
            seed=self._seed(),
            now_ms=int(self.attempt.parts.clock.now() * 1000),
        )
        return _result(
            await self.attempt.parts.sandbox.run(script, _Calls(self.attempt, self.host, self.call))
        )

    def _seed(self) -> int:
        """The same for the same call, whichever attempt makes it: its script draws what it drew before."""
        started, execution = self.attempt.started, self.attempt.desk.execution
        text = f"{execution.id}:{started.step}:{self.call}"
        return zlib.crc32(text.encode(errors="surrogatepass"))

    def estimated_s(self, arguments: Mapping[str, JsonValue]) -> float | None:
        """Nobody knows."""
        del arguments

    async def health(self) -> Health:
        """As usable as the sandbox, which says so itself when it is asked."""
        return Health(usable=True)


def _result(ended: ScriptResult) -> ToolResult:
    if ended.outcome is Outcome.VALUE:
        value: JsonValue = None if ended.value is None else json.loads(ended.value)
        if not ended.logs:
            return ToolResult(value=value)
        return ToolResult(value={"value": value, "console": [line.text for line in ended.logs[-100:]]})
    code = "crash" if ended.outcome is Outcome.CANCELLED else str(ended.outcome)
    if ended.limit is not None:
        hit = ended.limit
        return ToolResult(failure=failure(code, f"{hit.resource}: limit {hit.limit:g}, used {hit.used:g}."))
    if ended.error is None:
        return ToolResult(failure=failure(code))
    where = f" (line {ended.error.line})" if ended.error.line else ""
    return ToolResult(failure=failure(code, f"{ended.error.name}: {ended.error.message}{where}"))
