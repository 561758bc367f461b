"""No path leads out of the project, and every path that does not work says why."""

import os
import re
import stat
from pathlib import Path

import pytest

from engine_mcp.ports import ToolAdapter
from engine_mcp.tools.beneath import Beneath
from engine_mcp.tools.files_list import FilesList
from engine_mcp.tools.files_read import FilesRead
from engine_mcp.tools.files_stat import FilesStat
from engine_mcp.tools.files_write import FilesWrite
from tests.tools.workplace import HIDDEN, Keeper, Workplace, listen

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks"), pytest.mark.timeout(30)]

KINDS = [FilesRead, FilesList, FilesStat, FilesWrite]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def tool(request: pytest.FixtureRequest, beneath: Beneath) -> ToolAdapter:
    return request.param(beneath=beneath)


def more(tool: ToolAdapter) -> dict[str, str]:
    """What a call of the tool needs besides a path."""
    return {"content": "new"} if isinstance(tool, FilesWrite) else {}


@pytest.fixture
def links(work: Workplace) -> Workplace:
    """A project full of links, out of it, inside it and in circles."""
    root = work.root
    (root / "src").mkdir()
    (root / "src" / "a.txt").write_text("inside")
    (root / ".engine-mcp" / "executions").mkdir(parents=True)
    (root / ".engine-mcp" / "executions" / "state.json").write_text(HIDDEN)
    for name, target in {
        "out": "../outside",
        "out-absolute": str(work.outside),
        "out-file": "../outside/secret.txt",
        "out-by-detour": "src/../../outside",
        "out-by-link": "src/up/../../outside",
        "src/up": "..",
        "state": ".engine-mcp",
        "state-file": "src/up/.engine-mcp/executions/state.json",
        "proc": "/proc/self/cwd",
        "circle": "round",
        "round": "circle",
        "self": "self",
        "in": "src",
        "in-absolute": str(root / "src"),
        "in-file": "in/a.txt",
        "in-again": "src/up/src/up/in-absolute/a.txt",
    }.items():
        (root / name).symlink_to(target)
    return work


@pytest.mark.req("002:L216")
@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../outside/secret.txt",
        "src/../../outside/secret.txt",
        "src/../src/../../project/../outside/secret.txt",
        "out",
        "out/secret.txt",
        "out/new.txt",
        "out/../project/src/a.txt",
        "out-absolute/secret.txt",
        "out-file",
        "out-by-detour/secret.txt",
        "out-by-link/secret.txt",
        "src/up/../outside/secret.txt",
        "src/up/out/secret.txt",
        "in/up/out-file",
        "proc/secret.txt",
        "/",
        "/etc/passwd",
        "/etc/../etc/passwd",
        "{root}/../outside/secret.txt",
        "{root}-two/secret.txt",
        "{outside}/secret.txt",
        "//etc/passwd",
    ],
)
async def test_a_path_that_leads_out_of_the_project_is_denied(
    links: Workplace, tool: ToolAdapter, path: str
) -> None:
    before = list(links.everything())
    path = path.format(root=links.root, outside=links.outside)
    failure = await links.failure(tool, path=path, **more(tool))
    assert failure.code == "denied"
    assert repr(path) in failure.message
    assert "inside the project" in failure.hint
    assert HIDDEN not in failure.message
    assert list(links.everything()) == before
    assert (links.outside / "secret.txt").read_text() == HIDDEN


@pytest.mark.parametrize(
    "path",
    [
        ".engine-mcp",
        ".engine-mcp/executions/state.json",
        ".Engine-MCP/executions/state.json",
        "src/../.engine-mcp/new",
        "./.engine-mcp/../.engine-mcp/new",
        "src/.engine-mcp/new",
        "state",
        "state/executions/state.json",
        "state-file",
        "src/up/state/new",
        "{root}/.engine-mcp/new",
    ],
)
async def test_the_engines_own_state_is_out_of_reach(links: Workplace, tool: ToolAdapter, path: str) -> None:
    before = list(links.everything())
    failure = await links.failure(tool, path=path.format(root=links.root), **more(tool))
    assert failure.code == "denied"
    assert ".engine-mcp holds the engine's own state" in failure.message
    assert list(links.everything()) == before


@pytest.mark.parametrize(
    "path",
    ["in/a.txt", "in-absolute/a.txt", "in-file", "in-again", "src/up/in/../src/./a.txt", "{root}/in//a.txt"],
)
async def test_a_link_that_stays_inside_is_followed(links: Workplace, beneath: Beneath, path: str) -> None:
    path = path.format(root=links.root)
    assert await links.value(FilesRead(beneath), path=path) == "inside"
    told = await links.value(FilesStat(beneath), path=path)
    assert isinstance(told, dict)
    assert (told["path"], told["type"]) == ("src/a.txt", "file")


@pytest.mark.parametrize("path", ["in/a.txt", "in-file", "in-again"])
async def test_a_write_through_a_link_changes_the_file_and_keeps_the_link(
    links: Workplace, beneath: Beneath, path: str
) -> None:
    told = await links.value(FilesWrite(beneath), path=path, content="new")
    assert told == {"path": "src/a.txt", "size": 3, "created": False}
    assert (links.root / "src" / "a.txt").read_text() == "new"
    assert (links.root / "in-file").is_symlink()


@pytest.mark.parametrize("path", ["circle", "round/a.txt", "self"])
async def test_links_in_a_circle_come_to_an_end(links: Workplace, tool: ToolAdapter, path: str) -> None:
    failure = await links.failure(tool, path=path, **more(tool))
    assert failure.code == "tool_error"
    assert f"{path!r}: its symbolic links lead in a circle." in failure.message


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a\0b", "NUL"),
        ("../outside\0", "NUL"),
        ("half \ud800 of it", "UTF-8"),
        ("\udcff", "UTF-8"),
        ("x" * 256, "too long"),
    ],
)
async def test_a_path_that_no_file_can_have_is_an_error_that_says_so(
    work: Workplace, tool: ToolAdapter, path: str, said: str
) -> None:
    failure = await work.failure(tool, path=path, **more(tool))
    assert failure.code == "tool_error"
    assert said in failure.message
    assert len(failure.message) < 300
    failure.message.encode()
    assert list(work.everything()) == ["outside/secret.txt"]


@pytest.mark.parametrize("kind", [FilesRead, FilesList, FilesWrite])
async def test_an_endless_path_to_nothing_is_an_error(
    work: Workplace, beneath: Beneath, kind: type[FilesRead | FilesList | FilesWrite]
) -> None:
    tool = kind(beneath=beneath)
    failure = await work.failure(tool, path="x/" * 2000 + "y", **more(tool))
    assert failure.code == "tool_error"
    assert re.search("no such file|does not exist|too long", failure.message)
    assert len(failure.message) < 300


def special(path: Path, kind: str) -> None:
    """Make something that is no regular file."""
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        listen(path)
    else:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
async def test_what_is_no_regular_file_is_refused_and_never_waited_for(
    work: Workplace, beneath: Beneath, kind: str
) -> None:
    try:
        special(work.root / "special", kind)
    except PermissionError:
        pytest.skip("only the superuser makes devices")
    read = await work.failure(FilesRead(beneath), path="special")
    written = await work.failure(FilesWrite(beneath), path="special", content="new")
    below = await work.failure(FilesRead(beneath), path="special/below")
    assert (read.code, written.code, below.code) == ("tool_error", "tool_error", "tool_error")
    assert "not a regular file" in read.message
    assert "not a regular file" in written.message
    assert "a part of the path is not a folder" in below.message
    told = await work.value(FilesStat(beneath), path="special")
    assert isinstance(told, dict)
    assert (told["type"], told["size"]) == ("other", 0)
    assert not stat.S_ISREG((work.root / "special").lstat().st_mode)


async def test_a_hard_link_to_a_file_outside_is_not_written_through(
    work: Workplace, beneath: Beneath
) -> None:
    (work.root / "hard").hardlink_to(work.outside / "secret.txt")
    await work.value(FilesWrite(beneath), path="hard", content="new")
    assert (work.root / "hard").read_text() == "new"
    assert (work.outside / "secret.txt").read_text() == HIDDEN


async def test_a_folder_that_may_not_be_read_can_be_passed_through(work: Workplace, beneath: Beneath) -> None:
    (work.root / "closed").mkdir()
    (work.root / "closed" / "a.txt").write_text("inside")
    (work.root / "closed").chmod(0o311)
    assert await work.value(FilesRead(beneath), path="closed/a.txt") == "inside"


async def test_deep_folders_are_reached(work: Workplace, beneath: Beneath) -> None:
    path = "/".join(["deep"] * 300) + "/a.txt"
    told = await work.value(FilesWrite(beneath), path=path, content="down", make_dirs=True)
    assert told == {"path": path, "size": 4, "created": True}
    assert await work.value(FilesRead(beneath), path=path) == "down"
    found = await work.value(FilesList(beneath), pattern="**/a.txt")
    assert found == {"entries": [{"path": path, "type": "file", "size": 4}], "truncated": False, "skipped": 0}


@pytest.mark.req("002:L150")
async def test_five_hundred_calls_leave_no_descriptor_open(work: Workplace, beneath: Beneath) -> None:
    tools: list[ToolAdapter] = [kind(beneath=beneath) for kind in KINDS]
    (work.root / "link").symlink_to("../outside")
    (work.root / "folder").mkdir()
    for turn in range(25):
        for tool in tools:
            for path in ("a.txt", "none/a.txt", "link/a.txt", "folder", "../a.txt"):
                await tool.execute({"path": path, "content": str(turn)}, Keeper(work.root))
