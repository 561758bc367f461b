"""The gate: every call of a script passes the allow-list, the budget and the record before it is made."""

import hashlib
import json
from dataclasses import dataclass

from pydantic import JsonValue

from engine_mcp.core.budget import Usage
from engine_mcp.core.event import CallRecorded, CallStarted, ProgressReported
from engine_mcp.core.execution import Failure, Output, Progress, RecordedCall
from engine_mcp.core.permission import allowed
from engine_mcp.core.script import HostAnswer, HostCall
from engine_mcp.core.tool import ToolResult
from engine_mcp.engine.approving import Asked, approval
from engine_mcp.engine.attempt import Running, failure
from engine_mcp.engine.bench import Bench
from engine_mcp.engine.meter import Meter, admit
from engine_mcp.engine.outputs import dumps, kept, loaded, written
from engine_mcp.engine.replay import Replay
from engine_mcp.engine.tool_call import call_tool
from engine_mcp.ports import ToolAdapter

SLEEP = "sleep"
PROGRESS_EVERY_S = 0.1


def digest_of(call: HostCall) -> str:
    """What tells one call from another: a digest of its name and its arguments."""
    return hashlib.sha256(f"{call.name}\0{call.arguments}".encode(errors="surrogatepass")).hexdigest()


@dataclass(slots=True)
class _Answer:
    """An answer before it is handed over: for the script, and for the record."""

    output: Output | None
    value: str | None
    error_name: str = ""
    error_message: str = ""


class Gate:
    """Fulfils `ports.ScriptHost` for one attempt at a code step."""

    def __init__(self, attempt: Running, meter: Meter) -> None:
        self._attempt, self._meter = attempt, meter
        self._bench = Bench(attempt)
        self._replay = Replay(attempt.step.calls)
        specs = [tool.spec for tool in attempt.parts.tools.values()]
        self.names = allowed(attempt.step.spec.permissions, specs)
        self._told_at = 0.0

    @property
    def mismatch(self) -> str | None:
        """Where the script left the recorded path, if it did."""
        return self._replay.mismatch

    async def call(self, call: HostCall) -> HostAnswer:
        """Answer from the record, or carry the call out and record it."""
        digest = digest_of(call)
        found = await self._replay.recorded(call, digest)
        if found is not None:
            return await self._again(found)
        if self._replay.mismatch:
            return HostAnswer(error_name="ReplayMismatch", error_message=self._replay.mismatch)
        return await self._anew(call, digest)

    async def _again(self, found: RecordedCall) -> HostAnswer:
        value = None
        if found.output is not None:
            value = dumps(await loaded(found.output, self._attempt.desk))
        self._replay.delivered()
        return HostAnswer(
            value=value, error_name=found.error_name, error_message=found.error_message, at_ms=found.at_ms
        )

    async def _anew(self, call: HostCall, digest: str) -> HostAnswer:
        requests = 0
        if call.name == SLEEP:
            answer = await self._sleep(call)
        elif (tool := self._attempt.parts.tools.get(call.name)) is None or call.name not in self.names:
            answer = self._denied(call.name)
        else:
            requests = tool.spec.requests
            answer = await self._carry_out(call, digest, tool)
        return self._hand_over(call, digest, answer, requests)

    def _hand_over(self, call: HostCall, digest: str, answer: _Answer, requests: int) -> HostAnswer:
        now, started = self._attempt.parts.clock.now(), self._attempt.started
        record = RecordedCall(
            ordinal=call.ordinal,
            name=call.name,
            digest=digest,
            at_ms=int(now * 1000),
            output=answer.output,
            error_name=answer.error_name,
            error_message=answer.error_message,
        )
        # Posting and returning must not be parted by an await: scripts see answers in recorded order.
        self._attempt.desk.post(
            CallRecorded(at=now, step=started.step, number=started.number, call=record, requests=requests)
        )
        self._attempt.used += Usage(requests=-requests)
        return HostAnswer(
            value=answer.value,
            error_name=answer.error_name,
            error_message=answer.error_message,
            at_ms=record.at_ms,
        )

    async def _sleep(self, call: HostCall) -> _Answer:
        given: JsonValue = json.loads(call.arguments)
        asked = given.get("ms") if isinstance(given, dict) else None
        seconds = max(0.0, float(asked)) / 1000 if isinstance(asked, int | float) else 0.0
        clock = self._attempt.parts.clock
        await clock.sleep_until(clock.now() + seconds)
        return _Answer(Output(value=None), "null")

    def _denied(self, name: str) -> _Answer:
        known = ", ".join(self.names) or "none"
        return _Answer(None, None, "Denied", f"This step may not call {name!r}; it may call: {known}.")

    async def _carry_out(self, call: HostCall, digest: str, tool: ToolAdapter) -> _Answer:
        if self._attempt.step.unanswered.get(call.ordinal) == digest and call.name in self._attempt.parts.ask:
            # Whoever approved it approved of one call, and it may have been made.
            return await self._answered(ToolResult(failure=failure("outcome_unknown")))
        asked = Asked(call.name, f"{call.ordinal} {digest}", call.arguments)
        await approval(self._attempt, self._meter, asked)
        await admit(self._attempt, self._meter, tool.spec.requests)
        self._attempt.used += Usage(requests=tool.spec.requests)
        if tool.spec.changes:
            started = self._attempt.started
            await self._attempt.desk.say(
                CallStarted(
                    at=self._attempt.parts.clock.now(),
                    step=started.step,
                    number=started.number,
                    ordinal=call.ordinal,
                    name=call.name,
                    digest=digest,
                )
            )
        arguments: JsonValue = json.loads(call.arguments)
        return await self._answered(await call_tool(tool, arguments, self._bench))

    async def _answered(self, result: ToolResult) -> _Answer:
        if result.failure is not None:
            return _refused(result.failure)
        try:
            text = written(result.value)
        except ValueError as error:
            return _refused(failure("output_invalid", f"The answer cannot be kept as JSON: {error}"))
        return _Answer(await kept(result.value, text, self._attempt.desk), text)

    def progress(self, done: float, total: float | None, message: str) -> None:
        """Post a progress report; of very many, some."""
        now = self._attempt.parts.clock.now()
        if now - self._told_at < PROGRESS_EVERY_S and done != total:
            return
        self._told_at = now
        report = Progress(done=done, total=total, message=message)
        self._attempt.desk.post(ProgressReported(at=now, step=self._attempt.started.step, progress=report))


def _refused(why: Failure) -> _Answer:
    name = "Denied" if why.code == "denied" else "ToolError"
    return _Answer(None, None, name, why.message)


def mismatched(gate: Gate) -> Failure | None:
    """The failure of a script that did not repeat its recorded calls."""
    return failure("replay_mismatch", gate.mismatch) if gate.mismatch else None
