"""Children: streams, signals, ends and errors, on real processes."""

import signal
import time
from dataclasses import replace
from pathlib import Path

import anyio
import psutil
import pytest

from engine_mcp.runners.child import Child, Line, Stalled, started
from engine_mcp.runners.orphans import MARK as VARIABLE
from tests.runners.processes import alive, until
from tests.runners.programs import MARK, python, shell

LONGEST_S = 20

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("warm_uvloop", "no_leaks"),
    pytest.mark.both_loops,
]


@pytest.fixture(autouse=True)
def on_this_loop(anyio_backend: object) -> None:
    assert anyio_backend


async def read(child: Child, stall_s: float = LONGEST_S) -> list[str]:
    return [line.text.decode() async for line in child.lines(stall_s)]


async def test_what_is_sent_arrives_on_a_pipe_and_comes_back_in_lines() -> None:
    async with started(shell("cat /dev/stdin; echo $" + VARIABLE)) as child:
        await child.send(b"one\ntwo\n")
        await child.send("drei ü\n\nlast\n".encode())
        await child.end_input()
        assert await read(child) == ["one", "two", "drei ü", "", "last", MARK]
        assert await child.wait() == 0


async def test_a_last_line_without_a_newline_is_a_line() -> None:
    async with started(shell("printf 'a\\nb'")) as child:
        assert await read(child) == ["a", "b"]


async def test_much_is_sent_and_received_at_once_without_a_deadlock() -> None:
    line = b"x" * 999 + b"\n"
    async with started(shell("cat")) as child:
        await child.send(line * 5000)
        await child.end_input()
        with anyio.fail_after(LONGEST_S):
            assert [line async for line in child.lines(5)] == [Line(line[:-1])] * 5000


async def test_sending_to_a_program_that_does_not_read_is_no_error() -> None:
    async with started(shell("exec <&-; echo deaf; sleep 0.2; exit 4")) as child:
        await child.send(b"x" * 1_000_000)
        assert await read(child) == ["deaf"]
        await child.send(b"more")
        await child.end_input()
        await child.send(b"too late")
        assert await child.wait() == 4


async def test_leaving_does_not_wait_for_a_program_that_reads_nothing() -> None:
    with anyio.fail_after(LONGEST_S):
        async with started(shell("sleep 600")) as child:
            await child.send(b"x" * 1_000_000)
    assert alive(MARK) == []


async def test_a_program_that_writes_more_than_is_read_waits() -> None:
    async with started(shell("yes 1234567")) as child:
        lines = child.lines(LONGEST_S)
        first = await anext(lines)
        before = psutil.Process().memory_info().rss
        await anyio.sleep(0.3)
        await lines.aclose()
        assert first.text == b"1234567"
        assert psutil.Process().memory_info().rss - before < 8 << 20


async def test_a_wait_that_is_cancelled_loses_no_line() -> None:
    async with started(shell("echo one; sleep 0.3; echo two; sleep 0.3; echo three")) as child:
        found: list[bytes] = []
        with anyio.fail_after(LONGEST_S):
            while len(found) < 3:
                with anyio.move_on_after(0.02):
                    async for line in child.lines(5):
                        found.append(line.text)  # noqa: PERF401 - what came before a cancellation counts
        assert found == [b"one", b"two", b"three"]


async def test_silence_is_told_and_more_can_be_read_afterwards() -> None:
    async with started(shell("echo one; sleep 0.5; echo two")) as child:
        lines = child.lines(0.1)
        assert (await anext(lines)).text == b"one"
        with pytest.raises(Stalled, match=r"0\.1 s"):
            await anext(lines)
        assert await read(child) == ["two"]


async def test_lines_end_soon_after_the_program_though_another_holds_its_output_open() -> None:
    began = time.monotonic()
    async with started(shell("echo one; setsid sleep 600 & exit 0")) as child:
        assert await read(child) == ["one"]
    assert time.monotonic() - began < 10
    assert alive(MARK) == []


async def test_the_end_of_stderr_is_kept_and_the_rest_dropped() -> None:
    code = "import sys; sys.stderr.write('x' * 3_000_000 + 'the end'); sys.stdout.write('done')"
    async with started(python(code)) as child:
        assert await read(child) == ["done"]
        assert await child.wait() == 0
        assert len(child.errors) == 16 << 10
        assert child.errors.endswith("xthe end")


@pytest.mark.parametrize(("line", "code"), [("exit 3", 3), ("kill -TERM $$", -15), ("kill -INT $$", -2)])
async def test_the_exit_code_or_the_signal_is_told(line: str, code: int) -> None:
    async with started(shell(line)) as child:
        with anyio.fail_after(LONGEST_S):
            assert await child.wait() == code


async def test_a_signal_reaches_the_program_and_none_of_its_children(tmp_path: Path) -> None:
    line = "trap 'echo caught; exit 7' INT; sleep 600 & echo $! > pid; echo up; wait"
    async with started(shell(line, tmp_path)) as child:
        lines = child.lines(LONGEST_S)
        assert (await anext(lines)).text == b"up"
        assert psutil.Process(child.pid).name() == "sh"
        await child.interrupt(signal.SIGINT)
        assert (await anext(lines)).text == b"caught"
        assert await child.wait() == 7
        assert psutil.pid_exists(int((tmp_path / "pid").read_text()))
        await lines.aclose()
    assert alive(MARK) == []


async def test_a_cancelled_block_ends_the_program_and_those_it_started() -> None:
    with anyio.move_on_after(1):
        async with started(shell("trap '' INT TERM; setsid sleep 600 & sleep 600 & echo up; wait")) as child:
            await read(child)
    assert alive(MARK) == []


async def test_an_error_of_the_block_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with started(shell("sleep 600")):
            _ = 1 / 0
    assert alive(MARK) == []


async def test_a_program_that_cannot_be_started_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("not a program")
    (tmp_path / "nonsense").write_text("neither")
    (tmp_path / "nonsense").chmod(0o755)
    for name, error in (("missing", FileNotFoundError), ("plain", PermissionError), ("nonsense", OSError)):
        with pytest.raises(error):
            async with started(replace(shell(""), argv=(str(tmp_path / name),))):
                pass
    with pytest.raises(FileNotFoundError):
        async with started(shell("true", tmp_path / "nowhere")):
            pass


async def test_it_is_found_in_the_path_of_its_own_environment(tmp_path: Path) -> None:
    (tmp_path / "greet").write_text("#!/bin/sh\necho hello\n")
    (tmp_path / "greet").chmod(0o755)
    found = replace(shell(""), argv=("greet",), env={"PATH": str(tmp_path)})
    async with started(found) as child:
        assert await read(child) == ["hello"]


async def test_thirty_children_work_side_by_side() -> None:
    done: list[int] = []

    async def work(number: int) -> None:
        async with started(shell(f"cat; exit {number}", mark=f"{MARK}{number}")) as child:
            await child.send(b"line\n" * 100)
            await child.end_input()
            assert len(await read(child)) == 100
            done.append(await child.wait())

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for number in range(30):
                tasks.start_soon(work, number)
    assert sorted(done) == list(range(30))


async def test_a_program_sees_the_end_of_its_input_only_when_it_is_told(tmp_path: Path) -> None:
    async with started(shell("touch got; touch up; cat > got; touch over; sleep 600", tmp_path)) as child:
        await until((tmp_path / "up").exists)
        await child.send(b"something")
        await until(lambda: (tmp_path / "got").read_text() == "something")
        assert not (tmp_path / "over").exists()
        await child.end_input()
        await until((tmp_path / "over").exists)
