import anyio
import pytest

from engine_mcp.core.script import Outcome, Script, ScriptLimits
from engine_mcp.sandbox.pool import SandboxPool
from tests.sandbox.hostile import CORPUS
from tests.sandbox.hosts import Host
from tests.sandbox.rest import rest

LIMITS = ScriptLimits(memory_mb=32, cpu_s=0.3, wall_s=1.5)
TOOLS = ("echo", "never", "no")


@pytest.mark.anyio
@pytest.mark.req("000:1.1.1", "000:1.1.2", "000:1.1.3", "000:1.2.2", "000:1.2.4", "000:1.4.2", "000:L288")
@pytest.mark.parametrize("name", CORPUS)
async def test_a_hostile_script_ends_as_it_must_and_leaves_nothing(pool: SandboxPool, name: str) -> None:
    case = CORPUS[name]
    before = await rest()
    host = Host()
    with anyio.fail_after(20):
        result = await pool.run(Script(code=case.code, tools=TOOLS, limits=LIMITS), host)
        after = await pool.run(Script(code="return 1+1"), Host())
    assert result.outcome in case.outcomes, result
    assert case.value in {None, result.value}
    assert (result.outcome is Outcome.VALUE) == (result.value is not None)
    assert host.under_way == 0
    assert after.value == "2"
    assert await rest() == before
