"""A sweep finds what carries a mark, and ends it, and nothing else."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import anyio
import psutil
import pytest

from engine_mcp.runners.orphans import MARK, MarkSweeper, sweep_mark
from tests.runners.processes import until

MINE, OTHER = str(uuid4()), str(uuid4())
LONGEST_S = 20

Start = Callable[..., subprocess.Popen[bytes]]
pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks")]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start processes with a mark that nobody guards, and end them at the latest with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def start(line: str, mark: str, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        environ = {"PATH": os.environ["PATH"], MARK: mark}
        running.append(subprocess.Popen(["sh", "-c", line], env=environ, cwd=cwd, start_new_session=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


async def test_all_attempts_of_an_execution_are_ended_and_those_of_others_are_not(start: Start) -> None:
    mine = [start("exec sleep 600", f"{MINE}/step/{number}") for number in (1, 2)]
    others = [start("exec sleep 600", mark) for mark in (f"{OTHER}/step/1", f"{MINE}0/step/1", MINE)]
    with anyio.fail_after(LONGEST_S):
        assert await MarkSweeper().sweep(MINE) == 2
    assert [process.wait(5) for process in mine] == [-9, -9]
    assert [process.poll() for process in others] == [None, None, None]


async def test_one_attempt_is_ended_and_others_of_the_same_step_are_not(start: Start) -> None:
    first, tenth = start("exec sleep 600", f"{MINE}/step/1"), start("exec sleep 600", f"{MINE}/step/10")
    assert await sweep_mark(f"{MINE}/step/1") == 1
    assert first.wait(5) == -9
    assert tenth.poll() is None


async def test_descendants_are_ended_though_they_cleared_their_environment(
    start: Start, tmp_path: Path
) -> None:
    marked = start("env -i setsid sleep 600 & echo $! > pid; wait", f"{MINE}/step/1", tmp_path)
    await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n"))
    pid = int((tmp_path / "pid").read_text())
    await until(lambda: psutil.Process(pid).name() == "sleep")
    assert await MarkSweeper().sweep(MINE) == 2
    marked.wait(5)  # killed, or at its end because what it waited for was killed first
    await until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


async def test_what_keeps_starting_anew_is_ended_in_the_end(start: Start, tmp_path: Path) -> None:
    (tmp_path / "again").write_text("#!/bin/sh\nsleep 0.02\nsetsid ./again &\n")
    (tmp_path / "again").chmod(0o755)
    start("./again; touch up", f"{MINE}/step/1", tmp_path)
    await until((tmp_path / "up").exists)
    with anyio.fail_after(LONGEST_S):
        assert await MarkSweeper().sweep(MINE) >= 1
        assert await MarkSweeper().sweep(MINE) == 0


async def test_where_nothing_is_left_nothing_happens() -> None:
    assert await MarkSweeper().sweep(MINE) == 0


async def test_a_process_never_ends_itself(start: Start) -> None:
    code = (
        "import anyio; from engine_mcp.runners.orphans import MarkSweeper;"
        f"print(anyio.run(MarkSweeper().sweep, {MINE!r}))"
    )
    sweeper = ["env", f"{MARK}={MINE}/step/1", sys.executable, "-c", code]
    start("exec sleep 600", f"{MINE}/step/1")
    ended = await anyio.to_thread.run_sync(lambda: subprocess.run(sweeper, capture_output=True, check=True))
    assert ended.stdout == b"1\n"
