"""Windows, summaries and originals on the command line, with a model that a test speaks for."""

import json
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from rich.console import Console

from engine_mcp.app import running
from engine_mcp.cli.live import LiveTable
from engine_mcp.cli.resuming import resume_command
from engine_mcp.cli.session import Rest
from engine_mcp.cli.tree import print_tree
from engine_mcp.cli.words import told
from engine_mcp.core import event as ev
from engine_mcp.core.execution import Failure
from engine_mcp.core.plan import Unanswered
from engine_mcp.core.summary import Shape
from engine_mcp.core.window import Window
from engine_mcp.errors import InvalidArgument
from engine_mcp.ports import Windows
from engine_mcp.server.contexts import Contexts
from engine_mcp.settings import load
from tests.cli.shell import Shell, opened
from tests.context.rig import CHEAP, GOOD
from tests.server.samples import NOW, SNAPSHOT, after, begun, code, started
from tests.server.test_context import holding, summary
from tests.wire.received import Received
from tests.wire.server import Wire
from tests.wire.turns import ToolUse, Turn

WINDOW, MODEL, MOST_PAGES = 16_000, "claude-opus-5-5", 30
BOOK = {
    **GOOD,
    "goal": "Read the book.",
    "done": ["It tells of a journey to the sea."],
    "next_steps": ["Read the next page."],
}
PAGE = "It is a long story about little. " * 30
LOOK = ("run", "Read the book.", "--model", "opus", "--allow", "files.read")
STARTED = ev.SummaryStarted(
    at=NOW,
    step="main",
    number=1,
    summary="s1",
    first=0,
    last=212,
    level=1,
    tokens=161_000,
    trigger=160_000,
    usable=196_000,
    window=200_000,
    source="provider",
)


@dataclass
class Reader:
    """A model that reads one file after another, and waits for `gate` in the turn `at`."""

    turns: int
    at: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    asked: list[Received] = field(default_factory=list[Received])
    summarized: list[Received] = field(default_factory=list[Received])

    def answer(self, request: Received) -> Turn:
        if request.body["model"] != MODEL:
            self.summarized.append(request)
            return Turn(json.dumps(BOOK), output_tokens=100, chunk=2000)
        self.asked.append(request)
        number = len(self.asked)
        if number > self.turns:
            return Turn("It is read.")
        look, gate = (
            ToolUse("files_read", {"path": f"{number}.txt"}),
            self.gate if number == self.at else None,
        )
        said = f"I read page {number}. " + "It tells of a journey to the sea. " * 20
        return Turn(said, blocks=[look], chunk=2000, gate=gate)


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire(window=WINDOW) as server:
        yield server


@pytest.fixture
def shell(tmp_path: Path, wire: Wire) -> Iterator[Shell]:
    with opened(tmp_path) as plain:
        for number in range(1, MOST_PAGES):
            (plain.project / f"{number}.txt").write_text(f"Page {number}. {PAGE}")
        config = plain.home / ".config" / "engine-mcp" / "config.yaml"
        config.parent.mkdir(parents=True)
        runtimes = {"order": ["api"], "api_max_tokens": 1000}
        config.write_text(json.dumps({"runtimes": runtimes, "context": {"windows": {MODEL: WINDOW}}}))
        yield replace(plain, more={"ANTHROPIC_API_KEY": "a-key-for-tests", "ANTHROPIC_BASE_URL": wire.url})


async def known_of(folder: Path, text: str) -> Windows:
    """What an engine knows of windows whose user has this section `context`."""
    (folder / "engine-mcp").mkdir()
    (folder / "engine-mcp" / "config.yaml").write_text(f"context: {{{text}}}")
    settings = load(folder, environ={"XDG_CONFIG_HOME": str(folder)})
    async with running(settings, work=False) as app:
        found = app.engine.parts.windows
        assert found is not None
        await found.open()
        return found
    raise AssertionError


@pytest.mark.req("000:3.2.3", "000:3.3.2", "000:3.1.2", "000:2.3.3")
def test_a_summary_is_told_and_everything_can_be_read_afterwards(shell: Shell, wire: Wire) -> None:
    reader = Reader(turns=24)
    wire.otherwise(reader.answer)
    ran = shell.call(*LOOK, "--window-tokens", "6000", "--pin", "The port is 8080.", "--json")
    assert ran.code == 0, ran.err
    name = ran.document["execution_id"]
    assert "main: summarizing " in ran.err
    assert "main: summarized " in ran.err
    assert {str(request.body["model"]) for request in reader.summarized} == {CHEAP}
    assert "The port is 8080." in reader.asked[-1].text
    state = shell.call("show", name, "--json").document["state"]
    assert state["plan"]["window"]["max_tokens"] == 6000
    assert state["plan"]["pins"] == ["The port is 8080."]
    chain = shell.call("show", name, "--summaries", "--json").document["summaries"]
    assert [one["level"] for one in chain] == [*range(1, len(chain) + 1)]
    assert [one["parent"] for one in chain] == [None, *(one["id"] for one in chain[:-1])]
    assert {one["model"] for one in chain} == {CHEAP}
    assert all("The port is 8080." in [pin["text"] for pin in one["content"]["pins"]] for one in chain)
    text = shell.call("show", name, "--summaries").out
    assert f"1 of {len(chain)}  {chain[0]['id'][:8]}  level 1, m0 to {chain[0]['last']}, " in text
    shown = [one for step in ran.document["steps"] for one in step["context"]["summaries"]]
    assert [(one["first"], one["last"]) for one in chain][-len(shown) :] == [
        (one["first"], one["last"]) for one in shown
    ]
    first = shell.call("show", name, "--message", "m2").document
    assert first["role"] == "user"
    assert "Page 1. It is a long story" in json.dumps(first)
    ended = shell.call("resume", name, "--originals")
    assert (ended.code, "no summary to undo" in ended.err) == (9, False), ended.err
    none = shell.call("show", name, "--message", "m999")
    assert none.code == 2
    assert "There are m0 to m" in none.err


@pytest.mark.req("000:3.3.1", "000:3.3.3")
def test_a_running_execution_is_asked_for_a_summary_from_another_process(shell: Shell, wire: Wire) -> None:
    reader = Reader(turns=10, at=6)
    wire.otherwise(reader.answer)
    with shell.started(*LOOK, "--summary-model", "sonnet") as call:
        name = call.execution_id
        wire.wait_for(6)
        shown = shell.call("show", name).out
        assert f"window of {WINDOW:,} tokens (settings)" in shown
        other = shell.call("resume", name, "--summarize")
        assert (other.code, "It is passed on" in other.err) == (0, True), other.err
        refused = shell.call("resume", name, "--summarize", "--step", "none", "--json")
        error = refused.document["error"]
        assert (refused.code, error["code"], error["field"]) == (2, "invalid_argument", "--step")
        assert error["message"] == "There is no step 'none'; the steps are: main."
        assert "Use that process" not in error["hint"]
        reader.gate.set()
        ended = call.end()
    assert ended.code == 0, ended.err
    assert "to be summarized: main" in ended.err
    assert "main: summarized " in ended.err
    assert {str(request.body["model"]) for request in reader.summarized} == {"claude-sonnet-5-5"}


@pytest.mark.req("000:3.3.2")
def test_what_was_undone_stays_readable_and_originals_that_are_too_long_are_told(
    shell: Shell, wire: Wire
) -> None:
    reader = Reader(turns=18, at=14)
    wire.otherwise(reader.answer)
    with shell.started(*LOOK, "--window-tokens", "6000") as call:
        name = call.execution_id
        call.until("main: summarized ")
        wire.wait_for(14 + len(reader.summarized))
        call.send(signal.SIGINT)
        reader.gate.set()
        assert call.end().code == 4
    before = shell.call("show", name, "--summaries", "--json").document["summaries"]
    assert before
    assert not any(one["undone"] for one in before)
    ended = shell.call("resume", name, "--originals")
    assert ended.code == 0, ended.err
    assert "as the originals are long: main (about " in ended.err
    chain = shell.call("show", name, "--summaries", "--json").document["summaries"]
    assert [one["id"] for one in chain if one["undone"]] == [one["id"] for one in before]
    assert [one["undone"] for one in chain] == sorted((one["undone"] for one in chain), reverse=True)
    assert len(chain) > len(before)
    assert ", undone\n" in shell.call("show", name, "--summaries").out


@pytest.mark.req("000:3.3.4")
def test_where_there_is_nothing_to_summarize_it_is_said_and_nothing_is_changed(shell: Shell) -> None:
    ran = shell.call(
        "run", "--plan", shell.plan("steps: [{id: a, code: return 1, requires_approval: true}]"), "--json"
    )
    name = ran.document["execution_id"]
    before = shell.journal(name)
    told_ = shell.call("resume", name, "--summarize", "--json")
    assert (told_.code, told_.document["error"]["code"]) == (9, "nothing_to_summarize")
    assert shell.journal(name) == before
    denied = shell.call("resume", name, "--deny", "a", "--originals")
    assert "There is no summary to undo." in denied.err
    assert "--from-step a" in denied.out
    assert shell.call("show", name, "--summaries").code == 2


@pytest.mark.req("000:3.3.2")
def test_what_cannot_be_is_refused_before_anything_is_asked(shell: Shell, wire: Wire) -> None:
    plan = shell.plan("task: read it\nwindow:\n  trigger: 0.5\n  target: 0.6\n")
    for words, said in (
        (("--window-trigger", "0.01"), "--window-trigger"),
        (("--window-trigger", "nan"), "--window-trigger"),
        (("--window-tokens", "10"), "--window-tokens"),
        (("--summary-model", "hiaku"), "No model of api is named 'hiaku'"),
        (("--pin", ""), "pins[0]"),
        (("--pin", " "), "pins[0]: this says nothing."),
    ):
        refused = shell.call("run", "Read the book.", *words)
        assert (refused.code, said in refused.err) == (2, True), refused.err
    refused = shell.call("run", "--plan", plan)
    assert (refused.code, "plan.yaml, line 4, window.target: " in refused.err) == (2, True), refused.err
    assert wire.requests == []


def test_a_writer_of_summaries_that_does_not_exist_is_refused_with_its_setting(
    shell: Shell, wire: Wire
) -> None:
    config = shell.home / ".config" / "engine-mcp" / "config.yaml"
    config.write_text("runtimes: {order: [api]}\ncontext: {models: {opus: {model: nosuch}}}\n")
    refused = shell.call(*LOOK)
    assert (refused.code, "The setting context.models: No model of api" in refused.err) == (2, True), (
        refused.err
    )
    of_all = shell.call(*LOOK, ENGINE_MCP_CONTEXT_MODEL="nosuch")
    assert of_all.code == 2
    assert "The setting context.model: No model of api" in of_all.err
    assert wire.requests == []


class TestSettings:
    """The section `context` of the settings."""

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("trigger: 0.01", r"context\.trigger"),
            ("trigger: 2", r"context\.trigger"),
            ("trigger: 0.5, target: 0.5", r"context\.target"),
            ("target: 0.85", r"context: .*target"),
            ("max_tokens: 10", r"context\.max_tokens"),
            ("keep_turns: 0", r"context\.keep_turns"),
            ("windows: {a: 10}", r"context\.windows\.a"),
            ("models: {a: {trigger: 3}}", r"context\.models\.a\.trigger"),
            ("models: {a: {target: 0.9}}", r"context: .*models\.a\.target"),
            ("summaries: true", r"context\.summaries"),
        ],
    )
    @pytest.mark.req("000:3.1.3")
    def test_a_value_that_cannot_be_is_named(self, tmp_path: Path, text: str, said: str) -> None:
        (tmp_path / "engine-mcp").mkdir()
        (tmp_path / "engine-mcp" / "config.yaml").write_text(f"context: {{{text}}}")
        with pytest.raises(InvalidArgument, match=said):
            load(tmp_path, environ={"XDG_CONFIG_HOME": str(tmp_path)})

    @pytest.mark.anyio
    @pytest.mark.parametrize("name", ["opus", "Opus", "strong", MODEL])
    @pytest.mark.req("000:3.1.3")
    async def test_a_name_or_a_tier_stands_for_its_model(self, tmp_path: Path, name: str) -> None:
        found = await known_of(
            tmp_path, f"windows: {{{name}: 20000}}, models: {{{name}: {{max_tokens: 9000}}}}"
        )
        assert found.window(MODEL) == Window(tokens=20_000, source="settings")
        assert found.limits(MODEL).max_tokens == 9000
        assert found.window("claude-haiku-5-5").source != "settings"

    @pytest.mark.anyio
    async def test_what_is_said_of_an_id_comes_before_what_is_said_of_its_name(self, tmp_path: Path) -> None:
        found = await known_of(tmp_path, f"windows: {{{MODEL}: 30000, opus: 20000}}")
        assert found.window(MODEL).tokens == 30_000

    def test_variables_set_what_is_no_table(self, tmp_path: Path) -> None:
        environ = {
            "ENGINE_MCP_CONTEXT_TRIGGER": "0.5",
            "ENGINE_MCP_CONTEXT_MODEL": "haiku",
            "HOME": "/h",
        }
        settings = load(tmp_path, environ=environ)
        assert (settings.context.limits.trigger, settings.context.limits.model) == (0.5, "haiku")
        assert settings.cache == Path("/h/.cache/engine-mcp")
        elsewhere = load(tmp_path, environ={**environ, "XDG_CACHE_HOME": "/var/c"})
        assert elsewhere.cache == Path("/var/c/engine-mcp")
        assert load(tmp_path, environ={}).cache is None
        with pytest.raises(InvalidArgument, match="CONTEXT_WINDOWS is not a setting"):
            load(tmp_path, environ={"ENGINE_MCP_CONTEXT_WINDOWS": "{}"})


class TestTelling:
    """What is told and drawn, without an engine."""

    @pytest.mark.req("000:3.2.3", "002:L39")
    def test_the_events_are_told_with_their_figures(self) -> None:
        execution = holding()
        masked = ev.ResultsMasked(
            at=NOW, step="main", number=1, shape=Shape(), results=3, tokens_before=9000, tokens_after=4000
        )
        by_code = ev.SummaryFinished(at=NOW, step="main", number=1, summary=summary(1, "It was empty."))
        failed = ev.SummaryFinished(
            at=NOW, step="main", number=1, failure=Failure("nothing_to_summarize", "It is short.")
        )
        assert [told(event, execution) for event in (STARTED, by_code, failed, masked)] == [
            "main: summarizing 212 messages of 161,000 tokens",
            "main: summarized 9 messages: 161,000 → 68,000 tokens; by code: It was empty.",
            "main: not summarized: It is short.",
            "main: 3 results of tools became stubs: 9,000 → 4,000 tokens",
        ]

    @pytest.mark.req("002:L39")
    def test_a_summary_under_way_is_drawn_until_it_ends(self) -> None:
        console = Console(record=True, width=100, height=20, force_terminal=True)
        table, execution = LiveTable(console), holding()
        table.begin(execution, SNAPSHOT)
        table.saw(STARTED, execution)
        table.tick(execution, NOW)
        table.end()
        assert "summarizing 212 messages" in console.export_text()
        table.begin(execution, SNAPSHOT)
        table.saw(ev.SummaryFinished(at=NOW, step="main", number=1, summary=summary(1)), execution)
        table.tick(execution, NOW)
        table.end()
        drawn = console.export_text()
        assert "summarizing" not in drawn.rpartition("⠋")[2]
        assert "summarized 9 messages" in drawn

    def test_the_tree_shows_window_stubs_and_chain(self, capsys: pytest.CaptureFixture[str]) -> None:
        known = Contexts({"main": Window(tokens=200_000, source="provider")})
        rest = Rest(execution=holding(summary(1), summary(2)), snapshot=SNAPSHOT, now=NOW, contexts=known)
        print_tree(rest)
        drawn = capsys.readouterr().out
        assert "1 messages, window of 200,000 tokens (provider), results before m4 are stubs" in drawn
        assert "s2 ← s1  level 2, m0 to m17, 161,000 → 68,000 tokens, by code" in drawn
        print_tree(replace(rest, contexts=Contexts(under_way={"main": STARTED})))
        assert "summarizing 212 messages" in capsys.readouterr().out

    def test_a_step_that_was_denied_is_asked_for_again_by_name(self, tmp_path: Path) -> None:
        execution = after(
            started(code("a", requires_approval=True)),
            ev.ApprovalRequested(at=NOW, step="a"),
            ev.ApprovalAnswered(at=NOW, step="a", answer=Unanswered.DENY, by="resume"),
            ev.ExecutionFailed(at=NOW, reason="failed: a"),
        )
        settings = load(tmp_path, environ={})
        command = resume_command(Rest(execution=execution, snapshot=SNAPSHOT, now=NOW), settings)
        assert command is not None
        assert "--from-step a" in command
        other = after(
            begun(started(), "main"),
            ev.AttemptFailed(at=NOW, step="main", number=1, failure=Failure("js_error", "x")),
            ev.ExecutionFailed(at=NOW, reason="failed: main"),
        )
        command = resume_command(Rest(execution=other, snapshot=SNAPSHOT, now=NOW), settings)
        assert "--from-step" not in (command or "")
