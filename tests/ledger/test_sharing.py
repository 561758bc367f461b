"""The rule by which limits that executions share grant or refuse."""

import pytest

from engine_mcp.core.budget import Limits, OnExceed, Resource, Usage
from engine_mcp.core.period import Period, Room, Standing
from engine_mcp.core.sharing import refused
from engine_mcp.core.spending import Hold


def room(limits: Limits, spent: int = 0, held: int = 0, *, cap: bool = False) -> Room:
    used = [Usage(tokens_in=number, cost_micros=number) for number in (spent, held)]
    return Room(standings=(Standing(period=Period.DAY, limits=limits, spent=used[0], held=used[1], cap=cap),))


def holds(*numbers: int) -> list[Hold]:
    return [
        Hold(step=f"s{place}", number=1, usage=Usage(tokens_out=number))
        for place, number in enumerate(numbers)
    ]


TEN = Limits(max_tokens=10)


@pytest.mark.parametrize(
    ("spent", "held", "asked", "expected"),
    [
        (0, 0, (10,), False),
        (0, 0, (11,), True),
        (4, 5, (1,), False),
        (4, 5, (2,), True),
        (4, 5, (1, 1), True),
        (0, 0, (5, 5), False),
        (4, 5, (0,), False),
        (4, 6, (0,), True),
        (4, 6, (), False),
        (12, 0, (), False),
        (12, 0, (0,), True),
        (9, 0, (1, 0), False),
    ],
)
def test_holds_are_granted_as_far_as_they_fit(
    spent: int, held: int, asked: tuple[int, ...], *, expected: bool
) -> None:
    assert refused(room(TEN, spent, held), holds(*asked), pauses=True) is expected


@pytest.mark.parametrize("cap", [False, True])
@pytest.mark.parametrize("pauses", [False, True])
@pytest.mark.parametrize("on_exceed", [None, OnExceed.WARN, OnExceed.PAUSE])
def test_only_limits_that_pause_refuse_and_caps_always_do(
    on_exceed: OnExceed | None, *, pauses: bool, cap: bool
) -> None:
    limits = Limits(max_tokens=10, on_exceed=on_exceed)
    stops = cap or on_exceed is OnExceed.PAUSE or (on_exceed is None and pauses)
    assert refused(room(limits, 10, cap=cap), holds(1), pauses=pauses) is stops


def test_what_is_not_limited_is_not_counted() -> None:
    assert not refused(room(Limits(max_cost_usd=1.0), 9), holds(10_000), pauses=True)
    assert not refused(Room(), holds(10_000), pauses=True)


@pytest.mark.parametrize("resource", Resource)
def test_each_resource_is_counted_in_whole_amounts(resource: Resource) -> None:
    limits = {
        Resource.TOKENS: Limits(max_tokens=3),
        Resource.COST: Limits(max_cost_usd=0.000003),
        Resource.SECONDS: Limits(max_seconds=0.000003),
        Resource.REQUESTS: Limits(max_requests=3),
    }[resource]
    fits = Usage(tokens_in=1, cache_read=2, cost_micros=3, seconds=0.000003, requests=3)
    more = Usage(tokens_in=2, cache_read=2, cost_micros=4, seconds=0.000004, requests=4)
    for usage, expected in ((fits, False), (more, True)):
        ask = [Hold(step="s", number=1, usage=usage)]
        assert refused(room(limits), ask, pauses=True) is expected
