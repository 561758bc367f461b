"""Figures of code mode, each a few seconds: `python bench/code_mode.py` prints them as JSON.

Milliseconds, MiB and calls per second; every ratio comes from one run on one machine.
"""

import importlib
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import anyio
import anyio.to_thread
import psutil

from engine_mcp.core.script import HostAnswer, HostCall, Outcome, Script, ScriptLimits
from engine_mcp.sandbox.binding import Engine
from engine_mcp.sandbox.pool import SandboxOptions, SandboxPool
from engine_mcp.sandbox.stock import StockOptions

Figures = dict[str, float]
ENGINE = cast("Engine", importlib.import_module("_quickjs"))

ROUNDS = 150
# Long enough for the pool to be full again: what is measured is a warm start, not a queue.
GAP_S = 0.015
CALLS = 2000
AT_ONCE = 100
WALL_S = 0.1
ONE_AND_ONE = Script(code="return 1+1")
MANY = ScriptLimits(max_calls=10 * CALLS)


class Host:
    """Answers at once; `gate` waits until it is open, and counts who came."""

    def __init__(self) -> None:
        self.open = anyio.Event()
        self.everybody = anyio.Event()
        self.waiting = 0

    async def call(self, call: HostCall) -> HostAnswer:
        """Answer with the arguments."""
        if call.name == "gate":
            self.waiting += 1
            if self.waiting == AT_ONCE:
                self.everybody.set()
            await self.open.wait()
        return HostAnswer(value=call.arguments)

    def progress(self, done: float, total: float | None, message: str) -> None:
        """Take no notice."""


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which `percent` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds that `work` takes."""
    started = time.perf_counter()
    await work()
    return (time.perf_counter() - started) * 1000


def bare() -> object:
    """The same script without any protection: a context with limits, in this process."""
    context = ENGINE.Context()
    context.set_memory_limit(128 << 20)
    context.set_max_stack_size(512 << 10)
    return context.eval("1+1")


async def warm_start() -> Figures:
    """`1+1` in a fresh, hardened child, against the bare engine in a thread; taken in turns."""
    ours: list[float] = []
    theirs: list[float] = []
    async with SandboxPool() as pool:
        await pool.run(ONE_AND_ONE, Host())
        for _ in range(ROUNDS):
            await anyio.sleep(GAP_S)
            ours.append(await timed(partial(pool.run, ONE_AND_ONE, Host())))
            await anyio.sleep(GAP_S)
            theirs.append(await timed(partial(anyio.to_thread.run_sync, bare)))
    return {
        "warm_p50_ms": statistics.median(ours),
        "warm_p99_ms": percentile(ours, 99),
        "bare_thread_p50_ms": statistics.median(theirs),
        "warm_ratio_to_bare_thread": statistics.median(ours) / statistics.median(theirs),
    }


async def empty_pool() -> Figures:
    """`1+1` with no child ready, and the first one of all."""
    async with SandboxPool(SandboxOptions(stock=StockOptions(ready=0))) as pool:
        first = await timed(partial(pool.run, ONE_AND_ONE, Host()))
        found: list[float] = []
        for _ in range(ROUNDS // 2):
            await anyio.sleep(GAP_S)
            found.append(await timed(partial(pool.run, ONE_AND_ONE, Host())))
    return {"first_result_ms": first, "empty_pool_p50_ms": statistics.median(found)}


async def host_calls() -> Figures:
    """Calls per second of one script: one after another, and many in flight."""
    sequential = f"for (let i = 0; i < {CALLS}; i++) await tools.echo({{ i }})"
    parallel = f"""
        let i = 0
        const worker = async () => {{ while (i++ < {5 * CALLS}) await tools.echo({{ i }}) }}
        await Promise.all(Array.from({{ length: {AT_ONCE} }}, worker))
    """
    async with SandboxPool(SandboxOptions(max_in_flight=AT_ONCE)) as pool:
        rates = [await rate(pool, code) for code in (sequential, parallel)]
    return {"host_calls_sequential_per_s": rates[0], f"host_calls_{AT_ONCE}_in_flight_per_s": rates[1]}


async def rate(pool: SandboxPool, code: str) -> float:
    """Host calls per second of this code."""
    result = await pool.run(Script(code=code, tools=("echo",), limits=MANY), Host())
    if result.outcome is not Outcome.VALUE:
        raise RuntimeError(f"the script did not end as it should: {result}")
    return result.usage.calls / result.usage.wall_ms * 1000


async def kill_overshoot() -> Figures:
    """How long after the wall deadline a run is over: in a regular expression, and in an idle host call."""
    figures: Figures = {}
    for name, code in (
        ("regexp", "/^(a+)+$/.test('a'.repeat(40) + 'b')"),
        ("idle_call", "await tools.gate({})"),
    ):
        script = Script(code=code, tools=("gate",), limits=ScriptLimits(wall_s=WALL_S))
        late: list[float] = []
        async with SandboxPool() as pool:
            await pool.run(ONE_AND_ONE, Host())
            for _ in range(25):
                await anyio.sleep(GAP_S)
                late.append(await timed(partial(pool.run, script, Host())) - WALL_S * 1000)
        figures[f"kill_overshoot_{name}_p50_ms"] = statistics.median(late)
        figures[f"kill_overshoot_{name}_p99_ms"] = percentile(late, 99)
    return figures


async def hundred_sandboxes() -> Figures:
    """Memory of a hundred scripts at once, their zygote included (proportional set size)."""
    host = Host()
    script = Script(code="await tools.gate({})", tools=("gate",))
    kib = 0
    options = SandboxOptions(concurrency=AT_ONCE, stock=StockOptions(ready=0))
    async with SandboxPool(options) as pool, anyio.create_task_group() as runs:
        for _ in range(AT_ONCE):
            runs.start_soon(pool.run, script, host)
        await host.everybody.wait()
        kib = sum(proportional_kib(process.pid) for process in psutil.Process().children(recursive=True))
        host.open.set()
    return {f"sandboxes_{AT_ONCE}_pss_mib": kib / 1024}


def proportional_kib(pid: int) -> int:
    """The memory of a process, what it shares counted in part; 0 where the kernel does not tell."""
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    try:
        lines = rollup.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


FIGURES: tuple[Callable[[], Awaitable[Figures]], ...] = (
    warm_start,
    empty_pool,
    host_calls,
    kill_overshoot,
    hundred_sandboxes,
)


def measure(figure: Callable[[], Awaitable[Figures]]) -> Figures:
    """Measure one of `FIGURES`."""
    return anyio.run(figure)


def main() -> None:
    """Measure all and print them."""
    figures = {name: round(value, 3) for figure in FIGURES for name, value in measure(figure).items()}
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
