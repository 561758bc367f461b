"""One word per concept, and a project that speaks of itself alone."""

import re

import pytest

from engine_mcp.core.execution import ExecutionStatus, StepStatus
from tests.house.sources import ROOT, files

DOCS = ROOT / "docs"
GLOSSARY = (DOCS / "glossary.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in row.strip("|").split("|")]
    for row in GLOSSARY.splitlines()
    if row.startswith("|") and not row.startswith(("| Word", "|-"))
]
SPOKEN = ["reference/tools.md", "reference/cli.md"]
GATE = "tests/house/test_words.py"
FOREIGN = {
    "a path of one machine": re.compile(r"/work/|/root/|/home/\w+/|/Users/\w+/|/tmp/(probe|\w+\.md)"),
    "a package registry's host": re.compile(
        r"registry\.\w+\.\w+|/simple/|files\.python|pypi\.org", re.IGNORECASE
    ),
    "a secret": re.compile(
        r"sk-ant-[\w-]{20,}|AKIA[0-9A-Z]{16}|gh[pousr]_\w{36}|-----BEGIN [A-Z ]*PRIVATE KEY"
    ),
    "the way it was made": re.compile(
        r"SPEC\.md|CHECKLIST|\bseeds/|go-ent|\bthe lead\b|\bfacts/|"
        r"(generated|written|made|built) (by|with) (an? )?(AI|LLM|Claude|agent|assistant)|co-authored-by",
        re.IGNORECASE,
    ),
}


def test_every_word_of_the_glossary_has_one_row_and_a_meaning() -> None:
    words = [row[0] for row in ROWS]
    assert len(words) == len(set(words)) > 20
    assert all(len(row) == 3 and row[1] for row in ROWS)


def test_no_word_is_both_used_and_banned() -> None:
    words = {row[0].lower() for row in ROWS}
    assert words & {banned.strip() for row in ROWS for banned in row[2].split(",")} == set()


@pytest.mark.parametrize("status", [*ExecutionStatus, *StepStatus])
def test_the_glossary_names_every_status(status: str) -> None:
    assert f"`{status}`" in GLOSSARY


@pytest.mark.parametrize("page", SPOKEN)
def test_tools_and_commands_use_the_words_of_the_glossary(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8").lower()
    banned = [word.strip() for row in ROWS for word in row[2].split(",") if word.strip()]
    assert [word for word in banned if re.search(rf"\b{re.escape(word)}s?\b", text)] == []


@pytest.mark.parametrize("what", FOREIGN)
def test_no_file_speaks_of(what: str) -> None:
    found: list[str] = []
    for file in files():
        name = file.relative_to(ROOT).as_posix()
        text = "" if name == GATE else file.read_text(encoding="utf-8", errors="replace")
        found += [f"{name}: {match.group()}" for match in FOREIGN[what].finditer(text)]
    assert found == []
