"""What counts as a sign of work of a program that says nothing."""

import time
from contextlib import aclosing

import anyio
import pytest

from engine_mcp.runners.child import started
from engine_mcp.runners.evidence import lines_of
from engine_mcp.runners.lines import Stalled
from tests.runners.programs import python, shell

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("warm_uvloop")]
STALL_S = 2.0
LONGEST_S = 30.0


async def told(code: str, *, often_s: float = STALL_S) -> tuple[list[bytes], int]:
    """The lines of a program, and how often it was silent for `often_s`."""
    lines, silences = list[bytes](), 0
    with anyio.fail_after(LONGEST_S):
        async with started(python(code)) as child, aclosing(lines_of(child, STALL_S, often_s)) as found:
            async for line in found:
                silences += line is None
                lines += [line.text] if line is not None else []
    return lines, silences


@pytest.mark.both_loops
async def test_a_program_that_neither_writes_nor_computes_is_stalled(anyio_backend: object) -> None:
    assert anyio_backend
    began = time.monotonic()
    with pytest.raises(Stalled, match="idle"):
        await told("import time; print('one', flush=True); time.sleep(600)")
    assert STALL_S <= time.monotonic() - began < 2 * STALL_S + LONGEST_S / 3


async def test_a_program_that_computes_is_not_stalled() -> None:
    code = f"import time\nwhile time.process_time() < {1.5 * STALL_S}: pass\nprint('done')"
    lines, silences = await told(code)
    assert lines == [b"done"]
    assert silences > 0


async def test_the_work_of_what_a_program_started_counts() -> None:
    busy = f"import time\nwhile time.process_time() < {1.5 * STALL_S}: pass"
    lines, _ = await told(
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}]); print(1)"
    )
    assert lines == [b"1"]


async def test_lines_come_as_they_are_written_and_silence_is_told() -> None:
    lines, silences = await told(
        "import time\nfor n in range(3): print(n, flush=True); time.sleep(0.4)", often_s=0.1
    )
    assert lines == [b"0", b"1", b"2"]
    assert silences >= 3


async def test_a_wait_that_is_cancelled_loses_no_line() -> None:
    with anyio.fail_after(LONGEST_S):
        async with started(shell("echo 1; read x; echo 2")) as child:
            found: list[bytes] = []
            with anyio.move_on_after(0.5):
                async with aclosing(lines_of(child, STALL_S, STALL_S)) as lines:
                    found += [line.text async for line in lines if line is not None]
            await child.end_input()
            async with aclosing(lines_of(child, STALL_S, STALL_S)) as lines:
                found += [line.text async for line in lines if line is not None]
    assert found[-1] == b"2"
