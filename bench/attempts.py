"""The programs that measure an attempt on `command` beyond what its program takes; see `bench.programs`."""

import resource
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
from pydantic import JsonValue

from bench import workload
from bench.children import Numbers
from bench.figures import percentile
from bench.runtimes import STALL_S, environ
from engine_mcp.core.agent import AgentResult, AgentTask
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.route import Route
from engine_mcp.core.tool import Health
from engine_mcp.ports import AgentHost, Runner
from engine_mcp.runners.command import CommandRunner
from engine_mcp.runners.command_template import load

PROGRAM = "true"
TEMPLATE: JsonValue = {"argv": [PROGRAM], "modes": {"read": []}, "probe": []}


class _Timed:
    """A runner that notes when each attempt begins, and how long it takes."""

    def __init__(self, inner: Runner) -> None:
        self._inner, self.name = inner, inner.name
        self.tells_cost, self.bounds = inner.tells_cost, inner.bounds
        self.begun: list[float] = []
        self.took: list[float] = []

    async def run(self, task: AgentTask, host: AgentHost) -> AgentResult:
        self.begun.append(time.perf_counter())
        result = await self._inner.run(task, host)
        self.took.append(time.perf_counter() - self.begun[-1])
        return result

    def objection(self, step: StepSpec) -> str:
        return self._inner.objection(step)

    def route(self, model: str | None) -> Route:
        return self._inner.route(model)

    async def health(self, *, fresh: bool = False) -> Health:
        return await self._inner.health(fresh=fresh)


async def engine_attempts(work: dict[str, Any]) -> Numbers:
    """Attempts on `command`, one after another: milliseconds each, and processor time."""
    folder, count = Path(work["folder"]), work["attempts"]
    timed = _Timed(CommandRunner("command", load(TEMPLATE), environ=environ(folder), stall_s=STALL_S))
    async with workload.engine(folder, timed) as opened:
        await workload.complete(opened, workload.chain(folder, 3), 1)
        timed.begun.clear()
        timed.took.clear()
        before = _cpu_s()
        await workload.complete(opened, workload.chain(folder, count), 1)
        used = [after - then for after, then in zip(_cpu_s(), before, strict=True)]
    attempts = [after - then for then, after in pairwise(timed.begun)]
    return {
        **_spread("runner", timed.took),
        **_spread("attempt", attempts),
        "own_cpu_ms": used[0] / count * 1000,
        "all_cpu_ms": sum(used) / count * 1000,
    }


async def bare_attempts(work: dict[str, Any]) -> Numbers:
    """The same program, only run."""
    found: list[float] = []
    given = environ(Path(work["folder"]))
    await anyio.run_process([PROGRAM], env=given)
    before = _cpu_s()
    for _ in range(work["attempts"]):
        started = time.perf_counter()
        await anyio.run_process([PROGRAM], env=given)
        found.append(time.perf_counter() - started)
    used = [after - then for after, then in zip(_cpu_s(), before, strict=True)]
    count = work["attempts"]
    return {
        **_spread("attempt", found),
        "own_cpu_ms": used[0] / count * 1000,
        "all_cpu_ms": sum(used) / count * 1000,
    }


def _spread(name: str, found: list[float]) -> Numbers:
    return {f"{name}_p{percent}_ms": percentile(found, percent) * 1000 for percent in (50, 95)}


def _cpu_s() -> tuple[float, float]:
    """Seconds of processor time of this process, and of its children that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime, children.ru_utime + children.ru_stime
