"""An execution that waits at a closed door says what is behind it."""

import pytest

from engine_mcp.core.agent import AgentResult
from engine_mcp.core.event import ExecutionPaused
from engine_mcp.core.execution import ExecutionStatus, Failure
from engine_mcp.core.request import Resume
from engine_mcp.ledger.memory import MemoryBreakers
from engine_mcp.testing import FakeClock, capture_events
from tests.engine.rig import DONE, Rig, agent, rested

pytestmark = pytest.mark.anyio
PAUSED = ExecutionStatus.PAUSED
QUOTA = "The account 'nobody' failed with quota_exhausted (“You have hit your limit.”)."


def used_up(rig: Rig, code: str) -> AgentResult:
    rig.clock, rig.breakers = FakeClock(), MemoryBreakers()
    at = rig.clock.now() + 3600 if code == "quota_exhausted" else None
    return AgentResult(failure=Failure(code, "You have hit your limit.", retry_at=at))


@pytest.mark.parametrize("code", ["quota_exhausted", "credit_exhausted"])
async def test_a_pause_tells_the_evidence(rig: Rig, code: str) -> None:
    rig.runner.replies = {"a": [used_up(rig, code)]}
    execution = await rig.run(rig.draft(agent("a")))
    assert execution.status is PAUSED
    assert execution.warnings == (QUOTA.replace("quota_exhausted", code),)


async def test_who_comes_to_a_door_that_others_found_closed_is_told_the_same(rig: Rig) -> None:
    rig.runner.replies = {"a": [used_up(rig, "quota_exhausted")]}
    async with rig.engine() as engine:
        await rested(engine, await engine.execute(rig.draft(agent("a"))))
        second = await rested(engine, await engine.execute(rig.draft(agent("b"))))
    assert (second.status, second.warnings) == (PAUSED, (QUOTA,))


async def test_the_same_is_told_once(rig: Rig) -> None:
    again = used_up(rig, "quota_exhausted")
    rig.runner.replies = {"a": [again, again, DONE]}
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"))))
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert (execution.status, execution.warnings) == (PAUSED, (QUOTA,))
    pauses = [e for e in await capture_events(rig.store, execution.id) if isinstance(e, ExecutionPaused)]
    assert [event.why for event in pauses] == [QUOTA, ""]
