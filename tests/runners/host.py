"""A host for runners in tests: it notes everything, and answers tool calls as it was told."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import anyio
import anyio.lowlevel
from pydantic import JsonValue

from engine_mcp.core.agent import AgentCall, AgentReport, AgentResult
from engine_mcp.core.budget import Usage
from engine_mcp.core.execution import Failure, Progress
from engine_mcp.core.tool import ToolResult, ToolSpec
from engine_mcp.core.window import Anchor, Asking, Fitted, rough

Answer = Callable[[AgentCall], ToolResult]


def denied(call: AgentCall) -> ToolResult:
    return ToolResult(failure=Failure("denied", f"{call.name} is not allowed"))


class RecordingHost:
    """Fulfils `ports.AgentHost`; `memory` is what earlier attempts remembered.

    `purse` is what the next answer may have.
    """

    def __init__(
        self,
        tools: Sequence[ToolSpec] = (),
        answer: Answer = denied,
        memory: Sequence[Mapping[str, JsonValue]] = (),
        purse: int | None = None,
    ) -> None:
        self.purse = purse
        self._tools, self._answer = tuple(tools), answer
        self.memory = [dict(message) for message in memory]
        self.reports: list[AgentReport] = []
        self.sessions: list[str] = []
        self.calls: list[AgentCall] = []
        self.asked: list[Asking] = []
        self.fitted: list[Fitted | Failure] = []
        self.told = anyio.Event()

    @property
    def tools(self) -> Sequence[ToolSpec]:
        return self._tools

    def report(self, news: AgentReport) -> None:
        """Note the news; `told` is set at the first text or progress."""
        self.reports.append(news)
        if news.text or news.progress:
            self.told.set()

    def affordable(self, asking: int = 0) -> int | None:
        del asking
        return self.purse

    async def opened(self, session: str) -> None:
        await anyio.lowlevel.checkpoint()
        self.sessions.append(session)

    async def recall(self) -> Sequence[Mapping[str, JsonValue]]:
        await anyio.lowlevel.checkpoint()
        return [dict(message) for message in self.memory]

    async def remember(self, message: Mapping[str, JsonValue]) -> None:
        await anyio.lowlevel.checkpoint()
        self.memory.append(dict(message))

    async def fit(self, asking: Asking) -> Fitted | Failure:
        """Everything as it is; `asked` keeps what was asked."""
        await anyio.lowlevel.checkpoint()
        self.asked.append(asking)
        if self.fitted:
            return self.fitted.pop(0)
        anchor = asking.anchor or Anchor(tokens=rough(asking.overhead), messages=0)
        fresh = (json.dumps(message, ensure_ascii=False) for message in self.memory[anchor.messages :])
        tokens = anchor.tokens + rough(fresh)
        return Fitted(messages=tuple(self.memory), tokens=tokens, output=asking.output)

    async def call(self, call: AgentCall) -> ToolResult:
        await anyio.lowlevel.checkpoint()
        self.calls.append(call)
        return self._answer(call)

    @property
    def text(self) -> str:
        """All the text that was told."""
        return "".join(report.text for report in self.reports)

    @property
    def progress(self) -> list[Progress]:
        """The progress that was told, in order."""
        return [report.progress for report in self.reports if report.progress is not None]

    def used(self, result: AgentResult | None = None) -> Usage:
        """Everything that was used: what was reported, and what the result adds.

        A cost that was told is that of what was told before without one.
        """
        found = Usage()
        for usage in [*(report.usage for report in self.reports), *([result.usage] if result else [])]:
            if usage.cost_basis in {"reported", "estimated"} and found.cost_basis == "unpriced":
                found = replace(found, cost_basis="none")
            found += usage
        return found
