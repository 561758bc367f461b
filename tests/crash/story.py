"""The work that is killed again and again, how a process goes on with it, and what must hold at its end."""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import anyio
from pydantic import JsonValue

from engine_mcp.core.event import AttemptStarted, AttemptSucceeded, Event
from engine_mcp.core.execution import Execution, ExecutionStatus
from engine_mcp.core.graph import output_of
from engine_mcp.core.listing import Query
from engine_mcp.core.plan import Draft, Mode, Permissions, StepSpec
from engine_mcp.core.request import Resume
from engine_mcp.core.tool import ToolResult, ToolSpec
from engine_mcp.engine.clock import SystemClock
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.outputs import INLINE
from engine_mcp.engine.parts import EngineOptions, Parts
from engine_mcp.ports import Workbench
from engine_mcp.sandbox.pool import SandboxOptions, SandboxPool
from engine_mcp.sandbox.stock import StockOptions
from engine_mcp.store.codec import encode_event
from engine_mcp.store.disk import Disk
from engine_mcp.store.files import FileStore
from engine_mcp.testing import PlainLibrary, ScriptedTool

RUN_S = 20.0
WRITE = Permissions(mode=Mode.WRITE)

LOOP = """
    let last = 0
    for (let n = 0; n < 4; n++) last = (await tools.mark({ name: 'loop' + n })).length
    return { last, draw: Math.random() < 1 }
"""

Say = Callable[[str], None]


def marking(name: str, *needs: str) -> StepSpec:
    return StepSpec(id=name, tool="mark", arguments={"name": name}, depends_on=needs, permissions=WRITE)


def draft(root: Path) -> Draft:
    """One effect after another, so that no more than one can be under way when the process dies."""
    steps = (
        marking("first"),
        StepSpec(id="loop", code=LOOP, depends_on=("first",), permissions=WRITE),
        StepSpec(id="large", code=f"return 'x'.repeat({INLINE})", depends_on=("loop",)),
        marking("last", "large"),
        StepSpec(id="end", code="return outputs.large.length + outputs.last", depends_on=("large", "last")),
    )
    return Draft(path=str(root), steps=steps)


RESULT = f"{INLINE}last"
EFFECTS = ("first", "loop0", "loop1", "loop2", "loop3", "last")


def mark(root: Path) -> ScriptedTool:
    """A tool with an effect that can be counted: it adds a line to a file."""

    async def act(arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        name = str(arguments["name"])
        if name == "last":
            await bench.keep(name.encode(), name="mark", media_type="text/plain")
        _add(root / "effects", name)
        return ToolResult(value=name)

    spec = ToolSpec(
        name="mark",
        description="Adds a line to a file.",
        input_schema={"type": "object", "required": ["name"]},
        mode=Mode.WRITE,
        changes=True,
    )
    return ScriptedTool(spec, act)


def _add(path: Path, line: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def store_of(root: Path, disk: Disk | None = None) -> FileStore:
    return FileStore(root / ".engine-mcp", clock=SystemClock(), owner="", version="1", disk=disk)


def told(number: int, event: Event) -> str:
    """How a process says that an event counts."""
    return f"{number} {sha256(encode_event(event)).hexdigest()[:16]}"


async def drive(root: Path, say: Say, disk: Disk | None = None) -> str:
    """Go on with the work, or begin it, until it rests; says each event once it counts.

    Gives the status and the reason for it.
    """
    stock = StockOptions(ready=1)
    async with SandboxPool(SandboxOptions(stock=stock)) as sandbox:
        store, tool = store_of(root, disk), mark(root)
        parts = Parts(
            library=PlainLibrary(), store=store, clock=SystemClock(), sandbox=sandbox, tools={"mark": tool}
        )
        async with Engine(parts, EngineOptions()) as engine:
            with anyio.fail_after(RUN_S):
                execution = await _begun(engine, root)
                async for number, event in engine.follow(execution.id):
                    say(told(number, event))
                execution = await engine.show(execution.id)
    return f"{execution.status} {execution.reason}"


async def _begun(engine: Engine, root: Path) -> Execution:
    page = await engine.list(Query())
    if not page.rows:
        return await engine.execute(draft(root))
    execution = await engine.show(page.rows[0].id)
    if execution.status is ExecutionStatus.COMPLETED:
        return execution
    return await engine.resume(execution.id, Resume())


@dataclass(frozen=True)
class Seen:
    """What was told by all the processes, and how many of them were killed."""

    acknowledged: tuple[str, ...]
    kills: int


async def prove(root: Path, seen: Seen) -> None:
    """Raise AssertionError unless the work has ended as if nothing had happened."""
    store = store_of(root)
    page = await store.list(Query())
    assert page.total == 1, f"{page.total} executions"
    assert await store.damaged() == {}
    execution = await store.read(page.rows[0].id)
    events = await store.events(execution.id, 0, 100_000)
    assert [number for number, _ in events] == list(range(1, execution.revision + 1))
    lost = set(seen.acknowledged) - {told(number, event) for number, event in events}
    assert not lost, f"acknowledged and lost: {lost}"
    assert execution.status is ExecutionStatus.COMPLETED, f"{execution.status} {execution.reason}"
    output = output_of(execution)
    assert output is not None
    assert output.value == RESULT, f"{output.value}"
    _prove_effects(root, seen)
    again = _repeated([event for _, event in events])
    assert again == [], f"completed and run again: {again}"
    await _prove_tidiness(store, execution.id)


async def _prove_tidiness(store: FileStore, execution_id: str) -> None:
    _, log = await store.open(execution_id)
    await log.close()
    left = [str(path) async for path in anyio.Path(store.place(execution_id)).parent.rglob("*.tmp")]
    assert left == [], f"left behind: {left}"


def _prove_effects(root: Path, seen: Seen) -> None:
    made = Counter((root / "effects").read_text(encoding="utf-8").split())
    assert set(made) == set(EFFECTS)
    extra = made.total() - len(EFFECTS)
    assert extra <= seen.kills, f"{extra} repeated effects after {seen.kills} kills: {made}"


def _repeated(events: list[Event]) -> list[str]:
    done: set[str] = set()
    again: list[str] = []
    for event in events:
        if isinstance(event, AttemptSucceeded):
            done.add(event.step)
        elif isinstance(event, AttemptStarted) and event.step in done:
            again.append(event.step)
    return again
