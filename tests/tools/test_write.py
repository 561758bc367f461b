"""files.write: a file is there as a whole or as it was before."""

import base64
import stat
import threading
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from pydantic import JsonValue

from engine_mcp.tools.beneath import FOLDER, Beneath, best
from engine_mcp.tools.files_read import FilesRead
from engine_mcp.tools.files_write import FilesWrite
from tests.tools.workplace import Keeper, Workplace

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks"), pytest.mark.timeout(30)]
WRITE = FilesWrite()
SYS = Path("/sys/kernel")


@pytest.mark.parametrize("content", ["", "text\r\n", "Ä ∀ 🙂\0", "x" * (3 << 20)])
async def test_what_is_written_is_what_is_read(work: Workplace, beneath: Beneath, content: str) -> None:
    told = await work.value(FilesWrite(beneath), path="a.txt", content=content)
    assert told == {"path": "a.txt", "size": len(content.encode()), "created": True}
    assert await work.value(FilesRead(beneath), path="a.txt") == content
    assert list(work.everything()) == ["project/a.txt", "outside/secret.txt"]


async def test_bytes_are_written_from_base64(work: Workplace) -> None:
    content = bytes(range(256))
    text = base64.b64encode(content).decode()
    await work.value(WRITE, path="a", content=text, encoding="base64")
    assert (work.root / "a").read_bytes() == content


@pytest.mark.parametrize(
    "arguments",
    [
        {"content": "not base64!", "encoding": "base64"},
        {"content": "YQ", "encoding": "base64"},
        {"content": "half \ud800"},
        {"content": 7},
        {"content": "a", "mode": "append"},
        {"content": "a", "append": True},
        {},
    ],
)
@pytest.mark.req("002:L117")
async def test_arguments_that_cannot_be_taken_change_nothing(
    work: Workplace, arguments: dict[str, JsonValue]
) -> None:
    failure = await work.failure(WRITE, path="made/a", make_dirs=True, **arguments)
    assert failure.code == "invalid_argument"
    assert list(work.everything()) == ["outside/secret.txt"]


async def test_a_file_is_replaced_and_keeps_its_permissions(work: Workplace) -> None:
    file = work.root / "run.sh"
    file.write_text("old and longer")
    file.chmod(0o751)
    told = await work.value(WRITE, path="run.sh", content="new")
    assert told == {"path": "run.sh", "size": 3, "created": False}
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o751


async def test_a_new_file_gets_the_permissions_that_new_files_get(work: Workplace) -> None:
    (work.root / "ordinary").touch()
    await work.value(WRITE, path="a", content="new")
    assert (work.root / "a").stat().st_mode == (work.root / "ordinary").stat().st_mode


async def test_a_file_that_is_run_for_somebody_else_loses_that_right(work: Workplace) -> None:
    (work.root / "a").touch()
    (work.root / "a").chmod(0o4755)
    await work.value(WRITE, path="a", content="new")
    assert stat.S_IMODE((work.root / "a").stat().st_mode) == 0o755


@pytest.mark.req("002:L213")
async def test_who_reads_meanwhile_sees_the_old_file_or_the_new_one(work: Workplace) -> None:
    texts = {letter * (1 << 20) for letter in "ab"}
    (work.root / "a").write_text("a" * (1 << 20))
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            seen.add((work.root / "a").read_text())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for text in sorted(texts) * 10:
            await work.value(WRITE, path="a", content=text)
    finally:
        over.set()
        thread.join()
    assert seen
    assert seen <= texts


async def test_a_file_that_must_be_new_is_never_replaced(work: Workplace, beneath: Beneath) -> None:
    tool = FilesWrite(beneath)
    assert await work.value(tool, path="a", content="first", mode="create") == {
        "path": "a",
        "size": 5,
        "created": True,
    }
    failure = await work.failure(tool, path="a", content="second", mode="create")
    assert failure.code == "tool_error"
    assert failure.message == "'a': it exists already."
    assert "replace" in failure.hint
    assert (work.root / "a").read_text() == "first"
    assert list(work.everything()) == ["project/a", "outside/secret.txt"]


async def test_of_many_that_create_the_same_file_one_does(work: Workplace) -> None:
    codes: list[str] = []

    async def create(number: int) -> None:
        wish: dict[str, JsonValue] = {"path": "a", "content": f"{number}", "mode": "create"}
        result = await WRITE.execute(wish, Keeper(work.root))
        codes.append(result.failure.code if result.failure else "")

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(create, number)
    assert sorted(codes) == ["", *["tool_error"] * 19]
    assert list(work.everything()) == ["project/a", "outside/secret.txt"]


async def test_missing_folders_are_made_only_if_asked(work: Workplace, beneath: Beneath) -> None:
    failure = await work.failure(FilesWrite(beneath), path="a/b/c.txt", content="new")
    assert failure.code == "tool_error"
    assert "the folder it is to stand in" in failure.message
    assert "make_dirs" in failure.hint
    assert not (work.root / "a").exists()
    told = await work.value(FilesWrite(beneath), path="a/b/c.txt", content="new", make_dirs=True)
    assert told == {"path": "a/b/c.txt", "size": 3, "created": True}
    await work.value(FilesWrite(beneath), path="a/b/c.txt", content="again", make_dirs=True)
    assert (work.root / "a" / "b" / "c.txt").read_text() == "again"


async def test_many_at_once_can_make_the_same_folders(work: Workplace) -> None:
    async def write(number: int) -> None:
        await work.value(WRITE, path=f"a/b/{number}", content="new", make_dirs=True)

    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(write, number)
    assert len(list((work.root / "a" / "b").iterdir())) == 30


async def test_folders_made_for_a_file_that_is_not_written_go_again(work: Workplace) -> None:
    (work.root / "there").mkdir()
    failure = await work.failure(FilesWrite(spare=1 << 62), path="there/a/b/c", content="new", make_dirs=True)
    assert failure.code == "storage"
    assert list(work.everything()) == ["project/there", "outside/secret.txt"]


async def test_a_file_in_the_way_of_a_folder_is_an_error(work: Workplace) -> None:
    (work.root / "a").write_text("a file")
    failure = await work.failure(WRITE, path="a/b/c", content="new", make_dirs=True)
    assert failure.code == "tool_error"
    assert "a part of the path is not a folder" in failure.message
    assert (work.root / "a").read_text() == "a file"


@pytest.mark.parametrize("path", [".", "folder", "folder/."])
async def test_a_folder_is_not_written(work: Workplace, path: str) -> None:
    (work.root / "folder").mkdir()
    failure = await work.failure(WRITE, path=path, content="new")
    assert failure.code == "tool_error"
    assert failure.message == f"{path!r} is a folder."


@pytest.mark.parametrize("path", [".git/hooks/pre-commit", "sub/.Git/config", ".git", "link/config"])
async def test_nothing_is_written_into_gits_own_folder(work: Workplace, path: str) -> None:
    (work.root / ".git" / "hooks").mkdir(parents=True)
    (work.root / "link").symlink_to(".git")
    before = list(work.everything())
    failure = await work.failure(WRITE, path=path, content="#!/bin/sh", make_dirs=True)
    assert failure.code == "denied"
    assert ".git belongs to git" in failure.message
    assert list(work.everything()) == before


@pytest.mark.req("002:L85")
async def test_too_little_free_space_is_refused_before_anything_is_written(work: Workplace) -> None:
    (work.root / "a").write_text("old")
    failure = await work.failure(FilesWrite(spare=1 << 62), path="a", content="new")
    assert failure.code == "storage"
    assert "free" in failure.message
    assert (work.root / "a").read_text() == "old"
    assert list(work.everything()) == ["project/a", "outside/secret.txt"]


def pausing(root: Keeper, writing: threading.Event, go_on: threading.Event) -> Beneath:
    """A way to open that, once the file's folder is opened to write into it, waits."""

    def opening(directory: int, path: str, flags: int) -> int:
        descriptor = best(directory, path, flags)
        if path == "made" and flags != FOLDER:
            assert (root.root / "made").is_dir()
            writing.set()
            go_on.wait(10)
        return descriptor

    return opening


@pytest.mark.parametrize("content", ["", "new"])
async def test_a_cancelled_call_leaves_nothing_behind(work: Workplace, content: str) -> None:
    bench = Keeper(work.root)
    writing, go_on = threading.Event(), threading.Event()
    tool = FilesWrite(pausing(bench, writing, go_on))
    wish: dict[str, JsonValue] = {"path": "made/a", "content": content, "make_dirs": True}
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tool.execute, wish, bench)
            await anyio.to_thread.run_sync(writing.wait, 10)
            tasks.cancel_scope.cancel()
            go_on.set()
    assert list(work.everything()) == ["outside/secret.txt"]


@pytest.mark.skipif(not SYS.is_dir(), reason="only Linux has a folder that nobody may write")
@pytest.mark.req("002:L215")
async def test_what_the_system_does_not_let_be_written_says_so(work: Workplace) -> None:
    nowhere = Workplace(SYS, work.outside)
    failure = await nowhere.failure(WRITE, path="new", content="new")
    assert failure.code == "permission"
    assert failure.message.startswith("'new': ")
    assert "access" in failure.hint
