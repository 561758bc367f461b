"""The tools on an engine in this process, with parts that a real one seldom has: slow or broken ones."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from engine_mcp.core.event import ExecutionCreated
from engine_mcp.core.execution import Execution
from engine_mcp.core.plan import Mode
from engine_mcp.core.tool import ToolResult, ToolSpec
from engine_mcp.engine.clock import SystemClock
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.parts import EngineOptions, Parts
from engine_mcp.errors import Busy, StorageError
from engine_mcp.ports import Store, Workbench
from engine_mcp.server.tools import Call, Tools
from engine_mcp.store.memory import MemoryLog, MemoryStore
from engine_mcp.testing import NoSandbox, PlainLibrary, ScriptedTool
from tests.server.samples import edge_of

pytestmark = pytest.mark.anyio
WITHIN_S = 10


async def silent(_: float, __: float, ___: str) -> None:
    return None


QUIET = Call(tell=silent, given_up=lambda: None)


async def stuck(_: object, __: Workbench) -> ToolResult:
    await anyio.sleep_forever()
    raise AssertionError


@asynccontextmanager
async def tools(root: Path, store: Store | None = None, **options: Any) -> AsyncGenerator[Tools]:  # noqa: ANN401 - as given
    """The tools on an engine whose only tool never ends."""
    spec = ToolSpec(name="stuck", description="", input_schema={"type": "object"}, mode=Mode.NONE)
    parts = Parts(
        library=PlainLibrary(),
        store=store or MemoryStore(),
        clock=SystemClock(),
        sandbox=NoSandbox(),
        tools={"stuck": ScriptedTool(spec=spec, reply=stuck)},
    )
    with anyio.fail_after(WITHIN_S):
        async with Engine(parts, EngineOptions(grace_s=1, **options)) as engine:
            yield Tools(engine, edge_of(root))


async def said(tools: Tools, name: str, call: Call = QUIET, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    result = await tools.call(name, given, call)
    assert result.structured_content is not None
    return result.structured_content


class Slow(MemoryStore):
    """Begins a record, and is not finished with it before it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.let_go = anyio.Event(), anyio.Event()

    async def create(self, event: ExecutionCreated) -> tuple[Execution, MemoryLog]:
        created = await super().create(event)
        self.begun.set()
        await self.let_go.wait()
        return created


class Broken(MemoryStore):
    """Has a defect."""

    async def read(self, execution_id: str) -> Execution:
        raise RuntimeError(f"the password of {execution_id} is tulip")


class Full(MemoryStore):
    """Has no space left."""

    async def create(self, event: ExecutionCreated) -> tuple[Execution, MemoryLog]:
        raise StorageError(f"No space left for {event.kind}.")


async def test_a_call_cancelled_during_the_creation_interrupts_what_was_created(tmp_path: Path) -> None:
    store = Slow()
    asked = Call(tell=silent, given_up=lambda: "escape")
    async with tools(tmp_path, store) as tested:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: said(tested, "engine_execute", asked, tool="stuck", wait_s=0))
            await store.begun.wait()
            tasks.cancel_scope.cancel()
            store.let_go.set()
        [row] = (await said(tested, "engine_status"))["executions"]
        assert (row["status"], row["reason"]) == ("interrupted", "the call was cancelled: escape")


@pytest.mark.parametrize("given", [{"on_cancel": "continue"}, {}], ids=["the plan says so", "nobody asked"])
async def test_a_call_that_ends_for_another_reason_leaves_its_execution_alone(
    tmp_path: Path, given: dict[str, str]
) -> None:
    call = Call(tell=silent, given_up=lambda: "escape" if given else None)
    async with tools(tmp_path) as tested:
        with anyio.move_on_after(0.2):
            await said(tested, "engine_execute", call, tool="stuck", wait_s=60, **given)
        [row] = (await said(tested, "engine_status"))["executions"]
        assert row["status"] == "running"


async def test_a_defect_is_an_internal_error_without_its_inner_life(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = "01a1fd6f-0097-7243-9d40-000000000000"
    async with tools(tmp_path, Broken()) as tested:
        for tool in ("engine_status", "engine_budget", "engine_interrupt"):
            found = await said(tested, tool, execution_id=name)
            assert found["code"] == "internal"
            assert "tulip" not in json.dumps(found)
        assert (await said(tested, "engine_status"))["total"] == 0
    assert "tulip" in caplog.text


@pytest.mark.req("003:L7")
async def test_a_full_disk_and_a_full_engine_are_told_as_such(tmp_path: Path) -> None:
    async with tools(tmp_path, Full()) as tested:
        assert (await said(tested, "engine_execute", tool="stuck"))["code"] == StorageError.code
    async with tools(tmp_path, executions=1, waiting=1) as tested:
        codes = [(await said(tested, "engine_execute", tool="stuck", wait_s=0)).get("code") for _ in range(4)]
        assert codes[0] is None
        assert codes[-1] == Busy.code


async def test_the_end_of_the_engine_interrupts_what_it_runs(tmp_path: Path) -> None:
    store = MemoryStore()
    async with tools(tmp_path, store) as tested:
        begun = await said(tested, "engine_execute", tool="stuck", wait_s=0)
        await said(tested, "engine_status", execution_id=begun["execution_id"], cursor=2, wait_s=5)
    assert (await store.read(begun["execution_id"])).status == "interrupted"
