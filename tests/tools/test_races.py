"""Whoever swaps a folder for a link while a tool works makes it fail, never leave the project."""

import errno
import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine_mcp.core.tool import ToolResult
from engine_mcp.tools.beneath import Beneath
from engine_mcp.tools.files_list import FilesList
from engine_mcp.tools.files_read import FilesRead
from engine_mcp.tools.files_stat import FilesStat
from engine_mcp.tools.files_write import FilesWrite
from tests.tools.workplace import HIDDEN, Keeper, Workplace

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks")]

TURNS = 400
EXPECTED = {"denied", "tool_error", "tool_transient"}


@pytest.fixture
def box(work: Workplace) -> Workplace:
    """A folder `box` with a file of the same name as the one outside, and a link out to change it for."""
    (work.root / "box").mkdir()
    (work.root / "box" / "secret.txt").write_text("inside")
    (work.root / "way-out").symlink_to(work.outside)
    return work


def swap(root: Path) -> None:
    """Put the link in the place of the folder, or the folder in the place of the link."""
    (root / "box").rename(root / "aside")
    (root / "way-out").rename(root / "box")
    (root / "aside").rename(root / "way-out")


@contextmanager
def swapping(root: Path) -> Generator[None]:
    """Swap without pause in another thread while the block runs."""
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            swap(root)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def swapped_before(turn: int, beneath: Beneath, root: Path) -> Beneath:
    """A way to open that swaps right before it opens something for the `turn`-th time, from 1."""
    turns = iter(range(1, 1000))

    def opening(directory: int, path: str, flags: int) -> int:
        if next(turns) == turn:
            swap(root)
        return beneath(directory, path, flags)

    return opening


def outcomes(results: list[ToolResult]) -> set[str]:
    return {result.failure.code if result.failure else "value" for result in results}


def contents(root: Path) -> set[str]:
    """The texts in both directories, whatever their folders are called at the moment."""
    return {Path(folder, name).read_text() for folder, _, names in os.walk(root) for name in names}


@pytest.mark.parametrize("turn", [1, 2, 3, 4])
@pytest.mark.parametrize("path", ["box/secret.txt", "box/../box/secret.txt", "./box/secret.txt"])
async def test_a_swap_between_two_looks_does_not_let_a_read_out(
    box: Workplace, beneath: Beneath, turn: int, path: str
) -> None:
    tool = FilesRead(swapped_before(turn, beneath, box.root))
    result = await tool.execute({"path": path}, Keeper(box.root))
    assert result.value in {None, "inside"}
    assert outcomes([result]) <= {"value", *EXPECTED}


async def test_what_never_holds_still_is_a_failure_that_may_pass(box: Workplace) -> None:
    def never(directory: int, path: str, flags: int) -> int:
        raise OSError(errno.ELOOP, f"{directory} {path} {flags}")

    failure = await box.failure(FilesRead(never), path="box/secret.txt")
    assert failure.code == "tool_transient"
    assert failure.message == "'box/secret.txt': it was changed while it was being opened."


@pytest.mark.parametrize("turn", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["secret.txt", "new.txt", "deep/new.txt"])
async def test_a_swap_between_two_looks_does_not_let_a_write_out(
    box: Workplace, beneath: Beneath, turn: int, name: str
) -> None:
    tool = FilesWrite(swapped_before(turn, beneath, box.root))
    wish = {"path": f"box/{name}", "content": "mine", "make_dirs": "/" in name}
    result = await tool.execute(wish, Keeper(box.root))
    assert outcomes([result]) <= {"value", *EXPECTED}
    assert sorted(box.outside.iterdir()) == [box.outside / "secret.txt"]
    assert (box.outside / "secret.txt").read_text() == HIDDEN


@pytest.mark.req("002:L216")
@pytest.mark.parametrize("make", [FilesRead, FilesStat, FilesList], ids=["reading", "looking", "listing"])
async def test_swaps_without_pause_show_nothing_of_what_is_outside(
    box: Workplace, beneath: Beneath, make: Callable[[Beneath], FilesRead | FilesStat | FilesList]
) -> None:
    (box.outside / "only-outside.txt").write_text(HIDDEN)
    tool = make(beneath)
    path = "box" if isinstance(tool, FilesList) else "box/secret.txt"
    results: list[ToolResult] = []
    with swapping(box.root):
        while len(results) < TURNS or (len(outcomes(results)) == 1 and len(results) < 20 * TURNS):
            results.append(await tool.execute({"path": path}, Keeper(box.root)))
    assert {"value"} < outcomes(results) <= {"value", *EXPECTED}
    told = repr([result.value for result in results])
    assert HIDDEN not in told
    assert "only-outside" not in told
    assert f"'size': {len(HIDDEN)}" not in told


@pytest.mark.req("002:L216")
async def test_swaps_without_pause_let_nothing_be_written_outside(box: Workplace, beneath: Beneath) -> None:
    tool = FilesWrite(beneath)
    with swapping(box.root):
        results = [
            await tool.execute({"path": f"box/{turn % 7}.txt", "content": "mine"}, Keeper(box.root))
            for turn in range(TURNS // 4)
        ]
    assert outcomes(results) <= {"value", *EXPECTED}
    assert [path.name for path in box.outside.iterdir()] == ["secret.txt"]
    assert contents(box.outside) == {HIDDEN}
    assert contents(box.root) <= {"inside", "mine"}
