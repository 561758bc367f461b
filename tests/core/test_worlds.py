"""Random plans in random worlds: whatever happens, they end as they must, and by the rules (see laws.py)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.core import event as ev
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import ExecutionStatus, StopMode
from tests.core.simulator import ENDED, Simulator, World
from tests.core.worlds import (
    any_limits,
    became,
    fates,
    foretold,
    pausing_limits,
    stops,
    warning_limits,
    worlds,
)

REASONS = {"budget", "approval"}


@given(worlds())
@pytest.mark.req("003:L38", "003:L39", "003:L40", "002:L34", "002:L42", "002:L43", "002:L44", "004:L168")
def test_every_execution_ends_with_every_step_as_it_must_be(world: World) -> None:
    simulator = Simulator(world)
    execution = simulator.finish()
    assert became(execution) == foretold(world)
    required = {spec.id for spec in world.plan.steps if not spec.optional}
    lost = any(name in required and fate.status == "failed" for name, fate in fates(world).items())
    assert execution.status is (ExecutionStatus.FAILED if lost else ExecutionStatus.COMPLETED)


@given(worlds())
@pytest.mark.req("002:L46", "002:L183")
def test_without_trouble_a_step_is_tried_as_often_as_its_failures_allow(world: World) -> None:
    execution = Simulator(world).finish()
    tried = {name: len(step.attempts) for name, step in execution.steps.items()}
    assert tried == {name: fate.tries for name, fate in fates(world).items()}


@given(worlds(limits=any_limits), stops)
def test_the_same_world_has_the_same_events(world: World, asked: dict[int, StopMode]) -> None:
    first, second = Simulator(world), Simulator(world)
    first.finish(asked)
    second.finish(asked)
    assert first.events == second.events


@given(worlds(limits=any_limits), stops)
def test_the_record_is_enough_to_know_everything(world: World, asked: dict[int, StopMode]) -> None:
    simulator = Simulator(world)
    assert simulator.finish(asked) == fold(None, simulator.events)


@given(worlds(limits=any_limits), stops)
@pytest.mark.req("000:5.1.4", "000:7.1.3", "002:L62", "002:L60")
def test_stopped_at_any_points_and_resumed_it_ends_the_same(world: World, asked: dict[int, StopMode]) -> None:
    simulator = Simulator(world)
    execution = simulator.finish(asked)
    assert became(execution) == foretold(world)
    assert len(simulator.carried_out) == len(set(simulator.carried_out))


@given(worlds(limits=any_limits), stops, st.lists(st.floats(0, 1), min_size=1, max_size=4))
@pytest.mark.req("000:4.4.4", "000:5.2.3", "002:L199")
def test_a_crash_after_any_event_and_a_resume_end_the_same(
    world: World, asked: dict[int, StopMode], crashes: list[float]
) -> None:
    simulator = Simulator(world)
    simulator.finish(asked)
    for place in crashes:
        kept = simulator.events[: 1 + int(place * (len(simulator.events) - 1))]
        simulator = Simulator(world, kept)
        simulator.die()
        simulator.finish(asked)
    assert became(simulator.execution) == foretold(world)


@given(worlds(limits=any_limits), st.integers(0, 40), stops)
def test_a_cancel_ends_it_for_good(world: World, when: int, asked: dict[int, StopMode]) -> None:
    simulator = Simulator(world)
    execution = simulator.finish({**asked, when: StopMode.CANCEL})
    assert execution.status in ENDED
    if execution.status is ExecutionStatus.CANCELLED:
        stop = next(
            index
            for index, event in enumerate(simulator.events)
            if isinstance(event, ev.StopRequested) and event.mode is StopMode.CANCEL
        )
        assert not any(isinstance(event, ev.AttemptStarted) for event in simulator.events[stop:])
    else:
        assert became(execution) == foretold(world)


@given(worlds(limits=pausing_limits))
@pytest.mark.req("002:L196")
def test_a_limit_that_pauses_stops_before_it_and_more_budget_finishes(world: World) -> None:
    simulator = Simulator(world)
    execution = simulator.rest()
    limits = world.plan.budget
    assert limits.max_requests is None or execution.usage.requests <= limits.max_requests
    assert execution.status in ENDED or execution.reason in REASONS
    assert became(simulator.finish()) == foretold(world)


@given(worlds(limits=warning_limits))
def test_a_limit_that_warns_never_stops(world: World) -> None:
    simulator = Simulator(world)
    execution = simulator.finish()
    assert became(execution) == foretold(world)
    assert not any(
        isinstance(event, ev.ExecutionPaused) and event.reason == "budget" for event in simulator.events
    )
    limit = world.plan.budget.max_requests
    warned = any(
        isinstance(event, ev.BudgetWarned) and event.resource == "requests" for event in simulator.events
    )
    assert warned == (limit is not None and execution.usage.requests > limit)


@given(worlds(limits=any_limits), stops)
def test_what_failed_fails_again_when_nothing_has_changed(world: World, asked: dict[int, StopMode]) -> None:
    simulator = Simulator(world)
    if simulator.finish(asked).status is not ExecutionStatus.FAILED:
        return
    simulator.resume()
    simulator.finish()
    assert became(simulator.execution) == foretold(world)
