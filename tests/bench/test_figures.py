"""How a figure stands against its demand, and how it is shown."""

import math
from pathlib import Path

import pytest

from bench.children import Children, UnmeasurableError
from bench.figures import TIMES, Figure, missing, percentile, rendered


def test_a_figure_is_reached_on_the_right_side_of_its_demand() -> None:
    assert Figure(what="rate", value=10, at_least=10).reached
    assert Figure(what="time", value=10, at_most=10).reached
    assert Figure(what="rate", value=9.9, at_least=10).reached is False
    assert Figure(what="time", value=10.1, at_most=10).reached is False


def test_a_figure_without_demand_or_without_value_is_neither_reached_nor_missed() -> None:
    assert Figure(what="rate", value=10).reached is None
    assert missing("rate", "nobody there").reached is None
    assert math.isnan(missing("rate", "nobody there").value)


def test_the_reason_stands_in_the_table_only_where_the_demand_is_missed() -> None:
    good = Figure(what="ratio", value=12, unit=TIMES, at_least=10, detail="as told", because="too slow")
    bad = Figure(what="ratio", value=1.234, unit=TIMES, at_least=10, detail="as told", because="too slow")
    assert rendered([good, bad, missing("rate", "nobody there")]).splitlines()[2:] == [
        f"| ratio | 12.0{TIMES} | ≥ 10.0{TIMES} | yes | as told |",
        f"| ratio | 1.23{TIMES} | ≥ 10.0{TIMES} | **no** | as told. too slow |",
        "| rate | not measured |  |  | nobody there |",
    ]


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3, 1, 2], 99) == 3
    assert percentile([3, 1, 2], 50) == 2
    assert percentile([1], 1) == 1


def test_a_program_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(UnmeasurableError, match=r"ended with 1: KeyError: 'no such program'"):
        Children(tmp_path).ours({"program": "no such program"})
