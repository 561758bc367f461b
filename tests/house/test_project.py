"""What the files at the top level say is so."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.house.sources import ROOT, files, python

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCKS = {"requirements.txt": [], "requirements-dev.txt": ["dev"]}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> set[str]:
    wanted = [
        *PROJECT["dependencies"],
        *(name for extra in extras for name in PROJECT["optional-dependencies"][extra]),
    ]
    return {canonical(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in wanted}


def imported(*folders: str) -> set[str]:
    """The distributions that these folders import from."""
    owners = packages_distributions()
    modules = {module for source in python(*folders) for module in source.imports()}
    return {canonical(owner) for module in modules for owner in owners.get(module, [])} - {"engine-mcp"}


# The child of the sandbox loads the one by its path, and the event loop is chosen by a word.
WITHOUT_IMPORT = {"quickjs-ng": '"_quickjs"', "uvloop": '"use_uvloop": True'}


def test_every_dependency_is_used() -> None:
    sources = "".join(source.text for source in python("src"))
    loaded = {name for name, word in WITHOUT_IMPORT.items() if word in sources}
    assert declared() - imported("src") - loaded == set()


def test_nothing_is_imported_that_is_not_declared() -> None:
    bundled = {"mcp-types", "starlette"}  # both are parts of what mcp promises
    assert imported("src") - declared() - bundled == set()
    assert imported("tests", "scripts") - declared("dev") - bundled == set()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_every_dependency_with_hashes_and_names_no_place(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    pinned = {canonical(found) for found in re.findall(r"^([\w.-]+)(?:\[\w+\])?==", text, re.MULTILINE)}
    assert declared(*LOCKS[name]) - pinned == set()
    entries = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"://|^-.*|file:", text, re.MULTILINE) == []


def test_the_client_configuration_starts_the_installed_command() -> None:
    config = json.loads((ROOT / "mcp.json").read_text(encoding="utf-8"))
    assert config == {
        "mcpServers": {
            "engine": {"type": "stdio", "command": ".venv/bin/engine-mcp", "args": ["serve"], "env": {}}
        }
    }
    assert PROJECT["scripts"] == {"engine-mcp": "engine_mcp.__main__:main"}


def test_the_image_is_built_from_files_that_exist_and_starts_the_command() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = [
        name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for name in line.split()
    ]
    assert copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert 'ENTRYPOINT ["engine-mcp"]' in text
    assert re.search(r"^USER (?!root|0)\w+$", text, re.MULTILINE)


def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    packed = ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    package = ROOT / "src" / "engine_mcp"
    wanted = [file.relative_to(ROOT / "src").as_posix() for file in files() if file.is_relative_to(package)]
    assert set(wanted) - set(packed) == set()
    assert [name for name in packed if name not in wanted and ".dist-info/" not in name] == []


def test_make_alone_prints_each_target_with_its_purpose() -> None:
    told = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^\.PHONY: ([a-z-]+)$", makefile, re.MULTILINE)
    assert [line.split()[1] for line in told.stdout.splitlines()] == targets
    assert all(len(line.split()) > 3 for line in told.stdout.splitlines())
    assert {"help", "setup", "run", "test", "check", "bench"} <= set(targets)
