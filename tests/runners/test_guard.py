"""The guard: nothing outlives the engine, however the engine, the CLI or the guard itself ends."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from engine_mcp.runners.child import started
from tests.runners.processes import alive, engine, until
from tests.runners.programs import MARK, SURROUNDINGS, shell

ENGINE = """
import anyio, sys
from engine_mcp.runners.child import started
from tests.runners.programs import shell
async def main():
    async with started(shell(*sys.argv[1:])) as child:
        await anyio.sleep_forever()
anyio.run(main)
"""

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.crash,
    pytest.mark.usefixtures("warm_uvloop", "no_leaks"),
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="descendants come back on Linux alone"),
]


def pid(path: Path) -> int:
    text = path.read_text() if path.exists() else ""
    return int(text) if text.endswith("\n") else 0


async def test_descendants_in_sessions_of_their_own_with_cleared_environments_end_too(tmp_path: Path) -> None:
    line = "env -i setsid sh -c 'setsid sh -c \"echo \\$\\$ > pid; exec sleep 600\" & exit' & wait; echo over"
    async with started(shell(line, tmp_path)) as child:
        async for said in child.lines(20):
            assert said.text == b"over"
        await until(lambda: pid(tmp_path / "pid"))
        assert await child.wait() == 0
        assert psutil.pid_exists(pid(tmp_path / "pid"))
    assert not psutil.pid_exists(pid(tmp_path / "pid"))


async def test_programs_that_keep_starting_others_are_ended(tmp_path: Path) -> None:
    (tmp_path / "again").write_text("#!/bin/sh\nsleep 0.01\nsetsid ./again &\n")
    (tmp_path / "again").chmod(0o755)
    async with started(shell("./again; touch up; sleep 600", tmp_path)):
        await until((tmp_path / "up").exists)
    assert alive(MARK) == []


async def test_a_killed_engine_gives_the_program_time_to_save_its_session(tmp_path: Path) -> None:
    line = (
        "trap 'sleep 0.3; touch saved; exit' INT; setsid sleep 600 & touch up; while :; do sleep 0.05; done"
    )
    with engine(ENGINE, line, str(tmp_path), MARK):
        await until((tmp_path / "up").exists)
    await until(lambda: not alive(MARK), 10)
    assert (tmp_path / "saved").exists()


async def test_a_program_that_takes_no_notice_of_the_end_of_its_engine_is_killed(tmp_path: Path) -> None:
    line = "trap '' INT TERM HUP; touch up; while :; do sleep 0.05; done"
    with engine(ENGINE, line, str(tmp_path), MARK):
        await until((tmp_path / "up").exists)
    killed = time.monotonic()
    await until(lambda: not alive(MARK), 10)
    assert time.monotonic() - killed > 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_polite_signals_do_not_reach_the_guard(number: signal.Signals) -> None:
    async with started(shell("read line; echo $line")) as child:
        guard = psutil.Process(child.pid).ppid()
        assert os.getsid(guard) == guard
        assert os.getsid(child.pid) == child.pid
        os.kill(guard, number)
        await child.send(b"still here\n")
        assert [line.text async for line in child.lines(20)] == [b"still here"]


async def test_a_killed_guard_is_noticed_and_what_it_guarded_ends(tmp_path: Path) -> None:
    async with started(shell("setsid sleep 600 & touch up; wait", tmp_path)) as child:
        await until((tmp_path / "up").exists)
        os.kill(psutil.Process(child.pid).ppid(), signal.SIGKILL)
        assert [line async for line in child.lines(20)] == []
        assert await child.wait() == -signal.SIGKILL
        assert alive(MARK) == []


async def test_a_stopped_guard_does_not_keep_the_engine(tmp_path: Path) -> None:
    began = time.monotonic()
    async with started(shell("setsid sleep 600 & touch up; wait", tmp_path)) as child:
        await until((tmp_path / "up").exists)
        os.kill(psutil.Process(child.pid).ppid(), signal.SIGSTOP)
    assert time.monotonic() - began < 15
    assert alive(MARK) == []


async def test_the_program_has_no_descriptor_of_guard_or_engine(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with (tmp_path / "kept").open() as kept:
        os.set_inheritable(kept.fileno(), True)  # noqa: FBT003 - the standard library's own
        async with started(shell("ls -l /proc/$$/fd")) as child:
            said = [line.text.decode() async for line in child.lines(20)]
    opened = [line for line in said if "->" in line]
    assert len(opened) == 3
    assert all("pipe:" in line for line in opened)


async def test_the_program_is_not_deaf_to_what_guard_and_engine_ignore() -> None:
    async with started(shell("grep -E 'Sig(Blk|Ign)' /proc/self/status")) as child:
        said = [int(line.text.split()[1], 16) async for line in child.lines(20)]
    usual = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)
    assert len(said) == 2
    assert not any(masked & (1 << (number - 1)) for masked in said for number in usual)


def test_the_environment_of_these_tests_has_no_mark() -> None:
    assert "ENGINE_MCP_ATTEMPT" not in SURROUNDINGS
