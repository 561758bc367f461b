"""The threads of the store: every end is handed over, to whoever still waits for it."""

import asyncio
import threading
from collections.abc import Iterator

import anyio
import pytest

from engine_mcp.store.threads import Threads

WAIT_S = 10


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads(2)
    yield made
    made.close()


@pytest.mark.anyio
@pytest.mark.both_loops
async def test_results_and_errors_come_to_whoever_asked(threads: Threads, anyio_backend: object) -> None:
    assert anyio_backend
    results: list[int] = []

    async def ask(number: int) -> None:
        results.append(await threads.run(lambda: number))

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as asking:
            for number in range(50):
                asking.start_soon(ask, number)
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 // 0)
    assert sorted(results) == list(range(50))


@pytest.mark.anyio
async def test_no_more_run_at_once_than_there_are_threads(threads: Threads) -> None:
    meeting = threading.Barrier(2, timeout=WAIT_S)
    seen: set[int] = set()

    def meet() -> None:
        meeting.wait()
        seen.add(threading.get_ident())

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as asking:
            for _ in range(6):
                asking.start_soon(threads.run, meet)
    assert len(seen) == 2


def test_one_who_no_longer_waits_takes_nobody_elses_result_along(threads: Threads) -> None:
    go_on = threading.Event()

    async def play() -> int:
        # Both end in one burst: the first is given up by force, as by the end of a loop.
        first = asyncio.ensure_future(threads.run(go_on.wait, WAIT_S))
        second = asyncio.ensure_future(threads.run(lambda: 2))
        await asyncio.wait({second})
        third = asyncio.ensure_future(threads.run(lambda: 3))
        first.cancel()
        go_on.set()
        return await asyncio.wait_for(third, WAIT_S)

    assert asyncio.run(play()) == 3


def test_a_loop_that_is_gone_ends_no_thread(threads: Threads) -> None:
    go_on, went_on = threading.Event(), threading.Event()

    def slow() -> None:
        go_on.wait(WAIT_S)
        went_on.set()

    async def leave() -> None:
        task = asyncio.ensure_future(threads.run(slow))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    go_on.set()
    assert went_on.wait(WAIT_S)

    async def again() -> str:
        return await threads.run(lambda: "still here")

    assert asyncio.run(again()) == "still here"
