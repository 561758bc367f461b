"""One run that meets a failure that passes, the death of its process and a damaged snapshot."""

from collections.abc import Mapping
from dataclasses import replace

import anyio
import pytest
from pydantic import JsonValue

from engine_mcp.core.execution import ExecutionStatus, Failure
from engine_mcp.core.listing import Query
from engine_mcp.core.request import Resume
from engine_mcp.core.tool import ToolResult
from engine_mcp.ports import Workbench
from engine_mcp.store.files import FileStore
from engine_mcp.testing import Crash, CrashingStore, CrashPoint
from tests.engine.rig import Rig, adapter, check_record, rested, tool, values

pytestmark = pytest.mark.anyio


@pytest.mark.req("000:7.3.2")
@pytest.mark.parametrize("at", range(4, 24, 4))
async def test_it_ends_as_if_nothing_had_been(rig: Rig, at: int) -> None:
    left = [1]

    async def stumbling(arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        del bench
        if left and left.pop():
            return ToolResult(failure=Failure("tool_transient", "in a moment"))
        return ToolResult(value=dict(arguments))

    store = FileStore(rig.project / ".engine-mcp", clock=rig.clock, owner="", version="1")
    own = replace(rig, store=store, tools=[adapter("echo", stumbling)])
    names = ("a", "b", "c")
    steps = [tool(name, "echo", *names[:place], arguments={"n": name}) for place, name in enumerate(names)]
    point = CrashPoint(at)
    try:
        async with replace(own, store=CrashingStore(store, point)).engine() as engine:
            await rested(engine, await engine.execute(own.draft(*steps)))
    except* Crash:
        assert point.dead
    row = (await store.list(Query())).rows[0]
    await anyio.Path(store.place(row.id)).write_bytes(b'{"execution": {"status": "comp')
    async with own.engine() as engine:
        execution = await engine.show(row.id)
        if execution.status is not ExecutionStatus.COMPLETED:
            execution = await rested(engine, await engine.resume(row.id, Resume()))
    assert execution.status is ExecutionStatus.COMPLETED
    assert values(execution) == {name: {"n": name} for name in names}
    await check_record(store, row.id)
