"""Everything goes wrong at once, by a seed: providers, programs, and the engines themselves are killed."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from engine_mcp.core.budget import Resource, Usage
from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.core.listing import Query
from engine_mcp.core.period import Period
from engine_mcp.testing import capture_events
from tests.faults import judging
from tests.faults.engine import ROOT, Site
from tests.faults.judging import Charged, History, Provided
from tests.faults.provider import Provider
from tests.wire.server import Wire

MEMORY = Path("/dev/shm")  # noqa: S108 - a file system in memory, where syncs cost nothing
PLACE = MEMORY if MEMORY.is_dir() else None
LONGEST_S = 170
EVERYTHING = 10_000
COUNTED = (Resource.TOKENS, Resource.COST, Resource.REQUESTS)
MET = {"overloaded", "provider_error", "unreachable", "rate_limited", "runtime_failed", "attempt_lost"}
"""How attempts end in each of these runs."""

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.anyio]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of it: a seed, how many executions, and how often an engine may be killed."""

    seed: int
    executions: int
    kills: int

    def __str__(self) -> str:
        return f"seed {self.seed}"


SCALES = [Scale(seed=1, executions=200, kills=20)]


@pytest.mark.req("002:L190", "003:L49", "002:L201")
@pytest.mark.parametrize("scale", SCALES, ids=str)
async def test_every_execution_ends_right_and_costs_what_was_told_whatever_fails_and_whoever_is_killed(
    scale: Scale,
) -> None:
    # All of it is one test, because the workers of a test run would each make a run of their own.
    with TemporaryDirectory(dir=PLACE) as folder, Wire() as wire:
        provider = Provider(scale.seed)
        wire.otherwise(provider)
        site = Site(Path(folder), wire.url, time.time(), scale.seed)
        site.prepare()
        died = carried_out(site, scale)
        provided, histories = Provided.of(provider.given, wire.told), await histories_of(site)
        check_run(scale, histories, died)
        assert judging.outliving(histories) == [], scale
        assert wrong(scale, histories, partial(judging.wrong_ends, provided=provided)) == []
        assert wrong(scale, histories, partial(judging.paid_twice, provided=provided)) == []
        assert wrong(scale, histories, judging.beyond_limits) == []
        check_charges(scale, histories, provided)
        await check_ledger(scale, histories, site)


def carried_out(site: Site, scale: Scale) -> int:
    """Have the engines do it all, in processes of their own; how many of them were killed."""
    words = [site.root, site.url, repr(site.began), scale.seed, scale.executions, scale.kills]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults.killing", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert ended.returncode == 0, f"{scale}: {ended.stderr[-4000:]}"
    return json.loads(ended.stdout)["died"]


async def histories_of(site: Site) -> list[History]:
    """Every execution with its events."""
    store = site.store
    try:
        rows = (await store.list(Query(limit=EVERYTHING))).rows
        return [History(await store.read(row.id), await capture_events(store, row.id)) for row in rows]
    finally:
        store.close()


def wrong(scale: Scale, histories: Sequence[History], look: Callable[[History], Iterator[str]]) -> list[str]:
    """What is wrong with each execution, with the seed that shows it again."""
    return [
        f"{scale}: {history.execution.plan.idempotency_key}: {told}"
        for history in histories
        for told in look(history)
    ]


def check_run(scale: Scale, histories: Sequence[History], died: int) -> None:
    """Everything was asked for once, most of it succeeded, and what had to happen meanwhile happened."""
    keys = {history.execution.plan.idempotency_key for history in histories}
    assert len(histories) == len(keys) == scale.executions, scale
    assert died > scale.kills // 2, scale
    ends = [history.execution.status for history in histories]
    assert ends.count(ExecutionStatus.COMPLETED) > scale.executions * 0.9, scale
    assert judging.paused_for_budget(histories) > scale.executions // 20, scale
    attempts = [
        tried for history in histories for step in history.execution.steps.values() for tried in step.attempts
    ]
    met = {tried.failure.code for tried in attempts if tried.failure is not None}
    assert met >= MET, scale


def check_charges(scale: Scale, histories: Sequence[History], provided: Provided) -> None:
    """The records charge what the provider told, to the token."""
    answers = Charged.by(histories).answers
    found = judging.wrong_charges(answers, provided, judging.broken_off(histories))
    assert [f"{scale}: {told}" for told in found] == []
    assert len(answers) > len(provided.told) * 0.8, scale


async def check_ledger(scale: Scale, histories: Sequence[History], site: Site) -> None:
    """The ledger of the user is the sum of the records."""
    ledger = site.ledger
    try:
        spent = await ledger.spent(Period.DAY, site.clock.now())
    finally:
        ledger.close()
    total = Charged.by(histories).total
    assert amounts(spent) == amounts(total), scale


def amounts(usage: Usage) -> dict[Resource, int]:
    return {kind: usage.amount(kind) for kind in COUNTED}
