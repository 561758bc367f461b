"""One run with everything: scripts beside an agent, a limit that warns, a summary, an interrupt, a resume."""

import json
from collections import Counter

import pytest

from tests.cli.shell import Shell
from tests.cli.test_context import WINDOW, Reader, shell, wire
from tests.wire.server import Wire

__all__ = ["shell", "wire"]
PLAN = """\
task: Read the book and count its pages.
strategy: parallel
budget: { max_tokens: 3000, on_exceed: warn }
window: { max_tokens: 6000 }
pins: [The port is 8080.]
steps:
  - id: count
    code: |
      return (await files.list(".", { pattern: "*.txt" })).entries.length;
  - id: read
    runtime: api
    model: opus
    task: Read the book.
    permissions: { allowed_tools: [files.read] }
  - id: both
    depends_on: [count, read]
    code: "return `${outputs.count} pages: ${outputs.read}`;"
"""


@pytest.mark.req("000:7.3.1", "000:L294", "001:L17")
def test_a_run_with_everything_is_interrupted_and_goes_on_to_its_end(shell: Shell, wire: Wire) -> None:
    reader = Reader(turns=24, at=15)
    wire.otherwise(reader.answer)
    with shell.started("run", "--plan", shell.plan(PLAN)) as call:
        name = call.execution_id
        wire.wait_for(15)
        assert shell.call("interrupt", name).code == 0
        reader.gate.set()
        assert call.end().code == 4
    before = shell.call("status", name, "--json").document
    assert before["status"] == "interrupted"
    assert reader.summarized
    ran = shell.call("resume", name, "--json")
    assert ran.code == 0, ran.err
    assert ran.document["status"] == "completed"
    assert any("3,000" in warning or "3000" in warning for warning in ran.document["warnings"])
    events = shell.journal(name)
    kinds = Counter(event["kind"] for event in events)
    assert kinds["execution_resumed"] == 1
    assert kinds["summary_finished"] >= 1
    assert kinds["budget_warned"] >= 1
    assert [one["step"] for one in events if one["kind"] == "attempt_started"].count("count") == 1
    state = shell.call("show", name, "--json").document["state"]
    assert state["steps"]["both"]["output"]["value"] == "29 pages: It is read."
    assert max(request.tokens for request in [*reader.asked, *reader.summarized]) <= WINDOW
    assert "The port is 8080." in reader.asked[-1].text
    assert json.dumps(reader.asked[-1].body).count("Page 1. ") == 0
