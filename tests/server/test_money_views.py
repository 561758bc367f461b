"""What an execution waits for, what served it, what broke, and the calls that help, as clients see them."""

from typing import Any

import pytest

from engine_mcp.core import event as ev
from engine_mcp.core.budget import Limits, OnExceed, Usage
from engine_mcp.core.choice import Choice, Level, Tier
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Asking, Execution, Failure, Output, Switched
from engine_mcp.core.period import Period, Room, Standing
from engine_mcp.core.plan import Plan, StepSpec, StrategyName
from engine_mcp.core.route import Domain, Route
from engine_mcp.server.results import ShownExecution, output_schema
from engine_mcp.server.view import Answer, view
from tests.server.checking import checked
from tests.server.samples import ID, NOW, SNAPSHOT, after, begun, broken, code, started

SCHEMA = output_schema(ShownExecution)
CLAUDE = Route(runtime="claude-code", family="claude", model="claude-opus-5-5")
OPENCODE = Route(runtime="opencode", family="claude", model="anthropic/claude-opus-5-5")
RESET = NOW + 3600
RESET_AT = "2027-01-15T09:00:00.000Z"


def shown(execution: Execution, room: Room | None = None) -> dict[str, Any]:
    answer = Answer() if room is None else Answer(room=room)
    return checked(view(execution, now=NOW, snapshot=SNAPSHOT, answer=answer), SCHEMA)


def agents(*names: str, forced: bool = False, passed: dict[str, str] | None = None) -> Execution:
    """A running execution of agent steps on Claude Code that may go to OpenCode."""
    specs = tuple(StepSpec(id=name, task="do it") for name in names)
    choice = Choice(
        runtime="claude-code",
        role="developer",
        level=Level.SIMPLE,
        tier=Tier.FAST,
        model=CLAUDE.model,
        route=CLAUDE,
        others=(OPENCODE,),
        forced=forced,
        passed=passed or {},
    )
    created = ev.ExecutionCreated(
        at=NOW,
        execution_id=ID,
        plan=Plan(path="/project", steps=specs, strategy=StrategyName.PARALLEL),
        budget=Limits(),
        choices=dict.fromkeys(names, choice),
    )
    return fold(None, [created, ev.ExecutionStarted(at=NOW, epoch=1, owner="")])


def paused(execution: Execution, reason: str, until: float | None = None) -> Execution:
    return after(execution, ev.ExecutionPaused(at=NOW, reason=reason, until=until))


def spending(execution: Execution, used: Usage) -> Execution:
    """With a script run that used so much."""
    return after(
        begun(execution, "main"),
        ev.AttemptFailed(
            at=NOW + 1, step="main", number=1, failure=Failure("crash", "x"), final=False, usage=used
        ),
    )


class TestRoutes:
    @pytest.mark.req("003:L31")
    def test_a_runtime_that_was_passed_over_is_a_fallback_with_its_reason(self) -> None:
        found = shown(agents("a", passed={"claude-code": "its program is missing"}))
        assert found["fallbacks"] == [
            {
                "step": "a",
                "from": {"runtime": "claude-code"},
                "to": {"runtime": "claude-code", "model": "claude-opus-5-5"},
                "reason": "its program is missing",
            }
        ]

    @pytest.mark.req("003:L31", "002:L95")
    def test_a_switch_is_a_fallback_with_the_evidence_and_served_by_names_where_it_went(self) -> None:
        switch = Switched(
            at=NOW,
            origin=CLAUDE,
            to=OPENCODE,
            domain=Domain.HARNESS,
            code="runtime_missing",
            why="claude is gone: runtime_missing (ENOENT).",
        )
        served = after(
            agents("a"),
            ev.RouteSwitched(at=NOW, step="a", switch=switch),
            ev.AttemptStarted(at=NOW, step="a", number=1, runtime="opencode", model=OPENCODE.model),
            ev.AttemptSucceeded(at=NOW, step="a", number=1, output=Output(value=1)),
        )
        found = shown(served)
        [fallback] = found["fallbacks"]
        assert (fallback["from"]["runtime"], fallback["to"]["runtime"]) == ("claude-code", "opencode")
        assert (fallback["domain"], fallback["code"]) == ("harness", "runtime_missing")
        assert fallback["reason"] == switch.why
        assert fallback["at"] == "2027-01-15T08:00:00.000Z"
        assert found["steps"][0]["served_by"] == {"runtime": "opencode", "model": OPENCODE.model}

    def test_what_no_runtime_served_says_nothing_of_one(self) -> None:
        done = after(
            begun(started(), "main"),
            ev.AttemptSucceeded(at=NOW, step="main", number=1, output=Output(value=1)),
        )
        assert "served_by" not in shown(done)["steps"][0]
        assert shown(done)["fallbacks"] == []


class TestFailures:
    @pytest.mark.req("002:L45")
    def test_a_failure_lists_the_steps_that_cannot_run_because_of_it(self) -> None:
        specs = (code("a"), code("b", "a"), code("c", "b"), code("d"))
        failed = broken(started(*specs), "a", Failure("js_error", "x"))
        skipped = ev.StepSkipped(at=NOW, step="b", failure=Failure("dependency_failed", "needs a"))
        by_name = {step["id"]: step for step in shown(after(failed, skipped))["steps"]}
        assert by_name["a"]["impact"] == ["b", "c"]
        assert by_name["b"]["impact"] == ["c"]
        assert "impact" not in by_name["d"]

    def test_the_failure_of_an_optional_step_keeps_nobody_from_running(self) -> None:
        failed = broken(started(code("a", optional=True), code("b", "a")), "a", Failure("js_error", "x"))
        assert "impact" not in shown(failed)["steps"][0]

    @pytest.mark.req("002:L94")
    def test_an_error_tells_what_is_broken_until_when_and_what_helps(self) -> None:
        failure = Failure("quota_exhausted", "used up", "wait", retry_at=RESET)
        error = shown(broken(agents("a"), "a", failure))["steps"][0]["error"]
        assert (error["domain"], error["retry_at"]) == ("pool", RESET_AT)
        assert {action["tool"] for action in error["next_actions"]} == {"engine_resume"}

    def test_a_time_that_no_calendar_has_is_shown_all_the_same(self) -> None:
        failure = Failure("quota_exhausted", "used up", retry_at=1e300)
        assert shown(broken(agents("a"), "a", failure))["steps"][0]["error"]["retry_at"].startswith("9999")

    @pytest.mark.req("002:L94")
    def test_a_failed_execution_can_go_on_elsewhere_or_from_its_failed_step(self) -> None:
        failed = after(
            broken(agents("a"), "a", Failure("runtime_failed", "x")),
            ev.ExecutionFailed(at=NOW, reason="failed: a"),
        )
        changes = [action["arguments"] for action in shown(failed)["next_actions"]]
        assert changes == [
            {"execution_id": ID},
            {"execution_id": ID, "runtime": "opencode"},
            {"execution_id": ID, "from_step": "a"},
        ]

    def test_a_runtime_that_the_caller_forced_is_not_advised_against(self) -> None:
        failed = after(
            broken(agents("a", forced=True), "a", Failure("runtime_failed", "x")),
            ev.ExecutionFailed(at=NOW, reason="failed: a"),
        )
        assert all("runtime" not in action["arguments"] for action in shown(failed)["next_actions"])


class TestWaiting:
    @pytest.mark.req("002:L28")
    def test_an_approval_shows_the_call_its_arguments_and_its_times(self) -> None:
        asking = Asking(since=NOW - 5, until=RESET, call="files.write", digest="d", arguments='{"path": "x"}')
        waiting = after(started(), ev.ApprovalRequested(at=NOW, step="main", asking=asking))
        found = shown(paused(waiting, "approval", RESET))
        assert found["steps"][0]["waits_for"] == {
            "call": "files.write",
            "arguments": '{"path": "x"}',
            "since": "2027-01-15T07:59:55.000Z",
            "until": {"at": RESET_AT, "in_s": 3600.0},
        }
        assert found["until"] == {"at": RESET_AT, "in_s": 3600.0}
        assert found["next_actions"][0]["arguments"]["approve"] == ["main"]

    @pytest.mark.parametrize("reason", ["quota", "billing", "auth"])
    def test_what_an_account_lacks_is_waited_for_or_gone_round(self, reason: str) -> None:
        found = shown(paused(agents("a"), reason, RESET if reason == "quota" else None))
        assert ("until" in found) == (reason == "quota")
        changes = [action["arguments"] for action in found["next_actions"]]
        assert changes == [{"execution_id": ID}, {"execution_id": ID, "runtime": "opencode"}]
        assert (RESET_AT in found["next_actions"][0]["why"]) == (reason == "quota")

    def test_a_full_disk_is_no_matter_of_runtimes(self) -> None:
        [action] = shown(paused(agents("a"), "storage"))["next_actions"]
        assert "Free space" in action["why"]

    def test_a_model_without_a_price_is_replaced_or_only_warned_of(self) -> None:
        actions = shown(paused(agents("a"), "unpriced"))["next_actions"]
        assert "`model`" in actions[0]["why"]
        assert actions[1]["arguments"]["budget"] == {"on_exceed": "warn"}

    def test_where_much_more_than_the_limit_is_used_the_call_raises_it_beyond_that(self) -> None:
        limits = Limits(max_tokens=10, max_cost_usd=0.5, on_exceed=OnExceed.PAUSE)
        used = Usage(tokens_in=1000, cost_micros=5_123_456)
        found = shown(paused(spending(started(budget=limits), used), "budget"))
        budget = found["next_actions"][0]["arguments"]["budget"]
        assert budget == {"max_tokens": 2000, "max_cost_usd": 10.25}

    def test_a_shared_limit_is_raised_in_its_own_scope(self) -> None:
        limits = Limits(max_cost_usd=4.0)
        room = Room(
            standings=(
                Standing(period=Period.DAY, limits=limits, spent=Usage(cost_micros=4_000_000)),
                Standing(period=Period.MONTH, limits=Limits(max_cost_usd=90.0)),
            )
        )
        actions = shown(paused(started(), "budget", RESET), room)["next_actions"]
        assert (actions[0]["tool"], actions[0]["arguments"]) == (
            "engine_budget",
            {"scope": "day", "budget": {"max_cost_usd": 8.0}},
        )
        assert (actions[1]["tool"], actions[1]["arguments"]) == ("engine_resume", {"execution_id": ID})

    def test_of_the_operators_limits_it_is_said_who_can_raise_them(self) -> None:
        caps = Limits(max_requests=3)
        room = Room(
            standings=(
                Standing(limits=caps, cap=True),
                Standing(period=Period.DAY, limits=caps, spent=Usage(requests=3), cap=True),
            )
        )
        at_limit = paused(spending(started(), Usage(requests=3)), "budget")
        actions = shown(at_limit, room)["next_actions"]
        assert [action["arguments"] for action in actions] == [
            {"execution_id": ID},
            {"scope": "day"},
            {"execution_id": ID},
        ]
        assert all("operator's settings" in action["why"] for action in actions[:2])

    def test_a_step_at_its_own_limit_is_named(self) -> None:
        own = StepSpec(id="main", code="return 1", budget=Limits(max_requests=2))
        found = shown(paused(spending(started(own), Usage(requests=2)), "budget"))
        [action] = found["next_actions"]
        assert action["arguments"] == {"execution_id": ID, "step_budgets": {"main": {"max_requests": 4}}}

    def test_a_limit_that_begins_anew_by_itself_says_so(self) -> None:
        [action] = shown(paused(started(), "budget", RESET))["next_actions"]
        assert "begun anew" in action["why"]


class TestSize:
    LONG = ("x" * 5000, "😀" * 2000, '"\\' * 3000)

    @pytest.mark.parametrize("text", LONG, ids=["plain", "wide", "escaped"])
    @pytest.mark.parametrize("count", [1, 3, 40, 300])
    def test_however_much_broke_and_waits_it_is_shown_in_8_kb(self, text: str, count: int) -> None:
        names = [f"{'n' * 50}-{number}" for number in range(count)]
        execution = agents(*names, passed={f"command:{'c' * 50}": text})
        switch = Switched(at=NOW, origin=CLAUDE, to=OPENCODE, domain=Domain.POOL, code="overloaded", why=text)
        asking = Asking(since=NOW, until=RESET, call=text, digest="d", arguments=text)
        for number, name in enumerate(names):
            execution = after(execution, ev.RouteSwitched(at=NOW, step=name, switch=switch))
            if number % 2:
                failure = Failure("quota_exhausted", text, text, retry_at=RESET)
                execution = broken(execution, name, failure)
            else:
                execution = after(execution, ev.ApprovalRequested(at=NOW, step=name, asking=asking))
        standings = tuple(
            Standing(period=period, limits=Limits(max_tokens=0, max_requests=0), cap=cap)
            for period in Period
            for cap in (True, False)
        )
        found = shown(paused(execution, "budget", RESET), Room(standings=standings))
        assert found["fallbacks"]
        assert found["next_actions"]
