"""files.list: sorted, deterministic, bounded, and without following links."""

import json
import os
from pathlib import Path

import pytest
from pydantic import JsonValue

from engine_mcp.tools.beneath import Beneath, by_kernel, by_steps, has_openat2
from engine_mcp.tools.files_list import FilesList
from tests.tools.workplace import Workplace, listen

pytestmark = pytest.mark.anyio
LIST = FilesList()
LONG = "d" * 200


@pytest.fixture
def tree(work: Workplace) -> Workplace:
    """A small project with one of everything."""
    for name in (
        "README.md",
        "b.py",
        "src/a.py",
        "src/a.ts",
        "src/deep/er/c.py",
        "src/.cache/x.py",
        "src.txt",
        ".git/config",
        ".git/objects/aa",
        "sub/.git",
        ".engine-mcp/executions/state.json",
        "sub/.engine-mcp/state.json",
    ):
        path = work.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (work.root / "empty").mkdir()
    (work.root / "link").symlink_to("src")
    (work.root / "out").symlink_to("../outside")
    return work


async def paths(work: Workplace, **arguments: JsonValue) -> list[str]:
    return [str(entry["path"]) for entry in await entries(work, **arguments)]


async def entries(work: Workplace, **arguments: JsonValue) -> list[dict[str, JsonValue]]:
    found = await work.value(LIST, **arguments)
    assert isinstance(found, dict)
    assert (found["truncated"], found["skipped"]) == (False, 0)
    listed = found["entries"]
    assert isinstance(listed, list)
    return [entry for entry in listed if isinstance(entry, dict)]


async def test_a_folder_is_listed_with_types_and_sizes(tree: Workplace, beneath: Beneath) -> None:
    assert await tree.value(FilesList(beneath)) == {
        "entries": [
            {"path": ".git", "type": "directory", "size": 0},
            {"path": "README.md", "type": "file", "size": 9},
            {"path": "b.py", "type": "file", "size": 4},
            {"path": "empty", "type": "directory", "size": 0},
            {"path": "link", "type": "symlink", "size": 0},
            {"path": "out", "type": "symlink", "size": 0},
            {"path": "src", "type": "directory", "size": 0},
            {"path": "src.txt", "type": "file", "size": 7},
            {"path": "sub", "type": "directory", "size": 0},
        ],
        "truncated": False,
        "skipped": 0,
    }


async def test_each_folder_is_followed_by_what_is_in_it(tree: Workplace) -> None:
    assert await paths(tree, recursive=True) == [
        ".git",
        "README.md",
        "b.py",
        "empty",
        "link",
        "out",
        "src",
        "src/.cache",
        "src/.cache/x.py",
        "src/a.py",
        "src/a.ts",
        "src/deep",
        "src/deep/er",
        "src/deep/er/c.py",
        "src.txt",
        "sub",
        "sub/.git",
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"path": "src"}, ["src/.cache", "src/a.py", "src/a.ts", "src/deep"]),
        ({"path": "src/deep/.."}, ["src/.cache", "src/a.py", "src/a.ts", "src/deep"]),
        ({"path": "link", "pattern": "*.ts"}, ["src/a.ts"]),
        ({"path": "empty"}, []),
        ({"path": ".git", "recursive": True}, [".git/config", ".git/objects", ".git/objects/aa"]),
        ({"hidden": False, "path": "src", "pattern": "**/*.py"}, ["src/a.py", "src/deep/er/c.py"]),
        ({"pattern": "*.py"}, ["b.py"]),
        ({"pattern": "*.py", "recursive": True, "max_depth": 2}, ["b.py", "src/a.py"]),
        ({"pattern": "**/*.py"}, ["b.py", "src/.cache/x.py", "src/a.py", "src/deep/er/c.py"]),
        ({"pattern": "src/*.{py,ts}"}, ["src/a.py", "src/a.ts"]),
        ({"pattern": "src/*.{py,ts}", "recursive": False}, []),
        ({"pattern": "src/**/er/*", "max_depth": 3}, []),
        ({"pattern": "src/**/er/*", "max_depth": 4}, ["src/deep/er/c.py"]),
    ],
)
async def test_a_list_is_as_wide_as_asked(
    tree: Workplace, arguments: dict[str, JsonValue], expected: list[str]
) -> None:
    assert await paths(tree, **arguments) == expected


def nest(root: Path, levels: int) -> int:
    """Make folders within folders, deeper than one path can say; the innermost, open."""
    at = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(LONG, dir_fd=at)
        inner = os.open(LONG, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    return at


@pytest.mark.skipif(not has_openat2(), reason="the engine's own steps have no such limit")
async def test_folders_too_deep_for_any_path_are_counted(work: Workplace) -> None:
    os.close(nest(work.root, 30))
    found = await work.value(FilesList(by_kernel), recursive=True)
    assert isinstance(found, dict)
    assert found["skipped"] == 1
    assert (await work.value(FilesList(by_steps), recursive=True, pattern="none")) == {
        "entries": [],
        "truncated": False,
        "skipped": 0,
    }


async def test_names_that_are_not_utf_8_are_counted(work: Workplace) -> None:
    (work.root / "a.txt").touch()
    (work.root / os.fsdecode(b"caf\xe9.txt")).touch()
    (work.root / os.fsdecode(b"caf\xe9")).mkdir()
    assert await work.value(LIST, recursive=True) == {
        "entries": [{"path": "a.txt", "type": "file", "size": 0}],
        "truncated": False,
        "skipped": 2,
    }


async def test_what_is_neither_file_nor_folder_nor_link_is_other(work: Workplace) -> None:
    os.mkfifo(work.root / "fifo")
    listen(work.root / "socket")
    assert [entry["type"] for entry in await entries(work)] == ["other", "other"]


async def test_more_than_the_limit_is_cut_at_the_same_place_every_time(work: Workplace) -> None:
    names = [f"{number:03}" for number in range(50)]
    for name in reversed(names):
        (work.root / name).touch()
    for _ in range(3):
        found = await work.value(LIST, limit=7)
        assert isinstance(found, dict)
        listed = found["entries"]
        assert isinstance(listed, list)
        assert [entry["path"] for entry in listed if isinstance(entry, dict)] == names[:7]
        assert found["truncated"] is True
    assert len(await paths(work, limit=50)) == 50


async def test_a_list_never_outgrows_an_answer(work: Workplace) -> None:
    folder = nest(work.root, 18)
    for number in range(2500):
        os.close(os.open(f"{number}", os.O_CREAT, dir_fd=folder))
    os.close(folder)
    found = await work.value(LIST, recursive=True)
    assert isinstance(found, dict)
    assert found["truncated"] is True
    assert 7 << 20 < len(json.dumps(found, separators=(",", ":"))) < 8 << 20


async def test_a_file_cannot_be_listed(tree: Workplace, beneath: Beneath) -> None:
    failure = await tree.failure(FilesList(beneath), path="README.md")
    assert failure.code == "tool_error"
    assert failure.message == "'README.md': a part of the path is not a folder."


async def test_nobody_knows_how_long_a_whole_tree_takes() -> None:
    assert LIST.estimated_s({"path": "."}) is not None
    assert LIST.estimated_s({"recursive": True}) is None
    assert LIST.estimated_s({"pattern": "**/*.py"}) is None
