"""The host of an agent's attempt: its news become events, its tool calls pass the gate and the record."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import anyio
from pydantic import JsonValue

from engine_mcp.core.agent import AgentCall, AgentReport
from engine_mcp.core.budget import Resource, Usage
from engine_mcp.core.charge import Charge
from engine_mcp.core.event import (
    CallRecorded,
    CallStarted,
    MessageRecorded,
    ProgressReported,
    SessionOpened,
    TextStreamed,
    UsageReported,
)
from engine_mcp.core.execution import Failure, Message, Progress, RecordedCall
from engine_mcp.core.permission import allowed
from engine_mcp.core.tool import ToolResult, ToolSpec
from engine_mcp.core.window import Asking, Fitted
from engine_mcp.engine.approving import Asked, approval
from engine_mcp.engine.attempt import Running, failure
from engine_mcp.engine.bench import Bench
from engine_mcp.engine.fitting import Fitting
from engine_mcp.engine.meter import Meter, admit
from engine_mcp.engine.outputs import dumps, kept, loaded, written
from engine_mcp.engine.recall_tool import RecallTool
from engine_mcp.engine.script_tool import ScriptTool
from engine_mcp.engine.tool_call import call_tool
from engine_mcp.engine.warden import Warden
from engine_mcp.ports import ToolAdapter

TELL_EVERY_S = 0.5
PAID_EVERY_S = 0.05
TELL_CHARACTERS = 1000
"""The most in one event: what is read by cursor comes in small pages."""


def digest_of(call: AgentCall) -> str:
    """What tells one call of a conversation from another, now and when it is asked again."""
    text = f"{call.id}\0{call.name}\0{dumps(call.arguments)}"
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


@dataclass(slots=True)
class _Untold:
    """News that wait for a moment, so that a stream does not become an event a word."""

    text: list[str] = field(default_factory=list[str])
    characters: int = 0
    charges: list[Charge] = field(default_factory=list[Charge])
    progress: Progress | None = None

    def add(self, charge: Charge) -> None:
        """Put a charge to those of the same request, which is priced as a whole."""
        last = self.charges[-1] if self.charges else None
        if last is None or charge.usage.requests or (last.model, last.price) != (charge.model, charge.price):
            self.charges.append(charge)
        else:
            self.charges[-1] = last + charge


class AgentDesk:
    """Fulfils `ports.AgentHost` for one attempt; `close` tells what is still untold.

    What is heard is held against the attempt's share by `warden`.
    """

    def __init__(
        self, attempt: Running, meter: Meter, warden: Warden, own: Sequence[ToolAdapter] = ()
    ) -> None:
        self._attempt, self._meter, self._own, self._warden = attempt, meter, own, warden
        self._bench = Bench(attempt)
        self._fitting = Fitting(attempt, warden, self.report)
        self._untold = _Untold()
        self._paid_at = 0.0
        self._news = anyio.Event()
        self._teller: anyio.CancelScope | None = None
        step = attempt.step
        self._answered = {call.digest: call for call in step.calls.values()}
        self._cut_off = {digest: ordinal for ordinal, digest in step.unanswered.items()}
        self._next = max((*step.calls, *step.unanswered), default=0) + 1

    @cached_property
    def _tools(self) -> Mapping[str, ToolAdapter]:
        """The tools by name, looked for when they are first asked for: most runtimes have their own."""
        script = ScriptTool(self._attempt, self)
        known = {**self._attempt.parts.tools, script.spec.name: script}
        names = allowed(self._attempt.step.spec.permissions, [tool.spec for tool in known.values()])
        own = [*self._own, *([RecallTool(self._fitting.messages)] if self._fitting.fits else [])]
        return {name: known[name] for name in names} | {tool.spec.name: tool for tool in own}

    @property
    def tools(self) -> Sequence[ToolSpec]:
        """The tools that the step may call."""
        return tuple(tool.spec for tool in self._tools.values())

    # --- news

    def report(self, news: AgentReport) -> None:
        """Take news; text and progress are told soon, and much text at once."""
        untold = self._untold
        if (charge := self._warden.heard(news)) is not None:
            untold.add(charge)
        if news.text:
            untold.text.append(news.text)
            untold.characters += len(news.text)
        untold.progress = news.progress or untold.progress
        if untold.characters >= TELL_CHARACTERS or self._is_urgent(news):
            self.tell()
        elif untold.characters or untold.progress is not None or untold.charges:
            self._news.set()
            if self._teller is None:
                self._teller = anyio.CancelScope()
                self._attempt.tasks.start_soon(self._tell_on, self._teller)

    def _is_urgent(self, news: AgentReport) -> bool:
        """Whether something was paid for that a crash would make unheard; not for every drop of a torrent."""
        now, paid = self._attempt.parts.clock.now(), news.usage.amount(Resource.TOKENS) > 0
        if not paid or now - self._paid_at < PAID_EVERY_S:
            return False
        self._paid_at = now
        return True

    async def _tell_on(self, until: anyio.CancelScope) -> None:
        """Tell what is new, at most twice a second; begun with the first news, as many attempts have none."""
        clock = self._attempt.parts.clock
        with until:
            while True:
                await self._news.wait()
                self._news = anyio.Event()
                self.tell()
                await clock.sleep_until(clock.now() + TELL_EVERY_S)

    def close(self) -> None:
        """Tell what is left; no more news come."""
        if self._teller is not None:
            self._teller.cancel()
        self.tell()

    def tell(self) -> None:
        """Tell what is untold."""
        started, untold, desk = self._attempt.started, self._untold, self._attempt.desk
        self._untold, now = _Untold(), self._attempt.parts.clock.now()
        text = "".join(untold.text)
        for charge in untold.charges:
            paid = charge if charge.model or charge.price else None
            desk.post(
                UsageReported(
                    at=now, step=started.step, number=started.number, usage=charge.usage, charge=paid
                )
            )
        for begin in range(0, len(text), TELL_CHARACTERS):
            piece = text[begin : begin + TELL_CHARACTERS]
            desk.post(TextStreamed(at=now, step=started.step, number=started.number, text=piece))
        if untold.progress is not None:
            desk.post(ProgressReported(at=now, step=started.step, progress=untold.progress))

    def affordable(self, asking: int = 0) -> int | None:
        """The most tokens that the next answer may have within the share."""
        return self._warden.affordable(asking)

    # --- the session

    async def opened(self, session: str) -> None:
        """Record the name that the runtime gave the session."""
        started = self._attempt.started
        at = self._attempt.parts.clock.now()
        await self._attempt.desk.say(
            SessionOpened(at=at, step=started.step, number=started.number, session=session)
        )

    async def recall(self) -> Sequence[Mapping[str, JsonValue]]:
        """The messages on record."""
        found: list[Mapping[str, JsonValue]] = []
        for message in self._attempt.step.messages:
            value = await loaded(message.output, self._attempt.desk)
            found.append(value if isinstance(value, dict) else {"role": message.role, "content": value})
        self._fitting.begin(found)
        return found

    async def remember(self, message: Mapping[str, JsonValue]) -> None:
        """Record a message, and with it what it took; a large one is kept as an artifact."""
        self.tell()
        value: JsonValue = dict(message)
        output = await kept(value, written(value), self._attempt.desk)
        started, at = self._attempt.started, self._attempt.parts.clock.now()
        await self._attempt.desk.say(
            MessageRecorded(
                at=at,
                step=started.step,
                number=started.number,
                message=Message(role=str(message.get("role", "")), output=output),
            )
        )
        self._fitting.messages.append(message)

    async def fit(self, asking: Asking) -> Fitted | Failure:
        """The conversation as the next request may have it."""
        return await self._fitting.fit(asking)

    # --- calls

    async def call(self, call: AgentCall) -> ToolResult:
        """Answer from the record, or carry the call out and record it."""
        digest = digest_of(call)
        if not call.inner:
            self._warden.called(f"{call.name}\0{dumps(call.arguments)}")
        if (found := self._answered.get(digest)) is not None:
            return await self._again(found)
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join(self._tools) or "none"
            text = f"This step may not call {call.name!r}; it may call: {known}."
            return ToolResult(failure=failure("denied", text))
        if digest in self._cut_off and tool.spec.changes:
            record = _record(call, self._cut_off[digest], digest)
            return await self._recorded(record, ToolResult(failure=failure("outcome_unknown")), 0)
        return await self._carry_out(call, digest, tool)

    async def _again(self, found: RecordedCall) -> ToolResult:
        if found.output is not None:
            return ToolResult(value=await loaded(found.output, self._attempt.desk))
        return ToolResult(failure=failure(found.error_name, found.error_message))

    async def _carry_out(self, call: AgentCall, digest: str, tool: ToolAdapter) -> ToolResult:
        await approval(self._attempt, self._meter, Asked(call.name, digest, dumps(call.arguments)))
        ordinal, self._next = self._next, self._next + 1
        requests = tool.spec.requests
        if not self._warden.take(requests):
            await self._end()
        await admit(self._attempt, self._meter, requests)
        self._attempt.used += Usage(requests=requests)
        started = self._attempt.started
        begun = CallStarted(
            at=self._attempt.parts.clock.now(),
            step=started.step,
            number=started.number,
            ordinal=ordinal,
            name=call.name,
            digest=digest,
        )
        if tool.spec.changes:
            await self._attempt.desk.say(begun)
        else:
            self._attempt.desk.post(begun)
        tool = replace(tool, call=call.id) if isinstance(tool, ScriptTool) else tool
        result = await call_tool(tool, call.arguments, self._bench)
        return await self._recorded(_record(call, ordinal, digest), result, requests)

    async def _end(self) -> None:
        """End the attempt at its share, once the calls under way have ended: they are paid for."""
        while self._meter.calls(self._attempt.started.step):
            await self._meter.changed.wait()
        self._warden.end()
        await anyio.sleep_forever()

    async def _recorded(self, call: RecordedCall, result: ToolResult, requests: int) -> ToolResult:
        """Record the answer to `call`, which says which one it is."""
        why = result.failure
        try:
            text = written(result.value)
        except ValueError as error:
            why = why or failure("output_invalid", f"The answer cannot be kept as JSON: {error}")
            text = ""
        if why is None:
            call = replace(call, output=await kept(result.value, text, self._attempt.desk))
        else:
            call = replace(call, error_name=why.code, error_message=why.message)
        now, started = self._attempt.parts.clock.now(), self._attempt.started
        call = replace(call, at_ms=int(now * 1000))
        self._attempt.desk.post(
            CallRecorded(at=now, step=started.step, number=started.number, call=call, requests=requests)
        )
        self._attempt.used += Usage(requests=-requests)
        return result if why is None else ToolResult(failure=why)


def _record(call: AgentCall, ordinal: int, digest: str) -> RecordedCall:
    return RecordedCall(ordinal=ordinal, name=call.name, digest=digest, at_ms=0)
