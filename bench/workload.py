"""Chains of no-op steps on the real engine and the real record: what our own programs measure with."""

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anyio

from engine_mcp import __version__
from engine_mcp.core.agent import AgentResult
from engine_mcp.core.brief import Brief, Prompt
from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.core.models import Models
from engine_mcp.core.plan import Draft, StepSpec
from engine_mcp.engine.clock import SystemClock
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.memory import settle
from engine_mcp.engine.parts import EngineOptions, Parts
from engine_mcp.ports import Breakers, Ledger, PriceBook, Runner, ToolAdapter
from engine_mcp.sandbox.pool import SandboxOptions, SandboxPool
from engine_mcp.store.files import FileStore
from engine_mcp.testing import NoSandbox, PlainLibrary, Reply, ScriptedRunner

RESULT = "x" * 200
DONE = AgentResult(output=RESULT)
WAIT_S = 120
T = TypeVar("T")


class Forgetful(PlainLibrary):
    """A library that does not remember what it was asked: a measurement of memory would count that."""

    async def prompt(self, brief: Brief) -> Prompt:
        """The brief, line by line."""
        prompt = await super().prompt(brief)
        self.briefs.clear()
        return prompt


def names(steps: int) -> list[str]:
    """The ids of the steps of a chain."""
    return [f"step{number}" for number in range(steps)]


def chain(folder: Path, steps: int) -> Draft:
    """A plan of `steps` steps in a row."""
    ids = names(steps)
    before = [(), *((name,) for name in ids)]
    return Draft(
        path=str(folder),
        steps=tuple(
            StepSpec(id=name, task="nothing", depends_on=deps)
            for name, deps in zip(ids, before, strict=False)
        ),
    )


def runner(steps: int, reply: Reply = DONE) -> ScriptedRunner:
    """A runner that answers each step of a chain in this way."""
    replies = [reply]
    return ScriptedRunner(replies=dict.fromkeys(names(steps), replies))


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """The parts of an engine that know of money; without them nothing is priced, and nothing shared."""

    prices: PriceBook | None = None
    ledger: Ledger | None = None
    breakers: Breakers | None = None


NO_MONEY = Money()


@asynccontextmanager
async def engine(
    folder: Path,
    runner: Runner,
    at_once: int = 1,
    models: Callable[[], Models] = Models,
    *,
    each: int = 1,
    money: Money = NO_MONEY,
) -> AsyncGenerator[Engine]:
    """The engine over the record in `folder`, for so many executions at once with `each` attempts."""
    clock = SystemClock()
    store = FileStore(folder / ".engine-mcp", clock=clock, owner="", version=__version__)
    parts = Parts(
        library=Forgetful(),
        store=store,
        clock=clock,
        sandbox=NoSandbox(),
        runners={runner.name: runner},
        order=(runner.name,),
        models=models,
        prices=money.prices,
        ledger=money.ledger,
        breakers=money.breakers,
    )
    options = EngineOptions(executions=at_once, steps=at_once * each, recover=False)
    async with Engine(parts, options) as opened:
        settle()
        yield opened
    store.close()


@asynccontextmanager
async def scripting_engine(folder: Path, tool: ToolAdapter, in_flight: int) -> AsyncGenerator[Engine]:
    """The engine over the record in `folder`, with a sandbox whose scripts may call that tool."""
    clock = SystemClock()
    store = FileStore(folder / ".engine-mcp", clock=clock, owner="", version=__version__)
    async with SandboxPool(SandboxOptions(max_in_flight=in_flight)) as pool:
        parts = Parts(
            library=PlainLibrary(), store=store, clock=clock, sandbox=pool, tools={tool.spec.name: tool}
        )
        async with Engine(parts, EngineOptions(recover=False)) as opened:
            yield opened
    store.close()


async def complete(opened: Engine, draft: Draft, count: int) -> None:
    """Carry the plan out `count` times, as many at once as the engine takes."""
    async with anyio.create_task_group() as waits:
        for _ in range(count):
            waits.start_soon(_completed, opened, (await opened.execute(draft)).id)


async def _completed(opened: Engine, name: str) -> None:
    ended = await opened.wait(name, WAIT_S)
    if ended.status is not ExecutionStatus.COMPLETED:
        raise RuntimeError(f"{name} is {ended.status}: {ended.reason}")


def run(program: Callable[[], Awaitable[T]]) -> T:
    """Run a program on the loop that the server uses."""
    return anyio.run(program, backend_options={"use_uvloop": sys.platform != "win32"})
