"""Strategies turn a draft into steps, by rules that read nothing but the draft."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.core.budget import Limits
from engine_mcp.core.plan import (
    Draft,
    Mode,
    OnCancel,
    Permissions,
    StepSpec,
    StrategyName,
    TaskType,
)
from engine_mcp.core.script import ScriptLimits
from engine_mcp.core.strategy import LONG_TASK_WORDS, MANY_FILES, STRATEGIES, choose, plan
from engine_mcp.errors import InvalidPlan

A, B, C = (StepSpec(id=name, code=name) for name in "abc")
SINGLE, MULTI, PARALLEL = StrategyName.SINGLE, StrategyName.MULTI, StrategyName.PARALLEL


@pytest.mark.req("003:L35")
def test_every_strategy_has_one_rule() -> None:
    assert STRATEGIES.keys() == set(StrategyName)


@pytest.mark.parametrize(
    ("draft", "strategy"),
    [
        (Draft(path="p", steps=(A, B)), PARALLEL),
        (Draft(path="p", steps=(A,)), SINGLE),
        (Draft(path="p", steps=(A,), task_type=TaskType.REFACTOR), SINGLE),
        (Draft(path="p", code="1"), SINGLE),
        (Draft(path="p", code=""), SINGLE),
        (Draft(path="p", tool="t", task="word " * 999), SINGLE),
        (Draft(path="p", task="do it"), SINGLE),
        (Draft(path="p", task="do it", task_type=TaskType.BUGFIX), SINGLE),
        (Draft(path="p", task="do it", task_type=TaskType.ARCHITECTURE), MULTI),
        (Draft(path="p", task="do it", task_type=TaskType.REFACTOR), MULTI),
        (Draft(path="p", task="word " * LONG_TASK_WORDS), SINGLE),
        (Draft(path="p", task="word " * (LONG_TASK_WORDS + 1)), MULTI),
        (Draft(path="p", task="t", files=("f",) * MANY_FILES), SINGLE),
        (Draft(path="p", task="t", files=("f",) * (MANY_FILES + 1)), MULTI),
    ],
)
def test_auto_is_a_documented_rule(draft: Draft, strategy: StrategyName) -> None:
    assert choose(draft) is strategy
    assert plan(draft).strategy is strategy


@pytest.mark.req("003:L36")
@pytest.mark.parametrize(
    ("draft", "step"),
    [
        (Draft(path="p", task="t"), StepSpec(id="main", task="t")),
        (Draft(path="p", code="c"), StepSpec(id="main", code="c")),
        (Draft(path="p", tool="t", arguments={"a": 1}), StepSpec(id="main", tool="t", arguments={"a": 1})),
    ],
)
def test_single_makes_one_step_of_the_work(draft: Draft, step: StepSpec) -> None:
    permissions, limits = Permissions(mode=Mode.WRITE), ScriptLimits(memory_mb=9)
    made = plan(replace(draft, permissions=permissions, limits=limits, strategy=SINGLE))
    assert made.steps == (replace(step, permissions=permissions, limits=limits),)


def test_a_task_beside_code_is_its_title_and_no_work_of_its_own() -> None:
    made = plan(Draft(path="p", task="count the files", code="return 1"))
    assert [(step.task, step.code) for step in made.steps] == [(None, "return 1")]
    assert made.task == "count the files"


@pytest.mark.parametrize(
    ("kind", "roles"),
    [
        (TaskType.FEATURE, ["architect", "developer"]),
        (TaskType.TEST, ["architect", "developer"]),
        (TaskType.ARCHITECTURE, ["architect", "developer", "reviewer"]),
        (TaskType.REFACTOR, ["architect", "developer", "reviewer"]),
    ],
)
def test_multi_is_a_chain_of_roles(kind: TaskType, roles: list[str]) -> None:
    permissions = Permissions(mode=Mode.WRITE)
    steps = plan(Draft(path="p", task="t", task_type=kind, strategy=MULTI, permissions=permissions)).steps
    assert [step.id for step in steps] == [step.agent for step in steps] == roles
    assert [step.depends_on for step in steps] == [(), *((role,) for role in roles[:-1])]
    assert {(step.task, step.permissions) for step in steps} == {("t", permissions)}


def test_multi_links_the_given_steps_in_their_order() -> None:
    linked = StepSpec(id="d", code="d", depends_on=("a", "c"))
    steps = plan(Draft(path="p", steps=(A, B, C, linked), strategy=MULTI)).steps
    assert [step.depends_on for step in steps] == [(), ("a",), ("b",), ("a", "c")]


@pytest.mark.req("003:L38")
def test_parallel_takes_the_steps_as_they_are() -> None:
    steps = (B, StepSpec(id="d", code="d", depends_on=("c",)), C)
    assert plan(Draft(path="p", steps=steps)).steps == steps


@pytest.mark.parametrize(
    ("draft", "field", "said"),
    [
        (Draft(path="p"), "task", "There is no work"),
        (Draft(path="p", task="  \n"), "task", "There is no work"),
        (Draft(path="p", code="1", tool="t"), "tool", "not in code and tool"),
        (Draft(path="p", steps=(A,), code="1"), "code", "not in steps and code"),
        (Draft(path="p", steps=(A, B), strategy=SINGLE), "strategy", "there are 2"),
        (Draft(path="p", task="t", strategy=PARALLEL), "steps", "parallel needs steps"),
        (Draft(path="p", code="1", strategy=PARALLEL), "steps", "parallel needs steps"),
        (Draft(path="p", code="1", strategy=MULTI), "strategy", "multi needs a task or steps"),
        (Draft(path="p", steps=(A, A)), "steps[1].id", "used twice"),
        (
            Draft(path="p", steps=(A, StepSpec(id="b", code="b", depends_on=("x",)))),
            "steps[1].depends_on",
            "x",
        ),
        (
            Draft(path="p", steps=(StepSpec(id="b", code="b", depends_on=("a",)), A), strategy=MULTI),
            "steps",
            "circle",
        ),
    ],
)
def test_a_draft_that_gives_no_plan_is_refused_by_field(draft: Draft, field: str, said: str) -> None:
    with pytest.raises(InvalidPlan) as caught:
        plan(draft)
    assert caught.value.field == field
    assert said in caught.value.message


@pytest.mark.req("003:L28")
def test_what_is_said_for_all_steps_holds_for_those_that_say_nothing() -> None:
    own = StepSpec(id="b", task="t", agent="own", model="own", runtime="own")
    steps = plan(
        Draft(path="p", steps=(StepSpec(id="a", task="t"), own), agent="x", model="y", runtime="z")
    ).steps
    assert [(step.agent, step.model, step.runtime) for step in steps] == [("x", "y", "z"), ("own",) * 3]


def test_everything_else_of_a_draft_stands_in_its_plan() -> None:
    draft = Draft(
        path="p",
        steps=(A, B),
        task="t",
        task_type=TaskType.TEST,
        files=("f",),
        context={"a": 1},
        budget=Limits(max_requests=3),
        parallelism=2,
        on_cancel=OnCancel.CONTINUE,
        idempotency_key="k",
    )
    made = plan(draft)
    for name in ("path", "task", "task_type", "files", "context", "budget", "parallelism", "on_cancel"):
        assert getattr(made, name) == getattr(draft, name), name
    assert made.idempotency_key == "k"


@given(st.text(max_size=20), st.sampled_from(TaskType), st.sampled_from([None, *StrategyName]))
def test_the_same_draft_always_gives_the_same_plan(
    task: str, kind: TaskType, strategy: StrategyName | None
) -> None:
    draft = Draft(path="p", task=task or "t", steps=(A, B, C), task_type=kind, strategy=strategy)
    if strategy is SINGLE:
        with pytest.raises(InvalidPlan):
            plan(draft)
    else:
        assert plan(draft) == plan(draft)
