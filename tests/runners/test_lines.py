"""Lines are read in bounded memory, whatever is written."""

import os
import tracemalloc
from collections.abc import Iterator
from io import FileIO

import pytest

from engine_mcp.runners.lines import Line, Lines, Stalled

pytestmark = pytest.mark.anyio


@pytest.fixture
def pipe() -> Iterator[tuple[FileIO, FileIO]]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    with FileIO(read, "rb") as ours, FileIO(write, "wb") as theirs:
        yield ours, theirs


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        (b"", []),
        (b"\n", [Line(b"")]),
        (b"12345678\n", [Line(b"12345678")]),
        (b"123456789\nnext\n", [Line(b"12345678", cut=True), Line(b"next")]),
        (b"1" * 100 + b"\nnext", [Line(b"1" * 8, cut=True), Line(b"next")]),
        (b"next\n" + b"1" * 100, [Line(b"next"), Line(b"1" * 8, cut=True)]),
    ],
)
async def test_a_long_line_is_cut_and_the_next_is_whole(
    pipe: tuple[FileIO, FileIO], written: bytes, lines: list[Line]
) -> None:
    ours, theirs = pipe
    reader = Lines(ours, longest=8)
    theirs.write(written)
    theirs.close()
    found: list[Line] = []
    while (line := await reader.next(5)) is not None:
        found.append(line)
    assert found == lines


async def test_lines_come_whole_however_they_were_torn(pipe: tuple[FileIO, FileIO]) -> None:
    ours, theirs = pipe
    reader = Lines(ours, longest=8)
    for piece in (b"on", b"e\ntw", b"o\n"):
        theirs.write(piece)
        if piece != b"on":
            found = await reader.next(5)
            assert found is not None
            assert found.text in {b"one", b"two"}


async def test_the_dropped_part_of_a_line_is_not_held(pipe: tuple[FileIO, FileIO]) -> None:
    ours, theirs = pipe
    reader = Lines(ours, longest=8)
    tracemalloc.start()
    for _ in range(200):
        theirs.write(b"x" * 32_000)
        with pytest.raises(Stalled):
            await reader.next(0.001)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    theirs.write(b"\n")
    assert await reader.next(5) == Line(b"x" * 8, cut=True)
    assert held < 1 << 20


async def test_what_a_program_had_written_is_read_after_its_end_however_late(
    pipe: tuple[FileIO, FileIO],
) -> None:
    ours, theirs = pipe
    reader = Lines(ours, late_s=0)
    theirs.write(b"one\n" * 10_000)
    reader.writer_ended()
    found = 0
    while await reader.next(5) is not None:
        found += 1
        theirs.write(b"two\n")  # as another would that holds it open
    assert found == 10_000
