"""Fakes that fulfil the ports, for tests of the engine and of what is built on it."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import anyio
from pydantic import JsonValue

from engine_mcp.core.agent import AgentResult, AgentTask
from engine_mcp.core.brief import Brief, Prompt, Role, Skill, SummaryBrief
from engine_mcp.core.budget import Resource, Usage
from engine_mcp.core.charge import Quote
from engine_mcp.core.event import Event, ExecutionCreated
from engine_mcp.core.execution import Artifact, Execution
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.route import Route
from engine_mcp.core.script import Script, ScriptResult
from engine_mcp.core.tool import Health, ToolResult, ToolSpec
from engine_mcp.core.window import Window, WindowLimits
from engine_mcp.errors import SandboxUnavailable
from engine_mcp.ports import AgentHost, ExecutionLog, ScriptHost, Store, Workbench


class FakeClock:
    """A clock that stands still until it is moved; with `leap`, whoever sleeps moves it."""

    def __init__(self, at: float = 1_800_000_000.0, *, leap: bool = False) -> None:
        self._at, self._leap = at, leap
        self._moved = anyio.Event()

    def now(self) -> float:
        """The time it shows."""
        return self._at

    def advance(self, seconds: float) -> None:
        """Move the clock and wake who has slept long enough."""
        self._at += seconds
        self._moved.set()
        self._moved = anyio.Event()

    async def sleep_until(self, at: float) -> None:
        """Return once the clock shows `at`."""
        await anyio.lowlevel.checkpoint()
        while self._at < at:
            if self._leap:
                self._at = at
            else:
                await self._moved.wait()


SUMMARIZE = "Summarize."
"""The system prompt of every summary."""
_ROLES = ("product", "architect", "senior", "developer", "reviewer", "ops")

Reply = AgentResult | Callable[[AgentTask, AgentHost], Awaitable[AgentResult]]


@dataclass
class ScriptedRunner:
    """A runner that answers by step id from a list of replies, the last one for ever; else with `done`.

    A reply is a result, or a function that makes one and may wait, report or fail first. Its attempts go
    over `family`, `endpoint` and `pool`, on whatever model.
    """

    replies: Mapping[str, Sequence[Reply]] = field(default_factory=dict[str, Sequence[Reply]])
    name: str = "scripted"
    usable: Health = field(default_factory=lambda: Health(usable=True))
    family: str = "scripted"
    endpoint: str = "nowhere"
    pool: str = "nobody"
    tells_cost: bool = True
    bounds: frozenset[Resource] = frozenset({Resource.TOKENS, Resource.COST})
    tasks: list[AgentTask] = field(default_factory=list[AgentTask])
    _turns: Counter[str] = field(default_factory=Counter[str])

    async def run(self, task: AgentTask, host: AgentHost) -> AgentResult:
        """Give the reply that is due for the step."""
        turn = self._turns[task.step.id]
        self._turns[task.step.id] += 1
        self.tasks.append(task)
        replies = self.replies.get(task.step.id, ())
        if not replies:
            return AgentResult(output="done")
        reply = replies[min(turn, len(replies) - 1)]
        return reply if isinstance(reply, AgentResult) else await reply(task, host)

    def objection(self, step: StepSpec) -> str:
        """It can do everything."""
        del step
        return ""

    def route(self, model: str | None) -> Route:
        """Where an attempt on the model goes."""
        return Route(
            runtime=self.name, family=self.family, endpoint=self.endpoint, pool=self.pool, model=model
        )

    async def health(self, *, fresh: bool = False) -> Health:
        """As it was made."""
        del fresh
        return self.usable


@dataclass
class ListedPrices:
    """Prices in whole micro-dollars for a token in and for one out, by model; others have none."""

    listed: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    version: str = "listed 1"
    windows: Mapping[str, Window] = field(default_factory=dict[str, Window])

    async def open(self) -> None:
        """Nothing needs to be loaded."""

    def quote(self, model: str, usage: Usage, at: float) -> Quote:
        """The price of a use, whatever the time; a cache costs as much as none."""
        del at
        found = self.listed.get(model)
        if found is None:
            return Quote()
        given = usage.tokens_in + usage.cache_read + usage.cache_write
        return Quote(micros=given * found[0] + usage.tokens_out * found[1], price=self.version)

    def window(self, model: str) -> Window | None:
        """The window that it was made with."""
        return self.windows.get(model)


@dataclass
class FixedWindows:
    """One window for all models, and what was chosen about it; `learned` is what it was told."""

    tokens: int = 200_000
    chosen: WindowLimits = field(default_factory=WindowLimits)
    source: str = "settings"
    learned: dict[str, Window] = field(default_factory=dict[str, Window])

    async def open(self) -> None:
        """Nothing needs to be loaded."""

    def window(self, model: str | None, told: Window | None = None, *, endpoint: str = "") -> Window:
        """The window, unless another one was told or learned and this one is only assumed."""
        del endpoint
        known = told or self.learned.get(model or "")
        return known if known and self.source == "assumed" else Window(tokens=self.tokens, source=self.source)

    def limits(self, model: str | None) -> WindowLimits:
        """What was chosen."""
        del model
        return self.chosen

    async def learn(self, model: str, window: Window, *, endpoint: str = "") -> None:
        """Keep it, wherever it is true."""
        del endpoint
        self.learned[model] = window


@dataclass
class CharacterCounter:
    """Counts a token for each `characters` characters of a text."""

    characters: int = 3

    async def open(self) -> None:
        """Nothing needs to be loaded."""

    def count(self, text: str) -> int:
        """The tokens of a text, rounded up."""
        return -(-len(text) // self.characters)


@dataclass
class PlainLibrary:
    """A library of the built-in role names and of given skills, whose prompts list what a brief holds."""

    known: Mapping[str, Skill] = field(default_factory=dict[str, Skill])
    briefs: list[Brief] = field(default_factory=list[Brief])
    summaries: list[SummaryBrief] = field(default_factory=list[SummaryBrief])

    async def roles(self, project: str) -> Mapping[str, Role]:
        """Roles without any tier of their own."""
        del project
        return {name: Role(name=name, description="", text=f"You are {name}.") for name in _ROLES}

    async def skills(self, project: str) -> Mapping[str, Skill]:
        """The skills it was made with."""
        del project
        return self.known

    async def prompt(self, brief: Brief) -> Prompt:
        """The brief, line by line."""
        self.briefs.append(brief)
        outputs = [f"output of {shown.step}: {shown.text}" for shown in brief.outputs]
        packets = [f"handoff of {name}: {json.dumps(p.dumped())}" for name, p in brief.packets.items()]
        lines = [brief.task, *outputs, *packets]
        return Prompt(system=f"role {brief.role}", text="\n".join(lines), again=brief.again or "")

    async def summary_prompt(self, brief: SummaryBrief) -> Prompt:
        """What is to be summarized, after what is to be brought up to date."""
        self.summaries.append(brief)
        return Prompt(system=SUMMARIZE, text=f"{brief.previous}\n{brief.source}", again="digest")


@dataclass
class ScriptedTool:
    """A tool that answers with `reply` and remembers what it was asked."""

    spec: ToolSpec
    reply: Callable[[Mapping[str, JsonValue], Workbench], Awaitable[ToolResult]]
    calls: list[Mapping[str, JsonValue]] = field(default_factory=list[Mapping[str, JsonValue]])

    async def execute(self, arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        """Give the reply."""
        self.calls.append(arguments)
        return await self.reply(arguments, bench)

    def estimated_s(self, arguments: Mapping[str, JsonValue]) -> float | None:
        """Nobody knows."""
        del arguments

    async def health(self) -> Health:
        """Always usable."""
        return Health(usable=True)


class NoSandbox:
    """A machine on which no sandbox can be had."""

    async def run(self, script: Script, host: ScriptHost) -> ScriptResult:
        """Refuse."""
        raise SandboxUnavailable(f"No sandbox for {len(script.code)} characters and {type(host).__name__}.")


_T = TypeVar("_T")


class Crash(BaseException):
    """The process died here: nothing after this is carried out, and no clean-up is recorded."""


@dataclass
class CrashPoint:
    """Dies at the durable write with the number `at` (from 1), before it or after it; 0 for never.

    `writes` counts them: creations, appends, saves and artifacts.
    """

    at: int
    after: bool = False
    writes: int = 0
    dead: bool = False

    async def around(self, what: str, write: Callable[[], Awaitable[_T]]) -> _T:
        """Carry out a durable write, unless the process is dead or dies of it."""
        if self.dead:
            raise Crash(what)
        self.writes += 1
        if self.writes != self.at:
            return await write()
        self.dead = True
        if self.after:
            with anyio.CancelScope(shield=True):
                await write()
        raise Crash(what)


class CrashingLog:
    """An execution log whose writes lead through a crash point."""

    def __init__(self, inner: ExecutionLog, point: CrashPoint) -> None:
        self._inner, self._point = inner, point

    @property
    def epoch(self) -> int:
        """The inner log's epoch."""
        return self._inner.epoch

    async def append(self, events: Sequence[Event], after: Execution) -> None:
        """Append, or die."""
        await self._point.around("append", lambda: self._inner.append(events, after))

    async def save(self, after: Execution) -> None:
        """Save, or die."""
        await self._point.around("save", lambda: self._inner.save(after))

    async def keep(self, content: bytes, *, name: str | None, media_type: str) -> Artifact:
        """Keep, or die."""
        kept = partial(self._inner.keep, content, name=name, media_type=media_type)
        return await self._point.around("keep", kept)

    async def close(self) -> None:
        """Give the lease back, as the end of a process does by itself."""
        await self._inner.close()


class CrashingStore:
    """A store whose logs die at a crash point; everything else goes to the store inside."""

    def __init__(self, inner: Store, point: CrashPoint) -> None:
        self._inner, self._point = inner, point
        self.claimed, self.read, self.events = inner.claimed, inner.read, inner.events
        self.artifact, self.list, self.abandoned = inner.artifact, inner.list, inner.abandoned
        self.owner, self.place = inner.owner, inner.place

    async def create(self, event: ExecutionCreated) -> tuple[Execution, ExecutionLog]:
        """Create, or die; the log dies at the same point."""
        execution, log = await self._point.around("create", lambda: self._inner.create(event))
        return execution, CrashingLog(log, self._point)

    async def open(self, execution_id: str) -> tuple[Execution, ExecutionLog]:
        """Open; the log dies at the crash point."""
        execution, log = await self._inner.open(execution_id)
        return execution, CrashingLog(log, self._point)


async def capture_events(store: Store, execution_id: str) -> list[Event]:
    """All events of an execution, in order."""
    captured: list[Event] = []
    while page := await store.events(execution_id, len(captured), 1000):
        captured += [event for _, event in page]
    return captured
