"""A script of an agent draws the same numbers when it is run again, and no two scripts draw the same."""

import anyio
import pytest

from engine_mcp.core.agent import AgentCall, AgentResult, AgentTask
from engine_mcp.core.execution import StopMode
from engine_mcp.core.request import Resume
from engine_mcp.core.script import Outcome, Script, ScriptResult
from engine_mcp.ports import AgentHost, ScriptHost
from tests.engine.rig import DONE, Rig, agent, came, rested

pytestmark = pytest.mark.anyio


class Seeds:
    """A sandbox that notes the seed of each script, and waits in the first one until it is stopped."""

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self.seen: list[tuple[str, int]] = []

    async def run(self, script: Script, host: ScriptHost) -> ScriptResult:
        """Note the seed."""
        del host
        self.seen.append((script.code, script.seed))
        if not self.begun.is_set():
            self.begun.set()
            await anyio.sleep_forever()
        return ScriptResult(outcome=Outcome.VALUE, value="1")


async def test_a_script_that_was_cut_off_has_its_seed_again_and_another_one_has_its_own(rig: Rig) -> None:
    seeds = Seeds()

    async def scripting(task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        for name in ("one", "two"):
            await host.call(AgentCall(id=name, name="script", arguments={"code": name}))
        return DONE

    rig.sandbox = seeds
    rig.runner.replies = {"a": [scripting]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(seeds.begun)
        rig.clock.advance(5)
        await engine.interrupt(execution.id, StopMode.NOW, "stopped")
        await rested(engine, await engine.resume(execution.id, Resume()))
    (one, first), (again, second), (two, other) = seeds.seen
    assert (one, again, two) == ("one", "one", "two")
    assert first == second != other
