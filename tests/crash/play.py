"""One process of the engine over real files: starts the only execution of a folder, or goes on with it."""

import json
import os
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anyio
from pydantic import JsonValue

from engine_mcp.core.execution import Execution, ExecutionStatus
from engine_mcp.core.listing import Query
from engine_mcp.core.plan import Draft, Permissions, StepSpec
from engine_mcp.core.request import Resume
from engine_mcp.core.tool import ToolResult, ToolSpec
from engine_mcp.engine.clock import SystemClock
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.parts import EngineOptions, Parts
from engine_mcp.ports import Sandbox, Workbench
from engine_mcp.sandbox.pool import SandboxPool
from engine_mcp.store.disk import Disk
from engine_mcp.store.files import FileStore
from engine_mcp.testing import NoSandbox, ScriptedTool
from tests.store.disks import WRITING, WatchedDisk

T = TypeVar("T")
LARGE = 40_000
SEVERAL_CALLS = """
  for (const turn of [1, 2, 3]) {
    await tools.mark({ name: `s${turn}`, size: 1 });
    await Promise.all([sleep(1), sleep(2)]);
  }
  return Math.random();
"""

MARK = ToolSpec(
    name="mark",
    description="Leave a mark outside the record.",
    input_schema={"type": "object", "required": ["name", "size"]},
    changes=True,
)


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is to do: where, with which steps, and at which file operation it dies, if at any.

    `when` is before, after or half (of a write).
    """

    folder: Path
    scripts: bool = False
    at: int = 0
    when: str = "before"


class DeadlyDisk(WatchedDisk):
    """Kills its own process at one of its file operations."""

    def __init__(self, at: int, when: str) -> None:
        super().__init__()
        self._at, self._when, self._count = at, when, 0
        self._turn = threading.Lock()

    def act(self, operation: str, path: Path, do: Callable[[], T]) -> T:
        with self._turn:
            self._count += operation in WRITING
            here = operation in WRITING and self._count == self._at
        if here and self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = super().act(operation, path, do)
        if here:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def write(self, descriptor: int, content: bytes | memoryview) -> int:
        half = self._when == "half" and self._count + 1 == self._at
        return super().write(descriptor, content[: len(content) // 2 + 1] if half else content)


def steps(*, scripts: bool) -> tuple[StepSpec, ...]:
    """A diamond of marks with one large output; with `scripts`, its waist is a script that makes marks."""
    waist = (
        StepSpec(
            id="s", code=SEVERAL_CALLS, depends_on=("a",), permissions=Permissions(allowed_tools=("mark",))
        )
        if scripts
        else mark("s", "a")
    )
    return (mark("a"), mark("b", "a", size=LARGE), waist, mark("c", "b", "s"))


def mark(name: str, *needs: str, size: int = 1) -> StepSpec:
    return StepSpec(id=name, tool="mark", arguments={"name": name, "size": size}, depends_on=needs)


def play(order: Order) -> bool:
    """Whether the execution has completed; every event that counts is written to `acks` at once."""
    return anyio.run(_play, order)


async def _play(order: Order) -> bool:
    async with _engine(order) as engine:
        execution = await _begun(engine, order)
        with (order.folder / "acks").open("ab", buffering=0) as acks:
            async for number, event in engine.follow(execution.id):
                acks.write(json.dumps([execution.id, number, event.kind]).encode() + b"\n")
        return (await engine.show(execution.id)).status is ExecutionStatus.COMPLETED


async def _begun(engine: Engine, order: Order) -> Execution:
    rows = (await engine.list(Query())).rows
    if rows and rows[0].status is ExecutionStatus.COMPLETED:
        return await engine.show(rows[0].id)
    if rows:
        return await engine.resume(rows[0].id, Resume())
    draft = Draft(path=str(order.folder), steps=steps(scripts=order.scripts), idempotency_key="once")
    return await engine.execute(draft)


@asynccontextmanager
async def _engine(order: Order) -> AsyncGenerator[Engine]:
    async def leave(arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        del bench
        with (order.folder / "marks").open("ab", buffering=0) as marks:
            marks.write(f"{arguments['name']}\n".encode())
        size = arguments["size"]
        return ToolResult(value="x" * size if isinstance(size, int) else None)

    disk = DeadlyDisk(order.at, order.when) if order.at else Disk()
    store = FileStore(order.folder / "state", clock=SystemClock(), owner="", version="1", disk=disk)
    tools = {"mark": ScriptedTool(MARK, leave)}
    async with _sandbox(order) as sandbox:
        parts = Parts(store=store, clock=SystemClock(), sandbox=sandbox, tools=tools)
        with closing(store):
            async with Engine(parts, EngineOptions()) as engine:
                yield engine


@asynccontextmanager
async def _sandbox(order: Order) -> AsyncGenerator[Sandbox]:
    if not order.scripts:
        yield NoSandbox()
        return
    async with SandboxPool() as pool:
        yield pool
