"""A limit that is lowered or set while attempts run stops those that would go beyond it."""

from dataclasses import replace

import pytest

from engine_mcp.core import event as ev
from engine_mcp.core.budget import Limits, OnExceed, Resource, Usage
from engine_mcp.core.decide import Settled, settle
from engine_mcp.core.effect import Halt, WakeAt
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution, Failure
from engine_mcp.core.outlook import Outlook
from engine_mcp.core.period import Period, Room, Standing
from engine_mcp.core.plan import StepSpec
from tests.core.story import AT, running, spec

PAUSE, WARN = OnExceed.PAUSE, OnExceed.WARN
AGENT = spec("a", task="t")


def cents(number: int, on_exceed: OnExceed | None = PAUSE) -> Limits:
    return Limits(max_cost_usd=number / 100, on_exceed=on_exceed)


def started(*steps: StepSpec, budget: Limits | None = None) -> Execution:
    """An execution whose steps have all been started as decided."""
    return settle(running(*steps, budget=budget), AT).execution


def used(execution: Execution, number: int, step: str = "a") -> Execution:
    """The execution once an attempt has told of so many cents."""
    usage = Usage(requests=1, cost_micros=number * 10_000, cost_basis="reported")
    return fold(execution, [ev.UsageReported(at=AT + 1, step=step, number=1, usage=usage)])


def limited(execution: Execution, limits: Limits) -> Settled:
    """What is decided once the limits are set."""
    return settle(fold(execution, [ev.BudgetSet(at=AT + 2, budget=limits)]), AT + 2)


def halted(settled: Settled) -> list[str]:
    return [effect.step for effect in settled.effects if isinstance(effect, Halt) and effect.spent]


def test_a_limit_lowered_below_what_is_spent_stops_the_attempt_and_pauses_the_execution() -> None:
    execution = used(started(AGENT, budget=cents(100)), 30)
    assert halted(settle(execution, AT + 1)) == []
    settled = limited(execution, cents(20))
    assert halted(settled) == ["a"]
    why = Failure("spending_limit", "used up")
    ended = ev.AttemptFailed(at=AT + 3, step="a", number=1, failure=why, final=False)
    after = settle(fold(settled.execution, [ended]), AT + 3).execution
    assert (after.status, after.reason, after.steps["a"].status) == ("paused", "budget", "pending")


def test_a_limit_lowered_below_what_is_held_stops_the_attempt_once_it_is_spent() -> None:
    settled = limited(used(started(AGENT, budget=cents(100)), 30), cents(50))
    assert halted(settled) == []
    assert halted(settle(used(settled.execution, 19), AT + 3)) == []
    assert halted(settle(used(settled.execution, 20), AT + 3)) == ["a"]


@pytest.mark.parametrize(
    "limits", [cents(50), Limits(max_requests=2), Limits(max_requests=2, on_exceed=PAUSE)]
)
def test_a_limit_set_for_the_first_time_stops_attempts_that_have_no_share(limits: Limits) -> None:
    settled = limited(used(started(AGENT), 30), limits)
    assert halted(settled) == []
    assert halted(settle(used(settled.execution, 20), AT + 3)) == ["a"]


def test_a_limit_that_warned_and_is_to_pause_stops_what_has_passed_it() -> None:
    execution = used(started(AGENT, budget=cents(20, WARN)), 30)
    assert halted(settle(execution, AT + 1)) == []
    assert halted(limited(execution, Limits(on_exceed=PAUSE))) == ["a"]


def test_a_lowered_limit_that_only_warns_stops_nothing() -> None:
    assert halted(limited(used(started(AGENT), 30), cents(20, WARN))) == []


def test_an_attempt_that_has_used_exactly_its_share_may_come_to_its_end() -> None:
    execution = used(started(AGENT, budget=cents(100)), 100)
    assert execution.usage.amount(Resource.COST) == execution.budget.amount(Resource.COST)
    assert halted(settle(execution, AT + 1)) == []


def test_what_went_beyond_its_own_share_may_come_to_its_end_and_others_stop() -> None:
    both = started(AGENT, spec("b", task="t"), budget=cents(100))
    over = used(used(both, 49, "b"), 60)
    assert halted(settle(over, AT + 1)) == ["b"]


def test_a_lowered_limit_stops_only_what_can_spend_of_it() -> None:
    execution = used(started(AGENT, spec("c"), spec("t", tool="x")), 30)
    assert halted(limited(execution, cents(20))) == ["a"]


def test_a_limit_over_a_period_that_is_set_meanwhile_stops_attempts_too() -> None:
    execution = used(started(AGENT), 30)
    for spent, stopped in ((40, []), (50, ["a"])):
        day = Standing(period=Period.DAY, limits=cents(50), spent=Usage(cost_micros=spent * 10_000))
        outlook = Outlook(room=Room(standings=(day,)))
        assert halted(settle(execution, AT + 2, outlook)) == stopped


# --- the time in the queue


def timed(began: float | None, now: float) -> Settled:
    """What is decided about an attempt with ten seconds that had its place at a time."""
    execution = started(spec("a", task="t", budget=Limits(max_seconds=10)))
    return settle(execution, now, Outlook(began={"a": began}))


def test_the_wait_for_a_place_takes_nothing_of_the_seconds_of_a_step() -> None:
    assert timed(None, AT + 60).events == ()
    assert timed(AT + 60, AT + 65).effects == (WakeAt(AT + 70),)
    assert [event.kind for event in timed(AT + 60, AT + 70).events] == ["stop_requested"]


def test_the_place_of_an_earlier_attempt_says_nothing_of_this_one() -> None:
    assert timed(AT - 60, AT + 5).effects == (WakeAt(AT + 10),)


def test_the_wait_for_a_place_takes_nothing_of_a_share_of_seconds() -> None:
    day = Standing(period=Period.DAY, limits=Limits(max_seconds=10, on_exceed=PAUSE))
    room = Room(standings=(day,))
    execution = settle(running(AGENT), AT, Outlook(room=room)).execution
    assert execution.steps["a"].attempts[-1].reserved.seconds == 10
    full = Room(standings=(replace(day, held=Usage(seconds=10)),))
    waits = settle(execution, AT + 60, Outlook(room=full, began={"a": None}))
    late = settle(execution, AT + 60, Outlook(room=full, began={"a": AT + 50}))
    assert (halted(waits), halted(late)) == ([], ["a"])


# --- waiting for what others hold


def test_a_step_that_waits_for_what_others_hold_says_so() -> None:
    day = Standing(period=Period.DAY, limits=cents(100), held=Usage(cost_micros=1_000_000))
    effects = settle(running(AGENT), AT, Outlook(room=Room(standings=(day,)))).effects
    assert effects == (WakeAt(AT + 1, for_room=True),)
