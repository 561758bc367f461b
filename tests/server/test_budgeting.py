"""`engine_budget` and `engine_status` on an engine with a ledger: shared limits, audits, what is broken."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import anyio
import pytest

from engine_mcp.core.breaker import Breaker, BreakerState
from engine_mcp.core.budget import Limits, OnExceed, Usage
from engine_mcp.core.period import Period, Room
from engine_mcp.core.spending import Posting
from engine_mcp.core.tool import ToolResult, ToolSpec
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.parts import EngineOptions, Parts
from engine_mcp.errors import StorageError
from engine_mcp.ledger.memory import MemoryBreakers, MemoryLedger
from engine_mcp.ports import Ledger, Workbench
from engine_mcp.server.listing import tools
from engine_mcp.server.tools import Tools
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import FakeClock, NoSandbox, PlainLibrary, ScriptedTool
from tests.server.checking import checked
from tests.server.samples import NOW, edge_of
from tests.server.test_tools import QUIET, WITHIN_S

pytestmark = pytest.mark.anyio
SCHEMAS = {tool.name: tool.output_schema or {} for tool in tools()}
QUARTER = int(NOW // 900)


async def fine(_: object, __: Workbench) -> ToolResult:
    await anyio.lowlevel.checkpoint()
    return ToolResult(value="fine")


@asynccontextmanager
async def engine_tools(
    root: Path,
    *,
    ledger: Ledger | None = None,
    breakers: MemoryBreakers | None = None,
    caps: Limits | None = None,
) -> AsyncGenerator[Tools]:
    """The tools on an engine that shares limits by `ledger`; its one tool counts as a request."""
    spec = ToolSpec(name="fine", description="", input_schema={"type": "object"}, requests=1)
    parts = Parts(
        library=PlainLibrary(),
        store=MemoryStore(),
        clock=FakeClock(NOW, leap=True),
        sandbox=NoSandbox(),
        tools={"fine": ScriptedTool(spec=spec, reply=fine)},
        ledger=ledger,
        breakers=breakers,
    )
    with anyio.fail_after(WITHIN_S):
        async with Engine(parts, EngineOptions(grace_s=1, caps=caps or Limits())) as engine:
            yield Tools(engine, edge_of(root))


def shared(caps: dict[Period, Limits] | None = None) -> MemoryLedger:
    return MemoryLedger(UTC, caps or {})


async def spend(ledger: MemoryLedger, micros: int) -> None:
    used = Usage(tokens_in=7, cost_micros=micros, requests=2, seconds=3.0)
    assert await ledger.post(Posting(execution_id="other", after=0, upto=1, spent={QUARTER: used}))


async def said(tools_: Tools, name: str, /, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    result = await tools_.call(name, given, QUIET)
    assert result.structured_content is not None
    return checked(result.structured_content, SCHEMAS[name])


@pytest.mark.req("003:L55")
@pytest.mark.parametrize("scope", ["day", "month"])
async def test_a_shared_limit_is_set_and_read_back_with_what_is_spent(tmp_path: Path, scope: str) -> None:
    ledger = shared()
    await spend(ledger, 250_000)
    async with engine_tools(tmp_path, ledger=ledger) as tested:
        budget = {"max_cost_usd": 1.0, "max_requests": 5}
        found = await said(tested, "engine_budget", scope=scope, budget=budget)
        assert found["happened"] == "set: max_cost_usd = 1.0, max_requests = 5."
        assert found == {**await said(tested, "engine_budget", scope=scope), "happened": found["happened"]}
    assert found["limits"] == budget
    assert found["spent"] == {"tokens": 7, "cost_usd": 0.25, "seconds": 3.0, "requests": 2}
    assert found["reserved"] == {"tokens": 0, "cost_usd": 0.0, "seconds": 0.0, "requests": 0}
    assert found["remaining"] == {"cost_usd": 0.75, "requests": 3}
    assert (
        found["resets_at"] == {"day": "2027-01-16T00:00:00.000Z", "month": "2027-02-01T00:00:00.000Z"}[scope]
    )
    [change] = found["changes"]
    assert (change["by"], change["before"], change["after"]) == ("engine_budget", {}, budget)
    assert change["spent"]["cost_usd"] == 0.25


@pytest.mark.req("003:L55")
async def test_a_reset_takes_the_shared_limits_away_and_says_which(tmp_path: Path) -> None:
    ledger = shared()
    await spend(ledger, 250_000)
    async with engine_tools(tmp_path, ledger=ledger) as tested:
        await said(tested, "engine_budget", scope="day", budget={"max_cost_usd": 1.0, "max_tokens": 9})
        found = await said(tested, "engine_budget", scope="day", reset=True, budget={"max_tokens": 50})
        assert "max_tokens = 9, max_cost_usd = 1.0" in found["happened"]
        assert found["happened"].endswith("set: max_tokens = 50.")
        assert found["limits"] == {"max_tokens": 50}
        assert found["spent"]["cost_usd"] == 0.25
        assert [change["reset"] for change in found["changes"]] == [True, False]
        month = await said(tested, "engine_budget", scope="month")
        assert (month["limits"], month["changes"]) == ({}, [])


async def test_limits_that_are_reached_and_the_operators_are_told(tmp_path: Path) -> None:
    ledger = shared({Period.DAY: Limits(max_cost_usd=2.0)})
    await spend(ledger, 1_500_000)
    async with engine_tools(tmp_path, ledger=ledger) as tested:
        found = await said(tested, "engine_budget", scope="day", budget={"max_cost_usd": 1.5})
    assert found["caps"] == {"max_cost_usd": 2.0}
    assert found["remaining"] == {"cost_usd": 0.0}
    assert found["warnings"] == ["The shared cost_usd limit of 1.5 of this day is reached: 1.5."]


async def test_without_a_ledger_no_shared_limit_can_be_set_but_all_can_be_read(tmp_path: Path) -> None:
    async with engine_tools(tmp_path) as tested:
        refused = await said(tested, "engine_budget", scope="day", budget={"max_tokens": 1})
        assert refused["code"] == "storage"
        found = await said(tested, "engine_budget", scope="day")
    assert (found["limits"], found["spent"]["tokens"]) == ({}, 0)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "execution_id"),
        ({"scope": "year"}, "scope"),
        ({"scope": "day", "execution_id": "01a1fd6f-0097-7243-9d40-de5403c9ff2f"}, "execution_id"),
        ({"scope": "day", "audit": True}, "audit"),
        ({"scope": "month", "after": 3}, "after"),
        ({"scope": "day", "limit": 0}, "limit"),
    ],
)
async def test_arguments_that_do_not_fit_the_scope_are_refused(
    tmp_path: Path, given: dict[str, Any], field: str
) -> None:
    async with engine_tools(tmp_path, ledger=shared()) as tested:
        found = await said(tested, "engine_budget", **given)
    assert (found["code"], found["field"]) == ("invalid_argument", field)
    assert found["next_actions"][0]["tool"] == "engine_budget"


async def test_an_audit_finds_the_same_sums_in_the_journal(tmp_path: Path) -> None:
    async with engine_tools(tmp_path, ledger=shared()) as tested:
        done = await said(tested, "engine_execute", tool="fine")
        found = await said(tested, "engine_budget", execution_id=done["execution_id"], audit=True)
    assert found["audit"] == []
    assert (found["scope"], found["spent"]["requests"]) == ("execution", 1)


@pytest.mark.req("002:L92")
async def test_the_engine_shows_what_is_broken_and_what_is_spent(tmp_path: Path) -> None:
    ledger, breakers = shared({Period.MONTH: Limits(max_cost_usd=9.0)}), MemoryBreakers()
    await spend(ledger, 250_000)
    for held in (
        Breaker(part="endpoint x", failures=2, changed_at=NOW, code="overloaded", evidence="busy"),
        Breaker(
            part="pool key 1",
            state=BreakerState.OPEN,
            failures=1,
            changed_at=NOW - 60,
            retry_at=NOW + 60,
            code="quota_exhausted",
            evidence="e" * 300,
        ),
    ):
        assert await breakers.write(None, held)
    async with engine_tools(tmp_path, ledger=ledger, breakers=breakers) as tested:
        found = await said(tested, "engine_status")
    assert [(held["part"], held["state"], held["failures"]) for held in found["breakers"]] == [
        ("pool key 1", "open", 1),
        ("endpoint x", "closed", 2),
    ]
    assert found["breakers"][0]["retry_at"] == "2027-01-15T08:01:00.000Z"
    assert found["breakers"][0]["code"] == "quota_exhausted"
    assert found["spending"]["day"] == {
        "spent": {"tokens": 7, "cost_usd": 0.25, "seconds": 3.0, "requests": 2}
    }
    month = found["spending"]["month"]
    assert (month["caps"], month["remaining"]) == ({"max_cost_usd": 9.0}, {"cost_usd": 8.75})
    assert month["resets_at"] == "2027-02-01T00:00:00.000Z"


class Unreadable(MemoryLedger):
    """Lies on a disk that fails."""

    async def room(self, now: float) -> Room:
        raise StorageError(f"The disk has failed at {now}.")


async def test_a_ledger_that_cannot_be_read_leaves_spending_out_and_the_rest_in(tmp_path: Path) -> None:
    async with engine_tools(tmp_path, ledger=Unreadable(UTC, {})) as tested:
        found = await said(tested, "engine_status")
        assert "spending" not in found
        assert found["total"] == 0
        assert (await said(tested, "engine_budget", scope="day"))["code"] == "storage"


async def test_many_breakers_leave_the_overview_small(tmp_path: Path) -> None:
    breakers = MemoryBreakers()
    for number in range(200):
        held = Breaker(part=f"endpoint {number}", failures=1, code="overloaded", evidence="😀" * 300)
        assert await breakers.write(None, held)
    async with engine_tools(tmp_path, breakers=breakers) as tested:
        assert 0 < len((await said(tested, "engine_status"))["breakers"]) < 200


async def test_an_execution_at_the_limit_of_the_day_names_the_call_that_raises_it(tmp_path: Path) -> None:
    ledger = shared()
    async with engine_tools(tmp_path, ledger=ledger) as tested:
        limits = {"max_requests": 1, "on_exceed": "pause"}
        await said(tested, "engine_budget", scope="day", budget=limits)
        steps = [{"id": "a", "tool": "fine"}, {"id": "b", "tool": "fine", "depends_on": ["a"]}]
        paused = await said(tested, "engine_execute", steps=steps)
        assert (paused["status"], paused["reason"]) == ("paused", "budget")
        assert paused["until"]["at"] == "2027-01-16T00:00:00.000Z"
        raising, going_on = paused["next_actions"]
        assert raising["arguments"] == {"scope": "day", "budget": {"max_requests": 2}}
        await said(tested, raising["tool"], **raising["arguments"])
        done = await said(tested, going_on["tool"], **going_on["arguments"])
    assert done["status"] == "completed"


async def test_an_execution_at_the_operators_limit_says_whose_it_is(tmp_path: Path) -> None:
    caps = Limits(max_requests=1, on_exceed=OnExceed.PAUSE)
    async with engine_tools(tmp_path, caps=caps) as tested:
        steps = [{"id": "a", "tool": "fine"}, {"id": "b", "tool": "fine", "depends_on": ["a"]}]
        paused = await said(tested, "engine_execute", steps=steps)
    assert (paused["status"], paused["reason"]) == ("paused", "budget")
    assert "operator's settings" in paused["next_actions"][0]["why"]
