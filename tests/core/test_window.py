"""The window: what is left of it, when a conversation is reduced, how far, and what cannot be asked for."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.core.window import (
    DEFAULTS,
    LEAST_TARGET,
    LEAST_TRIGGER,
    Window,
    WindowLimits,
    bounds,
    fault,
    is_due,
)

SHARES = st.floats(LEAST_TRIGGER, 1)
LIMITS = st.builds(
    WindowLimits,
    trigger=st.none() | SHARES,
    max_tokens=st.none() | st.integers(1000, 10**8),
    target=st.none() | st.floats(LEAST_TARGET, 0.99),
    price_cliffs=st.none() | st.booleans(),
)
WINDOWS = st.builds(
    Window,
    tokens=st.integers(1000, 10**7),
    source=st.just("prices"),
    cliffs=st.lists(st.integers(1000, 10**7), max_size=2).map(tuple),
)


def window(tokens: int, *cliffs: int) -> Window:
    return Window(tokens=tokens, source="prices", cliffs=cliffs)


@pytest.mark.req("000:3.1.4", "000:3.1.3")
@pytest.mark.parametrize(
    ("tokens", "output", "limits", "usable", "trigger", "target"),
    [
        (200_000, 16_000, WindowLimits(), 180_000, 144_000, 81_000),
        (1_000_000, 16_000, WindowLimits(), 964_000, 150_000, 84_375),
        (1_000_000, 16_000, WindowLimits(max_tokens=900_000), 964_000, 771_200, 433_800),
        (200_000, 16_000, WindowLimits(trigger=0.5, target=0.25), 180_000, 90_000, 45_000),
        (200_000, 16_000, WindowLimits(trigger=1.0, target=0.5, max_tokens=10**6), 180_000, 180_000, 90_000),
        (200_000, 16_000, WindowLimits(trigger=0.05, target=0.02), 180_000, 9_000, 3_600),
        (200_000, 0, WindowLimits(), 196_000, 150_000, 84_375),
        (20_000, 16_000, WindowLimits(), 14_600, 11_680, 6_570),
    ],
    ids=["200k", "capped", "cap raised", "half", "all of it", "least", "no answer", "an answer too large"],
)
def test_the_bounds_leave_room_for_the_answer_and_for_errors_of_counting(
    tokens: int, output: int, limits: WindowLimits, usable: int, trigger: int, target: int
) -> None:
    found = bounds(window(tokens), limits, output)
    assert (found.usable, found.trigger, found.target) == (usable, trigger, target)
    assert found.output == min(output, tokens // 4)


@pytest.mark.req("000:2.2.1", "000:3.1.3")
@pytest.mark.parametrize(("share", "due"), [(0.799, False), (0.8, True), (0.801, True)])
def test_a_conversation_is_due_at_80_percent_of_the_usable_window_and_not_before(
    share: float, *, due: bool
) -> None:
    edge = bounds(window(125_000), WindowLimits(), 22_500)
    assert edge.usable == 100_000
    assert is_due(round(edge.usable * share), edge) is due


def test_a_price_that_rises_is_a_cap_only_where_it_is_wanted() -> None:
    cliff = window(1_000_000, 100_000)
    assert bounds(cliff, WindowLimits(), 16_000).trigger == 150_000
    assert bounds(cliff, WindowLimits(price_cliffs=True), 16_000).trigger == 100_000
    later = window(1_000_000, 400_000)
    assert bounds(later, WindowLimits(price_cliffs=True), 16_000).trigger == 150_000


def test_a_target_from_elsewhere_that_is_not_below_the_trigger_is_lowered_in_proportion() -> None:
    found = bounds(window(200_000), WindowLimits(trigger=0.4), 16_000)
    assert (found.trigger, found.target) == (72_000, 40_500)


@given(WINDOWS, LIMITS, st.integers(0, 10**6))
def test_a_reduction_always_has_somewhere_to_go(known: Window, limits: WindowLimits, output: int) -> None:
    found = bounds(known, limits, output)
    assert 0 <= found.target <= found.trigger <= found.usable <= known.tokens - found.output
    assert found.target < found.trigger


@pytest.mark.req("000:3.1.3")
@pytest.mark.parametrize(
    ("limits", "field"),
    [
        (WindowLimits(trigger=0.049), "trigger"),
        (WindowLimits(trigger=1.01), "trigger"),
        (WindowLimits(trigger=float("nan")), "trigger"),
        (WindowLimits(max_tokens=999), "max_tokens"),
        (WindowLimits(target=0.019), "target"),
        (WindowLimits(target=float("nan")), "target"),
        (WindowLimits(target=0.8), "target"),
        (WindowLimits(trigger=0.5, target=0.5), "target"),
    ],
)
def test_limits_that_cannot_be_are_refused_by_name(limits: WindowLimits, field: str) -> None:
    found = fault(limits)
    assert found is not None
    assert found.field == field
    assert found.why.endswith(".")


def test_a_target_is_held_against_the_trigger_that_it_goes_with() -> None:
    own = WindowLimits(target=0.85)
    assert fault(own) is not None
    assert fault(own, replace(DEFAULTS, trigger=0.9)) is None
    assert fault(WindowLimits(trigger=0.3), replace(DEFAULTS, target=0.45)) is None
    assert fault(WindowLimits()) is None


def test_what_is_said_last_counts_value_by_value() -> None:
    below = WindowLimits(trigger=0.5, model="a", price_cliffs=True)
    above = WindowLimits(model="b", price_cliffs=False)
    assert below.merged(above) == WindowLimits(trigger=0.5, model="b", price_cliffs=False)
