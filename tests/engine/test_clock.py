"""The time of the machine: whoever waits for one notices that it was set, or that the machine slept."""

import anyio
import pytest

from engine_mcp.engine.clock import PIECE_S, SystemClock

pytestmark = pytest.mark.anyio


class Machine:
    """A machine whose clock leaps ahead by `leap` seconds in its second sleep."""

    def __init__(self, leap: float = 0.0) -> None:
        self.at, self.leap = 1000.0, leap
        self.slept: list[float] = []

    def time(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        await anyio.lowlevel.checkpoint()
        self.slept.append(seconds)
        self.at += seconds + (self.leap if len(self.slept) == 2 else 0.0)


async def slept(machine: Machine, until: float) -> list[float]:
    await SystemClock(machine.time, machine.sleep).sleep_until(until)
    return machine.slept


async def test_a_long_sleep_is_made_of_short_ones() -> None:
    assert await slept(Machine(), 1000.0 + 2.5 * PIECE_S) == [PIECE_S, PIECE_S, PIECE_S / 2]


async def test_a_clock_that_leaps_ahead_ends_a_sleep_soon() -> None:
    assert await slept(Machine(leap=10_000.0), 6000.0) == [PIECE_S, PIECE_S]


async def test_a_clock_that_is_set_back_makes_a_sleep_longer() -> None:
    assert await slept(Machine(leap=-45.0), 1075.0) == [PIECE_S, PIECE_S, PIECE_S, PIECE_S]


async def test_a_time_that_is_over_is_not_waited_for() -> None:
    assert await slept(Machine(), 999.0) == []
