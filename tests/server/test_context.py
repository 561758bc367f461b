"""Windows, summaries and pins over the tools: chosen, refused, asked for, undone and shown."""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import JsonValue

from engine_mcp.core import event as ev
from engine_mcp.core.budget import Limits
from engine_mcp.core.execution import Execution, Message, Output
from engine_mcp.core.plan import Unanswered
from engine_mcp.core.request import Resume
from engine_mcp.core.shrinking import restored, unrestored
from engine_mcp.core.summary import Shape, Summary
from engine_mcp.core.tool import ToolResult
from engine_mcp.core.window import Window, WindowLimits
from engine_mcp.engine.control import Wish
from engine_mcp.engine.engine import Engine
from engine_mcp.errors import InvalidArgument
from engine_mcp.ports import Workbench
from engine_mcp.server.arguments import draft, resume
from engine_mcp.server.contexts import Contexts, summarized_again
from engine_mcp.server.json_schema import schema_of
from engine_mcp.server.results import ShownExecution
from engine_mcp.server.tools import Call, Tools
from engine_mcp.server.view import Answer, view
from tests.context.rig import CHEAP, LOOK, MODEL, WINDOW, Room, Talk, good, summaries
from tests.server.checking import checked
from tests.server.samples import ID, NOW, SNAPSHOT, after, begun, code, edge_of, started
from tests.wire.received import Received
from tests.wire.server import Wire
from tests.wire.turns import Turn

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]
WITHIN_S = 120
ASKED: dict[str, Any] = {
    "task": "Look at all pages and say what you see.",
    "model": MODEL,
    "runtime": "api",
    "permissions": {"mode": "none", "allowed_tools": [LOOK.name]},
    "strategy": "single",
}


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire(window=WINDOW) as wire:
        yield wire


@dataclass
class Pausing(Talk):
    """A talk whose tool waits at one page until it may go on."""

    at: int = 0
    come: anyio.Event = field(default_factory=anyio.Event)
    let_go: anyio.Event = field(default_factory=anyio.Event)

    async def shown(self, arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        if arguments["page"] == self.at:
            self.come.set()
            await self.let_go.wait()
        return await super().shown(arguments, bench)


@dataclass
class Desk:
    """The tools on an engine, and the news that a call was told."""

    tools: Tools
    engine: Engine
    place: Room
    news: list[str] = field(default_factory=list[str])

    async def __call__(self, name: str, /, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
        async def tell(_: float, __: float, text: str) -> None:
            self.news.append(text)

        result = await self.tools.call(name, given, Call(tell=tell, given_up=lambda: None))
        assert result.structured_content is not None
        return result.structured_content

    async def events(self, execution_id: str) -> tuple[ev.Event, ...]:
        return tuple(event for _, event in await self.engine.events(execution_id, 0, 10_000))


@asynccontextmanager
async def desk(project: Path, wire: Wire, talk: Talk) -> AsyncGenerator[Desk]:
    wire.otherwise(talk.answer)
    place = Room(project=project, wire=wire, talk=talk)
    with anyio.fail_after(WITHIN_S):
        async with place.engine() as engine:
            yield Desk(Tools(engine, edge_of(project)), engine, place)


def step_of(found: dict[str, Any]) -> dict[str, Any]:
    [step] = found["steps"]
    return step


# --- chosen


@pytest.mark.req("000:3.2.3", "002:L39")
async def test_a_summary_is_told_with_its_figures_and_shown(tmp_path: Path, wire: Wire) -> None:
    talk, found = Pausing(turns=34, at=34), dict[str, Any]()
    async with desk(tmp_path, wire, talk) as call:
        execution_id = (await call("engine_execute", **ASKED, wait_s=0))["execution_id"]
        async with anyio.create_task_group() as calls:
            calls.start_soon(partial(call, "engine_status", execution_id=execution_id, wait_s=100))
            await talk.come.wait()
            found = await call("engine_status", execution_id=execution_id)
            talk.let_go.set()
        events = await call.events(execution_id)
    [made] = summaries(events)
    size, cost = f"{made.tokens_before:,} → {made.tokens_after:,}", made.usage.cost_micros / 1_000_000
    assert told_of(call.news) == [
        f"main: summarizing {made.last} messages of {made.tokens_before:,} tokens",
        f"main: summarized {made.last} messages: {size} tokens, ${cost:g}",
    ]
    context = step_of(found)["context"]
    assert context["window"] == {"tokens": WINDOW, "source": "settings"}
    assert context["tokens_after"] == made.tokens_after
    assert context["summaries"] == [
        {
            "id": made.id,
            "level": 1,
            "first": "m0",
            "last": f"m{made.last - 1}",
            "tokens_before": made.tokens_before,
            "tokens_after": made.tokens_after,
            "model": CHEAP,
            "cost_usd": cost,
        }
    ]


def told_of(news: list[str]) -> list[str]:
    """What was told of summaries, each once."""
    told = dict.fromkeys(text.partition(" · ")[2] for text in news)
    return [text for text in told if text.startswith("main: summar")]


@pytest.mark.req("000:3.3.2", "000:3.3.3")
async def test_a_plan_says_when_and_by_which_model_and_its_step_says_it_better(
    tmp_path: Path, wire: Wire
) -> None:
    talk, asked = Talk(turns=20), list[Received]()

    def answer(request: Received) -> Turn:
        if request.body["model"] == MODEL:
            return talk.answer(request)
        asked.append(request)
        return good(request)

    step = {
        "id": "main",
        **{name: ASKED[name] for name in ("task", "model", "runtime", "permissions")},
        "window": {"max_tokens": 3000},
    }
    window = {"model": "sonnet", "max_tokens": 5000}
    async with desk(tmp_path, wire, talk) as call:
        wire.otherwise(answer)
        found = await call(
            "engine_execute", steps=[step], window=window, pins=["The port is 8080."], wait_s=100
        )
        execution = await call.engine.show(found["execution_id"])
        events = await call.events(execution.id)
    assert {str(request.body["model"]) for request in asked} == {"claude-sonnet-5-5"}
    assert {one.trigger for one in events if isinstance(one, ev.SummaryStarted)} == {3000}
    assert execution.plan.window == WindowLimits(model="sonnet", max_tokens=5000)
    assert execution.plan.steps[0].window == WindowLimits(max_tokens=3000)
    assert "The port is 8080." in talk.asked[-1].text


@pytest.mark.req("000:3.1.3", "000:3.3.2")
@pytest.mark.parametrize(
    ("given", "code_", "field_"),
    [
        ({"window": {"trigger": 0.04}}, "invalid_argument", "window.trigger"),
        ({"window": {"trigger": 1.5}}, "invalid_argument", "window.trigger"),
        ({"window": {"max_tokens": 10}}, "invalid_argument", "window.max_tokens"),
        ({"window": {"target": 0.01}}, "invalid_argument", "window.target"),
        ({"window": {"trigger": 0.5, "target": 0.5}}, "invalid_argument", "window.target"),
        ({"window": {"target": 0.9}}, "invalid_plan", "window.target"),
        ({"window": {"summarizer": "x"}}, "invalid_argument", "window.summarizer"),
        ({"window": {"model": "hiaku"}}, "unknown_model", "window.model"),
        ({"pins": ["x"] * 51}, "invalid_argument", "pins"),
        ({"pins": ["x" * 2001]}, "invalid_argument", "pins[0]"),
        ({"pins": ["a", "  "]}, "invalid_argument", "pins[1]"),
    ],
)
async def test_what_cannot_be_is_refused_by_name_before_anything_is_recorded(
    tmp_path: Path, wire: Wire, given: dict[str, Any], code_: str, field_: str
) -> None:
    async with desk(tmp_path, wire, Talk(turns=1)) as call:
        found = await call("engine_execute", **ASKED, **given)
        assert (found["code"], found["field"]) == (code_, field_)
        assert (await call("engine_status"))["total"] == 0
    assert wire.requests == []


async def test_of_a_step_the_field_is_named_with_its_place(tmp_path: Path, wire: Wire) -> None:
    step = {"id": "a", "task": "Look.", "runtime": "api", "model": MODEL, "permissions": {"mode": "none"}}
    async with desk(tmp_path, wire, Talk(turns=1)) as call:
        for window, name in (({"model": "none such"}, "model"), ({"target": 0.95}, "target")):
            found = await call("engine_execute", steps=[{**step, "window": window}], window={"trigger": 0.9})
            assert found["field"] == f"steps[0].window.{name}"
        found = await call(
            "engine_execute", steps=[{**step, "window": {"trigger": 0.3}}], window={"target": 0.5}
        )
        assert found["field"] == "steps[0].window.trigger"


# --- asked for


@pytest.mark.req("000:3.3.1", "000:3.3.4")
async def test_a_running_execution_takes_a_wish_for_a_summary(tmp_path: Path, wire: Wire) -> None:
    talk = Pausing(turns=14, at=8)
    async with desk(tmp_path, wire, talk) as call:
        execution_id = (await call("engine_execute", **ASKED, wait_s=0))["execution_id"]
        await talk.come.wait()
        found = await call("engine_resume", execution_id=execution_id, summarize=True, wait_s=0)
        assert step_of(found)["context"]["to_summarize"] is True
        talk.let_go.set()
        found = await call("engine_status", execution_id=execution_id, wait_s=100)
        events = await call.events(execution_id)
    assert found["status"] == "completed"
    assert [one.steps for one in events if isinstance(one, ev.SummaryRequested)] == [("main",)]
    [begun_] = [one for one in events if isinstance(one, ev.SummaryStarted)]
    assert begun_.manual
    assert begun_.tokens < begun_.trigger


@pytest.mark.req("000:3.3.1", "000:3.3.2")
async def test_a_resting_execution_goes_on_shorter_or_with_its_originals(tmp_path: Path, wire: Wire) -> None:
    talk = Pausing(turns=16, at=8)
    async with desk(tmp_path, wire, talk) as call:
        execution_id = (await call("engine_execute", **ASKED, wait_s=0))["execution_id"]
        await talk.come.wait()
        await call("engine_interrupt", execution_id=execution_id)
        talk.come, talk.at = anyio.Event(), 12
        window = {"trigger": 0.6}
        await call("engine_resume", execution_id=execution_id, summarize=["main"], window=window, wait_s=0)
        await talk.come.wait()
        stopped = await call("engine_interrupt", execution_id=execution_id)
        assert step_of(stopped)["context"]["summarized"] == 1
        assert (await call.engine.show(execution_id)).plan.window == WindowLimits(trigger=0.6)
        shorter = talk.asked[-1].tokens
        talk.let_go.set()
        number = len(talk.asked)
        found = await call("engine_resume", execution_id=execution_id, restore=True, wait_s=100)
        made = summaries(await call.events(execution_id))
    assert (found["status"], found["warnings"], len(made)) == ("completed", [], 1)
    assert talk.asked[number].tokens > shorter + made[0].tokens_before - made[0].tokens_after


@pytest.mark.req("000:3.3.4")
async def test_where_there_is_nothing_to_summarize_nothing_changes(tmp_path: Path, wire: Wire) -> None:
    steps = [{"id": "risky", "code": "return 1", "requires_approval": True}]
    async with desk(tmp_path, wire, Talk(turns=1)) as call:
        found = await call("engine_execute", steps=steps)
        execution_id = found["execution_id"]
        before = await call.engine.show(execution_id)
        assert before.status == "paused"
        for wanted in (True, ["risky"]):
            refused = await call("engine_resume", execution_id=execution_id, summarize=wanted)
            assert (refused["code"], refused["field"]) == ("nothing_to_summarize", "summarize")
        refused = await call("engine_resume", execution_id=execution_id, summarize=["other"])
        assert (refused["code"], refused["field"]) == ("invalid_argument", "summarize")
        assert await call.engine.show(execution_id) == before


async def test_a_restore_without_a_summary_is_a_warning(tmp_path: Path, wire: Wire) -> None:
    talk = Pausing(turns=2, at=1)
    async with desk(tmp_path, wire, talk) as call:
        execution_id = (await call("engine_execute", **ASKED, wait_s=0))["execution_id"]
        await talk.come.wait()
        await call("engine_interrupt", execution_id=execution_id)
        talk.let_go.set()
        found = await call("engine_resume", execution_id=execution_id, restore=["main"], wait_s=100)
    assert found["status"] == "completed"
    assert found["warnings"] == ["There is no summary to undo in: main."]


@pytest.mark.req("000:3.3.2")
async def test_originals_that_are_too_long_to_stay_are_told_before_they_are_paid_for_again(
    tmp_path: Path, wire: Wire
) -> None:
    stopped = after(holding(summary(1)), ev.AttemptInterrupted(at=NOW, step="main", number=1))
    async with desk(tmp_path, wire, Talk(turns=1)) as call:
        told = await summarized_again(call.engine, stopped, Resume(restore=()))
        assert "as the originals are long: main (about 161,000 tokens, trigger at " in told
        assert await summarized_again(call.engine, stopped, Resume()) == ""
        short = after(holding(replace(summary(1), tokens_before=5000, tokens_after=2000)))
        short = after(short, ev.AttemptInterrupted(at=NOW, step="main", number=1))
        assert await summarized_again(call.engine, short, Resume(restore=("main",))) == ""
        low = WindowLimits(max_tokens=4000)
        assert "trigger at 4,000" in await summarized_again(
            call.engine, short, Resume(restore=("main",), window=low)
        )


async def test_the_owner_of_a_running_execution_takes_the_wish_of_another_process(
    tmp_path: Path, wire: Wire
) -> None:
    talk = Pausing(turns=10, at=6)
    async with desk(tmp_path, wire, talk) as call:
        execution_id = (await call("engine_execute", **ASKED, wait_s=0))["execution_id"]
        await talk.come.wait()
        await call.engine.fulfil(Wish(execution_id=execution_id, summarize=("main",)))
        assert (await call.engine.show(execution_id)).steps["main"].summarize
        with pytest.raises(InvalidArgument, match="no step"):
            await call.engine.fulfil(Wish(execution_id=execution_id, summarize=("other",)))
        talk.let_go.set()
        await call("engine_status", execution_id=execution_id, wait_s=100)
        assert len(summaries(await call.events(execution_id))) == 1


# --- parsed and shown


def test_all_or_some_steps_can_be_named(tmp_path: Path) -> None:
    edge = edge_of(tmp_path)
    assert resume({"summarize": True, "restore": ["a", "a"]}, edge) == Resume(summarize=(), restore=("a",))
    assert resume({"summarize": False, "restore": []}, edge) == Resume()
    assert resume({"summarize": True}, edge).only_answers
    assert not resume({"summarize": True, "restore": True}, edge).only_answers
    assert not Resume().only_answers


def test_the_limits_of_single_steps_can_be_changed_on_the_way(tmp_path: Path) -> None:
    given: dict[str, JsonValue] = {"step_budgets": {"a": {"max_tokens": 500}}}
    assert resume(given, edge_of(tmp_path)) == Resume(step_budgets={"a": Limits(max_tokens=500)})
    with pytest.raises(InvalidArgument) as caught:
        resume({"step_budgets": {"a": {"max_tokens": -1}}}, edge_of(tmp_path))
    assert caught.value.field == "step_budgets.a.max_tokens"


def test_a_plan_without_windows_and_pins_says_nothing_of_them(tmp_path: Path) -> None:
    found = draft({"task": "Look."}, edge_of(tmp_path))
    assert (found.window, found.pins) == (WindowLimits(), ())
    assert draft({"task": "Look.", "pins": [" a ", "a", "b"]}, edge_of(tmp_path)).pins == ("a", "b")


def holding(*made: Summary) -> Execution:
    """An execution whose step has a conversation on `api`, with these summaries."""
    execution = after(
        begun(started(), "main"),
        ev.MessageRecorded(
            at=NOW, step="main", number=1, message=Message(role="user", output=Output(value={"role": "user"}))
        ),
    )
    return after(execution, *(ev.SummaryFinished(at=NOW, step="main", number=1, summary=one) for one in made))


def summary(level: int, fallback: str = "") -> Summary:
    return Summary(
        id=f"s{level}",
        parent=f"s{level - 1}" if level > 1 else None,
        level=level,
        first=0,
        last=9 * level,
        content=Output(),
        shape=Shape(last=9 * level, masked=4),
        tokens_before=161_000,
        tokens_after=68_000,
        fallback=fallback,
    )


def drawn(execution: Execution, known: Contexts) -> dict[str, Any]:
    found = view(execution, now=NOW, snapshot=SNAPSHOT, answer=Answer(contexts=known))
    return step_of(checked(found, schema_of(ShownExecution, "serialization")))


@pytest.mark.req("000:3.2.3")
def test_the_chain_is_shown_with_what_it_is_built_on_and_why_code_wrote_it() -> None:
    known = Contexts({"main": Window(tokens=200_000, source="provider")})
    context = drawn(holding(summary(1), summary(2, "It was empty.")), known)["context"]
    assert context["window"] == {"tokens": 200_000, "source": "provider"}
    assert (context["messages"], context["masked"], context["summarized"]) == (1, 4, 2)
    assert [(one["id"], one.get("parent"), one.get("fallback")) for one in context["summaries"]] == [
        ("s1", None, None),
        ("s2", "s1", "It was empty."),
    ]


def test_what_was_undone_once_is_not_undone_again() -> None:
    shortened = holding(summary(1))
    assert restored(shortened, ()) == restored(shortened, ("main",)) == ("main",)
    undone = after(shortened, ev.SummariesUndone(at=NOW, steps=("main",)))
    assert (restored(undone, ()), unrestored(undone, ())) == ((), "There is no summary to undo.")
    completed = after(
        shortened, ev.AttemptSucceeded(at=NOW, step="main", number=1, output=Output(value="done"))
    )
    assert restored(completed, ()) == ()
    assert drawn(completed, Contexts())["context"]["summarized"] == 1


def test_many_summaries_leave_a_view_small() -> None:
    made = (summary(level, "f" * 3000) for level in range(1, 60))
    context = drawn(holding(*made), Contexts())["context"]
    assert context["summarized"] == 59
    assert context["summaries"][-1]["id"] == "s59"


@pytest.mark.req("002:L39")
def test_a_summary_under_way_is_a_phase_of_its_step() -> None:
    under_way = ev.SummaryStarted(
        at=NOW,
        step="main",
        number=1,
        summary="s1",
        first=0,
        last=9,
        level=1,
        tokens=9000,
        trigger=8000,
        usable=9000,
        window=10_000,
        source="settings",
    )
    assert drawn(holding(), Contexts(under_way={"main": under_way}))["context"]["summarizing"] is True
    assert "summarizing" not in drawn(holding(), Contexts())["context"]


def test_a_step_without_a_conversation_here_has_no_context() -> None:
    assert "context" not in drawn(begun(started(), "main"), Contexts())


def test_a_step_that_was_denied_is_asked_for_again_by_name() -> None:
    asked = after(
        started(code("a", requires_approval=True)),
        ev.ApprovalRequested(at=NOW, step="a"),
        ev.ApprovalAnswered(at=NOW, step="a", answer=Unanswered.DENY, by="resume"),
        ev.ExecutionFailed(at=NOW, reason="failed: a"),
    )
    found = checked(view(asked, now=NOW, snapshot=SNAPSHOT), schema_of(ShownExecution, "serialization"))
    assert [one["arguments"] for one in found["next_actions"]] == [{"execution_id": ID, "from_step": "a"}]
