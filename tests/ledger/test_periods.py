"""Days and months: what counts in them, wherever they begin, and what is carried into the next."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from engine_mcp.core.budget import Limits
from engine_mcp.core.period import QUARTER_S, Period, bounds
from engine_mcp.ledger.book import SqliteLedger
from engine_mcp.ledger.memory import MemoryLedger
from tests.ledger.ledgers import AT, AnyLedger, FewProcesses, change, file_ledger, hold, left, posting

pytestmark = pytest.mark.anyio
LIMIT = Limits(max_tokens=100)
SECOND = 1.0


def zone_of(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:
        pytest.skip(f"NOT TESTED: days of {name}, because this machine has no time zones")


def time_in(zone: tzinfo, year: int, month: int, day: int, hour: int = 0) -> float:
    return datetime(year, month, day, hour, tzinfo=zone).timestamp()


@pytest.fixture(params=["file", "memory"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(tmp_path: Path, kind: str) -> Iterator["Opened"]:
    found = Opened(tmp_path, kind)
    yield found
    found.close()


class Opened:
    """Makes ledgers of one kind and closes them."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder, self._kind = folder, kind
        self._files: list[SqliteLedger] = []

    def ledger(self, zone: tzinfo, at: float) -> AnyLedger:
        caps = dict.fromkeys(Period, LIMIT)
        if self._kind == "memory":
            return MemoryLedger(zone, caps)
        self._files.append(file_ledger(self._folder, zone=zone, caps=caps, at=at))
        return self._files[-1]

    def close(self) -> None:
        for ledger in self._files:
            ledger.close()


DAYS = [
    ("UTC", (2027, 1, 15), 24.0),
    ("Europe/Berlin", (2027, 3, 28), 23.0),
    ("Europe/Berlin", (2027, 10, 31), 25.0),
    ("Asia/Kolkata", (2027, 1, 15), 24.0),
    ("Asia/Kathmandu", (2027, 1, 15), 24.0),
    ("Pacific/Chatham", (2027, 1, 15), 24.0),
    ("Australia/Lord_Howe", (2027, 4, 4), 24.5),
    ("America/Sao_Paulo", (2018, 11, 4), 23.0),
    ("America/Havana", (2026, 11, 1), 25.0),
    ("Pacific/Apia", (2011, 12, 31), 24.0),
]


@pytest.mark.req("003:L49")
@pytest.mark.parametrize(("name", "day", "hours"), DAYS)
async def test_a_day_has_what_was_spent_from_its_midnight_to_the_next(
    opened: Opened, name: str, day: tuple[int, int, int], hours: float
) -> None:
    zone = zone_of(name)
    noon = time_in(zone, *day, 12)
    begin, end = bounds(Period.DAY, noon, zone)
    assert (end - begin) / 3600 == hours
    ledger = opened.ledger(zone, noon)
    moments = (begin - SECOND, begin, noon, end - SECOND, end)
    for number, moment in enumerate(moments):
        assert await ledger.post(posting(after=number, upto=number + 1, spent=10**number, at=moment))
    assert (await ledger.spent(Period.DAY, noon)).tokens_in == 1_110
    for moment in (begin, end - SECOND):
        assert await left(ledger, Period.DAY, moment) == (100, 1_110, 0)
    assert (await ledger.spent(Period.DAY, begin - SECOND)).tokens_in == 1
    assert (await ledger.spent(Period.DAY, end)).tokens_in == 10_000
    standing = (await ledger.room(noon)).standings[0]
    assert (standing.period, standing.resets_at) == (Period.DAY, end)


@pytest.mark.parametrize("name", ["UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Chatham"])
@pytest.mark.parametrize("month", [(2027, 12), (2028, 2), (2027, 3), (2027, 11)])
async def test_a_month_has_what_was_spent_from_its_first_midnight_to_the_next(
    opened: Opened, name: str, month: tuple[int, int]
) -> None:
    zone = zone_of(name)
    first = time_in(zone, *month, 1)
    following = time_in(zone, month[0] + month[1] // 12, month[1] % 12 + 1, 1)
    ledger = opened.ledger(zone, first)
    moments = (first - SECOND, first, following - SECOND, following)
    for number, moment in enumerate(moments):
        assert await ledger.post(posting(after=number, upto=number + 1, spent=10**number, at=moment))
    assert (await ledger.spent(Period.MONTH, first)).tokens_in == 110
    assert (await ledger.spent(Period.MONTH, following)).tokens_in == 1_000
    standing = (await ledger.room(first)).standings[1]
    assert (standing.period, standing.resets_at) == (Period.MONTH, following)


async def test_a_full_day_has_room_again_after_midnight_and_a_full_month_has_not(opened: Opened) -> None:
    zone = timezone(timedelta(hours=-9, minutes=-30))
    late = time_in(zone, 2027, 1, 31, 23) + 59 * 60
    ledger = opened.ledger(zone, late)
    await ledger.limit(Period.MONTH, Limits(max_tokens=150), change(late))
    assert await ledger.post(posting(upto=1, spent=95, at=late - 86_400))
    assert await ledger.reserve(posting("two"), [hold(6)], late - 86_400) is not None
    assert await ledger.reserve(posting("two"), [hold(6)], late) is not None
    assert await ledger.reserve(posting("two"), [hold(5)], late) is None
    assert await ledger.reserve(posting("three"), [hold(95)], late + 60) is None


async def test_what_is_held_over_midnight_counts_today(opened: Opened) -> None:
    ledger = opened.ledger(UTC, AT)
    tomorrow = AT + 86_400
    assert await ledger.reserve(posting(), [hold(60)], AT) is None
    assert await left(ledger, Period.DAY, tomorrow) == (100, 0, 60)
    assert await ledger.reserve(posting("two"), [hold(41)], tomorrow) is not None
    assert await ledger.reserve(posting("two"), [hold(40)], tomorrow) is None


async def test_the_hold_of_a_dead_process_counts_where_it_lived(tmp_path: Path) -> None:
    processes = FewProcesses()
    ledger = file_ledger(tmp_path, caps=dict.fromkeys(Period, LIMIT), processes=processes)
    assert await ledger.reserve(posting(), [hold(60)], AT) is None
    processes.dead.add(processes.me)
    processes.me = (2, 0.0)
    assert await left(ledger, Period.DAY, AT + 3600) == (100, 0, 60)
    tomorrow = AT + 86_400
    assert await left(ledger, Period.DAY, tomorrow) == (100, 0, 0)
    assert await left(ledger, Period.MONTH, tomorrow) == (100, 0, 60)
    assert await left(ledger, Period.MONTH, AT + 31 * 86_400) == (100, 0, 0)
    assert await ledger.post(posting(after=0, upto=2, spent=30, at=AT))
    assert await left(ledger, Period.MONTH, tomorrow) == (100, 30, 0)
    ledger.close()


async def test_a_hold_made_at_midnight_counts_on_the_day_that_begins(tmp_path: Path) -> None:
    processes = FewProcesses()
    ledger = file_ledger(tmp_path, caps=dict.fromkeys(Period, LIMIT), processes=processes)
    midnight, _ = bounds(Period.DAY, AT, UTC)
    assert await ledger.reserve(posting(), [hold(60)], midnight) is None
    processes.dead.add(processes.me)
    assert await left(ledger, Period.DAY, AT) == (100, 0, 60)
    ledger.close()


async def test_a_process_that_was_seen_today_holds_today_though_it_died(tmp_path: Path) -> None:
    processes = FewProcesses()
    ledger = file_ledger(tmp_path, caps=dict.fromkeys(Period, LIMIT), processes=processes)
    assert await ledger.reserve(posting(), [hold(60)], AT) is None
    tomorrow = AT + 86_400
    died, processes.me = processes.me, (2, 0.0)
    assert await ledger.reserve(posting("two"), [hold(41)], tomorrow) is not None
    processes.dead.add(died)
    assert await left(ledger, Period.DAY, tomorrow) == (100, 0, 60)
    assert await ledger.reserve(posting("two"), [hold(41)], tomorrow) is not None
    ledger.close()


async def test_what_is_too_old_to_be_asked_for_is_dropped(tmp_path: Path) -> None:
    ancient, recent = AT - 401 * 86_400, AT - 399 * 86_400
    old = file_ledger(tmp_path, at=ancient)
    assert await old.post(posting("ancient", upto=1, spent=1, at=ancient))
    old.close()
    old = file_ledger(tmp_path, at=recent)
    assert await old.post(posting("recent", upto=1, spent=1, at=recent))
    old.close()
    ledger = file_ledger(tmp_path)
    assert await ledger.post(posting("new", upto=1, spent=1))
    assert [await ledger.posted(name) for name in ("ancient", "recent", "new")] == [0, 1, 1]
    assert (await ledger.spent(Period.DAY, ancient)).tokens_in == 0
    assert (await ledger.spent(Period.DAY, recent)).tokens_in == 1
    ledger.close()


def test_midnight_lies_on_a_quarter_of_an_hour() -> None:
    for name, day, _ in DAYS:
        begin, end = bounds(Period.DAY, time_in(zone_of(name), *day, 12), zone_of(name))
        assert begin % QUARTER_S == end % QUARTER_S == 0
