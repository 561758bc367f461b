"""What a runtime says of the windows of its models is kept for all that comes later."""

import pytest

from engine_mcp.core.agent import AgentResult
from engine_mcp.core.window import Window
from engine_mcp.testing import FixedWindows, ScriptedRunner
from tests.engine.rig import Rig, agent

pytestmark = pytest.mark.anyio


async def test_the_window_that_a_runtime_tells_is_learned(rig: Rig) -> None:
    rig.windows = windows = FixedWindows()
    rig.runner = ScriptedRunner({"a": [AgentResult(output="done", windows={"m": 64_000})]})
    await rig.run(rig.draft(agent("a")))
    assert windows.learned == {"m": Window(tokens=64_000, source="runtime")}
