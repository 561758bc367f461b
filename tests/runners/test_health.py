"""Health is asked seldom, by one caller at a time, and for a bounded time."""

import anyio
import anyio.lowlevel
import pytest

from engine_mcp.core.tool import Health
from engine_mcp.runners.health import Probe

pytestmark = pytest.mark.anyio


class Asked:
    """Answers with a new version each time, once it is let."""

    def __init__(self) -> None:
        self.times = 0
        self.may_answer = anyio.Event()
        self.was_asked = anyio.Event()

    async def __call__(self) -> Health:
        self.times += 1
        self.was_asked.set()
        await self.may_answer.wait()
        return Health(usable=True, version=str(self.times))


async def test_an_answer_is_kept_for_a_while() -> None:
    ask = Asked()
    ask.may_answer.set()
    kept, forgotten = Probe(ask), Probe(ask, keep_s=0)
    assert [(await kept()).version for _ in range(3)] == ["1", "1", "1"]
    assert [(await forgotten()).version for _ in range(2)] == ["2", "3"]


async def test_a_fresh_answer_is_asked_for_and_kept() -> None:
    ask = Asked()
    ask.may_answer.set()
    probe = Probe(ask)
    assert (await probe()).version == "1"
    assert (await probe(fresh=True)).version == "2"
    assert (await probe()).version == "2"


async def test_callers_who_want_it_fresh_share_a_question_that_was_asked_after_they_came() -> None:
    ask, answers = Asked(), list[str]()
    probe = Probe(ask)

    async def call() -> None:
        answers.append((await probe(fresh=True)).version)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await ask.was_asked.wait()
        for _ in range(3):  # these come while the first question is under way: its answer may be old
            tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        ask.may_answer.set()
    assert answers == ["1", "2", "2", "2"]


async def test_callers_at_the_same_time_share_one_question() -> None:
    ask, answers = Asked(), list[str]()
    probe = Probe(ask)

    async def call() -> None:
        answers.append((await probe()).version)

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(call)
        await ask.was_asked.wait()
        ask.may_answer.set()
    assert answers == ["1"] * 5
    assert ask.times == 1


async def test_a_caller_that_leaves_does_not_spoil_it_for_the_others() -> None:
    ask = Asked()
    probe = Probe(ask)
    with anyio.move_on_after(0.01):
        await probe()
    ask.may_answer.set()
    assert (await probe()).version == "2"


@pytest.mark.req("002:L79")
async def test_a_runtime_that_does_not_answer_in_time_is_not_usable() -> None:
    health = await Probe(Asked(), limit_s=0.01)()
    assert not health.usable
    assert "0.01 s" in health.detail
    assert health.remedy


async def test_a_runtime_that_cannot_be_started_is_not_usable() -> None:
    async def ask() -> Health:
        await anyio.lowlevel.checkpoint()
        raise PermissionError(13, "Permission denied")

    health = await Probe(ask)()
    assert not health.usable
    assert "Permission denied" in health.detail
    assert health.remedy
