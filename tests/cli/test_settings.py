"""Settings: four places, one value, and errors that name where the wrong one stands."""

import os
import re
from pathlib import Path
from typing import cast

import pytest

from engine_mcp.core.budget import OnExceed
from engine_mcp.core.plan import Mode
from engine_mcp.errors import InvalidArgument, PathOutsideRoots
from engine_mcp.settings import LONGEST_ADDRESS, Choices, load, variables
from tests.house.sources import ROOT


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """The user's configuration file, whose folder exists."""
    folder = tmp_path / "home" / "engine-mcp"
    folder.mkdir(parents=True)
    return folder / "config.yaml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a folder for its own configuration."""
    place = tmp_path / "project"
    (place / ".engine-mcp").mkdir(parents=True)
    return place


def environ(user: Path, **more: str) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(user.parents[1]), "PATH": os.environ["PATH"], **more}


def test_without_files_and_variables_everything_has_a_default(user: Path, project: Path) -> None:
    settings = load(project, environ=environ(user))
    assert settings.project == settings.roots[0] == project.resolve()
    assert settings.state == project / ".engine-mcp"
    assert settings.script.wall_s == 3600
    assert settings.budget.max_tokens is None
    assert settings.files == ()


def test_the_environment_is_stronger_than_the_project_and_the_project_than_the_user(
    user: Path, project: Path
) -> None:
    user.write_text("{grace_s: 1, log_level: error, concurrency: {executions: 3, steps: 4}}")
    (project / ".engine-mcp/config.yaml").write_text("{grace_s: 2, concurrency: {steps: 5}}")
    settings = load(project, environ=environ(user, ENGINE_MCP_GRACE_S="3"))
    assert (settings.grace_s, settings.log_level) == (3, "error")
    assert (settings.concurrency.executions, settings.concurrency.steps) == (3, 5)
    assert settings.files == (user, project / ".engine-mcp/config.yaml")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("ENGINE_MCP_GRACE_S", "soon", "ENGINE_MCP_GRACE_S: Input should be a valid number"),
        ("ENGINE_MCP_GRACE_S", "nan", "ENGINE_MCP_GRACE_S: Input should be"),
        ("ENGINE_MCP_SCRIPT_WALL_S", "0", "ENGINE_MCP_SCRIPT_WALL_S: Input should be greater than 0"),
        ("ENGINE_MCP_SCRIPT_MEMORY_MB", "99999999", "ENGINE_MCP_SCRIPT_MEMORY_MB: Input should be less"),
        (
            "ENGINE_MCP_BUDGET_ON_EXCEED",
            "stop",
            "ENGINE_MCP_BUDGET_ON_EXCEED: Input should be 'warn' or 'pause'",
        ),
        ("ENGINE_MCP_CONCURRENCY_STEPS", "0", "ENGINE_MCP_CONCURRENCY_STEPS: Input should be greater"),
        ("ENGINE_MCP_SCRIPTS", "1", "ENGINE_MCP_SCRIPTS is not a setting"),
    ],
)
@pytest.mark.req("SPEC:11.settings-name-the-wrong-key")
def test_a_variable_that_cannot_be_taken_is_named(
    user: Path, project: Path, name: str, text: str, said: str
) -> None:
    with pytest.raises(InvalidArgument, match=said):
        load(project, environ=environ(user, **{name: text}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("grace_s: soon", r"config\.yaml: grace_s: Input should be a valid number"),
        ("script: {wall_s: -1}", r"config\.yaml: script\.wall_s: Input should be greater than 0"),
        ("script: fast", r"config\.yaml: script: Input should be"),
        ("grace: 3", r"config\.yaml: grace: Extra inputs are not permitted"),
        ("script: {wall: 3}", r"config\.yaml: script\.wall: Extra inputs are not permitted"),
        ("project: /", r"config\.yaml: project: Extra inputs are not permitted"),
        ("- a list", r"config\.yaml does not hold settings by name"),
        ("{", r"config\.yaml does not hold settings by name"),
        ("when: 2026-01-01", r"config\.yaml does not hold settings by name"),
    ],
)
def test_a_key_of_a_file_that_cannot_be_taken_is_named_with_its_file(
    user: Path, project: Path, text: str, said: str
) -> None:
    user.write_text(text)
    with pytest.raises(InvalidArgument, match=said):
        load(project, environ=environ(user))


@pytest.mark.parametrize("text", ["roots: [/]", "state: /elsewhere", "script: {wall_s: 86400}"])
def test_a_project_cannot_widen_what_it_may_do(user: Path, project: Path, text: str) -> None:
    (project / ".engine-mcp/config.yaml").write_text(text)
    with pytest.raises(InvalidArgument, match="cannot be set by a project"):
        load(project, environ=environ(user))
    user.write_text(text.replace("/elsewhere", str(project)))
    (project / ".engine-mcp/config.yaml").unlink()
    load(project, environ=environ(user))


def test_an_unreadable_file_is_an_error_and_not_an_absent_one(user: Path, project: Path) -> None:
    user.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidArgument, match=r"config\.yaml cannot be read"):
        load(project, environ=environ(user))


def test_roots_are_resolved_added_up_and_must_exist(user: Path, project: Path, tmp_path: Path) -> None:
    other, third = tmp_path / "other", tmp_path / "third"
    other.mkdir()
    third.mkdir()
    (project / "link").symlink_to(other)
    settings = load(
        project, roots=(third,), environ=environ(user, ENGINE_MCP_ROOTS=f"link{os.pathsep}{other}")
    )
    assert settings.roots == (project.resolve(), other.resolve(), third.resolve())
    with pytest.raises(PathOutsideRoots, match="is not a directory"):
        load(project, environ=environ(user, ENGINE_MCP_ROOTS="nowhere"))
    with pytest.raises(PathOutsideRoots, match="is not a directory"):
        load(tmp_path / "nowhere", environ=environ(user))


def test_the_record_can_be_kept_elsewhere(user: Path, project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "state"
    assert load(project, environ=environ(user, ENGINE_MCP_STATE=str(elsewhere))).state == elsewhere
    assert load(project, environ=environ(user, ENGINE_MCP_STATE="sub")).state == project / "sub"


def test_without_a_home_there_is_no_file_of_the_user(project: Path) -> None:
    assert load(project, environ={}).files == ()


def test_a_user_s_file_is_found_below_the_home(user: Path, project: Path) -> None:
    file = user.parents[1] / ".config/engine-mcp/config.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("grace_s: 1")
    assert load(project, environ={"HOME": str(user.parents[1])}).files == (file,)


def test_a_home_that_nobody_has_is_an_error(user: Path, project: Path) -> None:
    with pytest.raises(InvalidArgument, match="nobody-has-this-name"):
        load(project, environ=environ(user, ENGINE_MCP_STATE="~nobody-has-this-name/state"))


def test_an_empty_variable_says_nothing(user: Path, project: Path) -> None:
    assert load(project, environ=environ(user, ENGINE_MCP_GRACE_S="")).grace_s == 5


def test_a_path_too_long_for_a_socket_is_passed_over(user: Path, project: Path) -> None:
    long = load(project, environ=environ(user, XDG_RUNTIME_DIR="/" + "x" * LONGEST_ADDRESS)).runtime
    assert len(os.fsencode(long)) < LONGEST_ADDRESS
    short = load(project, environ=environ(user, XDG_RUNTIME_DIR="/run/user/1")).runtime
    assert short == Path("/run/user/1/engine-mcp")


def test_every_variable_can_be_set(user: Path, project: Path) -> None:
    words = {
        "ENGINE_MCP_BUDGET_ON_EXCEED": "warn",
        "ENGINE_MCP_LOG_LEVEL": "debug",
        "ENGINE_MCP_STATE": "elsewhere",
        "ENGINE_MCP_ROOTS": str(project),
        "ENGINE_MCP_SCRIPT_STACK_KB": "1024",
        "ENGINE_MCP_RUNTIMES_API_PROVIDER": "bedrock",
        "ENGINE_MCP_RUNTIMES_ORDER": "api,opencode",
        "ENGINE_MCP_PERMISSIONS_MODE": "read",
        "ENGINE_MCP_PERMISSIONS_SHELL": "no",
        "ENGINE_MCP_PERMISSIONS_WEB": "yes",
        "ENGINE_MCP_PERMISSIONS_ASK": "files.write,files.read",
        "ENGINE_MCP_SPENDING_TIME_ZONE": "UTC",
        "ENGINE_MCP_RESOURCES_NICE": "10",
        "ENGINE_MCP_CONTEXT_TRIGGER": "0.6",
        "ENGINE_MCP_CONTEXT_TARGET": "0.3",
        "ENGINE_MCP_CONTEXT_MAX_TOKENS": "60000",
        "ENGINE_MCP_CONTEXT_PRICE_CLIFFS": "yes",
    }
    settings = load(project, environ=environ(user, **{**dict.fromkeys(variables(), "60"), **words}))
    assert (settings.budget.on_exceed, settings.log_level) == (OnExceed.WARN, "debug")
    assert settings.runtimes.order == ("api", "opencode")
    assert (settings.permissions.mode, settings.permissions.shell) == (Mode.READ, False)
    assert (settings.script.max_calls, settings.concurrency.waiting, settings.retention.days) == (60, 60, 60)


def test_settings_do_not_change(user: Path, project: Path) -> None:
    settings = load(project, environ=environ(user))
    with pytest.raises(ValueError, match="frozen"):
        settings.grace_s = 1


def test_the_guide_lists_every_setting_with_its_default() -> None:
    guide = (ROOT / "docs/how-to/configure.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \| (\S+) \|", guide, re.MULTILINE)
    assert [tuple(name.split(".")) for name, _ in rows] == list(variables().values())
    assert dict(rows) == {".".join(key): told(key) for key in variables().values()}


def told(key: tuple[str, ...]) -> str:
    """The default of a setting as the guide writes it."""
    value: object = Choices()
    for part in key:
        value = getattr(value, part)
    match value:
        case None | ():
            return "none"
        case tuple():
            return ",".join(str(part) for part in cast("tuple[object, ...]", value))
        case Path():
            return f"`{value}`"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def test_who_runs_inside_of_an_attempt_knows_it(user: Path, project: Path) -> None:
    settings = load(project, environ=environ(user, ENGINE_MCP_ATTEMPT="an-execution/a-step/1"))
    assert settings.attempt == "an-execution/a-step/1"
    assert load(project, environ=environ(user)).attempt is None


def test_what_children_get_is_not_shown(user: Path, project: Path) -> None:
    settings = load(project, environ=environ(user, HIDDEN="hush"))
    assert settings.environ["HIDDEN"] == "hush"
    assert "hush" not in f"{settings!r} {settings.model_dump()}"


@pytest.mark.parametrize("key", ["runtimes", "commands", "permissions", "caps", "spending", "resources"])
def test_a_project_cannot_say_what_programs_are_run_for_it(user: Path, project: Path, key: str) -> None:
    config = project / ".engine-mcp" / "config.yaml"
    config.parent.mkdir(exist_ok=True)
    config.write_text(f"{key}: {{}}\n", encoding="utf-8")
    with pytest.raises(InvalidArgument, match="cannot be set by a project"):
        load(project, environ=environ(user))


def test_variables_that_contradict_a_default_are_named_and_no_others(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as refused:
        load(tmp_path, environ={"HOME": str(tmp_path), "ENGINE_MCP_CONTEXT_TARGET": "0.9"})
    assert "ENGINE_MCP_CONTEXT_TARGET" in refused.value.message
    assert "ENGINE_MCP_CONTEXT_MODEL" not in refused.value.message
