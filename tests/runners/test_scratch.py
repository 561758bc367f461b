"""What a program leaves in its scratch is gone when the program is."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from engine_mcp.runners.child import Program, started
from tests.runners.processes import alive, engine, until
from tests.runners.programs import MARK, shell

NAMES = ("ITS_TMPDIR", "OTHER_TMPDIR")
LINE = (
    'for name in "$ITS_TMPDIR" "$OTHER_TMPDIR" "$TMPDIR"; do echo "$name"; done; mkdir -p "$ITS_TMPDIR/a/b"'
)
ENGINE = """
import anyio, sys
from engine_mcp.runners.child import started
from tests.runners.test_scratch import leaving
async def main():
    async with started(leaving(sys.argv[1], "; touch up; sleep 600")) as child:
        await anyio.sleep_forever()
anyio.run(main)
"""

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks")]


def leaving(place: str, then: str = "") -> Program:
    """A program that leaves something behind, with `place` as its temporary and working directory."""
    program = shell(LINE + then, place)
    return replace(program, env={**program.env, "TMPDIR": place}, scratch=NAMES)


def names(folder: Path | str) -> list[str]:
    """What is in a folder, which may be going away meanwhile."""
    return sorted(name for _, folders, files in os.walk(folder) for name in (*folders, *files))


def private(folder: str) -> bool:
    return Path(folder).stat().st_mode & 0o77 == 0


async def test_a_program_has_a_folder_of_its_own_until_its_end(tmp_path: Path) -> None:
    async with started(leaving(str(tmp_path))) as child:
        first, second, usual = [line.text.decode() async for line in child.lines(20)]
        assert first == second
        assert Path(first).parent == tmp_path
        assert private(first)
        assert usual == str(tmp_path)
        assert names(first) == ["a", "b"]
    assert names(tmp_path) == []


async def test_a_program_that_needs_none_has_none(tmp_path: Path) -> None:
    program = replace(shell("env"), env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)})
    async with started(program) as child:
        known = [line.text.decode().partition("=")[0] async for line in child.lines(20)]
    assert not set(known) & set(NAMES)


async def test_without_a_temporary_directory_of_the_program_that_of_all_is_taken(tmp_path: Path) -> None:
    gone = replace(leaving(str(tmp_path)), env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path / "gone")})
    async with started(gone) as child:
        first, *_ = [line.text.decode() async for line in child.lines(20)]
        assert names(first) == ["a", "b"]
    assert names(first) == []


async def test_it_is_gone_though_the_program_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with started(replace(leaving(str(tmp_path)), argv=("no-such-program",))):
            pass
    assert names(tmp_path) == []


@pytest.mark.crash
async def test_it_is_gone_when_the_engine_was_killed(tmp_path: Path) -> None:
    with engine(ENGINE, str(tmp_path)):
        await until((tmp_path / "up").exists)
        assert len(names(tmp_path)) == 4
    await until(lambda: names(tmp_path) == ["up"])


@pytest.mark.crash
async def test_it_is_gone_when_the_guard_was_killed(tmp_path: Path) -> None:
    async with started(leaving(str(tmp_path), "; touch up; sleep 600")) as child:
        await until((tmp_path / "up").exists)
        os.kill(psutil.Process(child.pid).ppid(), signal.SIGKILL)
        await child.wait()
    assert names(tmp_path) == ["up"]
    assert alive(MARK) == []
