"""An agent program whose conversation grew too long goes on in a new one, once, and knows what was done."""

import os
from pathlib import Path

import pytest

from engine_mcp.core.agent import AgentReport, AgentResult, AgentTask
from engine_mcp.core.execution import Execution, Failure
from engine_mcp.ports import AgentHost
from engine_mcp.testing import ScriptedRunner
from tests.engine.rig import Rig, agent, failures, statuses

pytestmark = pytest.mark.anyio
LATER = 1_900_000_000
"""After the times that the clock of the tests shows."""
SAID = "We decided to use SQLite. You must never touch the vendor folder. TODO: write the tests."


def overflowing(times: int) -> ScriptedRunner:
    left = [times]

    async def reply(task: AgentTask, host: AgentHost) -> AgentResult:
        if left[0] == 0:
            return AgentResult(output="done")
        left[0] -= 1
        host.report(AgentReport(text=SAID))
        changed = Path(task.project) / "made.py"
        changed.write_text("x = 1")
        os.utime(changed, (LATER, LATER))
        return AgentResult(output=SAID, failure=Failure("context_overflow", "prompt is too long"))

    return ScriptedRunner({"a": [reply]})


async def carried_out(project: Path, times: int) -> tuple[Rig, Execution]:
    rig = Rig(project=project, runner=overflowing(times))
    return rig, await rig.run(rig.draft(agent("a")))


async def test_a_conversation_that_is_too_long_is_left_for_a_new_one_that_knows_what_was_done(
    tmp_path: Path,
) -> None:
    rig, execution = await carried_out(tmp_path, 1)
    assert statuses(execution) == {"a": "completed"}
    first, second = rig.runner.tasks
    assert first.session != second.session
    assert not second.begun
    packet = rig.library.briefs[-1].packets["a"]
    assert packet.decisions == ("We decided to use SQLite.",)
    assert packet.constraints == ("You must never touch the vendor folder.",)
    assert packet.open_items == ("TODO: write the tests.",)
    assert packet.files_changed == ("made.py",)
    assert "prompt is too long" in packet.failed_approaches[0]


async def test_one_that_is_too_long_again_fails_clearly(tmp_path: Path) -> None:
    rig, execution = await carried_out(tmp_path, 9)
    assert failures(execution) == {"a": "context_overflow"}
    assert len(rig.runner.tasks) == 2
