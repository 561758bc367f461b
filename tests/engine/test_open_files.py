"""Open files: a long-lived engine has as many at the end as at the start."""

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.core.plan import Draft
from engine_mcp.engine.engine import Engine
from engine_mcp.store.files import FileStore
from tests.engine.rig import Rig, adapter, rested, tool
from tests.leaks import open_descriptors

RUNS = 500
AT_ONCE = 10

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the kernel does not tell what is open"),
]


async def run(engine: Engine, draft: Draft, count: int) -> None:
    for _ in range(count):
        execution = await rested(engine, await engine.execute(draft))
        assert execution.status is ExecutionStatus.COMPLETED


@pytest.mark.req("002:L150")
async def test_five_hundred_executions_on_files_leave_no_more_open_than_one(rig: Rig) -> None:
    store = FileStore(rig.project / ".engine-mcp", clock=rig.clock, owner="", version="1")
    own = replace(rig, store=store, tools=[adapter("echo")])
    draft = own.draft(tool("t", "echo", arguments={"n": 1}))
    async with own.engine() as engine:
        await run(engine, draft, AT_ONCE)
        before = open_descriptors()
        async with anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(run, engine, draft, RUNS // AT_ONCE)
        after = open_descriptors()
    store.close()
    assert len(after) <= len(before), set(after.values()) - set(before.values())
