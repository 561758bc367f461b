"""Random worlds, and what must come out of each of them, worked out without the core."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hypothesis import strategies as st
from pydantic import JsonValue

from engine_mcp.core.budget import Limits, OnExceed
from engine_mcp.core.execution import Execution, StopMode
from engine_mcp.core.plan import Plan, StepSpec, StrategyName
from tests.core.simulator import Work, World

TRIES: Mapping[str, Callable[[int], int]] = {
    "tool_transient": lambda most: most,
    "crash": lambda most: most,
    "storage": lambda most: min(2, most),
    "permission": lambda most: min(2, most),
    "tool_error": lambda _most: 1,
    "runtime_unavailable": lambda _most: 1,
    "unheard_of": lambda _most: 1,
}
TIMES = (0.0, 0.5, 1.0, 7.0)


@st.composite
def worlds(draw: st.DrawFn, *, limits: st.SearchStrategy[Limits] | None = None) -> World:
    """Plans of up to eight steps, in any order of dependencies and listed in any order."""
    count = draw(st.integers(1, 8))
    specs = [draw(steps(number)) for number in range(count)]
    works = {spec.id: draw(work) for spec in specs}
    plan = Plan(
        path="p",
        steps=tuple(draw(st.permutations(specs))),
        strategy=StrategyName.PARALLEL,
        budget=Limits() if limits is None else draw(limits),
        parallelism=draw(st.integers(1, 4)),
    )
    return World(plan, works)


@st.composite
def steps(draw: st.DrawFn, number: int) -> StepSpec:
    """A step that depends on some of those with lower numbers."""
    kind = draw(st.sampled_from(["code", "tool", "task"]))
    before = [f"s{other}" for other in range(number)]
    return StepSpec(
        id=f"s{number}",
        code="c" if kind == "code" else None,
        tool="t" if kind == "tool" else None,
        task="t" if kind == "task" else None,
        depends_on=tuple(draw(st.lists(st.sampled_from(before), unique=True, max_size=3))) if before else (),
        optional=draw(st.booleans()),
        requires_approval=draw(st.integers(0, 5)) == 0,
        max_attempts=draw(st.integers(1, 4)),
    )


work = st.builds(
    Work,
    fails=st.lists(st.sampled_from([*TRIES]), max_size=3).map(tuple),
    takes=st.sampled_from(TIMES),
    stubborn=st.booleans(),
    approved=st.integers(0, 3).map(bool),
    calls=st.integers(0, 2),
)

pausing_limits = st.builds(
    Limits,
    max_requests=st.none() | st.integers(0, 6),
    max_tokens=st.none() | st.integers(0, 40),
    max_cost_usd=st.none() | st.sampled_from([0.0, 0.001, 0.0025]),
    max_seconds=st.none() | st.sampled_from([0.0, 0.4, 1.0, 9.0]),
    on_exceed=st.sampled_from([None, OnExceed.PAUSE]),
)
warning_limits = st.builds(
    Limits,
    max_requests=st.none() | st.integers(0, 6),
    max_tokens=st.none() | st.integers(0, 40),
    max_seconds=st.none() | st.sampled_from([0.0, 0.4, 1.0, 9.0]),
    on_exceed=st.just(OnExceed.WARN),
)
any_limits = st.just(Limits()) | pausing_limits | warning_limits

stops = st.dictionaries(st.integers(0, 40), st.sampled_from([StopMode.NOW, StopMode.AFTER_STEP]), max_size=5)


@dataclass(frozen=True)
class Fate:
    """What becomes of a step: its status, its output, and how often it was really tried."""

    status: str
    output: JsonValue = None
    tries: int = 0


def fates(world: World) -> dict[str, Fate]:
    """What must become of every step, whatever happens on the way."""
    specs = {spec.id: spec for spec in world.plan.steps}
    found: dict[str, Fate] = {}
    for name in sorted(specs, key=lambda name: int(name[1:])):
        found[name] = _fate(specs[name], world.work(name), found, specs)
    return found


def _fate(spec: StepSpec, work: Work, found: Mapping[str, Fate], specs: Mapping[str, StepSpec]) -> Fate:
    if any(found[dep].status != "completed" and not specs[dep].optional for dep in spec.depends_on):
        return Fate("skipped")
    if spec.requires_approval and not work.approved:
        return Fate("failed")
    for tries, code in enumerate(work.fails, 1):
        if tries >= TRIES[code](spec.max_attempts):
            return Fate("failed", tries=tries)
    given: list[JsonValue] = [dep for dep in spec.depends_on if found[dep].status == "completed"]
    return Fate("completed", {"of": spec.id, "given": given}, len(work.fails) + 1)


def became(execution: Execution) -> dict[str, tuple[str, JsonValue]]:
    """What became of the steps, to compare with their fates."""
    return {
        name: (str(step.status), step.output.value if step.output else None)
        for name, step in execution.steps.items()
    }


def foretold(world: World) -> dict[str, tuple[str, JsonValue]]:
    return {name: (fate.status, fate.output) for name, fate in fates(world).items()}
