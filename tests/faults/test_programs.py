"""The table of errors where a runtime is a program: how it ends, what it says, and who goes on."""

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine_mcp.core.plan import StepSpec
from engine_mcp.core.route import Allowed, Domain
from engine_mcp.ports import Runner
from engine_mcp.runners.claude_code import ClaudeCodeRunner
from engine_mcp.runners.command import CommandRunner
from engine_mcp.runners.command_template import load
from engine_mcp.runners.opencode import OpenCodeRunner
from engine_mcp.server.fallbacks import fallbacks
from tests.faults import stumbling
from tests.faults.engine import ROOT
from tests.faults.rig import Outcome, Rig, rigged
from tests.runners.stands.opencode import OpenCodeStand
from tests.runners.stands.stand import Place, Scenario

STEP = StepSpec(id="s", task="Say hello.")
ANSWERED = OpenCodeStand.used
ALL = (Allowed.FAMILY, Allowed.POOL, Allowed.TIER)
WORDS = 2000

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_leaks")]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path).made()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rigged(tmp_path) as opened:
        yield opened


def installed(place: Place, name: str, text: str) -> None:
    path = place.root / "bin" / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


# --- any program


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """How a program ends, and what comes of an execution whose program ends so each time."""

    line: str
    codes: list[str]
    broken: dict[str, str]
    ends: str = "failed"


HARNESS, POOL_SHUT = {"harness": "3 of 5"}, {"pool": "until reset"}
ROWS = {
    "exit code": Row(line="echo it broke >&2; exit 3", codes=["runtime_failed"] * 3, broken=HARNESS),
    "signal": Row(line="kill -SEGV $$", codes=["runtime_failed"] * 3, broken=HARNESS),
    "not found": Row(line="exit 127", codes=["runtime_missing"], broken={"harness": "30 s"}),
    "overloaded": Row(
        line="echo API Error: Overloaded >&2; exit 1",
        codes=["overloaded"] * 3,
        broken={"model": "3 of 5"},
    ),
    "unreachable": Row(
        line="echo 'connect ECONNREFUSED' >&2; exit 1",
        codes=["unreachable"] * 3,
        broken={},  # nobody knows whom the program asks
    ),
    "usage limit": Row(
        line="echo 'usage limit reached|1800007200' >&2; exit 1",
        codes=["quota_exhausted"],
        broken={"pool": "7200 s"},
        ends="paused: quota",
    ),
    "credit": Row(
        line="echo 'Your credit balance is too low' >&2; exit 1",
        codes=["credit_exhausted"],
        broken=POOL_SHUT,
        ends="paused: billing",
    ),
    "key": Row(line="echo Invalid API key >&2; exit 1", codes=["unauthorized"] * 2, broken=POOL_SHUT),
    "DNS": Row(
        line="echo getaddrinfo ENOTFOUND x >&2; exit 1",
        codes=["host_network"] * 3,
        broken={"host": "3 of 5"},
    ),
    "memory": Row(
        line="echo JavaScript heap out of memory >&2; exit 134", codes=["resource_exceeded"] * 2, broken={}
    ),
    "too long": Row(line="echo prompt is too long >&2; exit 1", codes=["context_overflow"] * 2, broken={}),
    "refusal": Row(line="echo violates our Usage Policy >&2; exit 1", codes=["refused"], broken={}),
}


@pytest.mark.req("002:L190")
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_what_a_program_ends_with_decides_what_follows(rig: Rig, place: Place, row: Row) -> None:
    installed(place, "cli", f"#!/bin/sh\n[ $1 = --version ] && exit 0\ncat > /dev/null\n{row.line}\n")
    template = load({"argv": ["cli", "-"], "modes": {"none": [], "read": [], "write": []}})
    runner = CommandRunner("command", template, environ=place.environ(), stall_s=20, grace_s=1)
    async with rig.engine(runner) as engine:
        outcome = await rig.carried_out(engine, STEP)
    assert (outcome.status, outcome.codes) == (row.ends, row.codes)
    assert outcome.broken == row.broken
    assert outcome.spent.requests == len(row.codes)


# --- Claude Code and OpenCode


def stumble(place: Place, how: str) -> None:
    """Install a Claude Code that pays for a turn and then fails."""
    installed(
        place,
        "claude",
        f"#!{sys.executable} -IS\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        f"from tests.faults.stumbling import main\nfrom tests.runners.stands.playing import Play\n"
        f"main(Play({str(place.root)!r}, ''), {how!r})\n",
    )


def both(place: Place, *, plan: bool = False) -> tuple[Runner, Runner]:
    """Claude Code, with `plan` on a subscription, and after it OpenCode, on a key, which answers."""
    place.install("opencode", "opencode_program", Scenario.SAYS)
    environ = place.environ()
    without = {name: value for name, value in environ.items() if name != "ANTHROPIC_API_KEY"}
    return (
        ClaudeCodeRunner(environ=without if plan else environ, stall_s=20, grace_s=0.5),
        OpenCodeRunner(environ=environ, stall_s=20, grace_s=0.5),
    )


def served_by(outcome: Outcome) -> list[str | None]:
    return [tried.runtime for tried in outcome.execution.steps["s"].attempts]


def check_money(outcome: Outcome, stumbles: int) -> None:
    """Each route is charged for what was used on it, and the ledger for all of it."""
    attempts = outcome.execution.steps["s"].attempts
    assert [tried.usage.cost_micros for tried in attempts[:stumbles]] == [stumbling.COST_MICROS] * stumbles
    total = stumbles * stumbling.COST_MICROS + (len(attempts) - stumbles) * ANSWERED.cost_micros
    assert outcome.spent.cost_micros == outcome.execution.usage.cost_micros == total


@pytest.mark.req("002:L190")
async def test_a_program_that_crashes_twice_is_replaced_and_both_are_paid(rig: Rig, place: Place) -> None:
    stumble(place, "crash")
    async with rig.engine(*both(place)) as engine:
        outcome = await rig.carried_out(engine, STEP)
    assert (outcome.status, outcome.codes) == ("completed", ["runtime_failed", "runtime_failed", "done"])
    assert served_by(outcome) == ["claude-code", "claude-code", "opencode"]
    first, second, third = outcome.execution.steps["s"].attempts
    assert first.session == second.session != third.session
    (told,) = fallbacks(outcome.execution, WORDS)
    assert (told.origin.runtime, told.to.runtime, told.domain) == ("claude-code", "opencode", "harness")
    assert "undefined is not a function" in told.reason
    assert outcome.broken == {"harness": "2 of 5"}
    check_money(outcome, 2)


@pytest.mark.req("002:L190")
@pytest.mark.parametrize("scenario", [Scenario.DIES, Scenario.TRUNCATED, Scenario.GARBAGE])
async def test_a_program_that_breaks_off_is_replaced(rig: Rig, place: Place, scenario: Scenario) -> None:
    runners = both(place)
    place.install("claude", "claude_code_program", scenario)
    async with rig.engine(*runners) as engine:
        outcome = await rig.carried_out(engine, STEP)
    assert (outcome.status, outcome.codes) == ("completed", ["runtime_failed", "runtime_failed", "done"])
    assert served_by(outcome)[-1] == "opencode"


async def test_open_code_is_replaced_by_claude_code_as_well(rig: Rig, place: Place) -> None:
    claude, opencode = both(place)
    place.install("claude", "claude_code_program", Scenario.SAYS)
    place.install("opencode", "opencode_program", Scenario.DIES)
    async with rig.engine(opencode, claude) as engine:
        outcome = await rig.carried_out(engine, STEP)
    assert served_by(outcome) == ["opencode", "opencode", "claude-code"]
    assert outcome.status == "completed"


@pytest.mark.req("002:L190")
async def test_a_program_that_is_not_there_is_passed_over(rig: Rig, place: Place) -> None:
    async with rig.engine(*both(place)) as engine:
        outcome = await rig.carried_out(engine, STEP)
    assert (outcome.status, served_by(outcome), outcome.broken) == ("completed", ["opencode"], {})
    (told,) = fallbacks(outcome.execution, WORDS)
    assert (told.origin.runtime, told.to.runtime) == ("claude-code", "opencode")
    assert "no program 'claude'" in told.reason
    check_money(outcome, 0)


@pytest.mark.req("002:L190")
async def test_a_program_that_disappears_is_replaced_at_once_and_left_alone_for_a_while(
    rig: Rig, place: Place
) -> None:
    stumble(place, "crash")
    claude, opencode = both(place)
    assert (await claude.health()).usable
    (place.root / "bin" / "claude").unlink()
    async with rig.engine(claude, opencode) as engine:
        outcome = await rig.carried_out(engine, STEP)
        assert (outcome.status, outcome.codes) == ("completed", ["runtime_missing", "done"])
        assert outcome.broken == {"harness": "30 s"}
        outcome = await rig.carried_out(engine, STEP)
    assert (outcome.codes, served_by(outcome)) == (["done"], ["opencode"])


@pytest.mark.req("002:L190")
async def test_a_plan_that_is_used_up_is_left_for_a_key_only_where_that_is_allowed(
    rig: Rig, place: Place
) -> None:
    stumble(place, "quota")
    async with rig.engine(*both(place, plan=True)) as engine:
        outcome = await rig.carried_out(engine, STEP)
        assert (outcome.status, outcome.codes) == ("paused: quota", ["quota_exhausted"])
        assert outcome.execution.until == pytest.approx(stumbling.RESETS_AT, abs=3)
        check_money(outcome, 1)
        outcome = await rig.carried_out(engine, STEP, Allowed.POOL)
    assert (outcome.status, served_by(outcome)) == ("completed", ["opencode"])  # round the shut door
    (switch,) = outcome.execution.steps["s"].switches
    assert (switch.domain, switch.origin.pool) == (Domain.POOL, "claude plan")


async def test_two_runtimes_on_one_key_share_its_quota(rig: Rig, place: Place) -> None:
    stumble(place, "quota")
    async with rig.engine(*both(place)) as engine:
        outcome = await rig.carried_out(engine, STEP, *ALL)
    assert (outcome.status, outcome.codes) == ("paused: quota", ["quota_exhausted"])


async def test_two_runtimes_at_one_endpoint_share_its_busy_model(rig: Rig, place: Place) -> None:
    stumble(place, "overloaded")
    async with rig.engine(*both(place)) as engine:
        outcome = await rig.carried_out(engine, STEP)
    assert (outcome.status, outcome.codes) == ("failed", ["overloaded"] * 3)
    check_money(outcome, 3)


async def test_a_plan_without_access_is_left_for_a_key_where_that_is_allowed(rig: Rig, place: Place) -> None:
    stumble(place, "401")
    async with rig.engine(*both(place, plan=True)) as engine:
        outcome = await rig.carried_out(engine, STEP, Allowed.POOL)
    assert (outcome.status, outcome.codes) == ("completed", ["unauthorized", "unauthorized", "done"])
    assert outcome.broken == {"pool": "until reset"}
    check_money(outcome, 2)


@pytest.mark.req("002:L190")
async def test_a_refusal_leads_to_no_other_runtime_whatever_is_allowed(rig: Rig, place: Place) -> None:
    stumble(place, "refused")
    async with rig.engine(*both(place)) as engine:
        outcome = await rig.carried_out(engine, STEP, *ALL)
    assert (outcome.status, outcome.codes, outcome.broken) == ("failed", ["refused"], {})
    assert fallbacks(outcome.execution, WORDS) == []
    check_money(outcome, 1)


async def test_a_runtime_that_was_asked_for_is_kept(rig: Rig, place: Place) -> None:
    stumble(place, "crash")
    step = StepSpec(id="s", task="Say hello.", runtime="claude-code")
    async with rig.engine(*both(place)) as engine:
        outcome = await rig.carried_out(engine, step)
    assert (outcome.status, served_by(outcome)) == ("failed", ["claude-code"] * 3)
    check_money(outcome, 3)
