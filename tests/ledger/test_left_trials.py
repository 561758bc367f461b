"""A trial whose process is gone keeps nobody away."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine_mcp.core.breaker import Breaker, BreakerState, blocks, tried
from engine_mcp.ledger.breakers import SqliteBreakers
from tests.ledger.ledgers import AT, FewProcesses

pytestmark = pytest.mark.anyio
PART = "endpoint somewhere"
OPEN = Breaker(
    part=PART, state=BreakerState.OPEN, failures=5, changed_at=AT - 60, retry_at=AT, code="overloaded"
)
HALF = tried(OPEN, AT)


@pytest.fixture
def processes() -> FewProcesses:
    return FewProcesses()


@pytest.fixture
def breakers(tmp_path: Path, processes: FewProcesses) -> Iterator[SqliteBreakers]:
    found = SqliteBreakers(tmp_path / "ledger.sqlite", processes=processes)
    yield found
    found.close()


async def claimed(breakers: SqliteBreakers, processes: FewProcesses) -> None:
    """Have another process take the trial of an open breaker."""
    assert await breakers.write(None, OPEN)
    assert await breakers.write(OPEN, HALF)
    processes.me = (2, 0.0)


async def test_the_trial_of_a_dead_process_is_free_at_once(
    breakers: SqliteBreakers, processes: FewProcesses
) -> None:
    await claimed(breakers, processes)
    assert blocks((await breakers.read())[PART], AT + 1)
    processes.dead.add((1, 0.0))
    found = (await breakers.read())[PART]
    assert (found.state, found.failures, blocks(found, AT + 1)) == (BreakerState.OPEN, 5, False)
    mine = tried(found, AT + 1)
    assert await breakers.write(found, mine)
    assert (await breakers.read())[PART].trier == (2, 0.0)


async def test_of_two_that_find_a_trial_free_one_takes_it(
    breakers: SqliteBreakers, processes: FewProcesses
) -> None:
    await claimed(breakers, processes)
    processes.dead.add((1, 0.0))
    one, two = (await breakers.read())[PART], (await breakers.read())[PART]
    assert [await breakers.write(found, tried(found, AT + 1)) for found in (one, two)] == [True, False]


async def test_the_trial_of_a_living_process_stays_its_own(
    breakers: SqliteBreakers, processes: FewProcesses
) -> None:
    await claimed(breakers, processes)
    assert (await breakers.read())[PART] == HALF
    assert await breakers.write(HALF, replace(HALF, state=BreakerState.OPEN, retry_at=AT + 60))
    assert (await breakers.read())[PART].trier is None


async def test_a_trial_of_which_nobody_knows_whose_it_is_runs_its_time(
    tmp_path: Path, breakers: SqliteBreakers
) -> None:
    assert await breakers.write(None, OPEN)
    assert await breakers.write(OPEN, HALF)
    with sqlite3.connect(tmp_path / "ledger.sqlite") as file:
        file.execute("UPDATE breakers SET body = json_remove(body, '$.trier')")
    assert (await breakers.read())[PART] == HALF
