"""The programs that measure the engine, each in a process of its own.

`python -m bench.programs '{"program": "throughput", "folder": ..., "steps": ..., ...}'` runs one of them
and prints its numbers as JSON.
"""

import gc
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import psutil
from pydantic import JsonValue

from bench import attempts, code_mode, deciding, runtimes, spending, workload
from bench.children import Numbers
from engine_mcp.core.agent import AgentResult, AgentTask
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import ExecutionStatus, StopMode
from engine_mcp.core.plan import Draft, Mode
from engine_mcp.core.request import Resume
from engine_mcp.core.script import ScriptLimits
from engine_mcp.core.tool import ToolResult, ToolSpec
from engine_mcp.ports import Workbench
from engine_mcp.store.snapshot import NAME as SNAPSHOT
from engine_mcp.testing import ScriptedTool, capture_events

WINDOW = 50
MIB = 1 << 20


async def throughput(work: dict[str, Any]) -> Numbers:
    """Steps per second over many executions, after a warm-up; and processor time per step."""
    folder, steps, count = Path(work["folder"]), work["steps"], work["executions"]
    draft = workload.chain(folder, steps)
    async with workload.engine(folder, workload.runner(steps), work["at_once"]) as engine:
        await workload.complete(engine, draft, work["at_once"])
        started, cpu = time.perf_counter(), time.process_time()
        await workload.complete(engine, draft, count)
        took, used = time.perf_counter() - started, time.process_time() - cpu
    return {"steps_per_s": count * steps / took, "cpu_us_per_step": used / (count * steps) * 1e6}


async def growth(work: dict[str, Any]) -> Numbers:
    """What a step costs early and late in one long execution, in milliseconds from start to start.

    Medians of the first steps and of the last; the same for processor time. And means of the first and the
    last tenth of all steps, in which what happens only now and then counts too: new segments, snapshots.
    """
    folder, steps = Path(work["folder"]), work["steps"]
    begun: list[tuple[float, float]] = []

    async def reply(_: AgentTask, __: object) -> AgentResult:
        begun.append((time.perf_counter(), time.process_time()))
        return AgentResult(output=workload.RESULT)

    async with workload.engine(folder, workload.runner(steps, reply)) as engine:
        await workload.complete(engine, workload.chain(folder, 20), 2)
        begun.clear()
        await workload.complete(engine, workload.chain(folder, steps), 1)
    wall, cpu = (
        [(after - before) * 1000 for before, after in pairwise(times)] for times in zip(*begun, strict=True)
    )
    tenth = len(wall) // 10
    return {
        "early_ms": statistics.median(wall[:WINDOW]),
        "late_ms": statistics.median(wall[-WINDOW:]),
        "early_cpu_ms": statistics.median(cpu[:WINDOW]),
        "late_cpu_ms": statistics.median(cpu[-WINDOW:]),
        "first_tenth_ms": statistics.mean(wall[:tenth]),
        "last_tenth_ms": statistics.mean(wall[-tenth:]),
    }


async def memory(work: dict[str, Any]) -> Numbers:
    """Resident memory after a tenth of the steps and after all of them, in MiB."""
    folder, steps, count = Path(work["folder"]), work["steps"], work["executions"]
    scripted = workload.runner(steps)
    sizes: list[float] = []
    async with workload.engine(folder, scripted, work["at_once"]) as engine:
        for _ in range(10):
            await workload.complete(engine, workload.chain(folder, steps), count // 10)
            scripted.tasks.clear()
            gc.collect()
            sizes.append(psutil.Process().memory_info().rss / MIB)
    return {"after_tenth_mib": sizes[0], "after_all_mib": sizes[-1]}


async def interrupted(work: dict[str, Any]) -> Numbers:
    """Leave a long execution behind that was stopped in its last step; no numbers."""
    steps = work["steps"]
    last = anyio.Event()

    async def never(_: AgentTask, __: object) -> AgentResult:
        last.set()
        await anyio.sleep_forever()
        raise AssertionError

    folder, scripted = Path(work["record"]), workload.runner(steps)
    scripted.replies = {**scripted.replies, workload.names(steps)[-1]: [never]}
    async with workload.engine(folder, scripted) as engine:
        name = (await engine.execute(workload.chain(folder, steps))).id
        with anyio.fail_after(workload.WAIT_S):
            await last.wait()
        await engine.interrupt(name, StopMode.NOW, "measured")
    (folder / "name").write_text(name, encoding="utf-8")
    return {}


async def resumed(work: dict[str, Any]) -> Numbers:
    """Milliseconds from the request to go on until the next step begins, in a fresh process.

    `journal` drops the snapshot first, so that every event is read and folded. The execution is stopped
    again in its last step. And milliseconds for folding all events that are in memory.
    """
    folder, steps = Path(work["record"]), work["steps"]
    name = (folder / "name").read_text(encoding="utf-8")
    if work["journal"]:
        (folder / ".engine-mcp" / "executions" / name / SNAPSHOT).unlink()
    going = anyio.Event()

    async def goes_on(_: AgentTask, __: object) -> AgentResult:
        going.set()
        await anyio.sleep_forever()
        raise AssertionError

    scripted = workload.runner(steps)
    scripted.replies = {workload.names(steps)[-1]: [goes_on]}
    async with workload.engine(folder, scripted) as engine:
        started = time.perf_counter()
        await engine.resume(name, Resume())
        with anyio.fail_after(workload.WAIT_S):
            await going.wait()
        took = time.perf_counter() - started
        await engine.interrupt(name, StopMode.NOW, "measured")
        events = await capture_events(engine.parts.store, name)
    began = time.perf_counter()
    fold(None, events)
    return {"resume_ms": took * 1000, "fold_ms": (time.perf_counter() - began) * 1000}


async def recorded_calls(work: dict[str, Any]) -> Numbers:
    """Host calls per second of one script through the engine, each on record: in turn, and many in flight."""
    count, in_flight = work["calls"], work["in_flight"]

    async def echo(arguments: Mapping[str, JsonValue], _: Workbench) -> ToolResult:
        return ToolResult(value=dict(arguments))

    spec = ToolSpec(name="echo", description="", input_schema={}, mode=Mode.READ, requests=0)
    numbers: Numbers = {}
    async with workload.scripting_engine(Path(work["folder"]), ScriptedTool(spec, echo), in_flight) as engine:
        for name, code in (
            ("sequential_per_s", code_mode.sequential(count)),
            ("in_flight_per_s", code_mode.parallel(count, in_flight)),
        ):
            draft = Draft(path=work["folder"], code=code, limits=ScriptLimits(max_calls=2 * count))
            ended = await engine.wait((await engine.execute(draft)).id, workload.WAIT_S)
            if ended.status is not ExecutionStatus.COMPLETED:
                raise RuntimeError(f"the script is {ended.status}: {ended.steps}")
            numbers[name] = count / ended.usage.seconds
    return numbers


Program = Callable[[dict[str, Any]], Awaitable[Numbers]]
PROGRAMS: Mapping[str, Program] = {
    program.__name__: program
    for program in (
        throughput,
        growth,
        memory,
        interrupted,
        resumed,
        recorded_calls,
        runtimes.engine_streams,
        runtimes.bare_streams,
        attempts.engine_attempts,
        attempts.bare_attempts,
        deciding.decisions,
        spending.shared_budget,
    )
}


def main() -> None:
    """Run the program that is asked for."""
    work = json.loads(sys.argv[1])
    print(json.dumps(workload.run(partial(PROGRAMS[work["program"]], work))))


if __name__ == "__main__":
    main()
