"""Roles are Markdown files with front matter, those of a project before the user's and the built-in."""

import os
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.core.choice import ROLES, SPECIALISTS, Tier
from engine_mcp.core.plan import Draft, StrategyName, TaskType
from engine_mcp.core.strategy import plan
from engine_mcp.errors import TemplateError
from engine_mcp.prompts.front_matter import document
from tests.prompts.golden_prompts import ROLES as GOLDEN
from tests.prompts.places import Places

MINE = "---\nname: {name}\ndescription: mine\n---\nYou are mine.\n"
AT_PROJECT = "project/.engine-mcp/roles"


def mine(name: str) -> str:
    return MINE.format(name=name)


@pytest.mark.req("003:L12")
def test_the_built_in_roles_are_there_with_a_description_and_a_text(at: Places) -> None:
    roles = at.roles()
    assert set(roles) == set(GOLDEN)
    assert all(role.name == name and role.description and role.text for name, role in roles.items())
    assert {role.source for role in roles.values()} == {"built in"}
    assert {role.tier for role in roles.values()} <= {None, *Tier}


def test_every_role_that_a_rule_chooses_is_built_in(at: Places) -> None:
    chain = plan(Draft(path="p", task="t", task_type=TaskType.REFACTOR, strategy=StrategyName.MULTI)).steps
    chosen = {*ROLES.values(), *SPECIALISTS, *(step.agent for step in chain)}
    assert chosen - at.roles().keys() == set()


@pytest.mark.req("003:L23")
def test_a_role_of_the_project_comes_before_the_users_and_that_before_the_built_in(at: Places) -> None:
    users = at.write("user/roles/developer.md", mine("developer"))
    at.write("user/roles/ops.md", mine("ops"))
    own = at.write(f"{AT_PROJECT}/developer.md", mine("developer"))
    roles = at.roles()
    assert roles["developer"].source == str(own)
    assert roles["ops"].text == "You are mine."
    assert roles["product"].source == "built in"
    own.unlink()
    assert at.roles()["developer"].source == str(users)


def test_a_new_role_may_name_its_tier(at: Places) -> None:
    at.write(f"{AT_PROJECT}/data-2.md", "---\nname: data-2\ndescription: größer\ntier: fast\n---\nÄ\n\n\n")
    role = at.roles()["data-2"]
    assert (role.tier, role.description, role.text) == ("fast", "größer", "Ä")


def test_a_changed_role_is_read_anew(at: Places) -> None:
    file = at.write(f"{AT_PROJECT}/x.md", mine("x"))
    assert at.roles()["x"].text == "You are mine."
    found = file.stat()
    file.write_text(mine("x").replace("mine.", "hers."))
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert at.roles()["x"].text == "You are hers."


@pytest.mark.parametrize("name", [".x.md", "notes.txt", ".#developer.md"])
def test_other_files_are_no_roles(at: Places, name: str) -> None:
    at.write(f"{AT_PROJECT}/{name}", "whatever")
    assert set(at.roles()) == set(GOLDEN)


def test_line_ends_and_a_byte_order_mark_do_not_matter(at: Places) -> None:
    at.write(f"{AT_PROJECT}/x.md", b"\xef\xbb\xbf" + mine("x").replace("\n", "\r\n").encode())
    assert at.roles()["x"].text == "You are mine."


@pytest.mark.req("003:L23")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("You are.", "x.md, line 1: it does not begin with front matter"),
        ("", "x.md, line 1: it does not begin with front matter"),
        ("---\nname: x\n", "x.md, line 1: its front matter has no end"),
        ("---\nname: x\ndescription: [\n---\nt", "x.md, line 3: its front matter"),
        ("---\nname: x\ndescription: a: b\n---\nt", "x.md, line 3: its front matter"),
        ("---\nname: x\ndescription: *a\n---\nt", "x.md, line 3: its front matter"),
        ("---\n- a\n---\nt", "x.md, line 2: its front matter does not hold fields"),
        ("---\nx\n---\nt", "x.md, line 2: its front matter does not hold fields"),
        ("---\nname: x\ndate: 2026-99-99\n---\nt", "x.md, line 2: its front matter cannot be read"),
        ("---\n" + "[" * 8_000 + "\n---\nt", "x.md, line"),
        ("---\n" + "#" * 9_000 + "\n---\nt", "x.md, line 1: its front matter is larger than 8 Ki"),
        ("---\nname: x\n---\nt", "x.md, line 1: there is no description"),
        ("---\nname: x\ndescription:\n---\nt", "x.md, line 3: there is no description"),
        ("---\nname: x\ndescription: [a]\n---\nt", "x.md, line 3: description is not a text"),
        ("---\ndescription: d\n---\nt", "x.md, line 1: there is no name, but the file is x.md"),
        ("---\ndescription: d\nname: y\n---\nt", "x.md, line 3: the name is 'y', but the file is x.md"),
        ("---\nname: x\ndescription: d\ntier: big\n---\nt", "line 4: there is no tier 'big'; there are fast"),
        ("---\nname: x\n\n\ntools: a\ndescription: d\n---\nt", "line 5: a role has no 'tools'"),
        ("---\nname: x\ndescription: d\n---\n \n", "x.md: there is no text"),
    ],
)
def test_a_role_that_is_none_is_told_with_its_file_and_line(at: Places, text: str, said: str) -> None:
    file = at.write(f"{AT_PROJECT}/x.md", text)
    with pytest.raises(TemplateError) as caught:
        at.roles()
    assert said in caught.value.message
    assert caught.value.field == str(file)


@pytest.mark.parametrize("name", ["Dev", "a b", "ä", "x" * 65])
def test_the_name_of_a_role_is_plain(at: Places, name: str) -> None:
    at.write(f"{AT_PROJECT}/{name}.md", mine(name))
    with pytest.raises(TemplateError, match="small letters"):
        at.roles()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"---\nname: x\n---\n\xff", "not UTF-8 text: byte 16"),
        (mine("x").encode() + b" " * (64 << 10), "larger than 64 KiB"),
    ],
)
def test_a_role_is_text_of_bounded_size(at: Places, content: bytes, said: str) -> None:
    at.write(f"{AT_PROJECT}/x.md", content)
    with pytest.raises(TemplateError, match=f"x.md: it cannot be read: it is {said}"):
        at.roles()


def test_a_link_out_of_the_project_is_not_followed(at: Places) -> None:
    secret = at.write("secret.md", mine("x"))
    link = at.project / ".engine-mcp" / "roles" / "x.md"
    link.parent.mkdir(parents=True)
    link.symlink_to(secret)
    with pytest.raises(TemplateError, match=r"x\.md: it cannot be read: .* lies outside"):
        at.roles()


def test_a_folder_that_leads_out_of_the_project_is_not_looked_at(at: Places) -> None:
    at.write("elsewhere/x.md", mine("x"))
    (at.project / ".engine-mcp").mkdir()
    (at.project / ".engine-mcp" / "roles").symlink_to(at.project.parent / "elsewhere")
    assert "x" not in at.roles()


def test_links_of_the_user_and_inside_the_project_are_followed(at: Places) -> None:
    for name, place in (("a", at.user), ("b", at.project / ".engine-mcp")):
        (place / "roles").mkdir(parents=True)
        (place / "roles" / f"{name}.md").symlink_to(at.write(f"project/dots/{name}.md", mine(name)))
    assert {"a", "b"} <= at.roles().keys()


@pytest.mark.parametrize("kind", ["pipe", "folder", "dangling", "circle"])
def test_what_is_no_file_is_told_and_holds_nothing_up(at: Places, kind: str) -> None:
    file = at.project / ".engine-mcp" / "roles" / "x.md"
    file.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        file.symlink_to(file if kind == "circle" else "nowhere")
    with pytest.raises(TemplateError, match=r"x\.md: it cannot be read"):
        at.roles()


@given(st.text(max_size=60))
def test_front_matter_is_read_or_refused(text: str) -> None:
    for source in (text, f"---\n{text}\n---\n{text}"):
        with suppress(TemplateError):
            found = document(source, "place")
            assert document(source, "place", lenient=True) == found
