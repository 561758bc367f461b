"""A plan that contradicts itself is refused before anything is spent, naming what is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.core.plan import MAX_STEPS, StepKind, StepSpec, check_steps
from engine_mcp.errors import InvalidPlan


def step(name: str, *needs: str) -> StepSpec:
    return StepSpec(id=name, code="1", depends_on=needs)


@pytest.mark.req("003:L39", "002:L107")
@pytest.mark.parametrize(
    ("steps", "field", "said"),
    [
        ([], "steps", "between 1 and 1000 steps; this one has 0"),
        ([step("a"), step("b"), step("a")], "steps[2].id", "'a' is used twice"),
        ([step("a"), step("b", "b")], "steps[1].depends_on", "'b' depends on itself"),
        ([step("a", "x", "y")], "steps[0].depends_on", "'a' depends on steps that do not exist: x, y"),
        ([step("a", "b"), step("b", "a")], "steps", "in a circle: a → b → a"),
        ([step("x"), step("a", "c"), step("b", "a"), step("c", "b")], "steps", "in a circle"),
        ([StepSpec(id="a")], "steps[0]", "it has none"),
        ([step("x"), StepSpec(id="a", task="t", code="c")], "steps[1]", "it has task and code"),
        ([StepSpec(id="a", code="c", tool="t")], "steps[0]", "it has code and tool"),
    ],
)
def test_steps_that_cannot_be_a_plan_are_refused_by_name(
    steps: list[StepSpec], field: str, said: str
) -> None:
    with pytest.raises(InvalidPlan) as caught:
        check_steps(steps)
    assert caught.value.code == "invalid_plan"
    assert caught.value.field == field
    assert said in caught.value.message


def test_a_circle_is_told_with_every_step_in_it_and_no_other() -> None:
    with pytest.raises(InvalidPlan) as caught:
        check_steps([step("x"), step("a", "c", "x"), step("b", "a"), step("c", "b"), step("y", "c")])
    told = caught.value.message.removesuffix(".").split(": ")[1].split(" → ")
    assert told[0] == told[-1]
    assert set(told) == {"a", "b", "c"}


def test_there_may_be_a_thousand_steps_and_not_one_more() -> None:
    chain = [step("s0"), *(step(f"s{number}", f"s{number - 1}") for number in range(1, MAX_STEPS))]
    check_steps(chain)
    with pytest.raises(InvalidPlan, match="has 1001"):
        check_steps([*chain, step("more")])


@given(st.data())
def test_any_graph_without_circles_is_taken_in_any_order(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    steps = [
        step(f"s{number}", *data.draw(st.sets(st.sampled_from([f"s{other}" for other in range(number)]))))
        if number
        else step("s0")
        for number in range(count)
    ]
    check_steps(data.draw(st.permutations(steps)))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=15))
def test_a_graph_is_taken_exactly_if_it_has_no_circle(edges: list[tuple[int, int]]) -> None:
    needs = {number: {other for one, other in edges if one == number} for number in range(6)}
    steps = [step(f"s{number}", *(f"s{other}" for other in sorted(needs[number]))) for number in needs]
    done: set[int] = set()
    while fresh := {number for number in needs if number not in done and needs[number] <= done}:
        done |= fresh
    if len(done) == len(needs):
        check_steps(steps)
    else:
        with pytest.raises(InvalidPlan, match=r"circle|itself"):
            check_steps(steps)


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (StepSpec(id="a", task="t"), StepKind.AGENT),
        (StepSpec(id="a", code=""), StepKind.CODE),
        (StepSpec(id="a", tool="t"), StepKind.TOOL),
    ],
)
def test_the_work_says_what_carries_it_out(spec: StepSpec, kind: StepKind) -> None:
    assert spec.kind is kind
    check_steps([spec])
