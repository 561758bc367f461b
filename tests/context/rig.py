"""An engine whose `api` runtime talks with the wire server, in a window that the server enforces."""

import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from pydantic import JsonValue

from engine_mcp.context.tokens import Tokens
from engine_mcp.core.conversation import ResultsMasked, SummaryFinished, SummaryStarted
from engine_mcp.core.event import Event
from engine_mcp.core.execution import Execution, ExecutionStatus
from engine_mcp.core.plan import Draft, Permissions, StepSpec, StrategyName
from engine_mcp.core.summary import Summary
from engine_mcp.core.tool import ToolResult, ToolSpec
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.parts import EngineOptions, Parts
from engine_mcp.ports import Store, Workbench
from engine_mcp.prices.book import GenaiPrices
from engine_mcp.prompts.catalog import models
from engine_mcp.prompts.library import FileLibrary
from engine_mcp.runners.api import ApiRunner
from engine_mcp.runners.api_options import ApiOptions
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import FakeClock, FixedWindows, NoSandbox, ScriptedTool, capture_events
from tests.runners.api_rig import ENVIRON
from tests.wire.received import Received
from tests.wire.server import Wire
from tests.wire.turns import ToolUse, Turn

MODEL, CHEAP = "claude-opus-5-5", "claude-haiku-5-5"
WINDOW = 8_000
ANSWERS = 800
WITHIN_S = 170.0
LOOK = ToolSpec(
    name="look",
    description="Look at a page.",
    input_schema={"type": "object", "properties": {"page": {"type": "integer"}}},
    requests=0,
)
GOOD: Mapping[str, JsonValue] = {
    "goal": "Look at the pages.",
    "success_criteria": [],
    "constraints_verbatim": [],
    "decisions": [],
    "files": [],
    "done": ["Looked at the pages so far."],
    "open_items": [],
    "errors": [],
    "facts_verbatim": [],
    "failed_approaches": [],
    "next_steps": ["Look at the next page."],
    "preferences": [],
}
Answer = Callable[[Received], Turn]


def is_summary(request: Received) -> bool:
    """Whether a request asks for a summary."""
    return request.body["model"] == CHEAP


def good(request: Received) -> Turn:
    """A summary that says little, and nothing wrong."""
    del request
    return Turn(json.dumps(GOOD), output_tokens=100, chunk=2000)


@dataclass
class Talk:
    """A model that looks at one page after another, `turns` of them, and says what it sees.

    `says` is what it says at a turn besides; `page` what the tool shows of one; `thinks`: it thinks first.
    """

    turns: int
    summary: Answer = good
    says: Callable[[int], str] = lambda number: f"I see page {number}. " + "It tells of a journey. " * 9
    page: Callable[[int], str] = lambda number: f"Page {number} of the book. " + "It is a long story. " * 12
    thinks: bool = False
    asked: list[Received] = field(default_factory=list[Received])
    summarized: list[Received] = field(default_factory=list[Received])

    def answer(self, request: Received) -> Turn:
        if is_summary(request):
            self.summarized.append(request)
            return self.summary(request)
        self.asked.append(request)
        number = len(self.asked)
        thinking = f"What is on page {number + 1}?" if self.thinks else ""
        if number > self.turns:
            return Turn(self.says(number), output_tokens=20, thinking=thinking, chunk=2000)
        call = ToolUse("look", {"page": number})
        return Turn(self.says(number), blocks=[call], output_tokens=50, thinking=thinking, chunk=2000)

    async def shown(self, arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        del bench
        return ToolResult(value=self.page(int(str(arguments["page"]))))


@dataclass(kw_only=True)
class Room:
    """Where a conversation takes place; engines that are made in it share the record."""

    project: Path
    wire: Wire
    talk: Talk
    windows: FixedWindows = field(default_factory=lambda: FixedWindows(WINDOW))
    store: Store = field(default_factory=MemoryStore)
    answers: int = ANSWERS
    keep_turns: int = 6
    counter: Tokens = field(default_factory=Tokens)

    @asynccontextmanager
    async def engine(self) -> AsyncGenerator[Engine]:
        """An engine on the record, with a runner of its own."""
        options = ApiOptions(base_url=self.wire.url, max_tokens=self.answers, max_turns=5_000)
        runner = ApiRunner(options, environ=ENVIRON)
        tool = ScriptedTool(LOOK, self.talk.shown)
        parts = Parts(
            store=self.store,
            clock=FakeClock(leap=True),
            sandbox=NoSandbox(),
            library=FileLibrary(),
            tools={LOOK.name: tool},
            runners={runner.name: runner},
            models=lambda: models({}),
            order=(runner.name,),
            prices=GenaiPrices(None),
            counter=self.counter,
            windows=self.windows,
            keep_turns=self.keep_turns,
        )
        try:
            async with Engine(parts, EngineOptions(grace_s=2.0)) as engine:
                yield engine
        finally:
            await runner.aclose()

    def draft(
        self, task: str = "Look at all pages and say what you see.", model: str = MODEL, **more: object
    ) -> Draft:
        permissions = Permissions(allowed_tools=(LOOK.name,))
        step = StepSpec(
            id="a", task=task, model=model, runtime="api", permissions=permissions, max_attempts=1
        )
        chosen: dict[str, object] = {"steps": (step,), "strategy": StrategyName.SINGLE, **more}
        return Draft(path=str(self.project), **chosen)  # type: ignore[arg-type] - as named

    async def run(self, **more: object) -> Execution:
        """Hold the conversation to its end."""
        async with self.engine() as engine:
            begun = await engine.execute(self.draft(**more))  # type: ignore[arg-type] - as named
            return await rested(engine, begun)

    async def events(self, execution: Execution) -> Sequence[Event]:
        return await capture_events(self.store, execution.id)


async def rested(engine: Engine, execution: Execution) -> Execution:
    """The execution once it rests."""
    with anyio.fail_after(WITHIN_S):
        while execution.status in {ExecutionStatus.PENDING, ExecutionStatus.RUNNING}:
            execution = await engine.wait(execution.id, 5.0, execution.revision)
    return execution


def summaries(events: Sequence[Event]) -> list[Summary]:
    """The summaries that came about, in their order."""
    return [one.summary for one in events if isinstance(one, SummaryFinished) and one.summary is not None]


def reductions(events: Sequence[Event]) -> list[str]:
    """What was done about the conversation, in its order."""
    kinds = ResultsMasked | SummaryStarted | SummaryFinished
    return [one.kind for one in events if isinstance(one, kinds)]
