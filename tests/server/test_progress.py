"""Whoever waits gets news: at changes, not too often, and a sign of life where nothing changes."""

from collections.abc import Callable
from dataclasses import replace

import anyio
import pytest

from engine_mcp.core.execution import Execution, ExecutionStatus
from engine_mcp.server.progress import HEARTBEAT_S, INTERVAL_S, Patience, Reporter, message, waited
from tests.server.leaping import LEAPING
from tests.server.samples import begun, code, created, done, reporting, started, stopped

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    return LEAPING


class Engine:
    """Waits like the engine, for an execution that changes by itself at given times."""

    def __init__(self, at: Callable[[float], Execution], every: float) -> None:
        self._at, self._every = at, every
        self._began = anyio.current_time()
        self.waits = 0

    @property
    def now(self) -> Execution:
        return self._at(anyio.current_time() - self._began)

    async def wait(self, execution_id: str, seconds: float, after: int | None = None) -> Execution:
        assert execution_id == self.now.id
        self.waits += 1
        with anyio.move_on_after(seconds):
            while self._unchanged(after):  # noqa: ASYNC110 - it changes with the time
                await anyio.sleep(self._every)
        return self.now

    def _unchanged(self, after: int | None) -> bool:
        return self.now.status is ExecutionStatus.RUNNING and (after is None or self.now.revision <= after)


class News:
    """Remembers what was told, and when."""

    def __init__(self) -> None:
        self.told: list[tuple[float, float, str]] = []
        self.times: list[float] = []

    async def __call__(self, done_: float, total: float, text: str) -> None:
        self.told.append((done_, total, text))
        self.times.append(anyio.current_time())


def busy() -> Execution:
    return begun(started(code("a"), code("b")), "a")


async def test_nothing_is_told_of_what_rests() -> None:
    news, resting = News(), stopped(busy())
    engine = Engine(lambda _: resting, 1)
    assert await waited(engine.wait, resting, Patience(60), Reporter(news)) is resting
    assert (news.told, engine.waits) == ([], 0)


async def test_where_nothing_changes_there_is_a_sign_of_life_and_an_end() -> None:
    news, execution = News(), busy()
    engine, began = Engine(lambda _: execution, 100), anyio.current_time()
    await waited(engine.wait, execution, Patience(35), Reporter(news))
    assert anyio.current_time() - began == pytest.approx(35, abs=0.1)
    assert [round(time - began) for time in news.times] == [0, 10, 20, 30]


@pytest.mark.req("002:L109", "002:L233")
async def test_what_is_told_always_grows_and_never_passes_the_whole() -> None:
    news = News()
    steps = started(code("a"), code("b"))
    states = [
        begun(steps, "a"),
        reporting(begun(steps, "a"), "a", 9, 10, "nearly"),
        reporting(begun(steps, "a"), "a", 1, 10, "no, not yet"),
        begun(done(steps, {"a": 1}), "b"),
        done(steps, {"a": 1, "b": 2}),
    ]
    engine = Engine(lambda at: replace(states[min(int(at), 4)], revision=int(at) + 9), 0.1)
    await waited(engine.wait, engine.now, Patience(30), Reporter(news))
    values = [done_ for done_, _, _ in news.told]
    assert values == sorted(set(values))
    assert all(done_ <= total for done_, total, _ in news.told)
    assert {text for _, _, text in news.told} >= {"0/2 steps · nearly", "1/2 steps · b"}


async def test_many_changes_are_told_at_intervals() -> None:
    news, execution = News(), busy()
    engine = Engine(lambda at: replace(execution, revision=int(at * 100)), 0.01)
    await waited(engine.wait, engine.now, Patience(10), Reporter(news))
    gaps = [later - earlier for earlier, later in zip(news.times, news.times[1:], strict=False)]
    assert min(gaps) >= INTERVAL_S - 0.01
    assert len(gaps) > 10


async def test_a_change_is_told_soon() -> None:
    news, execution = News(), busy()
    engine, began = (
        Engine(lambda at: replace(execution, revision=7 if at < 4 else 8), 0.01),
        anyio.current_time(),
    )
    await waited(engine.wait, engine.now, Patience(6), Reporter(news))
    assert [round(time - began, 1) for time in news.times] == [0, 4]


async def test_with_a_cursor_the_wait_ends_at_the_next_event() -> None:
    execution = busy()
    engine, began = Engine(lambda at: replace(execution, revision=int(at)), 0.01), anyio.current_time()
    found = await waited(engine.wait, engine.now, Patience(60, after=7), Reporter(News()))
    assert found.revision == 8
    assert anyio.current_time() - began == pytest.approx(8, abs=0.1)


async def test_an_event_that_is_there_already_ends_the_wait_before_it_begins() -> None:
    engine = Engine(lambda _: busy(), 1)
    await waited(engine.wait, engine.now, Patience(60, after=1), Reporter(News()))
    assert engine.waits == 0


async def test_where_nobody_tells_of_changes_they_are_looked_for_at_intervals() -> None:
    execution, looks = busy(), list[float]()

    async def look(_: str, __: float, ___: int | None = None) -> Execution:
        looks.append(anyio.current_time())
        return execution if len(looks) < 30 else stopped(execution)

    found = await waited(look, execution, Patience(60), Reporter(News()))
    assert found.status is ExecutionStatus.INTERRUPTED
    assert looks[-1] - looks[0] >= 12 * INTERVAL_S


def test_the_signs_of_life_come_often_enough_for_any_client() -> None:
    assert HEARTBEAT_S < 60 / 2


@pytest.mark.req("002:L36", "002:L39")
@pytest.mark.parametrize(
    ("execution", "text"),
    [
        (created(), "0/1 steps · pending"),
        (busy(), "0/2 steps · a"),
        (begun(started(code("a"), code("b")), "a", "b"), "0/2 steps · a, b"),
        (reporting(busy(), "a", 1, None, "reading sources"), "0/2 steps · reading sources"),
        (begun(done(started(code("a"), code("b")), {"a": 1}), "b"), "1/2 steps · b"),
    ],
)
def test_the_message_says_how_far_it_is_and_what_it_does(execution: Execution, text: str) -> None:
    assert message(execution) == text
