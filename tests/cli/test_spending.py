"""What was spent: of an execution entry by entry, over days and months, and whether the sums are right."""

from dataclasses import replace

import anyio
import pytest

from engine_mcp.app import running
from engine_mcp.cli.auditing import mispriced
from engine_mcp.cli.entries import drifted
from engine_mcp.core.budget import Usage
from engine_mcp.core.charge import Charge, Quote
from engine_mcp.core.event import UsageReported
from engine_mcp.core.execution import Attempt, Execution, Step
from engine_mcp.core.plan import Plan, StepSpec, StrategyName
from engine_mcp.settings import load
from tests.cli.agents import FINE, agent
from tests.cli.shell import Shell

WITHIN_S = 30


@pytest.mark.req("003:L55", "SPEC:11.budget")
def test_an_execution_s_entries_add_up_to_what_it_spent(shell: Shell) -> None:
    told = shell.call("run", "say fine", "--json", **agent(shell, FINE))
    name = told.document["execution_id"]
    lines = shell.call("budget", name).out.splitlines()
    assert ["cost_usd", "0.25", "0", "-", "-", "-"] in [line.split() for line in lines]
    assert ["main", "1", "-", "1100", "$0.25", "reported", "-", "-"] in [line.split() for line in lines]
    assert "main" not in shell.call("budget", name, "--entries", "0").out
    assert shell.call("budget", name, "--entries", "0", "--json").document["entries"] == []
    document = shell.call("budget", name, "--json").document
    assert sum(entry["cost_usd"] for entry in document["entries"]) == document["spent"]["cost_usd"] == 0.25


def test_today_and_this_month_are_told_with_their_limits_and_who_changed_them(shell: Shell) -> None:
    shell.call("run", "say fine", **agent(shell, FINE))
    told = shell.call("budget", "--day", "--max-cost-usd", "5", "--json")
    assert told.code == 0
    day = told.document["periods"]["day"]
    assert (day["spent"]["cost_usd"], day["limits"]["cost_usd"], day["remaining"]["cost_usd"]) == (
        0.25,
        5,
        4.75,
    )
    shell.call("budget", "--month", "--max-tokens", "9000", "--on-exceed", "warn")
    both = shell.call("budget", ENGINE_MCP_CAPS_DAY_COST_USD="1")
    assert "today, counts anew " in both.out
    assert ["cost_usd", "0.25", "0", "5", "1", "0.75"] in [line.split() for line in both.out.splitlines()]
    assert ["tokens", "1100", "0", "9000", "-", "7900"] in [line.split() for line in both.out.splitlines()]
    assert "month  by command line: max_tokens" not in both.out
    assert "month  by command line: on_exceed none → warn, tokens none → 9000" in both.out
    assert "day    by command line: cost_usd none → 5" in both.out


def test_a_reset_of_a_day_takes_its_limits_away_and_stays_in_the_audit(shell: Shell) -> None:
    shell.call("budget", "--day", "--max-requests", "5", "--max-tokens", "7")
    told = shell.call("budget", "--day", "--reset", "--max-tokens", "9", "--json").document
    assert (told["periods"]["day"]["limits"]["requests"], told["periods"]["day"]["limits"]["tokens"]) == (
        None,
        9,
    )
    newest = told["changes"][0]
    assert (newest["reset"], newest["by"], newest["before"]) == (
        True,
        "command line",
        {"tokens": 7, "requests": 5},
    )
    assert len(shell.call("budget", "--day", "--entries", "1", "--json").document["changes"]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--max-tokens", "5"], "Say whose limits these are"),
        (["--day", "--month", "--reset"], "Say whose limits these are"),
        (["x", "--day"], "leave out ID"),
        (["--audit"], "--audit needs ID"),
        (["x", "--audit", "--max-tokens", "5"], "--audit needs ID"),
        (["x", "--rebuild"], "--rebuild stands alone"),
        (["--rebuild", "--day"], "--rebuild stands alone"),
    ],
)
def test_what_does_not_go_together_is_refused(shell: Shell, words: list[str], said: str) -> None:
    told = shell.call("budget", *words, "--json")
    assert told.code == 2
    assert said in told.document["error"]["message"]


def test_an_audit_finds_the_same_sums_or_tells_the_difference(shell: Shell) -> None:
    name = shell.call("run", "say fine", "--json", **agent(shell, FINE)).document["execution_id"]
    right = shell.call("budget", name, "--audit")
    assert (right.code, "the same sums" in right.out) == (0, True)
    assert shell.call("budget", name, "--audit", "--json").document["differences"] == []

    async def change_the_snapshot() -> None:
        with anyio.fail_after(WITHIN_S):
            async with running(load(shell.project, environ=shell.environment), work=False) as app:
                execution, log = await app.store.open(name)
                more = replace(execution.usage, cost_micros=execution.usage.cost_micros + 1)
                await log.save(replace(execution, usage=more))
                await log.close()

    anyio.run(change_the_snapshot)
    wrong = shell.call("budget", name, "--audit")
    assert wrong.code == 1
    assert f"The execution {name} counts 250001 micro-dollars, its journal 250000." in wrong.out


class _Book:
    """A price list that says 7 micro-dollars of everything."""

    async def open(self) -> None:
        return None

    def quote(self, model: str, usage: Usage, at: float) -> Quote:
        del model, usage, at
        return Quote(micros=7, price="list 1")

    def window(self, model: str) -> None:
        del model


def test_a_charge_that_its_own_price_list_does_not_give_is_told() -> None:
    def reported(micros: int, price: str = "list 1") -> UsageReported:
        charge = Charge(model="m", computed_micros=micros, price=price)
        return UsageReported(at=0, step="a", number=1, usage=Usage(), charge=charge)

    told = list(mispriced([reported(7), reported(8), reported(9, "list 0")], _Book()))
    assert told == ["The step 'a', attempt 1, was charged 8 micro-dollars for m; by list 1 it is 7."]


def test_drift_compares_only_attempts_that_report_what_they_cost() -> None:
    usage = Usage(tokens_in=10)
    told = Charge(model="m", usage=usage, reported_micros=110, computed_micros=100)
    computed = Charge(model="m", usage=usage, computed_micros=1000)
    spec = StepSpec(id="a", task="x")
    attempts = tuple(
        Attempt(number=number, started_at=0, epoch=1, charges=(charge,))
        for number, charge in ((1, told), (2, computed))
    )
    plan = Plan(path="/", steps=(spec,), strategy=StrategyName.SINGLE)
    execution = Execution(
        id="x", plan=plan, created_at=0, budget=plan.budget, steps={"a": Step(spec=spec, attempts=attempts)}
    )
    assert drifted(execution) == pytest.approx(0.1)


def test_a_lost_ledger_is_made_again_from_the_records(shell: Shell) -> None:
    shell.call("run", "say fine", **agent(shell, FINE))
    ledger = shell.home / ".local/state/engine-mcp/ledger.sqlite"
    for file in ledger.parent.glob("ledger.sqlite*"):
        file.unlink()
    assert shell.call("budget", "--json").document["periods"]["day"]["spent"]["cost_usd"] == 0
    assert "of 1 executions" in shell.call("budget", "--rebuild").out
    assert shell.call("budget", "--json").document["periods"]["day"]["spent"]["cost_usd"] == 0.25
    again = shell.call("budget", "--rebuild", "--json").document
    assert again == {"executions": 0, "entries": 0, "ahead": [], "unreadable": []}


def test_a_record_that_cannot_be_read_keeps_the_ledger_from_being_whole(shell: Shell) -> None:
    name = shell.run("return 1;").document["execution_id"]
    journal = next((shell.executions / name).glob("journal-*.jsonl"))
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], lines[1].replace(b"a", b"b"), *lines[2:]]))
    told = shell.call("budget", "--rebuild", "--json")
    assert (told.code, told.document["unreadable"]) == (8, [name])


def test_status_tells_what_was_spent_together(shell: Shell) -> None:
    shell.call("run", "say fine", **agent(shell, FINE))
    shell.call("budget", "--day", "--max-cost-usd", "5")
    told = shell.call("status")
    assert "spent today: 1100 tokens, $0.25 of 5" in told.out
    assert shell.call("status", "--json").document["spending"]["day"]["spent"]["tokens"] == 1100
