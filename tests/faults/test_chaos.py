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
LONGEST_S = 170
EVERYTHING = 10_000

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.anyio]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of it: a seed, how many executions, and how often an engine may be killed."""

    seed: int
    executions: int
    kills: int

    def __str__(self) -> str:
        return f"seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Aftermath:
    """A site once everything has come to rest, what its provider gave, and how many engines died."""

    scale: Scale
    site: Site
    provided: Provided
    died: int

    async def histories(self) -> list[History]:
        """Every execution with its events."""
        store = self.site.store
        try:
            rows = (await store.list(Query(limit=EVERYTHING))).rows
            return [History(await store.read(row.id), await capture_events(store, row.id)) for row in rows]
        finally:
            store.close()


SCALES = [Scale(seed=1, executions=200, kills=20), Scale(seed=20261121, executions=40, kills=8)]


@pytest.fixture(scope="module", params=SCALES, ids=str)
def aftermath(request: pytest.FixtureRequest) -> Iterator[Aftermath]:
    scale: Scale = request.param
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder, Wire() as wire:
        provider = Provider(scale.seed)
        wire.otherwise(provider)
        site = Site(Path(folder), wire.url, time.time(), scale.seed)
        site.prepare()
        died = carried_out(site, scale)
        yield Aftermath(scale, site, Provided.of(provider.given, wire.told), died)


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


def wrong(scale: Scale, histories: Sequence[History], look: Callable[[History], Iterator[str]]) -> list[str]:
    """What is wrong with each execution, with the seed that shows it again."""
    return [
        f"{scale}: {history.execution.plan.idempotency_key}: {told}"
        for history in histories
        for told in look(history)
    ]


@pytest.mark.req("002:L190")
async def test_every_execution_ends_as_its_faults_allow_with_what_its_provider_said(
    aftermath: Aftermath,
) -> None:
    scale, histories = aftermath.scale, await aftermath.histories()
    assert len(histories) == scale.executions
    assert aftermath.died > scale.kills // 2, scale
    assert wrong(scale, histories, partial(judging.wrong_ends, provided=aftermath.provided)) == []
    ends = [history.execution.status for history in histories]
    assert ends.count(ExecutionStatus.COMPLETED) > scale.executions * 0.9, scale
    assert judging.paused_for_budget(histories) > scale.executions // 20, scale


async def test_no_process_outlives_its_engine(aftermath: Aftermath) -> None:
    assert judging.outliving(await aftermath.histories()) == [], aftermath.scale


async def test_nothing_that_was_finished_is_paid_for_again(aftermath: Aftermath) -> None:
    look = partial(judging.paid_twice, provided=aftermath.provided)
    assert wrong(aftermath.scale, await aftermath.histories(), look) == []


@pytest.mark.req("003:L49")
async def test_what_is_spent_and_held_never_passes_a_limit_that_pauses(aftermath: Aftermath) -> None:
    assert wrong(aftermath.scale, await aftermath.histories(), judging.beyond_limits) == []


@pytest.mark.req("003:L49")
async def test_the_records_charge_what_the_provider_told_to_the_token(aftermath: Aftermath) -> None:
    histories = await aftermath.histories()
    answers = Charged.by(histories).answers
    found = judging.wrong_charges(answers, aftermath.provided, judging.broken_off(histories))
    assert [f"{aftermath.scale}: {told}" for told in found] == []
    assert len(answers) > len(aftermath.provided.told) * 0.9, aftermath.scale


@pytest.mark.req("003:L49")
async def test_the_ledger_is_the_sum_of_the_records(aftermath: Aftermath) -> None:
    site, total = aftermath.site, Charged.by(await aftermath.histories()).total
    ledger = site.ledger
    try:
        spent = await ledger.spent(Period.DAY, site.clock.now())
    finally:
        ledger.close()
    assert amounts(spent) == amounts(total), aftermath.scale
    assert spent.seconds == pytest.approx(total.seconds, abs=1)


def amounts(usage: Usage) -> dict[Resource, int]:
    return {kind: usage.amount(kind) for kind in (Resource.TOKENS, Resource.COST, Resource.REQUESTS)}


async def test_every_kind_of_fault_was_met(aftermath: Aftermath) -> None:
    failed = {
        tried.failure.code
        for history in await aftermath.histories()
        for step in history.execution.steps.values()
        for tried in step.attempts
        if tried.failure is not None
    }
    wanted = {"overloaded", "provider_error", "unreachable", "rate_limited", "runtime_failed", "attempt_lost"}
    assert wanted <= failed, aftermath.scale
