"""Plans for tests that try every point or any order: drawn at random, or chosen for what they contain."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from engine_mcp.core.agent import AgentResult
from engine_mcp.core.plan import Mode, StepSpec
from engine_mcp.engine.outputs import INLINE
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import Reply, ScriptedRunner
from tests.engine.played import PlayedSandbox
from tests.engine.rig import DONE, Rig, adapter, agent, code, failing, tool

CALLS = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(json.dumps)
WORK = st.lists(
    st.tuples(st.one_of(CALLS, st.sampled_from(["tool", "agent"])), st.integers(0, 4)), min_size=1, max_size=6
)


def planned(work: Sequence[tuple[str, int]]) -> tuple[StepSpec, ...]:
    """Steps of the kinds drawn; each may depend on the one so many places before it."""
    steps: list[StepSpec] = []
    for index, (kind, back) in enumerate(work):
        name = f"s{index}"
        needs = (f"s{index - back}",) if 0 < back <= index else ()
        if kind == "tool":
            steps.append(tool(name, "echo", *needs))
        elif kind == "agent":
            steps.append(agent(name, *needs))
        else:
            steps.append(code(name, kind, *needs))
    return tuple(steps)


@dataclass(frozen=True)
class Scene:
    """Steps, and what the scripted runner answers for them."""

    steps: tuple[StepSpec, ...]
    replies: Callable[[], dict[str, list[Reply]]] = field(default=dict)

    def on(self, rig: Rig) -> Rig:
        """The rig with everything that the scene needs, and a record of its own."""
        return replace(
            rig,
            store=MemoryStore(),
            runner=ScriptedRunner(self.replies()),
            sandbox=PlayedSandbox(),
            tools=[adapter("echo", mode=Mode.NONE, changes=True)],
        )


SCENES = {
    "one": Scene((agent("a"),)),
    "chain": Scene((agent("a"), agent("b", "a"), tool("c", "echo", "b"), agent("d", "c"))),
    "diamond": Scene((agent("a"), agent("b", "a"), agent("c", "a"), agent("d", "b", "c"))),
    "wide": Scene(tuple(agent(f"s{index}") for index in range(6))),
    "retries": Scene(
        (agent("a"), agent("b", "a")), lambda: {"a": [failing("crash"), failing("tool_transient"), DONE]}
    ),
    "approvals": Scene((agent("a", requires_approval=True), agent("b", "a", requires_approval=True))),
    "calls": Scene((code("s", "[1, 3, 1]"), code("t", "[2]", "s"))),
    "optional": Scene(
        (agent("a", optional=True), agent("b", "a"), agent("c", optional=True), agent("d", "b", "c")),
        lambda: {"a": [failing("tool_error")], "c": [failing("crash")]},
    ),
    "failure": Scene((agent("a"), agent("b", "a"), agent("c")), lambda: {"a": [failing("tool_error")]}),
    "large": Scene(
        (agent("a"), agent("b", "a"), code("s", "[1]", "b")),
        lambda: {"a": [AgentResult(output="x" * INLINE)], "b": [AgentResult(output="y" * INLINE)]},
    ),
}
