"""A plan of as many steps as there may be leaves a record and a process of bounded size."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import anyio
import psutil
import pytest
from pydantic import JsonValue

from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.core.plan import MAX_STEPS
from engine_mcp.core.tool import ToolResult
from engine_mcp.ports import Workbench
from engine_mcp.store.files import FileStore
from tests.engine.rig import Rig, adapter, tool

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]
RESULT = "x" * 200
A_STEP = 4 << 10
MEMORY = 150 << 20


async def answered(arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
    del arguments, bench
    return ToolResult(value=RESULT)


def size(place: Path) -> int:
    return sum(file.stat().st_size for file in [place, *place.rglob("*")] if file.is_file())


@pytest.mark.req("001:L60")
async def test_a_thousand_steps_take_so_much_of_disk_and_memory_and_no_more(rig: Rig) -> None:
    folder = rig.project / ".engine-mcp"
    store = FileStore(folder, clock=rig.clock, owner="", version="1")
    own = replace(rig, store=store, tools=[adapter("echo", answered)])
    steps = [tool(f"s{at}", "echo", *([f"s{at - 1}"] if at % 10 else [])) for at in range(MAX_STEPS)]
    before = psutil.Process().memory_info().rss
    async with own.engine() as engine:
        execution = await engine.execute(own.draft(*steps))
        with anyio.fail_after(150):
            while execution.status in {ExecutionStatus.PENDING, ExecutionStatus.RUNNING}:
                execution = await engine.wait(execution.id, 5.0, execution.revision)
    assert execution.status is ExecutionStatus.COMPLETED
    assert psutil.Process().memory_info().rss - before < MEMORY
    assert size(Path(store.place(execution.id))) < MAX_STEPS * A_STEP
    assert size(folder) < 3 * MAX_STEPS * A_STEP
