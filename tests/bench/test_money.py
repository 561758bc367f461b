"""What the benchmarks of money measure is what they say."""

import json
import subprocess
import sys
import time
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from bench import deciding, spending
from bench.children import ROOT, Numbers, environment
from bench.lag import Lag
from bench.ledger_writer import USED, paid, prepare
from bench.run import PAGE, TABLES
from engine_mcp.core.budget import Limits, Resource
from engine_mcp.core.decide import settle
from engine_mcp.core.execution import Execution, ExecutionStatus, StepStatus
from engine_mcp.core.outlook import CLEAR
from engine_mcp.core.period import Period
from engine_mcp.ports import PriceBook
from scripts.markdown import between
from tests.ledger.ledgers import change, file_ledger, hold, posting

STEPS = 24


def completed(execution: Execution) -> int:
    return sum(step.status is StepStatus.COMPLETED for step in execution.steps.values())


def half_done(rows: int = 4) -> Execution:
    return deciding.half_done(STEPS, rows, limited=True)


def test_every_table_has_its_place_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in TABLES:
        assert f"\n{name} was here\n" in between(page, name, f"{name} was here")


@pytest.mark.parametrize("rows", [4, STEPS])
def test_decisions_are_measured_in_the_middle_of_an_execution_that_runs(rows: int) -> None:
    execution = half_done(rows)
    assert execution.status is ExecutionStatus.RUNNING
    assert completed(execution) == STEPS // 2
    assert execution.usage.amount(Resource.TOKENS) > 0


def test_the_events_that_are_measured_lead_an_execution_to_its_end() -> None:
    moments = deciding.played(half_done(), deciding.EVERYTHING, 1000)
    assert len(moments) == 3 * STEPS // 2
    ended = settle(moments[-1].after, deciding.NOW, deciding.EVERYTHING).execution
    assert (ended.status, completed(ended)) == (ExecutionStatus.COMPLETED, STEPS)


def test_all_attempts_that_may_run_at_once_do_so_under_every_limit() -> None:
    for outlook in (CLEAR, deciding.EVERYTHING):
        settled = settle(half_done(), deciding.NOW, outlook)
        assert len(settled.execution.running) == deciding.PARALLEL


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["ledger", "bare"])
async def test_a_payer_leaves_in_the_file_what_it_says_it_paid(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    await prepare(kind, file)
    work = {"kind": kind, "file": str(file), "name": "one", "seconds": 0.05}
    told = await anyio.run_process(
        [sys.executable, "-m", "bench.ledger_writer", json.dumps(work)],
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.STDOUT,
    )
    ready, numbers = told.stdout.decode().splitlines()
    paid_by_it = json.loads(numbers)["tokens"]
    assert ready == "ready"
    assert await paid(kind, file) == paid_by_it >= 2 * USED


def shared(tmp_path: Path, share: float) -> Numbers:
    work = {"folder": str(tmp_path), "executions": 3, "steps": 4, "share": share}
    return anyio.run(spending.shared_budget, work)


def test_under_a_limit_that_suffices_every_execution_completes(tmp_path: Path) -> None:
    numbers = shared(tmp_path, 2.5)
    assert (numbers["completed"], numbers["paused"], numbers["answers"]) == (3, 0, 12)
    assert numbers["passed"] == 0
    assert numbers["looks"] > 0


def test_under_a_limit_that_is_reached_the_others_pause_and_it_is_used_up(tmp_path: Path) -> None:
    numbers = shared(tmp_path, 1 / 3)
    assert numbers["completed"] + numbers["paused"] == 3
    assert numbers["paused"] > 0
    assert (numbers["answers"], numbers["passed"]) == (4, 0)


def test_without_a_ledger_there_is_nothing_to_look_at_and_every_execution_completes(tmp_path: Path) -> None:
    numbers = shared(tmp_path, 0)
    assert (numbers["completed"], numbers["answers"]) == (3, 12)


def test_the_prices_of_the_benchmark_are_a_price_book() -> None:
    book: PriceBook = spending.FixedPrices()
    assert book.quote(spending.MODEL, spending.PART, 0.0).micros == spending.PART.amount(Resource.TOKENS)


@pytest.mark.anyio
async def test_whoever_looks_sees_by_how_much_a_limit_was_passed(tmp_path: Path) -> None:
    ledger = file_ledger(tmp_path, at=time.time())
    await ledger.limit(Period.DAY, Limits(max_tokens=100), change())
    watch = spending.Watch(ledger)
    await watch.look()
    assert watch.passed == 0
    await ledger.post(posting(spent=90, upto=1, at=time.time(), holds=(hold(30),)))
    await watch.look()
    ledger.close()
    assert (watch.passed, watch.looks) == (20, 2)


@pytest.mark.anyio
async def test_a_loop_that_is_held_up_by_its_own_work_shows_it_as_a_stall_and_as_a_stretch() -> None:
    lag = Lag()

    async def one_more() -> None:
        known = len(lag.late_ms)
        with anyio.fail_after(10):
            while len(lag.late_ms) == known:
                await anyio.lowlevel.checkpoint()

    async def busy() -> None:
        await one_more()
        until = time.thread_time() + 0.1
        while time.thread_time() < until:
            pass
        await one_more()

    await lag.during(busy)
    numbers = lag.numbers("lag")
    assert 90 <= numbers["lag_stretch_ms"] < 200
    assert numbers["lag_worst_ms"] >= 90
