"""Looking on: status, waiting, and the stream of events."""

from itertools import pairwise

import anyio
import pytest

from engine_mcp.core.agent import AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import Usage
from engine_mcp.core.event import Event, ProgressReported
from engine_mcp.core.execution import ExecutionStatus, Progress, StopMode
from engine_mcp.core.listing import Query
from engine_mcp.core.request import Resume
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.feed import KEPT
from engine_mcp.errors import ExecutionNotFound
from engine_mcp.ports import AgentHost
from engine_mcp.testing import capture_events
from tests.engine.rig import (
    NOBODY,
    WAIT_S,
    Held,
    Rig,
    adapter,
    agent,
    came,
    code,
    kinds,
    rested,
    until,
)

pytestmark = pytest.mark.anyio

Followed = list[tuple[int, Event]]


async def followed(engine: Engine, execution_id: str, after: int = 0) -> Followed:
    with anyio.fail_after(WAIT_S):
        return [item async for item in engine.follow(execution_id, after)]


def chain(count: int) -> list[str]:
    return [f"s{index}" for index in range(count)]


@pytest.mark.both_loops
@pytest.mark.req("004:L82", "004:L24", "002:L35")
async def test_a_follower_sees_every_event_once_and_in_order_until_the_execution_rests(
    rig: Rig, anyio_backend: object
) -> None:
    assert anyio_backend
    seen: list[Followed] = []
    async with rig.engine() as engine:
        steps = [agent("s0"), *(agent(name, before) for before, name in pairwise(chain(20)))]
        execution = await engine.execute(rig.draft(*steps))

        async def look() -> None:
            seen.append(await followed(engine, execution.id))

        async with anyio.create_task_group() as readers:
            for _ in range(3):
                readers.start_soon(look)
    events = await capture_events(rig.store, execution.id)
    assert events[-1].kind == "execution_completed"
    assert seen == [list(enumerate(events, 1))] * 3


async def test_a_follower_begins_behind_the_number_it_names(rig: Rig) -> None:
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"))))
        everything = await followed(engine, execution.id)
        assert await followed(engine, execution.id, 3) == everything[3:]
        assert await followed(engine, execution.id, len(everything)) == []
        assert await followed(engine, execution.id, 1000) == []


@pytest.mark.req("002:L55")
async def test_a_slow_reader_costs_the_engine_nothing_and_misses_nothing(rig: Rig) -> None:
    count = KEPT
    async with rig.engine() as engine:
        steps = [agent("s0"), *(agent(name, before) for before, name in pairwise(chain(count)))]
        execution = await engine.execute(rig.draft(*steps))
        stream = engine.follow(execution.id)
        first = await anext(stream)
        await rested(engine, execution)
        rest = [item async for item in stream]
    assert [number for number, _ in (first, *rest)] == list(range(1, 2 * count + 4))


async def test_the_feed_gives_way_to_the_record_where_it_no_longer_has_the_events(rig: Rig) -> None:
    last = Held()
    rig.runner.replies = {"last": [last]}
    async with rig.engine() as engine:
        names = chain(KEPT)
        steps = [agent("s0"), *(agent(name, before) for before, name in pairwise(names))]
        execution = await engine.execute(rig.draft(*steps, agent("last", names[-1])))
        await came(last.begun)
        everything = await engine.events(execution.id, 0, 10_000)
        assert [number for number, _ in everything] == list(range(1, len(everything) + 1))
        assert await engine.events(execution.id, 0, 5) == everything[:5]
        for after in (1, len(everything) - KEPT - 1, len(everything) - KEPT, len(everything) - 1):
            assert await engine.events(execution.id, after, 10_000) == everything[after:]
            assert await engine.events(execution.id, after, 1) == everything[after : after + 1]
        assert await engine.events(execution.id, len(everything), 10) == ()
        last.let_go.set()
        await rested(engine, execution)


async def test_a_follower_of_a_resumed_execution_sees_both_runs(rig: Rig) -> None:
    rig.runner.replies = {"a": [Held(), AgentResult(output=1)]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await until(engine, execution, lambda now: bool(now.running))
        await engine.interrupt(execution.id, StopMode.NOW, "x")
        first = await followed(engine, execution.id)
        await engine.resume(execution.id, Resume())
        second = await followed(engine, execution.id, first[-1][0])
    assert [event.kind for _, event in second] == [
        "execution_resumed",
        "execution_started",
        "attempt_started",
        "attempt_succeeded",
        "execution_completed",
    ]
    assert [number for number, _ in first + second] == list(range(1, len(first + second) + 1))


async def test_an_id_that_nobody_has_is_not_found(rig: Rig) -> None:
    async with rig.engine() as engine:
        for look in (
            lambda: engine.show(NOBODY),
            lambda: engine.wait(NOBODY, 0.01),
            lambda: engine.events(NOBODY, 0, 10),
            lambda: followed(engine, NOBODY),
            lambda: engine.resume(NOBODY, Resume()),
            lambda: engine.interrupt(NOBODY, StopMode.NOW, ""),
            lambda: engine.set_budget(NOBODY, rig.options.budget),
            lambda: engine.artifact(NOBODY, "0" * 64),
        ):
            with pytest.raises(ExecutionNotFound) as caught:
                await look()
            assert caught.value.code == "execution_not_found"


@pytest.mark.req("003:L29")
async def test_looking_changes_nothing(rig: Rig) -> None:
    held = Held()
    rig.runner.replies = {"a": [held]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(held.begun)
        before = await engine.show(execution.id)
        for _ in range(3):
            assert await engine.show(execution.id) is before
            await engine.events(execution.id, 0, 100)
            await engine.wait(execution.id, 0)
            await engine.list(Query())
        assert (await engine.show(execution.id)).revision == before.revision
        held.let_go.set()
        await rested(engine, execution)


async def test_waiting_ends_when_time_is_up_and_shows_what_there_is(rig: Rig) -> None:
    held = Held()
    rig.runner.replies = {"a": [held]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(held.begun)
        with anyio.fail_after(WAIT_S):
            execution = await engine.wait(execution.id, 0.01)
        assert execution.status is ExecutionStatus.RUNNING
        held.let_go.set()
        await rested(engine, execution)


async def test_waiting_for_a_number_ends_with_the_next_event(rig: Rig) -> None:
    held = Held()
    rig.runner.replies = {"b": [held]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b", "a")))
        seen = [execution.revision]
        with anyio.fail_after(WAIT_S):
            while execution.revision < 5:
                execution = await engine.wait(execution.id, WAIT_S, execution.revision)
                seen.append(execution.revision)
            assert (await engine.wait(execution.id, WAIT_S, 1)).revision == execution.revision
        assert seen == sorted(set(seen))
        held.let_go.set()
        await rested(engine, execution)


async def test_what_one_follows_is_shown_by_the_record_once_it_rests(rig: Rig) -> None:
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"))))
        assert await engine.show(execution.id) == execution
        assert await engine.wait(execution.id, WAIT_S) == execution
        assert engine.place(execution.id) == rig.store.place(execution.id)


@pytest.mark.req("004:L60", "002:L36", "002:L109", "002:L53")
async def test_progress_of_a_task_is_seen_while_it_runs(rig: Rig) -> None:
    held = Held()

    async def working(task: AgentTask, host: AgentHost) -> AgentResult:
        host.report(AgentReport(progress=Progress(done=1, total=3, message="one"), usage=Usage(tokens_in=1)))
        host.report(AgentReport(progress=Progress(done=2, total=3, message="two"), usage=Usage(tokens_in=1)))
        return await held(task, host)

    rig.runner.replies = {"a": [working]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        two = Progress(done=2, total=3, message="two")
        execution = await until(engine, execution, lambda now: now.steps["a"].progress == two)
        held.let_go.set()
        execution = await rested(engine, execution)
    told = await progress_of(rig, execution.id)
    assert told[-1].progress.message == "two"
    assert execution.usage.tokens_in == 2


@pytest.mark.req("004:L60", "002:L233")
async def test_progress_of_a_script_is_recorded_now_and_then_and_at_its_end(scripting: Rig) -> None:
    scripting.tools = [adapter("echo")]
    script = "for (let i = 1; i <= 20; i++) { progress(i, 20, 'x'); await tools.echo() }"
    execution = await scripting.run(scripting.draft(code("s", script)))
    told = await progress_of(scripting, execution.id)
    assert [event.progress.done for event in told] == [1, 20]
    assert execution.steps["s"].progress == Progress(done=20, total=20, message="x")


async def progress_of(rig: Rig, execution_id: str) -> list[ProgressReported]:
    events = await capture_events(rig.store, execution_id)
    return [event for event in events if isinstance(event, ProgressReported)]


async def test_the_engine_says_how_its_parts_are(rig: Rig) -> None:
    rig.tools = [adapter("echo")]
    async with rig.engine() as engine:
        health = await engine.health()
    assert list(health) == ["runtimes", "tools"]
    assert health["runtimes"]["scripted"].usable
    assert health["tools"]["echo"].usable


async def test_an_execution_without_news_is_followed_to_its_end_even_when_it_fails(rig: Rig) -> None:
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(code("s", "return 1")))
        seen = [event.kind for _, event in await followed(engine, execution.id)]
    assert seen == await kinds(rig.store, execution)
    assert seen[-1] == "execution_failed"
