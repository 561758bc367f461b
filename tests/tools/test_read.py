"""files.read: whole files and slices of them, as text and as base64."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine_mcp.tools.files_read import MOST, FilesRead
from tests.tools.workplace import Workplace

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
READ = FilesRead()


async def test_a_text_is_read_as_it_is(work: Workplace) -> None:
    text = "\ufeffline\r\nÄ ∀ 🙂\0\n"
    (work.root / "a.txt").write_text(text, newline="")
    assert await work.value(READ, path="a.txt") == text
    assert await work.value(READ, path=str(work.root / "a.txt")) == text


async def test_an_empty_file_is_an_empty_string(work: Workplace) -> None:
    (work.root / "a").touch()
    assert await work.value(READ, path="a") == ""
    assert await work.value(READ, path="a", encoding="base64") == ""


async def test_any_bytes_can_be_read_as_base64(work: Workplace) -> None:
    content = bytes(range(256))
    (work.root / "a").write_bytes(content)
    assert await work.value(READ, path="a", encoding="base64") == base64.b64encode(content).decode()
    part = await work.value(READ, path="a", encoding="base64", offset=250, limit=100)
    assert part == base64.b64encode(content[250:]).decode()


async def test_a_file_that_is_no_text_is_refused_with_the_remedy(work: Workplace) -> None:
    (work.root / "a").write_bytes(b"abc\xff\xfe")
    failure = await work.failure(READ, path="a")
    assert failure.code == "tool_error"
    assert failure.message == "'a' is not UTF-8 text (at byte 3)."
    assert 'encoding "base64"' in failure.hint


async def test_a_text_that_ends_inside_a_character_is_no_text(work: Workplace) -> None:
    (work.root / "a").write_bytes("abcä".encode()[:-1])
    assert "(at byte 3)" in (await work.failure(READ, path="a")).message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(text=st.text(alphabet="aä∀🙂", max_size=30), limit=st.integers(1, 9))
async def test_slices_one_after_another_give_the_whole_text(work: Workplace, text: str, limit: int) -> None:
    (work.root / "a").write_text(text)
    size = len(text.encode())
    slices = [
        await work.value(READ, path="a", offset=offset, limit=limit) for offset in range(0, size, limit)
    ]
    assert "".join(str(part) for part in slices) == text


async def test_beyond_the_end_there_is_nothing(work: Workplace) -> None:
    (work.root / "a").write_text("abc")
    assert await work.value(READ, path="a", offset=3) == ""
    assert await work.value(READ, path="a", offset=1 << 53, limit=5) == ""


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


async def test_a_file_that_is_too_large_is_refused_at_once_and_can_be_read_in_slices(work: Workplace) -> None:
    sparse(work.root / "huge", 1 << 40)
    failure = await work.failure(READ, path="huge")
    assert failure.code == "tool_error"
    assert f"{1 << 40} bytes" in failure.message
    assert "limit" in failure.hint
    assert "offset" in failure.hint
    part = await work.value(READ, path="huge", offset=(1 << 40) - 5)
    assert part == "\0" * 5
    assert await work.value(READ, path="huge", offset=1 << 39, limit=3, encoding="base64") == "AAAA"


@pytest.mark.parametrize(
    ("content", "encoding"), [("x" * MOST, "utf-8"), ("\n" * (MOST // 2), "utf-8"), ("x" * MOST, "base64")]
)
async def test_what_would_not_fit_into_an_answer_is_refused(
    work: Workplace, content: str, encoding: str
) -> None:
    (work.root / "large").write_text(content)
    failure = await work.failure(READ, path="large", encoding=encoding)
    assert failure.code == "tool_error"
    assert "too large to be read at once" in failure.message


async def test_what_just_fits_into_an_answer_is_read(work: Workplace) -> None:
    (work.root / "large").write_text("x" * (MOST - 2))
    value = await work.value(READ, path="large")
    assert len(json.dumps(value)) == MOST


async def test_a_folder_is_refused_with_the_tool_to_use(work: Workplace) -> None:
    failure = await work.failure(READ, path=".")
    assert failure.message == "'.' is a folder."
    assert "files.list" in failure.hint


async def test_a_missing_file_is_an_error_that_says_where_to_look(work: Workplace) -> None:
    failure = await work.failure(READ, path="src/none.txt")
    assert failure.code == "tool_error"
    assert failure.message == "'src/none.txt': there is no such file or folder."
    assert "files.list" in failure.hint


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "path"),
        ({"path": ""}, "path"),
        ({"path": 7}, "path"),
        ({"path": "a", "encoding": "latin-1"}, "encoding"),
        ({"path": "a", "offset": -1}, "offset"),
        ({"path": "a", "offset": 0.5}, "offset"),
        ({"path": "a", "limit": 0}, "limit"),
        ({"path": "a", "limit": MOST + 1}, "limit"),
        ({"path": "a", "limit": None}, "limit"),
        ({"path": "a", "lines": 3}, "lines"),
    ],
)
@pytest.mark.req("002:L76")
async def test_arguments_outside_the_schema_are_refused_by_name(
    work: Workplace, arguments: dict[str, str | float | None], said: str
) -> None:
    failure = await work.failure(READ, **arguments)
    assert failure.code == "invalid_argument"
    assert said in failure.message


async def test_a_number_of_javascript_is_taken_as_a_whole_one(work: Workplace) -> None:
    (work.root / "a").write_text("abc")
    assert await work.value(READ, path="a", offset=1.0, limit=1e0) == "b"
