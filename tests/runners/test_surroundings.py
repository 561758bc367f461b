"""A child sees what the list lets through, and nothing else of the engine's environment."""

from pathlib import Path

from engine_mcp.runners.surroundings import found, surroundings

GIVEN = {
    "PATH": "/bin",
    "HOME": "/somebody",
    "LC_ALL": "C.UTF-8",
    "XDG_CONFIG_HOME": "/config",
    "https_proxy": "http://localhost:1",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "ANTHROPIC_API_KEY": "key",
    "CLAUDECODE": "1",
    "LD_PRELOAD": "/tmp/evil.so",  # noqa: S108 - a name, nothing is written
    "PYTHONPATH": "/elsewhere",
}


def test_what_every_program_needs_is_let_through() -> None:
    assert surroundings(GIVEN, ()) == {
        name: GIVEN[name] for name in ("PATH", "HOME", "LC_ALL", "XDG_CONFIG_HOME", "https_proxy")
    }


def test_names_and_prefixes_add_to_it() -> None:
    more = (
        surroundings(GIVEN, ["ANTHROPIC_API_KEY", "AWS_*", "MISSING"]).keys() - surroundings(GIVEN, ()).keys()
    )
    assert more == {"ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY"}


def test_a_star_in_the_middle_is_no_pattern() -> None:
    assert "CLAUDECODE" not in surroundings(GIVEN, ["CL*DE"])


def test_a_program_is_found_in_the_given_path_alone(tmp_path: Path) -> None:
    program = tmp_path / "fake-cli"
    program.write_text("#!/bin/sh\n")
    assert found("fake-cli", {"PATH": str(tmp_path)}) is None
    program.chmod(0o755)
    assert found("fake-cli", {"PATH": str(tmp_path)}) == str(program)
    assert found("fake-cli", {"PATH": ""}) is None
    assert found("sh", {}) is None
