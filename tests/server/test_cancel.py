"""What the cancel of a call does to the execution it started or went on with."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from mcp import Client

from tests.server.clients import MODES, SLOW, RawClient, called, connected, raw

pytestmark = pytest.mark.anyio
GOING = {"pending", "running"}


@pytest.fixture(scope="module")
async def wire(anyio_backend: object, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RawClient]:
    assert anyio_backend
    async with raw(tmp_path_factory.mktemp("project")) as opened:
        yield opened


async def begun(wire: RawClient, **arguments: object) -> tuple[int, str]:
    """A call that waits for an execution that runs: the id of both."""
    known = {row["execution_id"] for row in (await wire.call("engine_status"))["executions"]}
    request = await wire.tool("engine_execute", wait_s=600, **{"code": SLOW, **arguments})
    while True:
        rows = (await wire.call("engine_status"))["executions"]
        if fresh := {row["execution_id"] for row in rows} - known:
            return request, fresh.pop()


async def ended(wire: RawClient, execution_id: str) -> dict[str, Any]:
    await wire.call("engine_interrupt", execution_id=execution_id, mode="cancel")
    return await wire.call("engine_status", execution_id=execution_id)


def rests(found: dict[str, Any]) -> bool:
    return found["status"] not in GOING


@pytest.mark.req("003:L27")
@pytest.mark.parametrize("reason", [{}, {"reason": "the user pressed escape"}, {"reason": "AbortError"}])
async def test_a_cancelled_call_interrupts_its_execution(wire: RawClient, reason: dict[str, str]) -> None:
    request, name = await begun(wire)
    await wire.tell("notifications/cancelled", requestId=request, **reason)
    found = await wire.until(name, rests)
    assert found["status"] == "interrupted"
    assert found["reason"].startswith("the call was cancelled")
    assert reason.get("reason", "") in found["reason"]
    assert found["next_actions"][0]["tool"] == "engine_resume"


async def test_the_cancelled_call_of_a_resume_interrupts_too(wire: RawClient) -> None:
    _, name = await begun(wire)
    await wire.call("engine_interrupt", execution_id=name)
    request = await wire.tool("engine_resume", execution_id=name, wait_s=600)
    await wire.until(name, lambda found: not rests(found))
    await wire.tell("notifications/cancelled", requestId=request)
    assert (await wire.until(name, rests))["reason"] == "the call was cancelled"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "SdkError: Request timed out"),
        ({}, "McpError: MCP error -32001: Request timed out"),
        ({"on_cancel": "continue"}, "the user pressed escape"),
    ],
)
async def test_an_execution_goes_on_after_a_time_out_or_where_the_plan_says_so(
    wire: RawClient, arguments: dict[str, str], reason: str
) -> None:
    request, name = await begun(wire, **arguments)
    await wire.tell("notifications/cancelled", requestId=request, reason=reason)
    assert (await wire.call("engine_status", execution_id=name, wait_s=0.3))["status"] in GOING
    await ended(wire, name)


async def test_a_stale_cancel_changes_nothing(wire: RawClient) -> None:
    request = await wire.tool("engine_execute", code=SLOW, wait_s=0)
    name = (await wire.answer(request))["result"]["structuredContent"]["execution_id"]
    await wire.tell("notifications/cancelled", requestId=request, reason="AbortError: it was aborted")
    await wire.tell("notifications/cancelled", requestId=999_999)
    await wire.tell("notifications/cancelled", requestId=None)
    assert (await wire.call("engine_status", execution_id=name, wait_s=0.3))["status"] in GOING
    await ended(wire, name)


async def test_a_cancelled_status_changes_nothing(wire: RawClient) -> None:
    _, name = await begun(wire)
    request = await wire.tool("engine_status", execution_id=name, wait_s=600)
    await wire.tell("notifications/cancelled", requestId=request)
    assert (await wire.call("engine_status", execution_id=name, wait_s=0.3))["status"] in GOING
    await ended(wire, name)


async def test_whenever_a_cancel_comes_no_execution_runs_that_nobody_waits_for(tmp_path: Path) -> None:
    async with raw(tmp_path) as wire:
        for number in range(24):
            request = await wire.tool("engine_execute", code=SLOW, wait_s=600)
            await anyio.sleep(number / 400)  # before, during or after the creation
            await wire.tell("notifications/cancelled", requestId=request, reason="changed my mind")
        request, _ = await begun(wire)
        await wire.tell("notifications/cancelled", requestId=request, reason="changed my mind")
        rows = (await wire.call("engine_status", limit=50))["executions"]
        ends = {(await wire.until(row["execution_id"], rests))["reason"] for row in rows}
        assert ends == {"the call was cancelled: changed my mind"}


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_that_stops_waiting_interrupts_and_one_whose_time_is_up_does_not(
    tmp_path: Path, mode: Literal["auto", "legacy"]
) -> None:
    async with connected(tmp_path, mode) as client:
        with anyio.move_on_after(1):
            await client.call_tool("engine_execute", {"code": SLOW, "wait_s": 600})
        assert await only(client) == "interrupted"
    async with connected(tmp_path, mode) as client:
        with pytest.raises(Exception, match="timed out"):
            await client.call_tool("engine_execute", {"code": SLOW, "wait_s": 600}, read_timeout_seconds=1)
        assert await only(client) in GOING


async def only(client: Client) -> str:
    """The status of the newest execution, once it does not change any more at once."""
    name = (await called(client, "engine_status"))["executions"][0]["execution_id"]
    return (await called(client, "engine_status", execution_id=name, wait_s=0.5))["status"]
