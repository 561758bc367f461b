"""Skills are found where Claude Code and OpenCode keep them; what cannot be read is left out."""

import logging
import os

import pytest

from tests.prompts.places import Places

IN_PROJECT = (".claude/skills", ".opencode/skills", ".opencode/skill", ".agents/skills")
IN_HOME = (".claude/skills", ".config/opencode/skills", ".config/opencode/skill", ".agents/skills")
ALL = (*(f"project/{place}" for place in IN_PROJECT), *(f"home/{place}" for place in IN_HOME))


def skill(name: str, description: str = "d", text: str = "Do it so.") -> str:
    return f"---\nname: {name}\ndescription: {description}\n---\n{text}\n"


@pytest.mark.req("003:L12")
@pytest.mark.parametrize("place", ALL)
def test_a_skill_is_found_in_each_place(at: Places, place: str) -> None:
    file = at.write(f"{place}/one/SKILL.md", skill("one", "how to: do one"))
    found = at.skills()
    assert found.keys() == {"one"}
    assert (found["one"].description, found["one"].text) == ("how to: do one", "Do it so.")
    assert found["one"].path == str(file)


def test_the_place_that_comes_first_decides_about_a_name(at: Places) -> None:
    files = [at.write(f"{place}/one/SKILL.md", skill("one", place)) for place in ALL]
    for place, file in zip(ALL, files, strict=True):
        assert at.skills()["one"].description == place
        file.unlink()
    assert at.skills() == {}


@pytest.mark.parametrize(
    ("text", "name", "description"),
    [
        ("---\ndescription: d\n---\nText\n", "folder", "d"),
        ("---\nname: other\n---\nFirst line\nmore\n", "other", "First line"),
        ("---\nname: n\ndescription: Use when: a colon\n---\n", "n", "Use when: a colon"),
        ("---\nname: n\ndescription: d\nallowed-tools: [a, b]\nmetadata: {a: {b: c}}\n---\n", "n", "d"),
        ("---\r\nname: n\r\ndescription: >\r\n  over two\r\n  lines\r\n---\r\nText", "n", "over two lines"),
    ],
)
def test_front_matter_is_taken_as_people_write_it(at: Places, text: str, name: str, description: str) -> None:
    at.write("project/.claude/skills/folder/SKILL.md", text)
    assert [(found.name, found.description) for found in at.skills().values()] == [(name, description)]


@pytest.mark.parametrize(
    "content",
    [
        b"no front matter",
        b"---\nname: n\n",
        b"---\nname: [n]\n---\n",
        b"---\nname: n\n---\n\xff\xfe",
        skill("n", text="x" * (64 << 10)).encode(),
    ],
)
def test_a_skill_that_cannot_be_read_is_left_out_and_logged(
    at: Places, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    at.write("project/.claude/skills/bad/SKILL.md", content)
    at.write("project/.claude/skills/good/SKILL.md", skill("good"))
    with caplog.at_level(logging.DEBUG, "engine_mcp.prompts.skills"):
        assert at.skills().keys() == {"good"}
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
    assert "bad/SKILL.md is left out" in caplog.text


def test_other_things_among_the_skills_do_not_matter(at: Places) -> None:
    at.write("project/.claude/skills/README.md", "not a folder")
    at.write("project/.claude/skills/empty/other.md", skill("other"))
    (at.project / ".claude/skills/folder/SKILL.md").mkdir(parents=True)
    os.mkfifo(at.project / ".claude/skills/empty/SKILL.md")
    assert at.skills() == {}


def test_a_link_out_of_the_project_is_not_followed_but_those_of_the_user_are(at: Places) -> None:
    at.write("shared/one/SKILL.md", skill("one"))
    for place in (at.project / ".claude/skills", at.home / ".claude/skills"):
        place.mkdir(parents=True)
        (place / "one").symlink_to(at.project.parent / "shared" / "one")
    assert at.skills()["one"].path == str(at.home / ".claude/skills/one/SKILL.md")


def test_a_changed_skill_is_read_anew(at: Places) -> None:
    at.write("home/.claude/skills/one/SKILL.md", skill("one"))
    assert at.skills()["one"].description == "d"
    at.write("home/.claude/skills/one/SKILL.md", skill("one", "e"))
    assert at.skills()["one"].description == "e"
