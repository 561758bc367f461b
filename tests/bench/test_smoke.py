"""The benchmarks can be measured, without the peers; what they measure is not looked at."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.children import ROOT, environment
from bench.run import PARTS
from tests.bench.forking import Forks, forking


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen[str]]:
    """The process that the programs of all parts are forked from."""
    with forking() as found:
        yield found


HEAVY = frozenset({"calls", "cold-start", "events", "lag"})
"""Parts whose quickest samples take long: they start many programs. `make bench` runs them as well."""


@pytest.mark.req("000:7.3.4")
@pytest.mark.parametrize("name", [name for name in PARTS if name not in HEAVY])
def test_every_part_gives_finite_figures_from_quick_samples(
    name: str, tmp_path: Path, process: subprocess.Popen[str]
) -> None:
    figures = PARTS[name](Forks(tmp_path, process), quick=True)
    assert figures
    assert [figure.what for figure in figures if not math.isfinite(figure.value)] == []
    assert [figure.what for figure in figures if figure.value < 0 and "memory" not in figure.what] == []


def test_the_program_prints_the_values_of_one_part_as_one_document_and_leaves_the_page_alone() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_bytes()
    told = subprocess.run(
        [sys.executable, "-m", "bench.run", "--only", "growth", "--quick", "--json"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    values: dict[str, float] = json.loads(told.stdout)
    assert len(values) == 1
    assert (ROOT / "docs" / "benchmarks.md").read_bytes() == page
