"""Code mode: a warm start against the bare engine, host calls, late kills, and the memory of many.

Milliseconds, MiB and calls per second; every ratio comes from one run on one machine.
"""

import importlib
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import cast

import anyio
import anyio.to_thread
import psutil

from bench.children import Numbers
from bench.figures import percentile
from engine_mcp.core.script import HostAnswer, HostCall, Outcome, Script, ScriptLimits
from engine_mcp.sandbox.binding import Engine
from engine_mcp.sandbox.pool import SandboxOptions, SandboxPool
from engine_mcp.sandbox.stock import StockOptions

ENGINE = cast("Engine", importlib.import_module("_quickjs"))

# Long enough for the pool to be full again: what is measured is a warm start, not a queue.
GAP_S = 0.015
AT_ONCE = 100
WALL_S = 0.1
ONE_AND_ONE = Script(code="return 1+1")
MANY = ScriptLimits(max_calls=100_000)
PATIENCE_S = 60


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


async def warm_start(rounds: int) -> Numbers:
    """`1+1` in a fresh, hardened child, against the bare engine in a thread; taken in turns."""
    ours: list[float] = []
    theirs: list[float] = []
    async with SandboxPool() as pool:
        await pool.run(ONE_AND_ONE, Host())
        for _ in range(rounds):
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


async def empty_pool(rounds: int) -> Numbers:
    """`1+1` with no child ready, and the first one of all."""
    async with SandboxPool(SandboxOptions(stock=StockOptions(ready=0))) as pool:
        first = await timed(partial(pool.run, ONE_AND_ONE, Host()))
        found: list[float] = []
        for _ in range(rounds // 2):
            await anyio.sleep(GAP_S)
            found.append(await timed(partial(pool.run, ONE_AND_ONE, Host())))
    return {"first_result_ms": first, "empty_pool_p50_ms": statistics.median(found)}


async def host_calls(calls: int) -> Numbers:
    """Calls per second of one script: one after another, and many in flight."""
    async with SandboxPool(SandboxOptions(max_in_flight=AT_ONCE)) as pool:
        codes = (sequential(calls), parallel(5 * calls, AT_ONCE))
        rates = [await rate(pool, code) for code in codes]
    return {"sequential_per_s": rates[0], "in_flight_per_s": rates[1]}


def sequential(calls: int) -> str:
    """A script that makes one call after another."""
    return f"for (let i = 0; i < {calls}; i++) await tools.echo({{ i }})"


def parallel(calls: int, in_flight: int) -> str:
    """A script that always has `in_flight` calls under way."""
    return f"""
        let i = 0
        const worker = async () => {{ while (i++ < {calls}) await tools.echo({{ i }}) }}
        await Promise.all(Array.from({{ length: {in_flight} }}, worker))
    """


async def rate(pool: SandboxPool, code: str) -> float:
    """Host calls per second of this code."""
    result = await pool.run(Script(code=code, tools=("echo",), limits=MANY), Host())
    if result.outcome is not Outcome.VALUE:
        raise RuntimeError(f"the script did not end as it should: {result}")
    return result.usage.calls / result.usage.wall_ms * 1000


async def kill_overshoot(rounds: int) -> Numbers:
    """How long after the wall deadline a run is over: in a regular expression, and in an idle host call."""
    numbers: Numbers = {}
    for name, code in (
        ("regexp", "/^(a+)+$/.test('a'.repeat(40) + 'b')"),
        ("idle_call", "await tools.gate({})"),
    ):
        script = Script(code=code, tools=("gate",), limits=ScriptLimits(wall_s=WALL_S))
        late: list[float] = []
        async with SandboxPool() as pool:
            await pool.run(ONE_AND_ONE, Host())
            for _ in range(rounds):
                await anyio.sleep(GAP_S)
                late.append(await timed(partial(pool.run, script, Host())) - WALL_S * 1000)
        numbers[f"{name}_p50_ms"] = statistics.median(late)
        numbers[f"{name}_p99_ms"] = percentile(late, 99)
    return numbers


async def hundred_sandboxes() -> Numbers:
    """Memory of a hundred scripts at once, their zygote included (proportional set size)."""
    host = Host()
    script = Script(code="await tools.gate({})", tools=("gate",))
    kib = 0
    options = SandboxOptions(concurrency=AT_ONCE, stock=StockOptions(ready=0))
    async with SandboxPool(options) as pool, anyio.create_task_group() as runs:
        for _ in range(AT_ONCE):
            runs.start_soon(pool.run, script, host)
        with anyio.fail_after(PATIENCE_S):
            await host.everybody.wait()
        kib = sum(proportional_kib(process.pid) for process in psutil.Process().children(recursive=True))
        host.open.set()
    return {"pss_mib": kib / 1024}


def proportional_kib(pid: int) -> int:
    """The memory of a process, what it shares counted in part; 0 where the kernel does not tell."""
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    try:
        lines = rollup.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
