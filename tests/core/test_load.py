"""Load: when somebody who was turned away should come again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.core.load import LATEST_S, SOONEST_S, UNKNOWN_S, retry_after

DURATIONS = st.lists(st.floats(0, 1e7), max_size=20)
COUNTS = st.integers(0, 10_000)


@pytest.mark.req("002:L87")
@pytest.mark.parametrize(
    ("durations", "waiting", "places", "expected"),
    [
        ([40.0], 0, 1, 40.0),
        ([40.0], 0, 8, 5.0),
        ([40.0], 7, 8, 40.0),
        ([10.0, 20.0, 9000.0], 0, 1, 20.0),
        ([], 0, 1, UNKNOWN_S),
        ([0.001], 0, 8, SOONEST_S),
        ([60.0], 1000, 8, LATEST_S),
        ([60.0], 0, 0, 60.0),
    ],
)
def test_a_newcomer_waits_until_those_before_it_had_their_turn(
    durations: list[float], waiting: int, places: int, expected: float
) -> None:
    assert retry_after(durations, waiting, places) == expected


@given(DURATIONS, COUNTS, COUNTS)
def test_the_wait_is_bounded_and_never_longer_with_fewer_before_or_more_places(
    durations: list[float], waiting: int, places: int
) -> None:
    found = retry_after(durations, waiting, places)
    assert SOONEST_S <= found <= LATEST_S
    assert retry_after(durations, waiting + 1, places) >= found >= retry_after(durations, waiting, places + 1)
