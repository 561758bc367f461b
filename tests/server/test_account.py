"""Budgets, overviews and what calls did, as clients see them."""

import pytest

from engine_mcp.core import event as ev
from engine_mcp.core.budget import Limits, OnExceed, Resource, Usage
from engine_mcp.core.execution import ExecutionStatus, Output, StopMode
from engine_mcp.core.listing import Listed, Page
from engine_mcp.core.load import Load
from engine_mcp.core.tool import Health
from engine_mcp.server.account import account
from engine_mcp.server.outcome import budget_changed, interrupted
from engine_mcp.server.overview import Sight, overview
from engine_mcp.server.results import Account, Overview, output_schema
from tests.server.checking import checked
from tests.server.samples import NOW, after, begun, code, created, done, started, stopped

LOAD = Load(running=1, pending=2, executions=8, steps_running=3, steps=16)


ACCOUNT, OVERVIEW = output_schema(Account), output_schema(Overview)


@pytest.mark.req("003:L55", "000:2.2.2")
def test_an_account_tells_limits_spent_reserved_left_and_every_attempt() -> None:
    limits = Limits(max_tokens=100, max_seconds=60, max_requests=9, on_exceed=OnExceed.PAUSE)
    execution = begun(started(code("a"), code("b"), budget=limits), "a")
    used = Usage(tokens_in=30, tokens_out=4, requests=2, seconds=1.5, cost_micros=2500, cost_basis="computed")
    execution = after(
        execution,
        ev.AttemptSucceeded(at=NOW + 1.5, step="a", number=1, output=Output(value=1), usage=used),
        ev.AttemptStarted(at=NOW + 2, step="b", number=1, reserved=Usage(requests=1)),
        ev.BudgetWarned(at=NOW + 2, resource=Resource.TOKENS, limit=1, used=2),
    )
    found = checked(account(execution, now=NOW + 3), ACCOUNT)
    assert found["limits"] == {
        "max_tokens": 100,
        "max_seconds": 60.0,
        "max_requests": 9,
        "on_exceed": "pause",
    }
    assert found["spent"] == {"tokens": 34, "cost_usd": 0.0025, "seconds": 3.0, "requests": 2}
    assert found["reserved"] == {"tokens": 0, "cost_usd": 0.0, "seconds": 0.0, "requests": 1}
    assert found["remaining"] == {"tokens": 66, "seconds": 57.0, "requests": 6}
    assert found["warnings"] == ["The budget's tokens limit of 1 was passed: 2."]
    assert [(entry["step"], entry["status"], entry["seconds"]) for entry in found["entries"]] == [
        ("a", "succeeded", 1.5),
        ("b", "running", 1.0),
    ]


def test_a_long_account_keeps_the_newest_entries() -> None:
    names = [f"step-{number}" for number in range(400)]
    execution = done(started(*map(code, names)), dict.fromkeys(names, 1))
    found = checked(account(execution, now=NOW), ACCOUNT)
    assert "of 400 entries" in str(found["truncated"])


@pytest.mark.req("003:L54", "000:6.2.3")
def test_an_overview_lists_executions_tools_strategies_and_load() -> None:
    row = Listed(
        id="i", status=ExecutionStatus.PAUSED, title="t", created_at=NOW, updated_at=NOW, steps=3, done=1
    )
    health = {
        "tools": {"files.read": Health(usable=True)},
        "runtimes": {"x": Health(usable=False, remedy="r")},
    }
    found = checked(
        overview(Sight(page=Page(rows=(row,), total=1), limit=10, health=health, load=LOAD)), OVERVIEW
    )
    assert found["strategies"] == ["multi", "parallel", "single"]
    assert found["tools"] == {"files.read": {"usable": True}}
    assert found["runtimes"] == {"x": {"usable": False, "remedy": "r"}}
    assert found["load"] == {"running": 1, "pending": 2, "executions": 8, "steps_running": 3, "steps": 16}
    assert found["total"] == 1
    assert "next" not in found


@pytest.mark.parametrize(("limit", "title"), [(10, "short"), (50, "😀" * 500)])
def test_an_overview_says_where_the_next_page_begins(limit: int, title: str) -> None:
    rows = tuple(
        Listed(
            id=f"{number:036}",
            status=ExecutionStatus.COMPLETED,
            title=title,
            created_at=NOW,
            updated_at=NOW,
            steps=1,
            done=1,
            reason=title,
        )
        for number in range(limit + 1)
    )
    found = checked(
        overview(Sight(page=Page(rows=rows, total=99), limit=limit, health={}, load=LOAD)), OVERVIEW
    )
    assert 0 < len(found["executions"]) <= limit
    assert found["next"] == f"{len(found['executions']) - 1:036}"


@pytest.mark.req("000:5.1.1")
class TestInterrupts:
    def test_what_was_stopped_and_what_is_kept_is_told(self) -> None:
        before = begun(done(started(code("a"), code("b")), {"a": 1}), "b")
        told = interrupted(before, stopped(before))
        assert told.startswith("It is interrupted; 1 running steps were stopped (b);")
        assert told.endswith("1 of 2 steps are completed and kept.")

    def test_an_interrupt_of_what_rests_already_says_that_nothing_changed(self) -> None:
        resting = stopped(started())
        assert "interrupted already; nothing changed" in interrupted(resting, resting)

    def test_a_stop_that_waits_for_steps_names_them(self) -> None:
        running = begun(started(code("a")), "a")
        asked = after(running, ev.StopRequested(at=NOW, mode=StopMode.AFTER_STEP, reason=""))
        assert "waits for a" in interrupted(running, asked)

    def test_a_stop_that_came_too_late_says_so(self) -> None:
        running = begun(started(code("a")), "a")
        over = after(
            running,
            ev.AttemptSucceeded(at=NOW, step="a", number=1, output=Output(value=1)),
            ev.ExecutionCompleted(at=NOW),
        )
        assert interrupted(running, over).startswith("It had completed before")

    def test_a_stop_of_what_has_not_begun_says_that_nothing_ran(self) -> None:
        asked = after(created(), ev.ExecutionInterrupted(at=NOW, reason="r"))
        assert "nothing was running" in interrupted(created(), asked)


def test_a_change_of_a_budget_is_told() -> None:
    assert budget_changed(Limits(max_tokens=5), reset=False) == "set: max_tokens = 5."
    both = budget_changed(Limits(max_tokens=5), reset=True)
    assert both == "The limits are those of the plan again; set: max_tokens = 5."
    assert budget_changed(Limits(), reset=True) == "The limits are those of the plan again."
