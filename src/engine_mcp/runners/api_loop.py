"""The agent loop: one attempt's part of a conversation, whose record says at any point how it goes on.

Each round looks at the last message alone. So an attempt that goes on with a recalled conversation
takes the same way as one that has just come there.
"""

import json
from collections.abc import Callable, Mapping
from typing import Protocol

import anyio
from pydantic import JsonValue

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.agent import AgentCall, AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import Resource, Usage
from engine_mcp.core.execution import Failure, Progress
from engine_mcp.core.tool import ToolResult
from engine_mcp.core.window import Anchor, Asking, Fitted, Window
from engine_mcp.errors import EngineError, StorageError
from engine_mcp.ports import AgentHost
from engine_mcp.runners.api_options import ApiOptions
from engine_mcp.runners.api_stream import Block, Reply, is_invalid
from engine_mcp.runners.api_tools import Tools, failed, result_block
from engine_mcp.runners.api_turns import (
    FULL,
    PAUSED,
    Call,
    Message,
    Standing,
    assistant,
    calls_of,
    pauses,
    said,
    sayable,
    sent,
    standing,
    text,
    turns,
    user,
)

MOST_PAUSES = 10
KEEP_S = 30.0


class Link(Protocol):
    """The way to the provider."""

    async def ask(
        self, request: Mapping[str, JsonValue], reply: Reply, heard: Callable[[str], None]
    ) -> Failure | None:
        """Send a request, feed the events of its answer to `reply` and tell each; why it broke, if it did.

        `heard` is called after each event with the text that it added, often none. Cancelled, it leaves
        in `reply` what came until then.
        """
        ...

    async def count(self, request: Mapping[str, JsonValue]) -> int | None:
        """The input tokens that a request has; None where the provider does not say so in time."""
        ...

    async def window(self, model: str) -> Window | None:
        """The window of a model; None where the provider does not say so in time."""
        ...


class Conversation:
    """The conversation of one attempt."""

    def __init__(self, task: AgentTask, host: AgentHost, link: Link, options: ApiOptions) -> None:
        self._task, self._host, self._link, self._options = task, host, link, options
        self._tools = Tools(())
        self._messages: list[Message] = []
        self._used = Usage()
        self._asked = 0
        self._capped = False
        self._anchor: Anchor | None = None
        self._fitted = Fitted(messages=(), tokens=0, output=options.max_tokens)
        self._most = options.max_tokens
        self._overflowed, self._shrink = False, False

    async def hold(self) -> AgentResult:
        """Begin the conversation or go on with it, to an answer or to what stands in the way of one."""
        await self._open()
        while True:
            match standing(self._messages):
                case Standing.ANSWERED:
                    return self._answered()
                case Standing.CUT if self._messages[-1].get("stop_reason") == FULL and await self._shrinks():
                    await self._add(user(text(self._task.prompt.again)))
                case Standing.CUT:
                    return self._failed(self._cut(self._messages[-1].get("stop_reason")))
                case Standing.CALLS:
                    await self._carry_out(calls_of(self._messages[-1]))
                case Standing.ASK:
                    if (end := await self._turn()) is not None:
                        return end

    async def _open(self) -> None:
        self._messages = list(await self._host.recall())
        self._tools = Tools(self._host.tools)
        if not self._messages:
            await self._add(user(text(self._task.prompt.text)))
        elif standing(self._messages) is Standing.CUT:
            await self._add(user(text(self._task.prompt.again)))

    async def _add(self, message: Message) -> None:
        # An answer is paid for once it is there: a cancel must not come between it and the record.
        with anyio.move_on_after(KEEP_S, shield=True) as keeping:
            await self._host.remember(message)
        if keeping.cancelled_caught:
            raise StorageError(f"A message was not on record after {KEEP_S:g} s.")
        self._messages.append(message)

    # --- a turn of the model

    async def _turn(self) -> AgentResult | None:
        if (limit := self._turn_limit() or await self._fit() or self._spending_limit()) is not None:
            return self._failed(limit)
        reply = Reply()
        failure = await self._hear(reply) or _broken(reply)
        if failure is not None and failure.code == "context_overflow" and await self._shrinks():
            return None
        if failure is not None:
            return self._failed(failure, reply)
        message = assistant(reply)
        if not sayable(message) and standing([message]) is not Standing.ANSWERED:
            return self._failed(self._cut(reply.stop_reason), reply)
        await self._add(message)
        self._overflowed = self._overflowed and reply.stop_reason == FULL
        self._anchor = Anchor(tokens=reply.used().amount(Resource.TOKENS), messages=len(self._messages))
        return None

    async def _shrinks(self) -> bool:
        """Whether a conversation that the provider finds too long can be made shorter: that is tried once."""
        first, self._overflowed, self._shrink, self._anchor = not self._overflowed, True, True, None
        return first and await self._fit() is None and self._fitted.reduced

    async def _fit(self) -> Failure | None:
        """Have the conversation fit into the window; the failure of one that cannot be made to."""
        model, fixed = self._task.model or "", self._fixed()
        asking = Asking(
            model=model,
            overhead=tuple(part if isinstance(part, str) else json.dumps(part) for part in fixed.values()),
            output=self._options.max_tokens,
            anchor=self._anchor,
            overflowed=self._shrink,
            tell=lambda: self._link.window(model),
            exact=lambda shown: self._link.count({"model": model, "messages": sent(shown), **fixed}),
        )
        self._shrink = False
        fitted = await self._host.fit(asking)
        if isinstance(fitted, Failure):
            return fitted
        self._fitted = fitted
        if fitted.reduced:
            self._anchor = None
        return None

    async def _hear(self, reply: Reply) -> Failure | None:
        """Have the model speak; what that used is told even if it is cut short."""
        self._asked += 1
        number, told = turns(self._messages) + 1, Usage()

        def tell() -> None:
            nonlocal told
            news = _beyond(reply.used(), told)
            told += news
            self._used += news
            self._host.report(AgentReport(usage=news, model=reply.model))

        def heard(words: str) -> None:
            if told.requests == 0 and reply.begun:
                tell()
            if words:
                self._host.report(AgentReport(text=words))

        self._progress(number - 1, f"turn {number}")
        try:
            request = self._request()
            reply.most = self._most
            return await self._link.ask(request, reply, heard)
        finally:
            tell()

    def _request(self) -> dict[str, JsonValue]:
        left, most = self._left(), min(self._options.max_tokens, self._fitted.output)
        self._capped = left is not None and left < most
        self._most = most if left is None else min(most, left)
        request: dict[str, JsonValue] = {
            "model": self._task.model,
            "max_tokens": self._most,
            "messages": sent(self._fitted.messages),
            "cache_control": {"type": "ephemeral"},
            **self._fixed(),
        }
        schema = self._task.step.output_schema
        if isinstance(schema, dict):
            request["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        return request

    def _fixed(self) -> dict[str, JsonValue]:
        """What every request has besides messages, as far as it counts."""
        fixed: dict[str, JsonValue] = {}
        if self._task.prompt.system.strip():
            fixed["system"] = self._task.prompt.system
        if self._tools.definitions:
            fixed["tools"] = self._tools.definitions
        return fixed

    # --- the calls of a turn

    async def _carry_out(self, calls: list[Call]) -> None:
        names = ", ".join(self._tools.shown(call.name) for call in calls)
        self._progress(turns(self._messages), f"turn {turns(self._messages)}: {names}")
        blocks: list[Block] = [{} for _ in calls]
        broken: list[EngineError] = []

        async def answer(index: int, call: Call) -> None:
            try:
                blocks[index] = result_block(call, await self._result(call))
            except EngineError as error:  # raised below as it is: the engine knows it by its type
                broken.append(error)
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for index, call in enumerate(calls):
                group.start_soon(answer, index, call)
        if broken:
            raise broken[0]
        await self._add(user(*blocks))

    async def _result(self, call: Call) -> ToolResult:
        name = self._tools.named(call.name)
        if name is None:
            return self._tools.unknown(call.name)
        if is_invalid(call.given):
            return failed("invalid_argument", "The input of this call was not a JSON object.")
        return await self._host.call(AgentCall(id=call.id, name=name, arguments=call.given))

    # --- limits and ends

    def _left(self) -> int | None:
        """The tokens that the next answer may have; None without a bound.

        What is reserved are tokens of every kind: a limit does not tell input from output. What they cost
        only the host knows.
        """
        asking = self._fitted.tokens
        bounds = [] if (affordable := self._host.affordable(asking)) is None else [affordable]
        if reserved := self._task.reserved.amount(Resource.TOKENS):
            bounds.append(reserved - self._used.amount(Resource.TOKENS) - asking)
        return min(bounds, default=None)

    def _spending_limit(self) -> Failure | None:
        left = self._left()
        return _failure("spending_limit") if left is not None and left <= 0 else None

    def _turn_limit(self) -> Failure | None:
        if self._asked >= self._options.max_turns:
            return _failure("turn_limit", f"The agent has taken {self._asked} turns, as many as it may.")
        if pauses(self._messages) >= MOST_PAUSES:
            return _failure("turn_limit", f"The model has paused {MOST_PAUSES} times in a row.")
        return None

    def _cut(self, reason: JsonValue) -> Failure:
        if reason == FULL:
            return _failure("context_overflow")
        if reason == "max_tokens":
            return _failure("spending_limit" if self._capped else "truncated")
        if reason == PAUSED:
            return _failure("provider_error", "The model paused without a word.")
        return _failure("truncated", f"The model stopped for a reason that is not known here: {reason}.")

    def _answered(self) -> AgentResult:
        output = said(self._messages) or ""
        if not isinstance(self._task.step.output_schema, dict):
            return AgentResult(output=output)
        try:
            return AgentResult(output=json.loads(output))
        except (ValueError, RecursionError) as error:
            why = _failure("output_invalid", f"The answer is not JSON: {error}")
            return AgentResult(output=output, failure=why)

    def _failed(self, failure: Failure, reply: Reply | None = None) -> AgentResult:
        spoken = reply.text if reply is not None else ""
        return AgentResult(output=spoken or said(self._messages), failure=failure)

    def _progress(self, done: int, message: str) -> None:
        self._host.report(AgentReport(progress=Progress(done=done, message=message)))


def _beyond(total: Usage, told: Usage) -> Usage:
    """What `total` has more than `told`, never less than nothing."""
    return Usage(
        tokens_in=max(0, total.tokens_in - told.tokens_in),
        tokens_out=max(0, total.tokens_out - told.tokens_out),
        cache_read=max(0, total.cache_read - told.cache_read),
        cache_write=max(0, total.cache_write - told.cache_write),
        cache_write_1h=max(0, total.cache_write_1h - told.cache_write_1h),
        requests=max(0, total.requests - told.requests),
        cost_basis=total.cost_basis,
    )


def _broken(reply: Reply) -> Failure | None:
    """Why an answer that came without an error is none that the conversation could go on with."""
    if reply.garbled:
        return _failure("provider_error", f"The stream made no sense: {reply.garbled}.")
    if reply.stop_reason is None:
        return _failure("unreachable", "The stream ended before its message did.")
    if reply.stop_reason == "refusal":
        return _failure("refused", _why_refused(reply))
    return None


def _why_refused(reply: Reply) -> str:
    told = [reply.stop_details.get(name) for name in ("explanation", "category")]
    return " ".join(str(part) for part in told if part) or CATALOGUE["refused"].cause


def _failure(code: str, message: str = "") -> Failure:
    return Failure(code, message or CATALOGUE[code].cause, CATALOGUE[code].remedy)
