"""The benchmarks can be measured, without the peers; what they measure is not looked at."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from bench.children import ROOT, Children, environment
from bench.run import PARTS


@pytest.mark.req("000:7.3.4")
@pytest.mark.parametrize("name", PARTS)
def test_every_part_gives_finite_figures_from_quick_samples(name: str, tmp_path: Path) -> None:
    figures = PARTS[name](Children(tmp_path), quick=True)
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
