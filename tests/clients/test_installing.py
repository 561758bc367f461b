"""The clients are installed once, as a whole or not at all, and their absence is told and no failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.clients import pinned

ROOT = Path(__file__).parents[2]
VERSIONS = {client.command: client.version for client in pinned({}).clients}
GOOD = (
    "mkdir -p node_modules/.bin\n"
    + "\n".join(
        f"printf '#!/bin/sh\\necho {version} and more\\n' > node_modules/.bin/{command}"
        for command, version in VERSIONS.items()
    )
    + "\nchmod +x node_modules/.bin/*\n"
)


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """The first folder of the PATH; it holds what a test puts there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def put(folder: Path, name: str, script: str) -> None:
    """Make a command that notes its calls in a file beside it."""
    command = folder / name
    command.write_text(f'#!/bin/sh\necho "$@" >> {folder}/{name}.calls\n{script}\n', encoding="utf-8")
    command.chmod(0o755)


def installing(tmp_path: Path, path: str) -> subprocess.CompletedProcess[str]:
    """What the installation says, with a cache of its own; it always ends well."""
    environment = {"PATH": path, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "scripts.clients"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def system(bin_folder: Path) -> str:
    return f"{bin_folder}{os.pathsep}/usr/bin{os.pathsep}/bin"


def test_without_npm_it_says_so_and_so_do_the_skipped_tests(tmp_path: Path, bin_folder: Path) -> None:
    told = installing(tmp_path, str(bin_folder))
    assert told.stdout == ""
    assert "WARNING" in told.stderr
    assert "Node and npm are not on the PATH" in told.stderr
    place = pinned({"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert place.absence() == "the clients are not installed: Node and npm are not on the PATH"


def test_an_installation_that_fails_leaves_its_reason_and_nothing_else(
    tmp_path: Path, bin_folder: Path
) -> None:
    put(bin_folder, "node", "")
    put(bin_folder, "npm", "mkdir node_modules; echo 'no such network' >&2; exit 1")
    told = installing(tmp_path, system(bin_folder))
    place = pinned({"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert "no such network" in told.stderr
    assert "no such network" in str(place.absence())
    assert list(place.root.iterdir()) == [place.note]


def test_an_installation_of_another_version_is_not_kept(tmp_path: Path, bin_folder: Path) -> None:
    put(bin_folder, "node", "")
    put(bin_folder, "npm", GOOD.replace(VERSIONS["claude"], "0.0.1"))
    told = installing(tmp_path, system(bin_folder))
    assert "says it is '0.0.1 and more'" in told.stderr


def test_an_installation_is_done_once_and_ends_the_absence(tmp_path: Path, bin_folder: Path) -> None:
    put(bin_folder, "node", "")
    put(bin_folder, "npm", "exit 1")
    installing(tmp_path, system(bin_folder))
    put(bin_folder, "npm", GOOD)
    place = pinned({"XDG_CACHE_HOME": str(tmp_path / "cache")})
    for _ in range(2):
        told = installing(tmp_path, system(bin_folder))
        assert (told.stdout.strip(), told.stderr) == (str(place.commands), "")
    assert (bin_folder / "npm.calls").read_text(encoding="utf-8").count("install") == 2
    assert (place.absence(), list(place.root.iterdir())) == (None, [place.folder])
    assert '"@anthropic-ai/claude-code": "' + VERSIONS["claude"] in (place.folder / "package.json").read_text(
        encoding="utf-8"
    )


def test_nothing_was_tried_yet(tmp_path: Path) -> None:
    absence = pinned({"XDG_CACHE_HOME": str(tmp_path)}).absence()
    assert absence == "the clients are not installed: run `make test-clients`"
