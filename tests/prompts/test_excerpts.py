"""Files stand in a prompt as far as there is room, the rest by path, and never from outside the project."""

import os
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.prompts.excerpts import Excerpt, Room, excerpts, head
from engine_mcp.prompts.fences import code, fenced
from tests.prompts.places import Places

ROOM = Room(total=100, each=40)


def shown(at: Places, *files: str, room: Room = ROOM) -> list[Excerpt]:
    return list(excerpts(at.project, files, room))


def test_a_small_file_is_shown_whole(at: Places) -> None:
    at.write("project/a/b.txt", "größer\n")
    assert shown(at, "a/b.txt") == [Excerpt(path="a/b.txt", text="größer\n", size=9)]
    assert shown(at, str(at.project / "a/b.txt"))[0].text == "größer\n"
    assert shown(at, "a/../a/b.txt")[0].text == "größer\n"


def test_an_empty_file_is_shown_as_such(at: Places) -> None:
    at.write("project/a", "")
    assert shown(at, "a") == [Excerpt(path="a", text="", size=0)]


def test_of_a_large_file_the_beginning_is_shown(at: Places) -> None:
    at.write("project/a", "x" * 41)
    assert shown(at, "a") == [Excerpt(path="a", text="x" * 40, size=41, cut=True)]


def test_no_character_is_cut_in_two(at: Places) -> None:
    at.write("project/a", "x" + "ü" * 30)
    assert shown(at, "a")[0].text == "x" + "ü" * 19


def test_what_has_no_room_left_is_named_by_its_path(at: Places) -> None:
    for name in "abc":
        at.write(f"project/{name}", name * 41)
    at.write("project/d", "d" * 20)
    at.write("project/e", "e")
    found = shown(at, "a", "b", "c", "d", "e")
    assert [item.text and len(item.text) for item in found] == [40, 40, None, 20, None]
    assert found[2] == Excerpt(path="c", note="there is no room for it here", size=41)


def test_by_default_a_prompt_shows_64_kib_of_files_and_24_kib_of_each(at: Places) -> None:
    for name in "abcd":
        at.write(f"project/{name}", name * 30_000)
    found = shown(at, "a", "b", "c", "d", room=Room())
    assert [item.text and len(item.text) for item in found] == [24 << 10, 24 << 10, None, None]


@pytest.mark.parametrize(
    "content", [b"\0", b"text\0text", b"\xff\xfe", b"\xc3", b"text\xc3", b"\x89PNG\r\n", b"\0" * 1000]
)
def test_a_binary_file_is_named_by_its_path(at: Places, content: bytes) -> None:
    at.write("project/a", content)
    assert shown(at, "a") == [Excerpt(path="a", note="it is binary", size=len(content))]


def test_each_file_is_shown_once(at: Places) -> None:
    at.write("project/a", "a")
    assert [item.path for item in shown(at, "a", "b", "a", "b")] == ["a", "b"]


@pytest.mark.parametrize("path", ["none", "none/below", "a/below", "nul\0", "half\ud800", ""])
def test_what_does_not_exist_is_told(at: Places, path: str) -> None:
    at.write("project/a", "a")
    (found,) = shown(at, path)
    assert found.path == path
    assert found.text is None
    assert "does not exist" in found.note or "is a directory" in found.note


def test_what_cannot_be_shown_is_told_with_the_reason(at: Places) -> None:
    at.write("project/folder/a", "a")
    os.mkfifo(at.project / "pipe")
    (at.project / "circle").symlink_to("circle")
    found = shown(at, "folder", ".", "pipe", "circle", "x" * 300, "/dev/zero")
    assert [item.note for item in found] == [
        "it is a directory",
        "it is a directory",
        "it is no ordinary file",
        "it cannot be read: Too many levels of symbolic links",
        "it cannot be read: File name too long",
        "it lies outside the project and is not shown",
    ]


@pytest.mark.parametrize("path", ["../secret", "link", "folder/secret", "inner/../../secret", "{secret}"])
def test_nothing_outside_of_the_project_is_shown(at: Places, path: str) -> None:
    secret = at.write("secret", "secret")
    (at.project / "inner").mkdir()
    (at.project / "link").symlink_to(secret)
    (at.project / "folder").symlink_to(at.project.parent)
    (found,) = shown(at, path.format(secret=secret))
    assert found.text is None
    assert found.note == "it lies outside the project and is not shown"


def test_a_link_inside_the_project_is_followed(at: Places) -> None:
    at.write("project/real/a", "a")
    (at.project / "link").symlink_to("real")
    assert shown(at, "link/a")[0].text == "a"


def test_a_project_that_is_itself_reached_by_a_link_is_one(at: Places) -> None:
    at.write("project/a", "a")
    link = at.project.parent / "link"
    link.symlink_to(at.project)
    assert next(excerpts(link, ["a"], ROOM)).text == "a"


@pytest.mark.parametrize("name", [".engine-mcp", ".Engine-MCP"])
def test_the_state_of_the_engine_is_not_shown(at: Places, name: str) -> None:
    at.write(f"project/{name}/executions/1/journal.jsonl", "{}")
    (at.project / "link").symlink_to(f"{name}/executions")
    for path in (f"{name}/executions/1/journal.jsonl", "link/1/journal.jsonl"):
        assert shown(at, path)[0].note == "it belongs to the engine's own state and is not shown"


@given(st.binary(max_size=60), st.integers(0, 60))
def test_a_head_is_a_prefix_of_the_text_or_nothing(content: bytes, cut: int) -> None:
    text = head(content[:cut])
    if text is not None:
        assert content.startswith(text.encode())
        assert min(cut, len(content)) - len(text.encode()) < 4


@given(st.text("`~a\n ", max_size=40))
def test_no_text_ends_its_fence(text: str) -> None:
    block = fenced(text, "md")
    fence = block.partition("md\n")[0]
    inside = block.removeprefix(f"{fence}md\n").removesuffix(fence)
    assert set(fence) == {"`"}
    assert fence not in inside
    assert inside in {text, f"{text}\n"}
    assert inside.endswith("\n") or not text


@given(st.text("`a\n\0\t", max_size=20))
def test_a_path_stands_on_one_line_between_marks_that_it_does_not_hold(text: str) -> None:
    line = code(text)
    marks = line[: len(line) - len(line.lstrip("`"))]
    assert "\n" not in line
    assert line.endswith(marks)
    assert f"{marks}`" not in line


@pytest.mark.parametrize("swapped", ["folder", "folder/a"])
def test_what_is_swapped_for_a_link_meanwhile_never_leads_out(at: Places, swapped: str) -> None:
    at.write("project/folder/a", "a")
    at.write("outside/folder/a", "secret")
    place, moved, ended = at.project / swapped, at.project / "moved", Event()

    def swap() -> None:
        while not ended.is_set():
            place.rename(moved)
            place.symlink_to(at.project.parent / "outside" / swapped)
            place.unlink()
            moved.rename(place)

    swapping = Thread(target=swap)
    swapping.start()
    try:
        found = {shown(at, "folder/a")[0].text for _ in range(2000)}
    finally:
        ended.set()
        swapping.join()
    assert found <= {"a", None}
