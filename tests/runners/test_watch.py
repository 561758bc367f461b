"""The watch: a tree of processes is measured as one, and ended when it uses more than it may."""

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import anyio
import psutil
import pytest

from engine_mcp.runners.child import Caps, Child, Program, overspent, started
from engine_mcp.runners.launch import GUARD
from engine_mcp.runners.use import Family
from engine_mcp.runners.watch import Watch
from tests.runners.processes import alive, until
from tests.runners.programs import MARK, SURROUNDINGS, python, shell

LONGEST_S = 20
HOG = "import time; held = bytearray({mb} << 20); print('up', flush=True); time.sleep(600)"
SPIN = "while True: pass"

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("warm_uvloop", "no_leaks"),
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="descendants come back on Linux alone"),
]


def capped(program: Program, **caps: float) -> Program:
    return replace(program, caps=Caps(**caps))  # type: ignore[arg-type] - numbers of the right kind


def beside(code: str, line: str) -> Program:
    """A shell line in which $PY -c "$CODE" runs the code."""
    around = {**SURROUNDINGS, "PY": sys.executable, "CODE": code}
    return replace(shell(line), env=around)


async def ended(child: Child) -> int:
    with anyio.fail_after(LONGEST_S):
        async for _ in child.lines(LONGEST_S):
            pass
        return await child.wait()


@pytest.mark.both_loops
@pytest.mark.req("002:L82", "002:L147", "002:L235")
async def test_a_tree_over_its_memory_is_ended_and_the_failure_says_what_it_used(
    anyio_backend: object,
) -> None:
    assert anyio_backend
    program = beside(HOG.format(mb=200), 'setsid env -i "$PY" -IS -c "$CODE" & echo begun; wait')
    async with started(capped(program, memory_mb=100)) as child:
        assert await ended(child) == -signal.SIGKILL
        assert child.exceeded is not None
        assert (child.exceeded.resource, child.exceeded.limit) == ("memory_mb", 100)
        assert 100 < child.exceeded.used < 300
        assert child.use.memory_kb > 100 << 10
        failure = overspent(child)
    assert alive(MARK) == []
    assert failure is not None
    assert failure.code == "resource_exceeded"
    assert "they may use 100." in failure.message


@pytest.mark.req("002:L83", "002:L148", "002:L235")
async def test_a_tree_over_its_processor_time_is_ended_though_no_process_of_it_lives_long() -> None:
    brief = "import time; until = time.process_time() + 0.1\nwhile time.process_time() < until: pass"
    program = beside(brief, 'while :; do "$PY" -IS -c "$CODE"; done')
    async with started(capped(program, cpu_s=1)) as child:
        assert await ended(child) == -signal.SIGKILL
        assert child.exceeded is not None
        assert (child.exceeded.resource, child.exceeded.limit) == ("cpu_s", 1)
        assert 1 < child.exceeded.used < 5
    assert alive(MARK) == []


async def test_processor_time_of_all_processes_counts_together() -> None:
    program = beside(SPIN, '"$PY" -IS -c "$CODE" & "$PY" -IS -c "$CODE" & wait')
    async with started(capped(program, cpu_s=0.8)) as child:
        await ended(child)
        assert child.exceeded is not None
        assert child.exceeded.used < 2.8


async def test_memory_that_processes_share_counts_once() -> None:
    forked = (
        "import os, sys; held = bytearray(os.urandom(1 << 20)) * 60\n"
        "for _ in range(4):\n"
        "    if os.fork() == 0: os.read(0, 1); os._exit(0)\n"
        "print('up', flush=True); os.read(0, 1)"
    )
    async with started(capped(python(forked), memory_mb=150)) as child:
        async for line in child.lines(LONGEST_S):
            assert line.text == b"up"
            family = Family(psutil.Process(child.pid).ppid())
            assert family.measured().memory_kb > 200 << 10
            assert family.measured(150 << 10).memory_kb < 120 << 10
            await child.end_input()
        assert await child.wait() == 0
        assert child.exceeded is None


async def test_what_ended_within_its_caps_is_no_failure_and_its_use_is_known() -> None:
    code = "held = bytearray(50 << 20); total = sum(range(8_000_000)); import time; time.sleep(0.3)"
    async with started(capped(python(code), memory_mb=500, cpu_s=60)) as child:
        assert await ended(child) == 0
        assert child.exceeded is None
        assert overspent(child) is None
        assert child.use.memory_kb > 50 << 10
        assert 0.05 < child.use.cpu_s < 10


async def test_processor_time_is_known_even_of_a_program_that_ended_before_it_was_first_measured() -> None:
    async with started(shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")) as child:
        assert await ended(child) == 0
        assert child.use.cpu_s > 0


async def test_what_a_program_leaves_behind_is_watched_too() -> None:
    line = '"$PY" -IS -c "$CODE" >/dev/null & echo $!'
    async with started(capped(beside(HOG.format(mb=200), line), memory_mb=100)) as child:
        pids = [int(line.text) async for line in child.lines(LONGEST_S)]
        assert await child.wait() == 0
        await until(lambda: not psutil.pid_exists(pids[0]))
        assert child.exceeded is None


async def test_a_guard_that_hangs_does_not_save_a_tree_over_its_caps() -> None:
    async with started(capped(python("input();" + HOG.format(mb=200)), memory_mb=100)) as child:
        os.kill(psutil.Process(child.pid).ppid(), signal.SIGSTOP)
        await child.send(b"go\n")
        await ended(child)
        assert child.exceeded is not None
    assert alive(MARK) == []


@pytest.mark.req("002:L83")
async def test_a_nice_program_and_all_it_starts_stand_behind_others() -> None:
    before = os.nice(0)
    async with started(capped(shell("nice; sh -c 'setsid nice'"), nice=7)) as child:
        said = [int(line.text) async for line in child.lines(LONGEST_S)]
    assert said == [min(19, before + 7)] * 2
    async with started(shell("nice")) as child:
        assert [int(line.text) async for line in child.lines(LONGEST_S)] == [before]


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="sessions share the processor alike")
async def test_the_session_of_a_nice_program_stands_behind_others() -> None:
    async with started(capped(shell("read line"), nice=7)) as child:
        group = Path(f"/proc/{child.pid}/autogroup")
        await until(lambda: group.read_text().endswith(" nice 7\n"))


@pytest.mark.req("002:L83", "002:L148")
async def test_one_process_is_bounded_by_the_kernel_a_little_above_the_cap() -> None:
    async with started(capped(shell("ulimit -St"), cpu_s=3.5)) as child:
        assert [line.text async for line in child.lines(LONGEST_S)] == [b"6"]


@pytest.mark.crash
def test_the_kernel_ends_a_process_that_nobody_watches(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        argv = [sys.executable, "-IS", GUARD, str(theirs.fileno()), "", "0", "1", sys.executable, "-c", SPIN]
        with subprocess.Popen(argv, cwd=tmp_path, pass_fds=(theirs.fileno(),)) as guard:
            theirs.close()
            ours.settimeout(LONGEST_S)
            said = b""
            while b"X" not in said:
                said += ours.recv(4096)
            ours.sendall(b"\0")
            assert guard.wait(LONGEST_S) == 0
    assert f"X {-signal.SIGXCPU}\n".encode() in said


def test_the_end_that_the_kernel_made_is_told_as_the_cap_was_passed() -> None:
    watch = Watch(os.getpid(), Caps(cpu_s=2))
    found = watch.signalled(-signal.SIGXCPU)
    assert found is not None
    assert (found.resource, found.limit, found.used) == ("cpu_s", 2, 2)
    assert watch.signalled(-signal.SIGKILL) is None
    assert Watch(os.getpid(), Caps()).signalled(-signal.SIGXCPU) is None


async def test_watching_costs_little() -> None:
    line = "for i in 1 2 3 4 5; do sleep 600 & done; echo up; wait"
    async with started(shell(line)) as child:
        await anext(child.lines(LONGEST_S))
        family = Family(psutil.Process(child.pid).ppid())
        family.measured()
        began = psutil.Process().cpu_times()
        for _ in range(100):
            family.measured()
        now = psutil.Process().cpu_times()
    spent_ms = (now.user + now.system - began.user - began.system) * 1000 / 100
    assert spent_ms < 20
