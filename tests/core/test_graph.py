"""What may start, what cannot any more, what follows from what, and what comes out in the end."""

import pytest
from pydantic import JsonValue

from engine_mcp.core.budget import Limits
from engine_mcp.core.execution import Artifact, Execution, Failure, Output, Step, StepStatus
from engine_mcp.core.graph import blocked, board, descendants, output_of, outputs_of, ready
from engine_mcp.core.plan import Plan, StepSpec, StrategyName

DONE, FAILED, SKIPPED = StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED
PENDING, RUNNING = StepStatus.PENDING, StepStatus.RUNNING


def step(
    name: str, status: StepStatus, *needs: str, optional: bool = False, output: JsonValue = None
) -> Step:
    return Step(
        spec=StepSpec(id=name, code="c", depends_on=needs, optional=optional),
        status=status,
        output=None if output is None else Output(value=output),
        failure=Failure("crash", "it failed") if status is FAILED else None,
    )


def execution(*steps: Step) -> Execution:
    plan = Plan(path="p", steps=tuple(step.spec for step in steps), strategy=StrategyName.PARALLEL)
    held = {step.spec.id: step for step in steps}
    return Execution(id="e", plan=plan, created_at=0, budget=Limits(), steps=held)


def names(steps: tuple[Step, ...]) -> list[str]:
    return [step.spec.id for step in steps]


@pytest.mark.req("003:L38")
def test_a_step_is_ready_when_everything_it_depends_on_is_satisfied() -> None:
    now = board(
        execution(
            step("e", PENDING, "done", "missed"),
            step("done", DONE),
            step("missed", FAILED, optional=True),
            step("left", SKIPPED, optional=True),
            step("runs", RUNNING),
            step("a", PENDING),
            step("b", PENDING, "runs"),
            step("c", PENDING, "done", "a"),
            step("d", PENDING, "left"),
            step("bad", FAILED),
            step("f", PENDING, "bad", "done"),
        )
    )
    assert names(ready(now)) == ["e", "a", "d"]


@pytest.mark.req("002:L44")
def test_a_step_is_blocked_by_what_ended_without_success_and_was_needed() -> None:
    now = board(
        execution(
            step("bad", FAILED),
            step("worse", SKIPPED),
            step("missed", FAILED, optional=True),
            step("a", PENDING, "missed", "bad", "worse"),
            step("b", PENDING, "missed"),
            step("c", PENDING, "a"),
            step("d", RUNNING, "bad"),
        )
    )
    assert [(found.spec.id, causes) for found, causes in blocked(now)] == [("a", ("bad", "worse"))]


@pytest.mark.parametrize("status", StepStatus)
def test_a_board_is_settled_when_nothing_more_can_happen(status: StepStatus) -> None:
    over = status in {DONE, FAILED, SKIPPED}
    assert board(execution(step("a", DONE), step("b", status))).settled is over


def test_steps_are_found_by_status_in_the_order_of_the_plan() -> None:
    now = board(execution(step("b", DONE), step("c", FAILED), step("a", DONE)))
    assert [found.spec.id for found in now.of(FAILED, DONE)] == ["c", "b", "a"]
    assert now.of(RUNNING) == []


def test_everything_that_follows_from_a_step_is_found_in_any_order_of_the_plan() -> None:
    specs = [
        StepSpec(id=name, code="c", depends_on=tuple(needs))
        for name, needs in {"d": "bc", "c": "a", "b": "a", "a": "", "x": "", "y": "xd"}.items()
    ]
    assert descendants(specs, "a") == {"a", "b", "c", "d", "y"}
    assert descendants(specs, "x") == {"x", "y"}
    assert descendants(specs, "y") == {"y"}


def test_a_step_is_given_the_outputs_of_what_it_depends_on_and_that_completed() -> None:
    held = execution(
        step("b", DONE, output=1),
        step("a", DONE, output=2),
        step("missed", FAILED, optional=True),
        step("c", PENDING, "a", "missed", "b"),
    ).steps
    assert names(outputs_of(held["c"], held)) == ["a", "b"]


@pytest.mark.req("003:L36")
def test_the_output_of_the_whole_is_that_of_its_last_step() -> None:
    assert output_of(execution(step("b", DONE, "a", output=[1]), step("a", DONE, output=2))) == Output(
        value=[1]
    )
    assert output_of(execution(step("b", PENDING, "a"), step("a", DONE, output=2))) is None


def test_the_output_of_many_last_steps_is_told_by_id() -> None:
    large = Step(
        spec=StepSpec(id="large", code="c"), status=DONE, output=Output(artifact=Artifact(digest="d", size=9))
    )
    whole = execution(step("a", DONE, output=1), step("b", DONE, "a", output=2), large, step("none", FAILED))
    assert output_of(whole) == Output(value={"b": 2, "large": {"artifact": "d", "size": 9}})
    assert output_of(execution(step("a", FAILED), step("b", FAILED))) is None
