"""What every ledger and all breakers keep their word on, in a file or in memory."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import anyio
import pytest

from engine_mcp.core.breaker import Breaker, BreakerState
from engine_mcp.core.budget import Limits, OnExceed, Usage
from engine_mcp.core.period import QUARTER_S, Period
from engine_mcp.core.spending import Hold, Posting
from engine_mcp.ledger.breakers import SqliteBreakers
from engine_mcp.ledger.memory import MemoryBreakers, MemoryLedger
from engine_mcp.ports import Breakers, Ledger
from tests.ledger.ledgers import AT, AnyLedger, change, file_ledger, hold, left, posting, tokens

pytestmark = pytest.mark.anyio
CAPS = {Period.MONTH: Limits(max_tokens=1_000)}


@pytest.fixture(params=["file", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyLedger]:
    if request.param == "memory":
        yield MemoryLedger(UTC, CAPS)
        return
    book = file_ledger(tmp_path, caps=CAPS)
    yield book
    book.close()


@pytest.fixture(params=["file", "memory"])
def breakers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Breakers]:
    if request.param == "memory":
        yield MemoryBreakers()
        return
    found = SqliteBreakers(tmp_path / "ledger.sqlite")
    yield found
    found.close()


async def test_a_new_ledger_knows_nothing_but_the_caps(ledger: AnyLedger) -> None:
    fulfilled: Ledger = ledger
    assert await fulfilled.posted("one") == 0
    assert await fulfilled.spent(Period.DAY, AT) == Usage()
    assert await fulfilled.changes(None, 10) == ()
    (cap,) = (await fulfilled.room(AT)).standings
    assert (cap.cap, cap.limits, cap.period, cap.spent) == (True, CAPS[Period.MONTH], Period.MONTH, Usage())
    assert cap.resets_at == 1_801_440_000  # the 1st of February


@pytest.mark.req("003:L62")
@pytest.mark.both_loops
async def test_what_is_posted_is_summed_to_the_smallest_unit(
    ledger: AnyLedger, anyio_backend: object
) -> None:
    assert anyio_backend
    quarter = int(AT // QUARTER_S)
    one = Usage(
        tokens_in=1, tokens_out=2, cache_read=3, cache_write=4, seconds=0.1, cost_micros=7, requests=1
    )
    two = Usage(tokens_out=5, seconds=0.2, cost_micros=1, requests=2)
    spent = {quarter: one, quarter + 1: two}
    assert await ledger.post(Posting(execution_id="one", after=0, upto=3, spent=spent))
    assert await ledger.post(Posting(execution_id="two", after=0, upto=1, spent={quarter: two}))
    assert await ledger.posted("one") == 3
    for period in Period:
        found = await ledger.spent(period, AT)
        assert found == Usage(tokens_in=20, seconds=0.5, cost_micros=9, requests=5)


async def test_the_same_events_are_entered_once(ledger: AnyLedger) -> None:
    assert await ledger.post(posting(upto=2, spent=5))
    assert not await ledger.post(posting(upto=2, spent=5))
    assert not await ledger.post(posting(after=1, upto=3, spent=5, holds=(hold(9),)))
    assert not await ledger.post(posting(after=3, upto=4, spent=5))
    assert await ledger.post(posting(after=2, upto=3, spent=1))
    assert (await ledger.spent(Period.DAY, AT)).tokens_in == 6
    assert await left(ledger, Period.MONTH, AT) == (1_000, 6, 0)


async def test_of_many_that_post_the_same_one_wins(ledger: AnyLedger) -> None:
    answers: list[bool] = []

    async def post() -> None:
        answers.append(await ledger.post(posting(upto=2, spent=5)))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(post)
    assert sorted(answers) == [False] * 9 + [True]
    assert (await ledger.spent(Period.DAY, AT)).tokens_in == 5


@pytest.mark.req("003:L49")
async def test_of_many_that_reserve_at_once_none_gets_what_another_has(ledger: AnyLedger) -> None:
    granted: list[int] = []

    async def reserve(name: int) -> None:
        if await ledger.reserve(posting(str(name)), [hold(300)], AT) is None:
            granted.append(name)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for name in range(10):
                group.start_soon(reserve, name)
    assert len(granted) == 3
    assert await left(ledger, Period.MONTH, AT) == (1_000, 0, 900)


async def test_what_is_held_is_given_back_or_spent_by_the_next_posting(ledger: AnyLedger) -> None:
    assert await ledger.reserve(posting(upto=1), [hold(600), hold(400, step="t")], AT) is None
    assert await left(ledger, Period.MONTH, AT) == (1_000, 0, 1_000)
    room = await ledger.reserve(posting("two"), [hold(1)], AT)
    assert room is not None
    assert room.standings[0].held.tokens_in == 1_000
    assert await ledger.post(posting(after=1, upto=2, spent=100, holds=(hold(500),)))
    assert await left(ledger, Period.MONTH, AT) == (1_000, 100, 500)
    assert await ledger.reserve(posting("two"), [hold(400)], AT) is None
    assert await ledger.post(posting(after=2, upto=3))
    assert await left(ledger, Period.MONTH, AT) == (1_000, 100, 400)


async def test_a_refusal_holds_nothing_of_many_but_counts_what_was_posted(ledger: AnyLedger) -> None:
    ask = [hold(500), hold(501, step="t")]
    room = await ledger.reserve(posting(upto=4, spent=7, holds=(hold(3, step="u"),)), ask, AT)
    assert room is not None
    assert await ledger.posted("one") == 4
    assert room == await ledger.room(AT)
    assert await left(ledger, Period.MONTH, AT) == (1_000, 7, 3)


async def test_holding_more_for_the_same_attempt_adds_to_it(ledger: AnyLedger) -> None:
    assert await ledger.reserve(posting(holds=(hold(10),)), [hold(5)], AT) is None
    assert await left(ledger, Period.MONTH, AT) == (1_000, 0, 15)


async def test_whoever_is_behind_holds_nothing_and_sees_the_room(ledger: AnyLedger) -> None:
    assert await ledger.post(posting(upto=3, spent=1, holds=(hold(2),)))
    room = await ledger.reserve(posting(upto=2, spent=1), [hold(5)], AT)
    assert room == await ledger.room(AT)
    assert await left(ledger, Period.MONTH, AT) == (1_000, 1, 2)


async def test_who_asks_for_nothing_is_granted_until_the_limit_is_reached(ledger: AnyLedger) -> None:
    free = Hold(step="s", number=1, usage=Usage(requests=1))
    assert await ledger.reserve(posting(upto=1, spent=999), [free], AT) is None
    assert await ledger.reserve(posting("two", upto=1, spent=1), [free], AT) is not None
    assert await ledger.reserve(posting("three"), [], AT) is None


@pytest.mark.parametrize(
    ("on_exceed", "pauses", "granted"),
    [
        (None, True, False),
        (None, False, True),
        (OnExceed.WARN, True, True),
        (OnExceed.PAUSE, False, False),
    ],
)
async def test_a_limit_that_only_warns_refuses_nothing(
    ledger: AnyLedger, on_exceed: OnExceed | None, *, pauses: bool, granted: bool
) -> None:
    await ledger.limit(Period.DAY, Limits(max_tokens=10, on_exceed=on_exceed), change())
    answer = await ledger.reserve(posting(), [hold(11)], AT, pauses=pauses)
    assert (answer is None) is granted
    assert await ledger.reserve(posting("two"), [hold(2_000)], AT, pauses=pauses) is not None


async def test_limits_that_are_set_keep_the_others_and_a_reset_takes_them_away(ledger: AnyLedger) -> None:
    first = Limits(max_tokens=10, max_cost_usd=0.25, on_exceed=OnExceed.PAUSE)
    await ledger.post(posting(upto=1, spent=3))
    await ledger.limit(Period.DAY, first, change())
    await ledger.limit(Period.DAY, Limits(max_tokens=20), change(AT + 1))
    day, month = (await ledger.room(AT)).standings
    assert day.limits == replace(first, max_tokens=20)
    assert (day.cap, month.cap) == (False, True)
    await ledger.limit(Period.DAY, Limits(max_requests=5), change(AT + 2, reset=True))
    assert (await ledger.room(AT)).standings[0].limits == Limits(max_requests=5)
    await ledger.limit(Period.DAY, Limits(), change(AT + 3, reset=True))
    assert (await ledger.room(AT)).standings == (month,)
    newest, *_, oldest = await ledger.changes(Period.DAY, 10)
    assert (newest.at, newest.by, newest.reset, newest.after) == (AT + 3, "test", True, Limits())
    assert (oldest.before, oldest.after, oldest.spent) == (Limits(), first, tokens(3))


async def test_changes_are_told_newest_first_by_period(ledger: AnyLedger) -> None:
    for number, period in enumerate([Period.DAY, Period.MONTH, Period.DAY]):
        await ledger.limit(period, Limits(max_tokens=number), change(AT + number))

    async def times(period: Period | None, limit: int) -> list[float]:
        return [entry.at - AT for entry in await ledger.changes(period, limit)]

    assert await times(None, 10) == [2, 1, 0]
    assert await times(None, 2) == [2, 1]
    assert await times(Period.MONTH, 10) == [1]
    assert await times(None, 0) == []


async def test_a_cap_and_a_limit_stand_side_by_side_and_both_hold(ledger: AnyLedger) -> None:
    await ledger.limit(Period.MONTH, Limits(max_tokens=5_000), change())
    assert [standing.cap for standing in (await ledger.room(AT)).standings] == [False, True]
    assert await ledger.reserve(posting(), [hold(1_001)], AT) is not None
    assert await ledger.reserve(posting(), [hold(1_000)], AT) is None


OPEN = Breaker(
    part="endpoint:anthropic",
    state=BreakerState.OPEN,
    failures=3,
    changed_at=AT,
    retry_at=AT + 60,
    code="overloaded",
    evidence="HTTP 529",
)


async def test_breakers_are_read_as_they_were_written(breakers: Breakers) -> None:
    other = replace(OPEN, part="pool:a", retry_at=None)
    counted = Breaker(part="model:b", failures=1)
    assert await breakers.read() == {}
    for breaker in (OPEN, other, counted):
        assert await breakers.write(None, breaker)
    assert await breakers.read() == {one.part: one for one in (OPEN, other, counted)}


async def test_a_breaker_that_another_changed_is_not_overwritten(breakers: Breakers) -> None:
    half = replace(OPEN, state=BreakerState.HALF_OPEN)
    assert not await breakers.write(OPEN, half)
    assert await breakers.write(None, OPEN)
    assert not await breakers.write(None, half)
    assert not await breakers.write(replace(OPEN, failures=2), half)
    assert await breakers.write(OPEN, half)
    assert await breakers.read() == {OPEN.part: half}


async def test_a_closed_breaker_without_failures_is_forgotten(breakers: Breakers) -> None:
    closed = Breaker(part=OPEN.part, changed_at=AT)
    assert await breakers.write(closed, OPEN)
    assert await breakers.write(OPEN, closed)
    assert await breakers.read() == {}
    assert await breakers.write(None, closed)
    assert await breakers.read() == {}


async def test_of_many_that_try_a_half_open_breaker_one_wins(breakers: Breakers) -> None:
    answers: list[bool] = []
    assert await breakers.write(None, OPEN)

    async def attempt() -> None:
        answers.append(await breakers.write(OPEN, replace(OPEN, state=BreakerState.HALF_OPEN)))

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(attempt)
    assert sorted(answers) == [False] * 4 + [True]
