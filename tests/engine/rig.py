"""An engine on fakes, short ways to say its steps, and bounded ways to wait for it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, Unpack

import anyio
from pydantic import JsonValue

from engine_mcp.core.agent import AgentResult, AgentTask
from engine_mcp.core.budget import Limits
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution, ExecutionStatus, Failure
from engine_mcp.core.models import Models
from engine_mcp.core.plan import Draft, Mode, Permissions, StepSpec, StrategyName, Unanswered
from engine_mcp.core.route import Allowed
from engine_mcp.core.script import ScriptLimits
from engine_mcp.core.tool import ToolResult, ToolSpec
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.parts import EngineOptions, Parts
from engine_mcp.engine.trial import ASK
from engine_mcp.ports import (
    AgentHost,
    Breakers,
    Ledger,
    PriceBook,
    Sandbox,
    Store,
    Sweeper,
    TokenCounter,
    Windows,
    Workbench,
)
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import (
    FakeClock,
    NoSandbox,
    PlainLibrary,
    ScriptedRunner,
    ScriptedTool,
    capture_events,
)

WAIT_S = 10.0
NOBODY = "00000000-0000-7000-8000-000000000000"
ACTIVE = {ExecutionStatus.PENDING, ExecutionStatus.RUNNING}
DONE = AgentResult(output="done")


class More(TypedDict, total=False):
    """What a step of a test may have besides its id, its work and what it depends on."""

    arguments: JsonValue
    permissions: Permissions
    output_schema: JsonValue
    optional: bool
    requires_approval: bool
    approval_timeout_s: float
    if_unanswered: Unanswered
    timeout_s: float
    max_attempts: int
    budget: Limits
    limits: ScriptLimits
    runtime: str
    model: str


class Whole(TypedDict, total=False):
    """What a draft of a test may have besides its steps."""

    budget: Limits
    parallelism: int
    fallback: tuple[Allowed, ...]
    auto_resume: bool


def agent(name: str, *needs: str, **more: Unpack[More]) -> StepSpec:
    return StepSpec(id=name, task=f"do {name}", depends_on=needs, **more)


def code(name: str, script: str, *needs: str, **more: Unpack[More]) -> StepSpec:
    return StepSpec(id=name, code=script, depends_on=needs, **more)


def tool(name: str, adapter: str, *needs: str, **more: Unpack[More]) -> StepSpec:
    return StepSpec(id=name, tool=adapter, depends_on=needs, **more)


def allowing(*names: str) -> Permissions:
    return Permissions(allowed_tools=names)


@dataclass(kw_only=True)
class Rig:
    """What an engine of a test is made of; every engine it makes shares the store and the clock."""

    project: Path
    store: Store = field(default_factory=MemoryStore)
    clock: FakeClock = field(default_factory=lambda: FakeClock(leap=True))
    runner: ScriptedRunner = field(default_factory=ScriptedRunner)
    others: Sequence[ScriptedRunner] = ()
    tools: Sequence[ScriptedTool] = ()
    sandbox: Sandbox = field(default_factory=NoSandbox)
    sweeper: Sweeper | None = None
    library: PlainLibrary = field(default_factory=PlainLibrary)
    models: Models = field(default_factory=lambda: Models(patterns={"scripted": (".+",)}))
    options: EngineOptions = field(default_factory=lambda: EngineOptions(grace_s=2.0))
    prices: PriceBook | None = None
    ledger: Ledger | None = None
    breakers: Breakers | None = None
    ask: frozenset[str] = frozenset()
    counter: TokenCounter | None = None
    windows: Windows | None = None

    @property
    def runners(self) -> dict[str, ScriptedRunner]:
        return {runner.name: runner for runner in (self.runner, *self.others)}

    @property
    def parts(self) -> Parts:
        return Parts(
            store=self.store,
            clock=self.clock,
            sandbox=self.sandbox,
            tools={adapter.spec.name: adapter for adapter in self.tools},
            runners=self.runners,
            library=self.library,
            sweeper=self.sweeper,
            models=lambda: self.models,
            order=tuple(self.runners),
            ask=self.ask,
            prices=self.prices,
            ledger=self.ledger,
            breakers=self.breakers,
            counter=self.counter,
            windows=self.windows,
        )

    def engine(self) -> Engine:
        return Engine(self.parts, self.options)

    def draft(self, *steps: StepSpec, **more: Unpack[Whole]) -> Draft:
        return Draft(path=str(self.project), steps=steps, strategy=StrategyName.PARALLEL, **more)

    async def run(self, draft: Draft) -> Execution:
        """Carry a draft out in an engine of its own, until it rests."""
        async with self.engine() as engine:
            return await rested(engine, await engine.execute(draft))


async def rested(engine: Engine, execution: Execution) -> Execution:
    """The execution once it rests."""
    with anyio.fail_after(WAIT_S):
        execution = await engine.wait(execution.id, WAIT_S)
    assert execution.status not in ACTIVE
    return execution


async def until(engine: Engine, execution: Execution, met: Callable[[Execution], bool]) -> Execution:
    """The execution once it is as wanted."""
    with anyio.fail_after(WAIT_S):
        while not met(execution):
            execution = await engine.wait(execution.id, WAIT_S, execution.revision)
    return execution


async def soon(
    rig: Rig, engine: Engine, execution: Execution, met: Callable[[Execution], bool], by: float = 1.0
) -> Execution:
    """The execution once it is as wanted, while the rig's clock goes on by a second or more at a time."""
    with anyio.fail_after(WAIT_S):
        while not met(execution := await engine.show(execution.id)):
            rig.clock.advance(by)
            await anyio.wait_all_tasks_blocked()
            await engine.wait(execution.id, 0.02, execution.revision)
    return execution


async def quiet() -> None:
    """Wait until every task waits for something."""
    with anyio.fail_after(WAIT_S):
        await anyio.wait_all_tasks_blocked()


async def came(event: anyio.Event) -> None:
    """Wait for an event, but not for ever."""
    with anyio.fail_after(WAIT_S):
        await event.wait()


def asked(runner: ScriptedRunner) -> list[str]:
    """The steps that a runner was asked for, in order; the question of a trial has a mark."""
    return [f"{task.step.id}?" if task.prompt == ASK else task.step.id for task in runner.tasks]


def statuses(execution: Execution) -> dict[str, str]:
    return {name: str(step.status) for name, step in execution.steps.items()}


def values(execution: Execution) -> dict[str, JsonValue]:
    return {name: step.output.value for name, step in execution.steps.items() if step.output is not None}


def shown(rig: Rig) -> dict[str, str]:
    """The outputs in the newest prompt, by step."""
    return {item.step: item.text for item in rig.library.briefs[-1].outputs}


def failures(execution: Execution) -> dict[str, str]:
    return {name: step.failure.code for name, step in execution.steps.items() if step.failure is not None}


async def kinds(store: Store, execution: Execution) -> list[str]:
    return [event.kind for event in await capture_events(store, execution.id)]


async def check_record(store: Store, execution_id: str) -> Execution:
    """The execution on record, which must be the fold of its events, numbered without gaps."""
    numbered = await store.events(execution_id, 0, 1_000_000)
    assert [number for number, _ in numbered] == list(range(1, len(numbered) + 1))
    execution = await store.read(execution_id)
    assert fold(None, [event for _, event in numbered]) == execution
    return execution


class Held:
    """A reply of the scripted runner that waits until it is let go, and says whether it was stopped."""

    def __init__(self, result: AgentResult = DONE) -> None:
        self.result = result
        self.begun, self.let_go, self.stopped = anyio.Event(), anyio.Event(), anyio.Event()

    async def __call__(self, task: AgentTask, host: AgentHost) -> AgentResult:
        del task, host
        self.begun.set()
        try:
            await self.let_go.wait()
        except anyio.get_cancelled_exc_class():
            self.stopped.set()
            raise
        return self.result


class Crowd:
    """A reply that counts how many of its callers are under way at once."""

    def __init__(self) -> None:
        self.under_way = self.most = 0

    async def __call__(self, task: AgentTask, host: AgentHost) -> AgentResult:
        del task, host
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await anyio.wait_all_tasks_blocked()
        self.under_way -= 1
        return DONE


Act = Callable[[Mapping[str, JsonValue], Workbench], Awaitable[ToolResult]]


async def echo(arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
    del bench
    return ToolResult(value=dict(arguments))


class HeldTool:
    """What a scripted tool does that waits until it is let go."""

    def __init__(self) -> None:
        self.begun, self.let_go = anyio.Event(), anyio.Event()

    async def __call__(self, arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        self.begun.set()
        await self.let_go.wait()
        return await echo(arguments, bench)


def adapter(
    name: str,
    act: Act = echo,
    *,
    mode: Mode | None = Mode.READ,
    changes: bool = False,
    timeout_s: float = 60.0,
    schema: dict[str, JsonValue] | None = None,
) -> ScriptedTool:
    spec = ToolSpec(
        name=name,
        description=f"Does {name}.",
        input_schema=schema or {"type": "object"},
        mode=mode,
        changes=changes,
        timeout_s=timeout_s,
    )
    return ScriptedTool(spec, act)


def failing(code: str, message: str = "It failed.") -> AgentResult:
    return AgentResult(failure=Failure(code, message))
