"""Limits that all executions of a user share: what two engines and any crash make of them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest

from engine_mcp.core.agent import AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import Limits, OnExceed, Resource, Usage
from engine_mcp.core.event import BudgetWarned
from engine_mcp.core.execution import ExecutionStatus, StopMode
from engine_mcp.core.listing import Query
from engine_mcp.core.period import Change, Period, Room
from engine_mcp.core.request import Resume
from engine_mcp.core.spending import Hold, Posting, spent_in
from engine_mcp.errors import StorageError, Unpriced
from engine_mcp.ledger.book import SqliteLedger
from engine_mcp.ledger.memory import MemoryLedger
from engine_mcp.ports import AgentHost
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import (
    Crash,
    CrashingStore,
    CrashPoint,
    FakeClock,
    ListedPrices,
    ScriptedRunner,
    capture_events,
)
from tests.engine.played import PlayedSandbox
from tests.engine.rig import (
    DONE,
    Held,
    Rig,
    adapter,
    agent,
    came,
    check_record,
    code,
    failing,
    kinds,
    quiet,
    rested,
    soon,
    statuses,
    tool,
    until,
)

pytestmark = pytest.mark.anyio

NOON = 1_800_014_400.0
HALF_A_DAY = 12 * 3600.0
PAUSED, COMPLETED = ExecutionStatus.PAUSED, ExecutionStatus.COMPLETED
DOLLAR = Limits(max_cost_usd=1.0)
AnyLedger = MemoryLedger | SqliteLedger


def costing(micros: int) -> AgentResult:
    return AgentResult(output="done", usage=Usage(requests=1, cost_micros=micros, cost_basis="reported"))


class Spending:
    """A reply that spends a part of its share, told in three pieces; `held` may keep it before the last."""

    def __init__(self, part: float, held: Held | None = None) -> None:
        self.part, self.held = part, held

    async def __call__(self, task: AgentTask, host: AgentHost) -> AgentResult:
        micros = int(task.reserved.cost_micros * self.part / 3)
        piece = Usage(requests=1, cost_micros=micros, cost_basis="reported")
        host.report(AgentReport(usage=piece))
        await host.remember({"role": "assistant", "content": ""})
        host.report(AgentReport(usage=replace(piece, requests=0)))
        if self.held is not None:
            await self.held(task, host)
        return AgentResult(output="done", usage=replace(piece, requests=0))


class Watched(SqliteLedger):
    """A ledger that looks after every entry whether a limit that pauses was passed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, UTC, {}, clock=lambda: NOON)
        self.most = 0
        self.passed: list[Room] = []

    async def post(self, posting: Posting) -> bool:
        entered = await super().post(posting)
        await self._look()
        return entered

    async def reserve(
        self, posting: Posting, holds: Sequence[Hold], now: float, *, pauses: bool = True
    ) -> Room | None:
        short = await super().reserve(posting, holds, now, pauses=pauses)
        await self._look()
        return short

    async def _look(self) -> None:
        room = await self.room(NOON)
        for standing in room.standings:
            taken = standing.spent.cost_micros + standing.held.cost_micros
            self.most = max(self.most, taken)
            if (standing.left(Resource.COST) or 0) < 0:
                self.passed.append(room)


@pytest.fixture
def shared(rig: Rig) -> Rig:
    """Give a rig at noon, with a ledger."""
    rig.clock, rig.ledger = FakeClock(NOON), MemoryLedger(UTC, {})
    return rig


@pytest.fixture
def watched(rig: Rig, tmp_path: Path) -> Iterator[Watched]:
    """Give the ledger of a rig at noon, in a file."""
    ledger = Watched(tmp_path / "home" / "ledger.sqlite")
    rig.clock, rig.ledger = FakeClock(NOON), ledger
    yield ledger
    ledger.close()


async def limit(rig: Rig, limits: Limits = DOLLAR, period: Period = Period.DAY) -> None:
    assert rig.ledger is not None
    await rig.ledger.limit(period, limits, Change(at=NOON, by="test", period=period))


async def standing(rig: Rig) -> tuple[int, int]:
    """The micro-dollars that are spent and held of the first limit."""
    assert rig.ledger is not None
    found = (await rig.ledger.room(rig.clock.now())).standings[0]
    return found.spent.cost_micros, found.held.cost_micros


async def test_the_first_attempt_of_an_engine_gets_its_share_of_the_day(shared: Rig) -> None:
    await limit(shared)
    await shared.run(shared.draft(agent("a")))
    assert shared.runner.tasks[0].reserved.cost_micros == 1_000_000


async def test_steps_one_after_another_share_a_day(shared: Rig) -> None:
    shared.runner.replies = {name: [costing(300_000)] for name in "abc"}
    await limit(shared)
    execution = await shared.run(shared.draft(agent("a"), agent("b", "a"), agent("c", "b")))
    assert execution.status is COMPLETED
    assert [task.reserved.cost_micros for task in shared.runner.tasks] == [1_000_000, 700_000, 400_000]
    assert await standing(shared) == (900_000, 0)


async def test_steps_side_by_side_share_a_day(shared: Rig) -> None:
    held = Held(costing(300_000))
    shared.runner.replies = {name: [held] for name in "abc"}
    await limit(shared)
    async with shared.engine() as engine:
        execution = await engine.execute(shared.draft(*(agent(name) for name in "abc")))
        await came(held.begun)
        await quiet()
        spent, reserved = await standing(shared)
        assert (spent, reserved) == (0, sum(task.reserved.cost_micros for task in shared.runner.tasks))
        assert 999_990 <= reserved <= 1_000_000
        held.let_go.set()
        execution = await rested(engine, execution)
    assert await standing(shared) == (900_000, 0)


@pytest.mark.req("SPEC:4.limits-hold-under-concurrency")
async def test_an_execution_that_waits_for_held_money_starts_when_that_is_free(
    rig: Rig, watched: Watched
) -> None:
    held = Held(costing(300_000))
    rig.runner.replies = {"a": [held], "b": [costing(700_000)]}
    await limit(rig)
    async with rig.engine() as engine, rig.engine() as other:
        one = await engine.execute(rig.draft(agent("a")))
        await came(held.begun)
        two = await other.execute(rig.draft(agent("b")))
        two = await other.wait(two.id, 1.0, 1)
        for _ in range(5):
            rig.clock.advance(1.0)
            two = await other.wait(two.id, 0.05, two.revision)
        assert (two.status, statuses(two)) == (ExecutionStatus.RUNNING, {"b": "pending"})
        held.let_go.set()
        await rested(engine, one)
        two = await soon(rig, other, two, lambda now: now.status is COMPLETED)
    assert rig.runner.tasks[1].reserved.cost_micros == 700_000
    assert (watched.passed, watched.most) == ([], 1_000_000)
    assert await standing(rig) == (1_000_000, 0)


async def test_two_engines_that_start_at_once_never_hold_more_than_there_is(
    rig: Rig, watched: Watched
) -> None:
    names = [f"s{number}" for number in range(6)]
    rig.runner.replies = {name: [Spending(0.9)] for name in names}
    await limit(rig)
    async with rig.engine() as engine, rig.engine() as other:
        begun = [
            (door, await door.execute(rig.draft(*(agent(name) for name in names), parallelism=3)))
            for door in (engine, other, engine, other)
        ]
        ended = [
            await soon(rig, door, one, lambda now: now.status in {COMPLETED, PAUSED}) for door, one in begun
        ]
    assert watched.passed == []
    spent, held = await standing(rig)
    assert (spent, held) == (sum(one.usage.cost_micros for one in ended), 0)
    assert 900_000 < spent <= 1_000_000
    for one in ended:
        assert await watched.posted(one.id) == one.revision


@pytest.mark.parametrize("anew", [False, True], ids=["same engine", "new engine"])
async def test_at_the_limit_of_the_day_it_pauses_until_midnight_and_goes_on_the_next_day(
    shared: Rig, *, anew: bool
) -> None:
    shared.runner.replies = {"a": [costing(1_000_000)]}
    await limit(shared)
    async with shared.engine() as engine:
        draft = shared.draft(agent("a"), agent("b", "a"), auto_resume=True)
        execution = await rested(engine, await engine.execute(draft))
        assert (execution.status, execution.reason) == (PAUSED, "budget")
        assert execution.until == NOON + HALF_A_DAY
        assert statuses(execution) == {"a": "completed", "b": "pending"}
        shared.clock.advance(HALF_A_DAY - 1)
        await quiet()
        assert (await engine.show(execution.id)).revision == execution.revision
        if not anew:
            shared.clock.advance(1)
            execution = await soon(shared, engine, execution, lambda now: now.status is COMPLETED)
    if anew:
        shared.clock.advance(1)
        async with shared.engine() as engine:
            execution = await soon(shared, engine, execution, lambda now: now.status is COMPLETED)
    resumed = [kind for kind in await kinds(shared.store, execution) if kind == "execution_resumed"]
    assert len(resumed) == 1
    assert await standing(shared) == (0, 0)


async def test_without_auto_resume_it_stays_paused_the_next_day(shared: Rig) -> None:
    shared.runner.replies = {"a": [costing(1_000_000)]}
    await limit(shared)
    async with shared.engine() as engine:
        execution = await rested(engine, await engine.execute(shared.draft(agent("a"), agent("b", "a"))))
        shared.clock.advance(2 * HALF_A_DAY)
        await quiet()
        assert (await engine.show(execution.id)).status is PAUSED
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert execution.status is COMPLETED


async def test_a_limit_that_only_warns_warns_once_and_stops_nothing(shared: Rig) -> None:
    shared.runner.replies = {name: [costing(1_000_000)] for name in "abc"}
    await limit(shared, replace(DOLLAR, on_exceed=OnExceed.WARN))
    await limit(shared, replace(DOLLAR, on_exceed=OnExceed.WARN), Period.MONTH)
    execution = await shared.run(shared.draft(agent("a"), agent("b", "a"), agent("c", "b")))
    assert execution.status is COMPLETED
    told = [e for e in await capture_events(shared.store, execution.id) if isinstance(e, BudgetWarned)]
    assert sorted((str(event.period), event.resource) for event in told) == [
        ("day", Resource.COST),
        ("month", Resource.COST),
    ]
    assert len(execution.warnings) == 2
    assert all(task.reserved.cost_micros == 0 for task in shared.runner.tasks)


async def test_a_limit_that_only_warns_warns_again_on_the_next_day(shared: Rig) -> None:
    async def lasting(task: AgentTask, host: AgentHost) -> AgentResult:
        del task, host
        shared.clock.advance(2 * HALF_A_DAY)
        return costing(2_000_000)

    shared.runner.replies = {"a": [costing(2_000_000)], "b": [lasting], "c": [DONE]}
    await limit(shared, replace(DOLLAR, on_exceed=OnExceed.WARN))
    execution = await shared.run(shared.draft(agent("a"), agent("b", "a"), agent("c", "b")))
    assert (execution.status, len(execution.warnings)) == (COMPLETED, 2)


async def test_an_execution_that_only_warns_goes_on_where_the_limit_does_not_say(shared: Rig) -> None:
    shared.runner.replies = {name: [costing(1_000_000)] for name in "ab"}
    await limit(shared)
    warn = Limits(on_exceed=OnExceed.WARN)
    execution = await shared.run(shared.draft(agent("a"), agent("b", "a"), budget=warn))
    assert (execution.status, len(execution.warnings)) == (COMPLETED, 1)


async def test_an_execution_that_only_warns_is_stopped_by_a_limit_that_pauses(shared: Rig) -> None:
    shared.runner.replies = {"a": [costing(1_000_000)]}
    await limit(shared, replace(DOLLAR, on_exceed=OnExceed.PAUSE))
    warn = Limits(on_exceed=OnExceed.WARN)
    execution = await shared.run(shared.draft(agent("a"), agent("b", "a"), budget=warn))
    assert (execution.status, execution.reason) == (PAUSED, "budget")


@pytest.mark.parametrize("whose", ["day", "execution"])
async def test_the_operators_cap_pauses_even_what_only_warns(shared: Rig, whose: str) -> None:
    warn = Limits(on_exceed=OnExceed.WARN)
    shared.runner.replies = {"a": [costing(1_000_000)]}
    if whose == "day":
        shared.ledger = MemoryLedger(UTC, {Period.DAY: DOLLAR.merged(warn)})
    else:
        shared.options = replace(shared.options, caps=DOLLAR.merged(warn))
    async with shared.engine() as engine:
        draft = shared.draft(agent("a"), agent("b", "a"), budget=warn)
        execution = await rested(engine, await engine.execute(draft))
        assert (execution.status, execution.reason) == (PAUSED, "budget")
        more = Resume(budget=Limits(max_cost_usd=99.0, on_exceed=OnExceed.WARN))
        execution = await rested(engine, await engine.resume(execution.id, more))
        assert execution.status is PAUSED
        assert execution.until == (NOON + HALF_A_DAY if whose == "day" else None)
    assert shared.runner.tasks[0].reserved.cost_micros == 1_000_000


async def test_a_model_without_a_price_is_refused_before_anything_is_recorded(shared: Rig) -> None:
    shared.runner.tells_cost = False
    shared.prices = ListedPrices({"known": (1, 1)})
    known, unknown = (shared.draft(agent("a", model=name)) for name in ("known", "unknown"))
    async with shared.engine() as engine:
        for limits in (Limits(max_tokens=99), replace(DOLLAR, on_exceed=OnExceed.WARN)):
            await limit(shared, limits)
            assert (await rested(engine, await engine.execute(unknown))).status is COMPLETED
        await limit(shared, replace(DOLLAR, on_exceed=OnExceed.PAUSE))
        assert (await rested(engine, await engine.execute(known))).status is COMPLETED
        before = len((await engine.list(Query())).rows)
        with pytest.raises(Unpriced):
            await engine.execute(unknown)
        assert len((await engine.list(Query())).rows) == before


async def test_a_limit_set_meanwhile_pauses_a_step_whose_cost_nobody_knows(shared: Rig) -> None:
    shared.runner.tells_cost = False
    shared.prices = ListedPrices({"known": (1, 1)})
    held = Held()
    shared.runner.replies = {"a": [held]}
    async with shared.engine() as engine:
        draft = shared.draft(agent("a"), agent("b", "a"))
        execution = await engine.execute(draft)
        await came(held.begun)
        await limit(shared)
        shared.clock.advance(2)
        held.let_go.set()
        execution = await rested(engine, execution)
    assert (execution.status, execution.reason) == (PAUSED, "unpriced")


async def test_a_script_starts_though_the_money_of_the_day_is_spent(shared: Rig) -> None:
    shared.sandbox = PlayedSandbox()
    shared.tools = [adapter("echo")]
    shared.runner.replies = {"a": [costing(1_000_000)]}
    await limit(shared, replace(DOLLAR, max_seconds=1000.0, max_requests=99))
    steps = (agent("a"), code("b", "[]", "a"), tool("c", "echo", "a"))
    execution = await shared.run(shared.draft(*steps))
    assert execution.status is COMPLETED


@pytest.mark.parametrize("resource", ["requests", "seconds"])
async def test_requests_and_seconds_of_a_day_are_shared_too(shared: Rig, resource: str) -> None:
    async def lasting(task: AgentTask, host: AgentHost) -> AgentResult:
        del task, host
        shared.clock.advance(30)
        return costing(0)

    shared.runner.replies = {name: [lasting] for name in "abc"}
    await limit(shared, Limits(max_requests=2) if resource == "requests" else Limits(max_seconds=60))
    async with shared.engine() as engine:
        execution = await engine.execute(shared.draft(agent("a"), agent("b", "a"), agent("c", "b")))
        execution = await rested(engine, execution)
    assert (execution.status, execution.reason) == (PAUSED, "budget")
    assert statuses(execution) == {"a": "completed", "b": "completed", "c": "pending"}
    assert execution.until == NOON + HALF_A_DAY


# --- the ledger and the records


async def agree(rig: Rig) -> None:
    """Check that the ledger knows of every event that cost something, and holds nothing for what rests."""
    ledger = rig.ledger
    assert ledger is not None
    rows = (await rig.store.list(Query())).rows
    records = [await rig.store.read(row.id) for row in rows]
    for record in records:
        posted = await ledger.posted(record.id)
        assert posted <= record.revision
        assert spent_in(event for _, event in await rig.store.events(record.id, posted, 1000)) == {}
    spent = await ledger.spent(Period.DAY, rig.clock.now())
    for kind in Resource:
        assert spent.amount(kind) == sum(record.usage.amount(kind) for record in records), kind
    for found in (await ledger.room(rig.clock.now())).standings:
        assert found.held == Usage()


async def test_the_ledger_says_what_the_records_say_however_attempts_end(shared: Rig) -> None:
    held = Held()

    async def lasting(task: AgentTask, host: AgentHost) -> AgentResult:
        shared.clock.advance(7)
        return await Spending(0.01, held)(task, host)

    shared.runner.replies = {
        "a": [Spending(0.1)],
        "b": [replace(failing("crash"), usage=Usage(tokens_in=10, requests=1)), Spending(0.1)],
        "c": [replace(failing("tool_error"), usage=Usage(cost_micros=5, cost_basis="reported"))],
        "d": [lasting],
    }
    await limit(shared, Limits(max_cost_usd=9.0, max_tokens=1_000_000, max_requests=500))
    async with shared.engine() as engine:
        for mode in (StopMode.NOW, StopMode.CANCEL):
            steps = (agent("a"), agent("b", "a"), agent("c", optional=True), agent("d"))
            execution = await engine.execute(shared.draft(*steps))
            await came(held.begun)
            held.begun = type(held.begun)()
            execution = await soon(shared, engine, execution, lambda now: now.steps["b"].settled)
            await engine.interrupt(execution.id, mode, "enough")
    await agree(shared)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_after_a_crash_at_any_write_the_ledger_agrees_once_it_was_recovered(
    rig: Rig, *, after: bool
) -> None:
    at = 1
    while True:
        rig.store, rig.clock, rig.ledger = MemoryStore(), FakeClock(NOON), MemoryLedger(UTC, {})
        rig.runner = ScriptedRunner({"a": [Spending(0.2)], "b": [Spending(0.2)]})
        await limit(rig)
        point = CrashPoint(at, after=after)
        try:
            async with replace(rig, store=CrashingStore(rig.store, point)).engine() as engine:
                await rested(engine, await engine.execute(rig.draft(agent("a"), agent("b", "a"))))
        except* Crash:
            pass
        if not point.dead:
            break
        for row in (await rig.store.list(Query())).rows:
            rig.store.abandon(row.id)
        async with rig.engine() as engine:
            await quiet()
            await agree(rig)
            for row in (await rig.store.list(Query())).rows:
                if row.status is not COMPLETED:
                    await soon(
                        rig,
                        engine,
                        await engine.resume(row.id, Resume()),
                        lambda now: now.status is COMPLETED,
                    )
        await agree(rig)
        at += 1
    assert at > 8


async def test_what_a_crashed_engine_held_is_free_once_it_was_recovered(rig: Rig, watched: Watched) -> None:
    store = rig.store
    assert isinstance(store, MemoryStore)
    rig.runner.replies = {"a": [Spending(0.3, Held())], "b": [costing(100_000)]}
    await limit(rig)
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await until(engine, execution, lambda now: now.usage.cost_micros > 0)
        store.abandon(execution.id)
        assert await standing(rig) == (0, 1_000_000)
        copy = await store.read(execution.id)
    # What the engine posted when it was left counts for nobody: its record had been taken away.
    async with rig.engine() as engine:
        found = await engine.show(execution.id)
        assert found.status is ExecutionStatus.INTERRUPTED
        spent, held = await standing(rig)
        assert (spent, held) == (found.usage.cost_micros, 0)
        assert spent > copy.usage.cost_micros
        two = await rested(engine, await engine.execute(rig.draft(agent("b"))))
    assert two.status is COMPLETED
    assert watched.passed == []
    await agree(rig)


class Locked(MemoryLedger):
    """A ledger that cannot be used from a given question on, for so many questions."""

    def __init__(self) -> None:
        super().__init__(UTC, {})
        self.asked, self.at, self.times = 0, 0, 1

    def _ask(self) -> None:
        self.asked += 1
        if self.at and self.at <= self.asked < self.at + self.times:
            raise StorageError("The ledger is locked.")

    async def posted(self, execution_id: str) -> int:
        self._ask()
        return await super().posted(execution_id)

    async def room(self, now: float) -> Room:
        self._ask()
        return await super().room(now)

    async def post(self, posting: Posting) -> bool:
        self._ask()
        return await super().post(posting)

    async def reserve(
        self, posting: Posting, holds: Sequence[Hold], now: float, *, pauses: bool = True
    ) -> Room | None:
        self._ask()
        return await super().reserve(posting, holds, now, pauses=pauses)


async def test_a_ledger_that_fails_costs_neither_a_result_nor_a_charge(rig: Rig) -> None:
    at = 1
    while True:
        ledger = Locked()
        rig.store, rig.clock, rig.ledger = MemoryStore(), FakeClock(NOON), ledger
        rig.runner = ScriptedRunner({name: [costing(300_000)] for name in "abc"})
        await limit(rig)
        ledger.at = at
        async with rig.engine() as engine:
            execution = await engine.execute(rig.draft(agent("a"), agent("b", "a"), agent("c", "b")))
            execution = await rested(engine, execution)
            if execution.status is not COMPLETED:
                assert (execution.status, execution.reason) == (PAUSED, "storage")
                execution = await engine.resume(execution.id, Resume())
                execution = await soon(rig, engine, execution, lambda now: now.status is COMPLETED)
        assert [task.step.id for task in rig.runner.tasks] == ["a", "b", "c"]
        assert execution.usage.cost_micros == 900_000
        if ledger.asked < at:
            break
        ledger.at = 0
        await agree(rig)
        at += 1
    assert at > 8


async def test_an_engine_whose_ledger_stays_locked_can_still_be_stopped(rig: Rig) -> None:
    ledger, held = Locked(), Held()
    rig.clock, rig.ledger = FakeClock(NOON), ledger
    rig.runner.replies = {"a": [held]}
    await limit(rig)
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b")))
        await came(held.begun)
        ledger.at, ledger.times = ledger.asked + 1, 1 << 30
        execution = await engine.interrupt(execution.id, StopMode.NOW, "enough")
        assert execution.status in {ExecutionStatus.INTERRUPTED, PAUSED}
    assert await check_record(rig.store, execution.id) == execution
