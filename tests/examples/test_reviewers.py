"""The example with agents does what it says, in front of a model that a test speaks for."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.shell import Shell, opened
from tests.house.sources import ROOT
from tests.wire.server import Wire
from tests.wire.turns import ToolUse, Trouble, Turn

PLAN = ROOT / "examples" / "three-reviewers.yaml"
CORRECTNESS, SECURITY, TESTS = "does the wrong thing", "input from outside", "no test shows"
VERDICT = "Join the findings"


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as server:
        yield server


@pytest.fixture
def shell(tmp_path: Path, wire: Wire) -> Iterator[Shell]:
    access = {"ANTHROPIC_API_KEY": "a-key-for-tests", "ANTHROPIC_BASE_URL": wire.url}
    more = {**access, "ENGINE_MCP_RUNTIMES_ORDER": "api"}
    with opened(tmp_path) as plain:
        found = replace(plain, more=more)
        (found.project / "sum.py").write_text("def sum(a, b):\n    return a - b\n", encoding="utf-8")
        yield found


@pytest.mark.req("000:7.4.2", "003:L38")
def test_the_findings_of_three_agents_reach_the_fourth_and_are_kept(shell: Shell, wire: Wire) -> None:
    wire.answer(
        Turn(blocks=[ToolUse("files_read", {"path": "sum.py"})]),
        Turn("sum.py:2 subtracts."),
        to=CORRECTNESS,
    )
    wire.answer(Turn("Nothing gets in."), to=SECURITY)
    wire.answer(Turn("Nothing tests sum."), to=TESTS)
    wire.answer(Turn("# Review\n1. sum.py subtracts.\n"), to=VERDICT)
    told = shell.call("run", "--plan", PLAN, "--json")
    assert told.code == 0, told.err
    assert told.document["output"] == {"review": "# Review\n1. sum.py subtracts.\n"}
    assert "return a - b" in wire.wait_for(2, to=CORRECTNESS)[1].text
    (joining,) = wire.wait_for(1, to=VERDICT)
    for finding in ("sum.py:2 subtracts.", "Nothing gets in.", "Nothing tests sum."):
        assert finding in joining.text
    shown = shell.call("show", told.document["execution_id"], "--artifact", "review.md")
    assert shown.out.startswith("# Review")
    tree = shell.call("show", told.document["execution_id"]).out
    assert "senior · api · claude-" in tree
    assert "runtime api: the first usable of api" in tree


def test_a_reviewer_that_fails_does_not_keep_the_others_from_their_verdict(shell: Shell, wire: Wire) -> None:
    refused = Trouble(status=400, kind="invalid_request_error", message="no")
    wire.answer(Turn(trouble=refused), to=SECURITY)
    wire.answer(Turn("# Review\n"), to=VERDICT)
    told = shell.call("run", "--plan", PLAN, "--json")
    assert told.code == 0, told.err
    steps = {step["id"]: step["status"] for step in told.document["steps"]}
    assert (steps["security"], steps["verdict"]) == ("failed", "completed")
    assert json.dumps(told.document).count("request_rejected") >= 1
