"""An execution is shown whole where it is small and condensed where it is not, always below 8 KB."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.core import event as ev
from engine_mcp.core.budget import Limits, OnExceed
from engine_mcp.core.execution import Execution, Failure, Output, StopMode
from engine_mcp.server.results import ShownExecution, output_schema
from engine_mcp.server.view import Answer, EventPage, view
from tests.server.checking import checked
from tests.server.samples import (
    ID,
    NOW,
    SNAPSHOT,
    after,
    artifact,
    begun,
    broken,
    code,
    created,
    done,
    reporting,
    started,
    stopped,
)

SCHEMA = output_schema(ShownExecution)
TEXTS = ("", "short", "x" * 30_000, "\x00\x1f" * 3000, '"\\' * 5000, "😀" * 4000, "ä" * 900, "\ud800" * 40)
PICKS = st.integers(0, len(TEXTS) - 1)


def shown(execution: Execution, answer: Answer | None = None, now: float = NOW + 2) -> dict[str, Any]:
    """The view, which must hold what every view must."""
    return checked(view(execution, now=now, snapshot=SNAPSHOT, answer=answer or Answer()), SCHEMA)


@pytest.mark.req("002:L36", "002:L37", "000:6.1.3")
def test_a_small_execution_is_shown_whole() -> None:
    execution = done(started(code("a"), code("b", "a"), code("c")), {"a": {"n": 1}})
    execution = reporting(begun(execution, "b"), "b", 3, 4, "reading")
    found = shown(execution)
    assert found["execution_id"] == ID
    assert found["status"] == "running"
    assert found["steps"] == [
        {"id": "a", "status": "completed", "attempts": 1, "output": {"n": 1}},
        {
            "id": "b",
            "status": "running",
            "attempts": 1,
            "progress": {"done": 3.0, "total": 4.0, "message": "reading"},
        },
        {"id": "c", "status": "pending", "attempts": 0},
    ]
    assert found["step_counts"] == {"completed": 1, "running": 1, "pending": 1}
    assert (found["output"], found["snapshot"], found["fallbacks"]) == (None, SNAPSHOT, [])
    assert found["next_poll_s"] == 2.0
    assert "truncated" not in found
    assert "next_actions" not in found


def test_the_output_is_that_of_the_last_step() -> None:
    found = shown(done(started(code("a"), code("b", "a")), {"a": 1, "b": [2]}))
    assert found["output"] == [2]


def test_the_longer_it_runs_the_later_the_next_question() -> None:
    running = begun(started(), "main")
    assert shown(running, now=NOW + 60)["next_poll_s"] == 15.0
    assert shown(running, now=NOW + 6000)["next_poll_s"] == 30.0
    assert "next_poll_s" not in shown(stopped(running))


@pytest.mark.req("002:L54", "000:5.4.3")
def test_a_failure_is_shown_with_code_message_and_hint() -> None:
    found = shown(broken(started(), "main", Failure("js_error", "TypeError: x", "mend it")))
    error = found["steps"][0]["error"]
    assert (error["code"], error["message"], error["hint"]) == ("js_error", "TypeError: x", "mend it")
    assert error["domain"] == "task"
    assert error["next_actions"][0]["arguments"] == {"execution_id": ID}


def test_a_large_output_is_a_file_with_its_path() -> None:
    wrote = after(
        begun(started(), "main"),
        ev.ArtifactWritten(at=NOW, step="main", artifact=artifact(name="report.md")),
        ev.AttemptSucceeded(at=NOW, step="main", number=1, output=Output(artifact=artifact())),
    )
    found = shown(wrote)
    path = SNAPSHOT.replace("snapshot.json", f"artifacts/{'ab' * 32}")
    assert found["artifact"]["path"] == path
    assert found["steps"][0]["artifact"]["size"] == 100_000
    assert found["artifacts"][0]["name"] == "report.md"
    assert found["output"] is None


def test_an_output_that_does_not_fit_is_cut_and_says_where_the_rest_is() -> None:
    found = shown(done(started(), {"main": ["x" * 30_000]}))
    assert found["output"] is None
    assert str(found["excerpt"]).startswith('["xxx')
    assert "snapshot" in str(found["truncated"])
    assert "engine_status" in str(found["truncated"])


def test_of_many_steps_those_that_tell_most_are_listed() -> None:
    names = [f"step-{number}" for number in range(300)]
    execution = done(started(*map(code, names)), dict.fromkeys(names[:290], "y" * 50))
    execution = broken(execution, "step-295", Failure("js_error", "no", "hint"))
    execution = begun(execution, "step-298")
    found = shown(execution)
    assert {"step-295", "step-298"} <= {step["id"] for step in found["steps"]}
    assert found["step_counts"] == {"completed": 290, "pending": 8, "failed": 1, "running": 1}
    assert "of 300 steps" in str(found["truncated"])


def test_a_stop_under_way_is_shown() -> None:
    stop = ev.StopRequested(at=NOW, mode=StopMode.AFTER_STEP, reason="tea")
    found = shown(after(begun(started(), "main"), stop))
    assert found["stopping"] == {"mode": "after_step", "reason": "tea"}


def test_what_the_call_did_and_its_events_are_shown() -> None:
    page = EventPage(events=[{"seq": 4, "kind": "x"}], cursor=4, more=True)
    found = shown(started(), Answer(happened="something", page=page))
    assert (found["happened"], found["cursor"], found["more"]) == ("something", 4, True)
    assert found["events"][0]["seq"] == 4


class TestAdvice:
    @pytest.mark.req("002:L94", "001:L14")
    def test_an_interrupted_execution_says_how_to_go_on(self) -> None:
        found = shown(stopped(begun(started(), "main")))
        assert found["next_actions"][0]["tool"] == "engine_resume"
        assert found["next_actions"][0]["arguments"] == {"execution_id": ID}
        assert found["reason"] == "asked"

    def test_a_failed_execution_says_how_to_try_again(self) -> None:
        failed = broken(started(), "main", Failure("js_error", "no"))
        found = shown(after(failed, ev.ExecutionFailed(at=NOW, reason="failed: main")))
        assert "steps" in str(found["next_actions"][0]["why"])

    @pytest.mark.req("002:L28")
    def test_steps_that_wait_for_approval_are_named_in_the_call_that_approves_them(self) -> None:
        waiting = started(code("a", requires_approval=True), code("b"))
        waiting = after(
            waiting, ev.ApprovalRequested(at=NOW, step="a"), ev.ExecutionPaused(at=NOW, reason="approval")
        )
        assert shown(waiting)["next_actions"][0]["arguments"]["approve"] == ["a"]

    def test_a_limit_that_is_reached_is_raised_in_the_call_that_goes_on(self) -> None:
        limits = Limits(max_seconds=5, max_tokens=1000, on_exceed=OnExceed.PAUSE)
        paused = after(started(budget=limits), ev.ExecutionPaused(at=NOW + 5, reason="budget"))
        arguments = shown(paused)["next_actions"][0]["arguments"]
        assert arguments == {"execution_id": ID, "budget": {"max_seconds": 10}}

    def test_where_a_share_is_used_up_it_is_said_how_more_is_given(self) -> None:
        paused = after(started(), ev.ExecutionPaused(at=NOW + 5, reason="budget"))
        assert "`step_budgets`" in str(shown(paused)["next_actions"][0]["why"])

    def test_nothing_is_advised_where_nothing_is_missing(self) -> None:
        assert "next_actions" not in shown(after(done(started(), {"main": 1}), ev.ExecutionCompleted(at=NOW)))


@given(st.lists(st.tuples(PICKS, PICKS, st.booleans()), min_size=1, max_size=30), PICKS, st.lists(PICKS))
def test_whatever_it_holds_a_view_stays_below_8_kb(
    steps: list[tuple[int, int, bool]], task: int, warnings: list[int]
) -> None:
    names = [f"{'n' * 58}{number}" for number in range(len(steps))]
    execution = started(*map(code, names))
    for name, (output, message, fine) in zip(names, steps, strict=True):
        failure = Failure("js_error", TEXTS[message], TEXTS[message])
        execution = done(execution, {name: TEXTS[output]}) if fine else broken(execution, name, failure)
    artifacts = tuple(artifact(name=TEXTS[pick] or None) for pick in warnings)
    execution = replace(
        execution,
        plan=replace(execution.plan, task=TEXTS[task]),
        warnings=tuple(TEXTS[pick] for pick in warnings),
        artifacts=artifacts,
        reason=TEXTS[task],
    )
    shown(execution)


def test_a_pending_execution_asks_to_be_asked_again() -> None:
    assert shown(created())["next_poll_s"] == 2.0
