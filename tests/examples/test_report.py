"""The example does what it says, on trees whose figures are known from elsewhere."""

import os
import shlex
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell import Shell, opened
from tests.examples import counting
from tests.examples.tree import plant
from tests.house.sources import ROOT

PLAN = ROOT / "examples" / "codebase-report.yaml"
PART = ("src/engine_mcp/core", "src/engine_mcp/engine", "tests/house")
"""Folders of this project: enough to be stopped in, and read within seconds."""
STEPS = {"inventory", "functions", "imports", "notes", "duplicates", "tests", "report"}


def reported(shell: Shell, *words: str) -> dict[str, Any]:
    """Run the example in the shell's project; gives the outputs of its steps, and the report itself."""
    told = shell.call("run", "--plan", PLAN, "--json", *words)
    assert told.code == 0, told.err
    return outputs(shell, told.document["execution_id"])


def outputs(shell: Shell, name: str) -> dict[str, Any]:
    """What the steps of an execution gave, large outputs included, and the report."""
    state = shell.call("show", name, "--json").document["state"]
    found: dict[str, Any] = {"execution_id": name}
    for step, each in state["steps"].items():
        output = each["output"]
        found[step] = output.get("value")
        if artifact := output.get("artifact"):
            told = shell.call("show", name, "--artifact", artifact["digest"])
            found[step] = told.document if told.out.startswith("{") else told.out
    found["text"] = shell.call("show", name, "--artifact", "codebase-report.md").out
    return found


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report on the known tree."""
    with opened(tmp_path_factory.mktemp("known")) as shell:
        plant(shell.project)
        return {**reported(shell), "project": shell.project}


@pytest.mark.req("000:7.4.2")
def test_the_figures_of_a_known_tree_are_right(known: dict[str, Any]) -> None:
    paths = [file["path"] for file in known["inventory"]["files"]]
    assert paths == [
        "app/__init__.py",
        "app/one.py",
        "app/three.py",
        "app/two.py",
        "native/sum.c",
        "tests/test_app.py",
        "web/box.test.js",
        "web/index.js",
        "web/lib/helper.ts",
    ]
    assert known["inventory"]["notRead"] == {
        "tooLarge": ["app/generated.py"],
        "notText": ["app/latin.py"],
        "tooMany": 0,
    }
    assert known["inventory"]["counts"]["links"] == 1
    assert known["inventory"]["counts"]["foldersLeftOut"] == 2
    for file in known["inventory"]["files"]:
        text = (known["project"] / file["path"]).read_text(encoding="utf-8")
        assert file["lines"] == len(text.splitlines())
        assert file["blank"] == sum(not line.strip() for line in text.splitlines())


def test_the_functions_of_a_known_tree_are_found_with_their_lengths(known: dict[str, Any]) -> None:
    functions = known["functions"]
    assert {(one["path"], one["name"], one["line"], one["lines"]) for one in functions["largest"]} == {
        ("app/one.py", "first", 7, 13),
        ("app/one.py", "inner", 15, 2),
        ("app/one.py", "method", 23, 4),
        ("app/two.py", "second", 16, 1),
        ("app/two.py", "lazy", 19, 3),
        ("native/sum.c", "sum", 4, 4),
        ("tests/test_app.py", "test_first", 4, 2),
        ("tests/test_app.py", "test_again", 8, 3),
        ("web/index.js", "start", 6, 5),
        ("web/index.js", "open", 13, 3),
        ("web/lib/helper.ts", "helper", 3, 6),
    }
    assert (functions["count"], functions["median"]) == (11, 3)


def test_imports_notes_duplicates_and_tests_of_a_known_tree_are_right(known: dict[str, Any]) -> None:
    assert known["imports"]["cycles"] == [["app/one.py", "app/two.py"], ["web/index.js", "web/lib/helper.ts"]]
    assert known["imports"]["edges"] == 6
    assert dict(known["imports"]["outside"]) == {"json": 1, "typing": 1, "__future__": 1, "react": 1, "fs": 1}
    assert [(note["path"], note["line"], note["kind"]) for note in known["notes"]["first"]] == [
        ("app/one.py", 4, "TODO"),
        ("app/three.py", 3, "FIXME"),
        ("web/index.js", 5, "HACK"),
    ]
    [block] = known["duplicates"]["largest"]
    assert (block["lines"], block["first"], block["again"]) == (6, "app/one.py:29-34", "app/two.py:9-14")
    assert known["duplicates"]["repeated"] == 6
    assert known["tests"]["tests"] == {"files": 2, "lines": 8}
    assert (known["tests"]["cases"], known["tests"]["checks"]) == (4, 4)


def test_the_report_says_what_was_found_and_what_was_left_out(known: dict[str, Any]) -> None:
    text = known["text"]
    for line in (
        "| Python | 5 |",
        "| `first` | `app/one.py:7` | 13 |",
        "- 2 modules: `app/one.py`, `app/two.py`",
        "- `app/three.py:3` FIXME rename this",
        "| 6 | `app/one.py:29-34` | `app/two.py:9-14` |",
        "1 file above 400,000 bytes, 1 file without UTF-8 text, 0 beyond the first 2,000.",
    ):
        assert line in text


def test_an_empty_folder_has_a_report_too(shell: Shell) -> None:
    found = reported(shell)
    assert found["report"].startswith("0 source files, 0 lines")
    assert "None." in found["text"]


def test_the_most_files_to_read_can_be_chosen(shell: Shell) -> None:
    plant(shell.project)
    found = reported(shell, "--context", '{"max_files": 2, "max_bytes": 400000}')
    assert [file["path"] for file in found["inventory"]["files"]] == ["app/__init__.py"]
    assert found["inventory"]["notRead"]["notText"] == ["app/latin.py"]
    assert found["inventory"]["notRead"]["tooMany"] == 8
    assert "8 beyond the first 2." in found["text"]


def agrees(root: Path, found: dict[str, Any]) -> None:
    """The example and Python itself must say the same of a tree's Python files."""
    paths = [file["path"] for file in found["inventory"]["files"]]
    files = counting.python(root, paths)
    functions = counting.functions(files)
    largest = [one for one in found["functions"]["largest"] if one["path"].endswith(".py")]
    assert functions
    assert [(one["path"], one["name"], one["line"], one["lines"]) for one in largest] == functions[
        : len(largest)
    ]
    rings = [ring for ring in found["imports"]["cycles"] if ring[0].endswith(".py")]
    assert rings == counting.cycles(files)
    assert found["notes"]["byKind"] == dict(counting.notes(root, paths))
    assert (found["duplicates"]["counted"], found["duplicates"]["repeated"]) == counting.repeated(root, paths)


@pytest.mark.parametrize("package", ["click", "anyio"])
@pytest.mark.req("SPEC:11.a-real-job-on-real-input")
def test_on_a_package_that_this_project_did_not_write_it_agrees_with_python(
    shell: Shell, package: str
) -> None:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    shutil.copytree(spec.submodule_search_locations[0], shell.project / package)
    found = reported(shell)
    agrees(shell.project, found)
    edges = counting.imports(
        counting.python(shell.project, [file["path"] for file in found["inventory"]["files"]])
    )
    assert found["imports"]["edges"] == sum(len(targets) for targets in edges.values())


def copied(shell: Shell, folders: tuple[str, ...]) -> None:
    """Put folders of this project into the shell's."""
    for folder in folders:
        shutil.copytree(ROOT / folder, shell.project / folder, ignore=shutil.ignore_patterns("__pycache__"))


def test_on_a_part_of_this_project_it_agrees_with_python(shell: Shell) -> None:
    copied(shell, (*PART, "src/engine_mcp/server", "tests/core", "scripts"))
    agrees(shell.project, reported(shell))


@pytest.mark.crash
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
@pytest.mark.req("SPEC:11.the-example-goes-on-where-it-stopped")
def test_stopped_half_way_it_goes_on_without_repeating_a_step(shell: Shell, number: signal.Signals) -> None:
    copied(shell, PART)
    with shell.started("run", "--plan", PLAN) as call:
        name = call.execution_id
        call.until("inventory: completed")
        call.send(number)
        call.end()
    seen = shell.call("status", name, "--json").document
    done = {step["id"] for step in seen["steps"] if step["status"] == "completed"}
    assert seen["status"] == "interrupted"
    assert "inventory" in done
    assert shell.call("resume", name).code == 0
    attempts = shell.attempts(name)
    assert set(attempts) == STEPS
    assert all(attempts[step] == 1 for step in done)
    agrees(shell.project, outputs(shell, name))


def test_make_run_runs_the_example_on_the_project_or_on_another(tmp_path: Path) -> None:
    # As from a shell, and not as part of the `make` that may be running this test.
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    for path, said in (([], "."), ([f"ENGINE_PATH={tmp_path}"], str(tmp_path))):
        command = ["make", "--dry-run", "run", *path]
        told = subprocess.run(command, cwd=ROOT, env=outside, capture_output=True, text=True, check=True)
        last = shlex.split(told.stdout.splitlines()[-1])
        assert last[1:] == ["run", "--plan", "examples/codebase-report.yaml", "--path", said]
        assert last[0] == ".venv/bin/engine-mcp"
