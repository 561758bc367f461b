"""The suite's own instruments measure what they say."""

import asyncio
import os
import subprocess
import sys

import pytest
import uvloop

from tests.leaks import leaving_nothing

WAIT = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.mark.anyio
@pytest.mark.both_loops
async def test_a_test_for_both_loops_runs_on_the_loop_it_is_named_after(
    anyio_backend: tuple[str, dict[str, bool]],
) -> None:
    on_uvloop = isinstance(asyncio.get_running_loop(), uvloop.Loop)
    assert on_uvloop == anyio_backend[1]["use_uvloop"]


@pytest.mark.anyio
async def test_any_other_test_runs_on_asyncio() -> None:
    assert not isinstance(asyncio.get_running_loop(), uvloop.Loop)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists what a process has open")
def test_an_open_descriptor_is_a_leak() -> None:
    left: list[int] = []
    with pytest.raises(AssertionError, match="descriptors left open"), leaving_nothing():
        left.append(os.open(os.devnull, os.O_RDONLY))
    os.close(left[0])


def test_a_child_that_was_there_before_is_no_leak() -> None:
    with subprocess.Popen(WAIT, stdin=subprocess.PIPE), leaving_nothing():
        pass


def test_a_child_that_stays_is_a_leak() -> None:
    left: list[subprocess.Popen[bytes]] = []
    with pytest.raises(AssertionError, match="children left behind"), leaving_nothing(child_grace_s=0.1):
        left.append(subprocess.Popen(WAIT, stdin=subprocess.PIPE))
    left[0].communicate(b"")
