"""The program that measures many executions under one limit of a day; see `bench.programs`."""

import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from bench import workload
from bench.children import Numbers
from bench.lag import Lag
from engine_mcp.core.agent import AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import MICROS, Limits, OnExceed, Resource, Usage
from engine_mcp.core.charge import Quote
from engine_mcp.core.choice import Tier
from engine_mcp.core.execution import ExecutionStatus, Failure
from engine_mcp.core.models import Models
from engine_mcp.core.period import Period, Standing
from engine_mcp.core.plan import Draft, StepSpec, StrategyName
from engine_mcp.core.window import Window
from engine_mcp.engine.engine import Engine
from engine_mcp.ledger.book import SqliteLedger
from engine_mcp.ledger.breakers import SqliteBreakers
from engine_mcp.ports import AgentHost

MODEL = "model"
PARALLEL = 4
LOOK_EVERY_S = 0.02
PART = Usage(tokens_in=300, tokens_out=100, requests=1)
TOKENS = 2 * PART.amount(Resource.TOKENS)
OWN = Limits(max_tokens=2 * TOKENS, max_cost_usd=2 * TOKENS / MICROS, on_exceed=OnExceed.PAUSE)
"""What a step may use: an attempt reserves no more, so that the day has room for many at once."""


class FixedPrices:
    """One price for all tokens; fulfils `ports.PriceBook`."""

    async def open(self) -> None:
        """There is nothing to load."""
        await anyio.lowlevel.checkpoint()

    def quote(self, model: str, usage: Usage, at: float) -> Quote:
        """A micro-dollar a token."""
        del model, at
        return Quote(micros=usage.amount(Resource.TOKENS), price="fixed 1")

    def window(self, model: str) -> Window | None:
        """Not known."""
        del model
        return None


class _Model:
    """Answers at once, having told in two parts what it took; keeps to the share of the attempt."""

    def __init__(self) -> None:
        self.answers = 0

    async def __call__(self, task: AgentTask, host: AgentHost) -> AgentResult:
        if 0 < task.reserved.amount(Resource.TOKENS) < TOKENS or 0 < task.reserved.cost_micros < TOKENS:
            return AgentResult(failure=Failure("spending_limit", "The share is too small for an answer."))
        for _ in range(2):
            host.report(AgentReport(usage=PART, model=MODEL))
            await anyio.lowlevel.checkpoint()
        self.answers += 1
        return AgentResult(output=workload.RESULT)


@dataclass(slots=True)
class Watch:
    """What is spent and held of the limits, looked at on a connection of its own, as others would."""

    ledger: SqliteLedger
    looks: int = 0
    passed: int = 0

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await anyio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Note by how much a limit is passed, and the most of that so far."""
        for standing in (await self.ledger.room(time.time())).standings:
            lefts = (standing.left(kind) for kind in (Resource.TOKENS, Resource.COST))
            self.passed = max(self.passed, *(-left for left in lefts if left is not None))
        self.looks += 1


async def shared_budget(work: dict[str, Any]) -> Numbers:
    """Many executions at once whose steps stand side by side, under a limit of the day that pauses.

    `share` is the part of what they need that the day has room for; 0 stands for no ledger at all. Where
    the day has too little they pause. Steps per second, the lag of the loop, by how much spent and held
    ever passed the limit, and executions by how they ended.
    """
    model, folder = _Model(), Path(work["folder"])
    runner = workload.runner(work["steps"], model)
    runner.tells_cost = False
    models = partial(Models, tiers={tier: {runner.name: MODEL} for tier in Tier})
    with closing(SqliteLedger(folder / "ledger", UTC, {})) as ledger, closing(_breakers(folder)) as breakers:
        money = workload.Money(prices=FixedPrices())
        if work["share"]:
            money = replace(money, ledger=ledger, breakers=breakers)
        count = work["executions"]
        async with workload.engine(folder, runner, count, models, each=PARALLEL, money=money) as opened:
            numbers = await _measured(opened, model, work)
        if work["share"]:
            _check((await ledger.room(time.time())).standings, model.answers * TOKENS)
    return numbers


def _breakers(folder: Path) -> SqliteBreakers:
    return SqliteBreakers(folder / "ledger")


async def _measured(opened: Engine, model: _Model, work: dict[str, Any]) -> Numbers:
    draft, lag, ended = plan(work), Lag(), Counter[str]()
    await _carry_out(opened, draft, 2, Counter())  # a warm-up
    warm = model.answers
    if work["share"]:
        await opened.treasury.limit(Period.DAY, _limits(warm, work), "bench")
    with closing(SqliteLedger(Path(work["folder"]) / "ledger", UTC, {})) as file:
        watch = Watch(file)
        began, cpu = time.perf_counter(), time.process_time()
        async with anyio.create_task_group() as beside:
            if work["share"]:
                beside.start_soon(watch.watch)
            await lag.during(partial(_carry_out, opened, draft, work["executions"], ended))
            beside.cancel_scope.cancel()
        took, used = time.perf_counter() - began, time.process_time() - cpu
        await watch.look()
    answers = model.answers - warm
    return {
        "steps_per_s": answers / took,
        "cpu_us_per_step": used / answers * 1e6,
        "passed": watch.passed,
        "looks": watch.looks,
        "answers": answers,
        "completed": ended[ExecutionStatus.COMPLETED],
        "paused": ended[ExecutionStatus.PAUSED],
        **lag.numbers("lag"),
    }


def plan(work: dict[str, Any]) -> Draft:
    """Steps that stand side by side, each with a limit of its own unless `own` says otherwise."""
    budget = OWN if work.get("own", True) else Limits()
    return Draft(
        path=work["folder"],
        strategy=StrategyName.PARALLEL,
        parallelism=PARALLEL,
        steps=tuple(
            StepSpec(id=name, task="nothing", budget=budget) for name in workload.names(work["steps"])
        ),
    )


def _limits(answered: int, work: dict[str, Any]) -> Limits:
    """A limit on the day beside what was used of it before."""
    tokens = answered * TOKENS + int(work["executions"] * work["steps"] * TOKENS * work["share"])
    return Limits(max_tokens=tokens, max_cost_usd=tokens / MICROS, on_exceed=OnExceed.PAUSE)


async def _carry_out(opened: Engine, draft: Draft, count: int, ended: Counter[str]) -> None:
    async with anyio.create_task_group() as waits:
        for _ in range(count):
            waits.start_soon(_rested, opened, (await opened.execute(draft)).id, ended)


async def _rested(opened: Engine, name: str, ended: Counter[str]) -> None:
    execution = await opened.wait(name, workload.WAIT_S)
    if execution.status is not ExecutionStatus.COMPLETED and execution.reason != "budget":
        raise RuntimeError(f"{name} is {execution.status}: {execution.reason}")
    ended[execution.status] += 1


def _check(standings: Iterable[Standing], used: int) -> None:
    """Whether the ledger tells what was used, to the token and the micro-dollar, and nothing is held."""
    for standing in standings:
        for kind in (Resource.TOKENS, Resource.COST):
            spent, held = standing.spent.amount(kind), standing.held.amount(kind)
            if (spent, held) != (used, 0):
                raise RuntimeError(f"{spent} of {kind} are on the ledger and {held} held; {used} were used")
