"""Scripts that are not what they were when they were interrupted."""

import pytest

from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.core.request import Resume
from engine_mcp.core.script import ScriptLimits
from engine_mcp.testing import ScriptedTool
from tests.engine.rig import (
    Rig,
    adapter,
    agent,
    came,
    code,
    failures,
    rested,
    until,
    values,
)
from tests.engine.stops import Stops

pytestmark = pytest.mark.anyio

COMPLETED = ExecutionStatus.COMPLETED


@pytest.mark.parametrize("by", ["from_step", "steps"])
async def test_a_script_run_anew_makes_its_calls_anew(scripting: Rig, by: str) -> None:
    stops = Stops(1)
    scripting.tools = [adapter("count", stops)]
    text = "await tools.count({ n: 0 }); await tools.count({ n: 1 }); return 'same'"
    async with scripting.engine() as engine:
        execution = await engine.execute(scripting.draft(code("s", text)))
        execution = await stops.stopped(engine, execution)
        changed = code("s", "await tools.count({ n: 7 }); return 'other'")
        request = Resume(from_step="s") if by == "from_step" else Resume(steps=(changed,))
        execution = await rested(engine, await engine.resume(execution.id, request))
    assert values(execution) == {"s": "same" if by == "from_step" else "other"}
    assert stops.made == ([0, 1, 0, 1] if by == "from_step" else [0, 1, 7])


def wavering(stops: Stops) -> tuple[list[ScriptedTool], list[ScriptedTool]]:
    """Tools before and after the interrupt, which a script can tell apart."""
    counting = adapter("count", stops)
    return [counting], [adapter("another"), counting]


@pytest.mark.req("SPEC:5.replay-mismatch")
@pytest.mark.parametrize(
    "text",
    [
        "await tools.count({ n: tools.list().length }); await tools.count({ n: 9 }); return 1",
        """
        const wait = Promise.allSettled([
            tools.count({ n: tools.list().length }), tools.count({ n: 3 }), tools.count({ n: 9 })
        ])
        await wait; return 1
        """,
        """
        try { await tools.count({ n: tools.list().length }) } catch {}
        try { await tools.count({ n: 9 }) } catch {}
        return 1
        """,
    ],
    ids=["one after another", "side by side", "caught"],
)
async def test_a_script_that_leaves_the_recorded_path_ends_with_a_mismatch_and_makes_no_call(
    scripting: Rig, text: str
) -> None:
    stops = Stops(9)
    before, after = wavering(stops)
    scripting.tools = before
    async with scripting.engine() as engine:
        execution = await engine.execute(scripting.draft(code("s", text), agent("next", "s")))
        await came(stops.reached)
        execution = await until(engine, execution, lambda now: 0 in now.steps["s"].calls)
        execution = await stops.stopped(engine, execution)
    made = list(stops.made)
    scripting.tools = after
    async with scripting.engine() as engine:
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
        assert failures(execution) == {"s": "replay_mismatch", "next": "dependency_failed"}
        failure = execution.steps["s"].failure
        assert failure is not None
        assert "from_step" in failure.hint
        assert stops.made == made
        execution = await rested(engine, await engine.resume(execution.id, Resume(from_step="s")))
    assert execution.status is COMPLETED


async def test_a_mismatch_is_told_at_once_and_not_when_the_scripts_time_is_up(scripting: Rig) -> None:
    stops = Stops(9)
    before, after = wavering(stops)
    scripting.tools = before
    text = "await Promise.allSettled([tools.count({ n: tools.list().length }), tools.count({ n: 3 })])"
    step = code("s", f"{text}; await tools.count({{ n: 9 }})", limits=ScriptLimits(wall_s=3600))
    async with scripting.engine() as engine:
        execution = await engine.execute(scripting.draft(step))
        execution = await stops.stopped(engine, execution)
        scripting.tools = after
    async with scripting.engine() as engine:
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert failures(execution) == {"s": "replay_mismatch"}
