"""files.stat: what stands at a path, or null."""

import os

import pytest

from engine_mcp.tools.beneath import Beneath
from engine_mcp.tools.files_stat import FilesStat
from tests.tools.workplace import Workplace

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks")]


async def test_a_file_is_told_with_its_size_and_its_time(work: Workplace, beneath: Beneath) -> None:
    (work.root / "src").mkdir()
    (work.root / "src" / "a").write_text("abc")
    os.utime(work.root / "src" / "a", ns=(0, 1_700_000_000_123_456_789))
    assert await work.value(FilesStat(beneath), path="src/../src/a") == {
        "path": "src/a",
        "type": "file",
        "size": 3,
        "modified_ms": 1_700_000_000_123,
    }


@pytest.mark.parametrize("path", [".", "./", "src/..", "{root}"])
async def test_the_project_itself_is_a_directory(work: Workplace, beneath: Beneath, path: str) -> None:
    (work.root / "src").mkdir()
    told = await work.value(FilesStat(beneath), path=path.format(root=work.root))
    assert isinstance(told, dict)
    assert (told["path"], told["type"], told["size"]) == (".", "directory", 0)


@pytest.mark.parametrize("path", ["none", "none/below", "file/below", "broken", "file/below/that"])
async def test_what_is_not_there_is_null(work: Workplace, beneath: Beneath, path: str) -> None:
    (work.root / "file").touch()
    (work.root / "broken").symlink_to("none")
    assert await work.value(FilesStat(beneath), path=path) is None


async def test_a_name_that_is_not_utf_8_is_shown_as_well_as_it_can_be(work: Workplace) -> None:
    (work.root / os.fsdecode(b"caf\xe9")).touch()
    (work.root / "link").symlink_to(os.fsdecode(b"caf\xe9"))
    told = await work.value(FilesStat(), path="link")
    assert isinstance(told, dict)
    assert told["path"] == "caf\N{REPLACEMENT CHARACTER}"
