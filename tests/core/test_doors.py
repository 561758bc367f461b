"""Steps before closed doors: which of them the execution waits for, and when it looks again."""

from collections.abc import Mapping
from dataclasses import replace

from engine_mcp.core import event as ev
from engine_mcp.core.breaker import Breaker, BreakerState
from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.choice import Choice, Level, Tier
from engine_mcp.core.decide import Settled, settle
from engine_mcp.core.effect import Start, WakeAt
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution, ExecutionStatus
from engine_mcp.core.outlook import Outlook
from engine_mcp.core.period import Period, Room, Standing
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.route import Route
from tests.core.story import AT, begun, created, driven, spec, succeeded

HOUR = 3600.0
LATEST_S = 60.0
"""Jitter: how much later than its door a step may be looked at."""


def routed(name: str) -> Choice:
    """A choice whose route lies on an account of its own."""
    route = Route(runtime="r", family="r", endpoint="e", pool=f"account {name}", model="m")
    return Choice(runtime="r", role="developer", level=Level.SIMPLE, tier=Tier.FAST, model="m", route=route)


def execution(*names: str, after: tuple[ev.Event, ...] = (), more: tuple[StepSpec, ...] = ()) -> Execution:
    """A running execution of agent steps, each on an account of its own."""
    steps = [*(spec(name, task="t") for name in names), *more]
    first = replace(created(*steps), choices={name: routed(name) for name in names})
    return fold(None, [first, driven(), *after])


def shut(times: Mapping[str, float | None], code: str = "quota_exhausted") -> Outlook:
    """What is known while accounts are used up until a time; None: until somebody acts."""
    parts = {f"pool account {name}": at for name, at in times.items()}
    return Outlook(
        breakers={
            part: Breaker(part=part, state=BreakerState.OPEN, retry_at=at, code=code, changed_at=AT)
            for part, at in parts.items()
        }
    )


def started(settled: Settled) -> list[str]:
    return [effect.event.step for effect in settled.effects if isinstance(effect, Start)]


def wakes(settled: Settled) -> list[float]:
    return [effect.at for effect in settled.effects if isinstance(effect, WakeAt)]


def test_of_several_doors_the_first_to_open_says_until_when_it_pauses() -> None:
    for late, soon in (("a", "b"), ("b", "a")):
        outlook = shut({late: AT + 5 * HOUR, soon: AT + 2 * HOUR})
        paused = settle(execution("a", "b"), AT, outlook).execution
        assert (paused.status, paused.reason) == (ExecutionStatus.PAUSED, "quota")
        assert paused.until is not None
        assert 0 <= paused.until - (AT + 2 * HOUR) <= LATEST_S


def test_a_door_that_opens_by_itself_counts_before_one_that_nobody_knows_of() -> None:
    for first, second in (("a", "b"), ("b", "a")):
        without = shut({first: None}, "credit_exhausted")
        outlook = replace(without, breakers={**without.breakers, **shut({second: AT + 2 * HOUR}).breakers})
        paused = settle(execution("a", "b"), AT, outlook).execution
        assert (paused.status, paused.reason) == (ExecutionStatus.PAUSED, "quota")
        assert paused.until is not None


def test_where_no_door_opens_by_itself_it_waits_for_somebody() -> None:
    outlook = shut({"a": None, "b": None}, "credit_exhausted")
    paused = settle(execution("a", "b"), AT, outlook).execution
    assert (paused.status, paused.reason, paused.until) == (ExecutionStatus.PAUSED, "billing", None)


def test_while_another_step_runs_it_wakes_when_a_door_opens() -> None:
    outlook = shut({"a": AT + 5 * HOUR, "b": AT + 2 * HOUR})
    settled = settle(execution("a", "b", "c", after=(begun("c"),)), AT, outlook)
    assert settled.execution.status is ExecutionStatus.RUNNING
    (at,) = wakes(settled)
    assert 0 <= at - (AT + 2 * HOUR) <= LATEST_S


def test_while_another_step_runs_the_one_whose_door_is_open_again_starts() -> None:
    running = execution("a", "b", "c", after=(begun("c"),))
    at = AT + 2 * HOUR + LATEST_S
    outlook = shut({"a": AT + 5 * HOUR, "b": AT + 2 * HOUR})
    assert started(settle(running, at, outlook)) == ["b"]


def test_while_another_step_runs_it_wakes_at_midnight_for_those_that_the_day_stops() -> None:
    midnight = AT + 6 * HOUR
    full = Standing(
        limits=Limits(max_cost_usd=1.0),
        spent=Usage(cost_micros=1_000_000),
        period=Period.DAY,
        resets_at=midnight,
    )
    running = execution("a", after=(begun("s"),), more=(spec("s"),))
    settled = settle(running, AT, Outlook(room=Room(standings=(full,))))
    assert started(settled) == []
    assert wakes(settled) == [midnight]


def test_a_door_without_a_time_lets_what_runs_go_on_and_pauses_then() -> None:
    outlook = shut({"a": None}, "credit_exhausted")
    running = execution("a", "c", after=(begun("c"),))
    settled = settle(running, AT, outlook)
    assert (settled.execution.status, settled.effects) == (ExecutionStatus.RUNNING, ())
    over = fold(running, [succeeded("c")])
    assert settle(over, AT + 1, outlook).execution.reason == "billing"
