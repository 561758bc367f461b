"""The pool among many runs: fairness, isolation, cancellation, replacement, and what outlives it."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import psutil
import pytest

from engine_mcp.core.script import HostAnswer, HostCall, Outcome, Script, ScriptLimits, ScriptResult
from engine_mcp.errors import SandboxUnavailable
from engine_mcp.sandbox.pool import SandboxOptions, SandboxPool
from engine_mcp.sandbox.stock import StockOptions
from tests.sandbox.hosts import Host, run
from tests.sandbox.rest import LOOK_S, processes

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("warm_loop", "no_leaks")]

ROOT = Path(__file__).resolve().parents[2]
SERVER = """
import anyio
from engine_mcp.core.script import Script
from engine_mcp.sandbox.pool import SandboxPool
from tests.sandbox.hosts import Host, echo

async def called(call):
    print("running", flush=True)
    return await echo(call)

async def main():
    async with SandboxPool() as pool, anyio.create_task_group() as runs:
        await pool.run(Script(code="return 1"), Host())
        for _ in range(3):
            host = Host({"called": called})
            runs.start_soon(pool.run, Script(code="await tools.called(); for (;;);", tools=("called",)), host)

anyio.run(main)
"""


async def zygote() -> psutil.Process:
    """The one zygote, as soon as there is one."""
    with anyio.fail_after(10):
        while not (found := psutil.Process().children()):  # noqa: ASYNC110 - a process sends no event
            await anyio.sleep(LOOK_S)
    return found[0]


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - a process sends no event
            await anyio.sleep(LOOK_S)


class Gate:
    """A host call that tells when it is reached and waits until it is let go."""

    def __init__(self) -> None:
        self.reached = anyio.Event()
        self.open = anyio.Event()

    async def answer(self, _: HostCall) -> HostAnswer:
        self.reached.set()
        await self.open.wait()
        return HostAnswer(value="1")

    def script(self, code: str = "await tools.gate(); return 1") -> tuple[Script, Host]:
        return Script(code=code, tools=("gate",)), Host({"gate": self.answer})


@pytest.mark.both_loops
@pytest.mark.req("SPEC:5.starts-in-the-background")
async def test_entering_waits_for_nothing_and_leaving_leaves_nothing() -> None:
    async with SandboxPool():
        pass
    async with SandboxPool() as pool:
        assert processes() == []
        assert (await run(pool, "return 1")).value == "1"


@pytest.mark.both_loops
@pytest.mark.req("000:1.1.4", "SPEC:5.nothing-leaks", "000:L23", "000:L285", "001:L20", "001:L27")
async def test_scripts_at_once_see_nothing_of_each_other() -> None:
    code = """
        globalThis.mine = input; Object.prototype.mine = input; Array.prototype.at = () => input
        await sleep(5)
        return [mine, ({}).mine, [].at(0), Object.keys(globalThis).filter((key) => key === 'mine').length]
    """
    results: dict[int, ScriptResult] = {}

    async def one(pool: SandboxPool, number: int) -> None:
        results[number] = await run(pool, Script(code=code, input=str(number)))

    async with SandboxPool(SandboxOptions(concurrency=8)) as pool, anyio.create_task_group() as runs:
        for number in range(8):
            runs.start_soon(one, pool, number)
    assert {n: json.loads(result.value or "") for n, result in results.items()} == {
        n: [n, n, n, 1] for n in range(8)
    }


@pytest.mark.req("000:1.1.4")
async def test_scripts_that_are_killed_do_not_disturb_the_others() -> None:
    harm = [
        "for (;;);",
        "const a = []; for (;;) a.push(new Uint8Array(1e6).fill(1))",
        "await tools.call('never')",
    ]
    outcomes: list[Outcome] = []
    limits = ScriptLimits(memory_mb=32, cpu_s=0.3, wall_s=2.5)

    async def one(pool: SandboxPool, code: str) -> None:
        outcomes.append((await run(pool, Script(code=code, limits=limits))).outcome)

    async with SandboxPool() as pool, anyio.create_task_group() as runs:
        for code in [*harm, "await sleep(200); return 1", *harm, "await sleep(200); return 1"]:
            runs.start_soon(one, pool, code)
    expected = [Outcome.CPU_LIMIT, Outcome.MEMORY_LIMIT, Outcome.TIMEOUT, Outcome.VALUE] * 2
    assert sorted(outcomes) == sorted(expected)


async def test_no_more_scripts_run_at_once_than_allowed_and_each_in_its_turn() -> None:
    started: list[int] = []
    gates = [Gate() for _ in range(6)]

    async def one(pool: SandboxPool, number: int) -> None:
        gate = gates[number]

        async def noted(call: HostCall) -> HostAnswer:
            started.append(number)
            return await gate.answer(call)

        await run(pool, gate.script()[0], Host({"gate": noted}))

    async with SandboxPool(SandboxOptions(concurrency=2)) as pool, anyio.create_task_group() as runs:
        for number in range(6):
            runs.start_soon(one, pool, number)
        for number in range(0, 6, 2):
            await gates[number].reached.wait()
            await gates[number + 1].reached.wait()
            assert len(started) == number + 2
            gates[number].open.set()
            gates[number + 1].open.set()
    assert [sorted(started[at : at + 2]) for at in (0, 2, 4)] == [[0, 1], [2, 3], [4, 5]]


async def test_a_script_that_waits_for_a_script_does_not_wait_for_its_own_place() -> None:
    async with SandboxPool(SandboxOptions(concurrency=1)) as pool:

        async def nested(call: HostCall) -> HostAnswer:
            depth = json.loads(call.arguments)
            code = "return 1 + (input ? await tools.nested(input - 1) : 0)"
            script = Script(code=code, input=str(depth), tools=("nested",))
            return HostAnswer(value=(await pool.run(script, host)).value)

        host = Host({"nested": nested})
        result = await run(pool, Script(code="return await tools.nested(3)", tools=("nested",)), host)
    assert result.value == "4"


@pytest.mark.both_loops
@pytest.mark.crash
@pytest.mark.req("SPEC:5.cancelled")
@pytest.mark.parametrize("code", ["tools.gate(); for (;;) await null", "await tools.gate()"])
async def test_a_cancelled_run_kills_its_child_and_awaits_its_host_calls(code: str) -> None:
    cleaned = anyio.Event()
    gate = Gate()

    async def slow(call: HostCall) -> HostAnswer:
        try:
            return await gate.answer(call)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
                cleaned.set()

    async with SandboxPool(SandboxOptions(stock=StockOptions(ready=1))) as pool:
        async with anyio.create_task_group() as runs:
            runs.start_soon(run, pool, Script(code=code, tools=("gate",)), Host({"gate": slow}))
            await gate.reached.wait()
            runs.cancel_scope.cancel()
        assert cleaned.is_set()
        await until(lambda: len(processes()) == 2)
        assert (await run(pool, "return 1")).value == "1"


async def test_a_run_cancelled_while_it_waits_for_its_turn_leaves_the_turn_to_others() -> None:
    gate = Gate()
    script, host = gate.script()
    async with SandboxPool(SandboxOptions(concurrency=1)) as pool, anyio.create_task_group() as runs:
        runs.start_soon(run, pool, script, host)
        await gate.reached.wait()
        with anyio.move_on_after(0.05) as waiting:
            await run(pool, "return 1")
        assert waiting.cancelled_caught
        gate.open.set()
        assert (await run(pool, "return 2")).value == "2"


@pytest.mark.both_loops
@pytest.mark.parametrize("delay_ms", [0, 1, 2, 3, 5, 20, 60, 120])
async def test_a_run_can_be_cancelled_at_any_moment(delay_ms: int) -> None:
    async with SandboxPool(SandboxOptions(stock=StockOptions(ready=1))) as pool:
        with anyio.move_on_after(delay_ms / 1000):
            await run(pool, "await sleep(10_000)")
        assert (await run(pool, "return 1")).value == "1"


async def test_a_host_that_is_slow_to_stop_does_not_keep_the_child_alive() -> None:
    alive: list[int] = []

    async def stubborn(_: HostCall) -> HostAnswer:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await until(lambda: len(processes()) == 1)
                alive.append(len(processes()))
        raise AssertionError

    async with SandboxPool(SandboxOptions(stock=StockOptions(ready=0))) as pool:
        script = Script(code="await tools.stubborn()", tools=("stubborn",), limits=ScriptLimits(wall_s=0.2))
        result = await run(pool, script, Host({"stubborn": stubborn}))
    assert result.outcome is Outcome.TIMEOUT
    assert alive == [1]


@pytest.mark.req("000:1.2.4", "SPEC:5.process-is-gone")
async def test_a_hundred_runs_leave_nothing() -> None:
    async with SandboxPool() as pool:
        for _ in range(25):
            for code in ("return 1", "throw 1", "await tools.call('no')", "const f = () => f(); f()"):
                await run(pool, code)
        await until(lambda: len(processes()) == 3)


async def test_a_zygote_is_replaced_after_its_share_of_children() -> None:
    async with SandboxPool(SandboxOptions(stock=StockOptions(ready=1, recycle_after=3))) as pool:
        first = await zygote()
        for _ in range(8):
            assert (await run(pool, "return 1")).value == "1"
        await until(lambda: not first.is_running())


async def test_a_retired_zygote_lives_until_its_last_script_has_ended() -> None:
    gate = Gate()
    script, host = gate.script()
    results: list[ScriptResult] = []

    async def one(pool: SandboxPool) -> None:
        results.append(await run(pool, script, host))

    async with SandboxPool(SandboxOptions(stock=StockOptions(ready=1, recycle_after=2))) as pool:
        first = await zygote()
        async with anyio.create_task_group() as runs:
            runs.start_soon(one, pool)
            await gate.reached.wait()
            for _ in range(6):
                await run(pool, "return 1")
            assert first.is_running()
            gate.open.set()
        await until(lambda: not first.is_running())
    assert [result.value for result in results] == ["1"]


@pytest.mark.crash
@pytest.mark.req("000:1.2.1")
async def test_a_killed_zygote_takes_its_scripts_along_and_is_replaced() -> None:
    gate = Gate()
    script, host = gate.script()
    results: list[ScriptResult] = []

    async def one(pool: SandboxPool) -> None:
        results.append(await run(pool, script, host))

    async with SandboxPool() as pool:
        async with anyio.create_task_group() as runs:
            runs.start_soon(one, pool)
            await gate.reached.wait()
            (await zygote()).kill()
        assert [result.outcome for result in results] == [Outcome.CRASH]
        assert (await run(pool, "return 1")).value == "1"


@pytest.mark.crash
@pytest.mark.slow
async def test_a_zygote_that_hangs_is_replaced() -> None:
    async with SandboxPool() as pool:
        assert (await run(pool, "return 1")).value == "1"
        await until(lambda: len(processes()) == 3)
        hanging = await zygote()
        hanging.suspend()
        for _ in range(4):
            assert (await run(pool, "return 1")).value == "1"
        await until(lambda: not hanging.is_running())


@pytest.mark.crash
@pytest.mark.req("000:1.2.1")
async def test_a_killed_child_is_a_crash_and_the_next_script_runs() -> None:
    gate = Gate()
    script, host = gate.script()
    results: list[ScriptResult] = []

    async def one(pool: SandboxPool) -> None:
        results.append(await run(pool, script, host))

    async with SandboxPool(SandboxOptions(stock=StockOptions(ready=0))) as pool:
        async with anyio.create_task_group() as runs:
            runs.start_soon(one, pool)
            await gate.reached.wait()
            (child,) = (await zygote()).children()
            child.send_signal(signal.SIGSEGV)
        assert [result.outcome for result in results] == [Outcome.CRASH]
        assert results[0].error is not None
        assert "SIGSEGV" in results[0].error.message
        assert (await run(pool, "return 1")).value == "1"


@pytest.mark.crash
@pytest.mark.req("SPEC:5.dies-with-the-server")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child that does not listen")
async def test_nothing_outlives_a_server_that_is_killed() -> None:
    command = [sys.executable, "-c", SERVER]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    async with await anyio.open_process(command, env=environment, cwd=ROOT) as server:
        assert server.stdout is not None
        seen = b""
        with anyio.fail_after(20):
            while seen.count(b"running") < 3:
                seen += await server.stdout.receive()
        family = psutil.Process(server.pid).children(recursive=True)
        assert len(family) >= 4
        server.kill()
        await until(lambda: not any(alive(process) for process in family))


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("said", "outcome", "name"),
    [
        ("Z5:hello", Outcome.CRASH, "ProtocolBreach"),
        ('C1,3,2:0"x"{}C1,3,2:0"x"{}', Outcome.CRASH, "ProtocolBreach"),
        ('C1,3,2:5"x"{}', Outcome.CRASH, "ProtocolBreach"),
        ("C1,1,2:01{}", Outcome.CRASH, "ProtocolBreach"),
        ("L3,2:log{}", Outcome.CRASH, "ProtocolBreach"),
        ("V3:{{{", Outcome.JS_ERROR, "DepthLimit"),
        ("V99999999:", Outcome.CRASH, "ProtocolBreach"),
        ("E1,0:1", Outcome.CRASH, "ProtocolBreach"),
        ("x" * 200, Outcome.CRASH, "ProtocolBreach"),
        ("", Outcome.CRASH, "Crash"),
    ],
)
@pytest.mark.crash
async def test_a_child_that_an_attacker_has_taken_over_can_only_end_its_run(
    tmp_path: Path, said: str, outcome: Outcome, name: str
) -> None:
    result = await taken_over(tmp_path, f"channel.sendall({said.encode()!r}); return")
    assert result.outcome is outcome, result
    assert result.error is not None
    assert result.error.name == name


@pytest.mark.crash
@pytest.mark.req("SPEC:5.outcome-denied")
@pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")
async def test_a_forbidden_system_call_is_the_outcome_denied(tmp_path: Path) -> None:
    result = await taken_over(tmp_path, "import os; os.getpgid(0)")
    assert result.outcome is Outcome.DENIED
    assert result.isolation.seccomp


@pytest.mark.crash
async def test_a_child_that_dies_before_its_work_is_sandbox_unavailable(tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="died before their work"):
        await taken_over(tmp_path, "", greeting="raise SystemExit")


async def test_a_zygote_that_cannot_start_is_sandbox_unavailable_and_tells_why(tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="no such thing"):
        await taken_over(tmp_path, "", first="raise RuntimeError('no such thing')")


async def taken_over(
    folder: Path, acts: str, *, greeting: str = "channel.sendall(b'R2,1,1:1100')", first: str = ""
) -> ScriptResult:
    """Run a script in a child that does as an attacker wants once it has got the script."""
    program = folder / "probe.py"
    program.write_text(
        f"import time\n{first}\n"
        f"def work(channel, held):\n    {greeting}\n    channel.recv(1 << 16)\n    {acts}\n"
        "    channel.recv(1)\n"
    )
    limits = ScriptLimits(max_calls=1, max_output_kb=16, wall_s=5.0)
    async with SandboxPool(SandboxOptions(stock=StockOptions(ready=0, probe=str(program)))) as pool:
        return await run(pool, Script(code="return 1", limits=limits), Host({"x": Host().answers["never"]}))
