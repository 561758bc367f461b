"""Events are shown page by page, each short."""

import json
from dataclasses import fields, is_dataclass
from typing import Any, get_args

import pytest

from engine_mcp.core import event as ev
from engine_mcp.core.budget import Limits, OnExceed, Resource, Usage
from engine_mcp.core.execution import (
    Asking,
    Failure,
    Message,
    Output,
    Progress,
    RecordedCall,
    StopMode,
    Switched,
)
from engine_mcp.core.plan import Unanswered
from engine_mcp.core.route import Domain, Route
from engine_mcp.core.summary import Shape, Summary
from engine_mcp.core.window import WindowLimits
from engine_mcp.server.events import PAGE_BYTES, page, shown_event
from tests.server.samples import ID, NOW, artifact, code, created

LONG = Output(value=["q" * 9000])
FAILURE = Failure("js_error", "x" * 5000, "hint")
SWITCH = Switched(
    at=NOW,
    origin=Route(runtime="claude-code"),
    to=Route(runtime="opencode"),
    domain=Domain.HARNESS,
    code="runtime_missing",
    why="w" * 5000,
)
SUMMARY = Summary(
    id="s2", parent="s1", level=2, first=4, last=9, content=LONG, shape=Shape(last=9), fallback="f" * 5000
)
EVENTS: list[ev.Event] = [
    ev.ExecutionCreated(at=NOW, execution_id=ID, plan=created(code("a")).plan, budget=Limits(max_tokens=3)),
    ev.ExecutionStarted(at=NOW, epoch=2, owner="x"),
    ev.ExecutionResumed(at=NOW, approve=("a", "b"), window=WindowLimits(trigger=0.5), summarize=("a",)),
    ev.StopRequested(at=NOW, mode=StopMode.NOW, reason="tea"),
    ev.BudgetSet(at=NOW, budget=Limits(max_tokens=1, on_exceed=OnExceed.WARN)),
    ev.BudgetWarned(at=NOW, resource=Resource.TOKENS, limit=1, used=2),
    ev.ApprovalRequested(at=NOW, step="a", asking=Asking(since=NOW, until=NOW + 9, call="files.write")),
    ev.ApprovalAnswered(at=NOW, step="a", answer=Unanswered.DENY, by="timeout"),
    ev.RouteSwitched(at=NOW, step="a", switch=SWITCH),
    ev.StepSkipped(at=NOW, step="a", failure=FAILURE),
    ev.AttemptStarted(at=NOW, step="a", number=3, seed=9),
    ev.CallStarted(at=NOW, step="a", number=1, ordinal=0, name="files.write", digest="d"),
    ev.CallRecorded(
        at=NOW,
        step="a",
        number=1,
        call=RecordedCall(ordinal=0, name="files.read", digest="d", at_ms=0, output=Output(value="y" * 9000)),
    ),
    ev.SessionOpened(at=NOW, step="a", number=3, session="ses_1"),
    ev.MessageRecorded(at=NOW, step="a", number=3, message=Message(role="user", output=LONG)),
    ev.TextStreamed(at=NOW, step="a", number=3, text="w" * 800),
    ev.ResultsMasked(
        at=NOW, step="a", number=3, shape=Shape(masked=8), results=3, tokens_before=9000, tokens_after=4000
    ),
    ev.SummaryRequested(at=NOW, steps=("a",)),
    ev.SummaryStarted(
        at=NOW,
        step="a",
        number=3,
        summary="s2",
        first=4,
        last=9,
        level=2,
        tokens=9000,
        trigger=8000,
        usable=10_000,
        window=20_000,
        source="settings",
        model="haiku",
    ),
    ev.SummaryFinished(at=NOW, step="a", number=3, summary=SUMMARY),
    ev.SummariesUndone(at=NOW, steps=("a",)),
    ev.UsageReported(at=NOW, step="a", number=3, usage=Usage(tokens_out=2)),
    ev.ArtifactWritten(at=NOW, step="a", artifact=artifact(name="r.md")),
    ev.ProgressReported(at=NOW, step="a", progress=Progress(done=1, total=2, message="z" * 4000)),
    ev.AttemptSucceeded(at=NOW, step="a", number=1, output=LONG, usage=Usage(requests=2)),
    ev.AttemptFailed(at=NOW, step="a", number=1, failure=FAILURE),
    ev.AttemptInterrupted(at=NOW, step="a", number=1),
    ev.AttemptLost(at=NOW, step="a", number=1),
    ev.ExecutionPaused(at=NOW, reason="budget"),
    ev.ExecutionInterrupted(at=NOW, reason="r" * 5000),
    ev.ExecutionCompleted(at=NOW),
    ev.ExecutionFailed(at=NOW, reason="failed: a"),
    ev.ExecutionCancelled(at=NOW, reason="done with it"),
]


def test_there_is_a_sample_of_every_event() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(ev.Event))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_is_shown_in_short_with_number_time_and_kind(event: ev.Event) -> None:
    shown = shown_event(7, event)
    assert (shown["seq"], shown["at"], shown["kind"]) == (7, "2027-01-15T08:00:00.000Z", event.kind)
    assert len(json.dumps(shown)) < 1000


def test_an_event_tells_what_happened_to_what() -> None:
    shown: dict[str, Any] = {event.kind: shown_event(1, event) for event in EVENTS}
    assert (shown["attempt_started"]["step"], shown["attempt_started"]["attempt"]) == ("a", 3)
    assert shown["attempt_failed"]["failure"]["code"] == "js_error"
    assert shown["attempt_succeeded"]["output"].startswith('["qqq')
    assert shown["attempt_succeeded"]["usage"] == {"requests": 2}
    assert shown["session_opened"]["session"] == "ses_1"
    assert shown["message_recorded"]["message"]["role"] == "user"
    assert shown["text_streamed"]["text"] == "w" * 800
    assert shown["artifact_written"]["artifact"]["name"] == "r.md"
    assert shown["progress_reported"]["progress"]["done"] == 1
    assert shown["execution_resumed"]["approve"] == "a, b"
    assert shown["budget_set"]["budget"] == {"max_tokens": 1, "on_exceed": "warn"}
    assert shown["stop_requested"] | {"reason": "tea", "mode": "now"} == shown["stop_requested"]


@pytest.mark.req("004:L82", "002:L55")
def test_pages_follow_one_another_without_a_gap_or_a_repetition() -> None:
    numbered = tuple(enumerate([event for _ in range(9) for event in EVENTS], 1))
    cursor, seen, more = 0, list[Any](), True
    while more:
        found = page(numbered[cursor:], cursor, len(numbered))
        assert sum(len(json.dumps(row)) for row in found.events) < PAGE_BYTES + 1000
        seen += [row["seq"] for row in found.events]
        cursor, more = found.cursor, found.more
    assert seen == [number for number, _ in numbered]


def test_a_page_after_the_last_event_is_empty() -> None:
    assert page((), 9, 9).events == []
    assert not page((), 9, 9).more


def test_events_are_dataclasses_without_a_field_named_like_what_is_added() -> None:
    for kind in get_args(ev.Event):
        assert is_dataclass(kind)
        assert "seq" not in {field.name for field in fields(kind)}
        assert "attempt" not in {field.name for field in fields(kind)}


def test_a_switch_tells_both_runtimes_and_the_evidence() -> None:
    told: dict[str, Any] = dict(shown_event(1, ev.RouteSwitched(at=NOW, step="a", switch=SWITCH)))
    assert (told["switch"]["from"], told["switch"]["to"]) == ("claude-code", "opencode")
    assert (told["switch"]["domain"], told["switch"]["code"]) == ("harness", "runtime_missing")


def test_a_pause_tells_until_when_as_a_time() -> None:
    told = shown_event(1, ev.ExecutionPaused(at=NOW, reason="quota", until=NOW + 60))
    assert told["until"] == "2027-01-15T08:01:00.000Z"
