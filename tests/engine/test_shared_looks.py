"""What executions share is looked at once for all that ask at the same time, and nobody goes on unseeing."""

from collections.abc import Mapping
from datetime import UTC

import anyio
import pytest

from engine_mcp.core.breaker import Breaker, BreakerState
from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.core.period import QUARTER_S, Change, Period, Room
from engine_mcp.core.spending import Posting
from engine_mcp.engine.accounts import Accounts
from engine_mcp.engine.circuits import Circuits
from engine_mcp.ledger.memory import MemoryBreakers, MemoryLedger
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import FakeClock
from tests.engine.rig import Held, Rig, agent, came, quiet, rested

pytestmark = pytest.mark.anyio

NOON = 1_800_014_400.0
MIDNIGHT = NOON + 12 * 3600.0
DOLLAR = Limits(max_cost_usd=1.0)
PART = "endpoint nowhere"
TURNS = 20


async def slowly() -> None:
    """Take so long that everybody else gets as far as they can."""
    for _ in range(TURNS):
        await anyio.lowlevel.checkpoint()


class SlowLedger(MemoryLedger):
    """A ledger that takes its time to tell what room there is."""

    def __init__(self) -> None:
        super().__init__(UTC, {})
        self.looks = 0

    async def room(self, now: float) -> Room:
        self.looks += 1
        await slowly()
        return await super().room(now)


class SlowBreakers(MemoryBreakers):
    """Breakers that take their time to be read."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    async def read(self) -> Mapping[str, Breaker]:
        self.looks += 1
        await slowly()
        return await super().read()


async def limited(ledger: MemoryLedger, limits: Limits = DOLLAR) -> None:
    await ledger.limit(Period.DAY, limits, Change(at=NOON, by="test", period=Period.DAY))


async def test_four_executions_that_start_at_once_all_get_a_share_of_the_day(rig: Rig) -> None:
    rig.clock, rig.ledger = FakeClock(NOON), (ledger := SlowLedger())
    await limited(ledger)
    held = Held()
    rig.runner.replies = {"a": [held]}
    async with rig.engine() as engine:
        begun = [await engine.execute(rig.draft(agent("a"))) for _ in range(4)]
        await came(held.begun)
        await quiet()
        shares = [task.reserved.cost_micros for task in rig.runner.tasks]
        assert len(shares) == 4
        assert all(0 < share < 1_000_000 for share in shares)
        assert sum(shares) <= 1_000_000
        held.let_go.set()
        ended = [await rested(engine, one) for one in begun]
    assert {one.status for one in ended} == {ExecutionStatus.COMPLETED}


async def test_whoever_looks_while_another_looks_sees_the_room_too_and_the_ledger_is_read_once() -> None:
    await limited(ledger := SlowLedger())
    accounts = Accounts(ledger, MemoryStore(), FakeClock(NOON))
    seen: list[int] = []

    async def look() -> None:
        seen.append(len((await accounts.look()).standings))

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(look)
    assert seen == [1, 1, 1, 1]
    assert ledger.looks == 1


async def test_whoever_looks_while_another_looks_sees_what_is_broken_too_and_it_is_read_once() -> None:
    breakers = SlowBreakers()
    broken = Breaker(part=PART, state=BreakerState.OPEN, retry_at=NOON + 60, changed_at=NOON)
    assert await breakers.write(None, broken)
    circuits = Circuits(breakers, FakeClock(NOON))
    seen: list[bool] = []

    async def look() -> None:
        await circuits.look()
        seen.append(PART in circuits.known)

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(look)
    assert seen == [True, True, True, True]
    assert breakers.looks == 1


async def test_a_room_of_yesterday_is_not_kept_over_midnight() -> None:
    await limited(ledger := MemoryLedger(UTC, {}))
    clock = FakeClock(MIDNIGHT - 0.4)
    spent = {int(NOON // QUARTER_S): Usage(cost_micros=1_000_000)}
    await ledger.post(Posting(execution_id="one", after=0, upto=1, spent=spent, holds=()))
    accounts = Accounts(ledger, MemoryStore(), clock)
    (before,) = (await accounts.look()).standings
    assert (before.spent.cost_micros, before.resets_at) == (1_000_000, MIDNIGHT)
    clock.advance(0.4)  # less than how long a look is good for
    (after,) = (await accounts.look()).standings
    assert after.spent.cost_micros == 0
