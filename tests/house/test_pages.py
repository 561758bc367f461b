"""The generated pages agree with the code, and the examples of the written ones run."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pytest
from pydantic import JsonValue

from engine_mcp.core.treatment import TREATMENTS
from scripts.fault_page import lasting, tries, tripped
from scripts.markdown import between, table
from scripts.pages import PAGES, diagram, difference
from scripts.tool_page import fields
from tests.house.sources import ROOT

MARKED = re.compile(r"<!-- (run|file: ?\S+) -->\n+```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WRITTEN = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
EXAMPLE_S = 40
SHELLS = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}


class Light(StrEnum):
    RED = "red"
    GREEN = "green"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block with `<!-- run -->` or `<!-- file: name -->` above it."""

    order: str
    language: str
    text: str

    def carry_out(self, folder: Path) -> None:
        """Write it, read it or run it in `folder`; raises where it does not work."""
        if self.order != "run":
            (folder / self.order.removeprefix("file:").strip()).write_text(self.text, encoding="utf-8")
        elif self.language == "json":
            json.loads(self.text)
        else:
            place = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            command = [*SHELLS[self.language], self.text]
            run(command, folder, {**os.environ, "PATH": place})


def run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run a command in a session of its own and end with it whatever it started."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as ran:
        try:
            printed, _ = ran.communicate(timeout=EXAMPLE_S)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(ran.pid, signal.SIGKILL)
    assert ran.returncode == 0, f"{command[-1]}\n{printed.decode(errors='replace')}"


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in MARKED.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.req("000:7.4.3")
@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_agrees_with_the_code(name: str) -> None:
    assert difference(name) == ""


@pytest.mark.req("000:7.4.1")
@pytest.mark.parametrize(
    "page", [page for page in WRITTEN if blocks(page)], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_the_examples_of_a_page_run_one_after_another(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        block.carry_out(tmp_path)


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_a_block_that_fails_is_told_with_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no such thing"):
        Block("run", "bash", "echo no such thing; exit 3").carry_out(tmp_path)


def test_marked_blocks_are_found_and_others_are_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- file: a.txt -->\n\n```text\nA\n```\n\n```bash\nno\n```\n<!-- run -->\n```bash\ncat a.txt\n```\n"
    )
    assert blocks(page) == [Block("file: a.txt", "text", "A\n"), Block("run", "bash", "cat a.txt\n")]


def test_a_diagram_begins_at_the_first_status_and_ends_where_nothing_follows() -> None:
    drawn = diagram({Light.RED: frozenset({Light.GREEN}), Light.GREEN: frozenset()})
    assert drawn.splitlines()[2:-1] == ["    [*] --> red", "    red --> green", "    green --> [*]"]


def test_generated_text_replaces_only_what_stands_between_its_markers() -> None:
    text = "a\n<!-- x: generated -->\nold\n<!-- x: end -->\nb"
    assert between(text, "x", "new") == text.replace("old", "new")
    with pytest.raises(ValueError, match="no markers"):
        between("a page without markers", "x", "new")


def test_a_schema_becomes_a_table_of_its_fields_and_theirs() -> None:
    schema: dict[str, JsonValue] = {
        "properties": {
            "mode": {"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}], "default": "a"},
            "steps": {"type": "array", "items": {"$ref": "#/$defs/Step"}, "description": "What\n to do"},
        },
        "required": ["steps"],
        "$defs": {
            "Step": {
                "type": "object",
                "properties": {"id": {"type": ["string", "null"]}, "rest": {"$ref": "#/$defs/Rest"}},
            },
            "Rest": {"type": "object", "properties": {"x": {}}},
        },
    }
    assert fields(schema).splitlines()[2:] == [
        "| `mode` | `a`, `b` or null | `a` |  |",
        "| `steps` | list of object | required | What to do |",
        "| `steps[].id` | string or null |  |  |",
        "| `steps[].rest` | object |  |  |",
        "| `steps[].rest.x` | any |  |  |",
    ]


def test_a_schema_that_refers_to_itself_still_ends() -> None:
    schema: dict[str, JsonValue] = {
        "properties": {"tree": {"$ref": "#/$defs/Tree"}},
        "$defs": {"Tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}}}},
    }
    assert "`tree.left.left`" in fields(schema)


def test_times_are_told_in_the_largest_unit_that_divides_them() -> None:
    assert [lasting(seconds) for seconds in (1, 90, 60, 600, 7200)] == [
        "1 second",
        "90 seconds",
        "1 minute",
        "10 minutes",
        "2 hours",
    ]


def test_the_treatment_of_a_fault_is_told_as_its_rules_carry_it_out() -> None:
    told = {code: (tries(code, rule), tripped(code, rule)) for code, rule in TREATMENTS.items()}
    assert told["runtime_failed"] == ("2, else 3", "counts")
    assert told["unauthorized"] == ("2", "opens with failure 2 in a row until somebody resumes")
    assert told["model_unavailable"] == ("1", "opens for 5 minutes")
    assert told["refused"] == ("1", "")


def test_a_bar_in_a_cell_is_escaped() -> None:
    assert table(("a",), [("x|y",)]).splitlines()[-1] == r"| x\|y |"
