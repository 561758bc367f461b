"""What leads out of a project is found, and no way for OpenCode."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from engine_mcp.core.plan import Mode, Permissions
from engine_mcp.runners.opencode_config import permission
from engine_mcp.runners.opencode_links import MOST, Links, links
from engine_mcp.runners.opencode_project import Surveyed, survey
from tests.runners.host import RecordingHost
from tests.runners.stands.opencode import OpenCodeStand
from tests.runners.stands.stand import Place, Scenario, task


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a project in a folder that has more than the project."""
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("a", encoding="utf-8")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside.txt").write_text("x", encoding="utf-8")
    program = tmp_path / "program"
    program.write_text("x", encoding="utf-8")
    program.chmod(0o755)
    return folder


def link(project: Path, name: str, target: str) -> str:
    (project / name).symlink_to(target)
    return str(project / name)


def rules(place: Surveyed, *allowed: str) -> dict[str, Any]:
    return permission(Permissions(mode=Mode.WRITE, allowed_tools=allowed or None), place)


def test_links_that_stay_inside_are_no_way_out(project: Path) -> None:
    link(project, "a.py", "src/a.py")
    link(project, "source", "src")
    link(project, "src/self", "..")
    assert links(project) == Links()


@pytest.mark.parametrize(
    ("target", "searchable"),
    [
        ("../../outside", True),
        ("../../outside.txt", True),
        ("../../program", False),
        ("../../none", False),
        ("/etc", True),
        ("../../project-too", False),
    ],
)
def test_a_link_that_leads_out_is_found(project: Path, target: str, *, searchable: bool) -> None:
    found = link(project, "src/link", target)
    assert links(project) == Links((found,), searchable)


def test_where_one_leads_out_a_linked_directory_is_no_way_to_it(project: Path) -> None:
    out, way = link(project, "src/out", "../../outside"), link(project, "way", "src")
    link(project, "file", "src/a.py")
    assert links(project).paths == (out, way)


def test_such_links_are_neither_read_nor_written_nor_searched(project: Path) -> None:
    link(project, "out", "../outside")
    found = rules(Surveyed(path=project, links=links(project)))
    name = str(project / "out").lstrip("/")
    for tool in ("read", "edit"):
        assert list(found[tool].items())[-2:] == [(name, "deny"), (f"{name}/*", "deny")]
    assert not found.keys() & {"grep", "glob", "list"}


def test_in_a_repository_they_have_two_names(project: Path, tmp_path: Path) -> None:
    link(project, "out", "../program")
    found = rules(Surveyed(path=project, worktree=tmp_path, links=links(project)))
    assert found["read"]["project/out"] == found["read"]["project/out/*"] == "deny"
    assert found["grep"] == "allow"


def test_whoever_has_the_whole_shell_is_not_kept_from_them(project: Path) -> None:
    link(project, "out", "../outside")
    place = Surveyed(path=project, links=links(project))
    granted = ("files.read", "files.list", "shell")
    assert rules(place, *granted) == rules(replace(place, links=Links()), *granted)
    assert "grep" not in rules(place, "files.read", "shell(git *)")


def test_instructions_that_lie_outside_are_none(project: Path, tmp_path: Path) -> None:
    link(project, "AGENTS.md", "../outside.txt")
    assert survey(str(project), "/nobody").instructions == ()
    (tmp_path / ".git").mkdir()
    assert survey(str(project), "/nobody").instructions == (str(project / "AGENTS.md"),)


@pytest.mark.anyio
async def test_a_project_with_more_links_than_can_be_named_is_refused(place: Place) -> None:
    for number in range(MOST + 1):
        link(place.project, f"l{number}", "/etc")
    runner = OpenCodeStand().runner(Scenario.SAYS, place, 20)
    with anyio.fail_after(30):
        result = await runner.run(task(place), RecordingHost())
    assert result.failure is not None
    assert (result.failure.code, place.note("argv")) == ("denied", "")
