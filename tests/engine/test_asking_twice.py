"""Idempotency keys, and the limits on how many executions there are at once."""

from dataclasses import replace

import anyio
import pytest

from engine_mcp.core.execution import Execution, ExecutionStatus, StopMode
from engine_mcp.core.listing import Query
from engine_mcp.core.plan import Draft
from engine_mcp.core.request import Resume
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.parts import EngineOptions
from engine_mcp.errors import Busy, EngineError, IdempotencyConflict
from tests.engine.rig import Held, Rig, agent, came, rested, until

pytestmark = pytest.mark.anyio


def keyed(rig: Rig, *names: str, key: str = "k") -> Draft:
    return replace(rig.draft(*map(agent, names)), idempotency_key=key)


async def test_the_same_key_gives_the_same_execution_running_or_ended(rig: Rig) -> None:
    held = Held()
    rig.runner.replies = {"a": [held]}
    async with rig.engine() as engine:
        first = await engine.execute(keyed(rig, "a"))
        await came(held.begun)
        assert (await engine.execute(keyed(rig, "a"))).id == first.id
        held.let_go.set()
        await rested(engine, first)
        again = await engine.execute(keyed(rig, "a"))
        assert (again.id, again.status) == (first.id, ExecutionStatus.COMPLETED)
    async with rig.engine() as later:
        assert (await later.execute(keyed(rig, "a"))).id == first.id
    assert len(rig.runner.tasks) == 1


async def test_the_same_key_for_another_request_is_a_conflict(rig: Rig) -> None:
    async with rig.engine() as engine:
        first = await engine.execute(keyed(rig, "a"))
        with pytest.raises(IdempotencyConflict) as caught:
            await engine.execute(keyed(rig, "b"))
        assert (caught.value.code, caught.value.field) == ("idempotency_conflict", "idempotency_key")
        assert first.id in caught.value.message
        assert (await engine.execute(keyed(rig, "b", key="other"))).id != first.id


@pytest.mark.req("002:L101")
async def test_two_at_once_with_one_key_start_one_execution(rig: Rig) -> None:
    found: list[Execution] = []
    async with rig.engine() as engine:

        async def ask() -> None:
            found.append(await engine.execute(keyed(rig, "a")))

        async with anyio.create_task_group() as both:
            for _ in range(5):
                both.start_soon(ask)
        await rested(engine, found[0])
        assert (await engine.list(Query())).total == 1
    assert len({execution.id for execution in found}) == 1
    assert len(rig.runner.tasks) == 1


async def test_two_at_once_with_one_key_for_different_work_are_one_and_a_conflict(rig: Rig) -> None:
    found: list[Execution | EngineError] = []
    async with rig.engine() as engine:

        async def ask(name: str) -> None:
            try:
                found.append(await engine.execute(keyed(rig, name)))
            except EngineError as error:
                found.append(error)

        async with anyio.create_task_group() as both:
            both.start_soon(ask, "a")
            both.start_soon(ask, "b")
    assert sorted(type(one).__name__ for one in found) == ["Execution", "IdempotencyConflict"]


@pytest.mark.req("002:L84", "002:L235", "002:L196")
async def test_executions_beyond_the_places_wait_in_order_of_asking(rig: Rig) -> None:
    rig.options = EngineOptions(executions=2)
    held = {name: Held() for name in "abcde"}
    rig.runner.replies = {name: [reply] for name, reply in held.items()}
    async with rig.engine() as engine:
        executions = {name: await engine.execute(rig.draft(agent(name))) for name in held}
        await came(held["a"].begun)
        await came(held["b"].begun)
        load = engine.load()
        assert (load.running, load.pending, load.executions) == (2, 3, 2)
        for name, following in (("b", "c"), ("a", "d"), ("c", "e")):
            held[name].let_go.set()
            await came(held[following].begun)
            under_way = [name for name in held if held[name].begun.is_set()]
            assert under_way == sorted(under_way)
        held["d"].let_go.set()
        held["e"].let_go.set()
        for execution in executions.values():
            assert (await rested(engine, execution)).status is ExecutionStatus.COMPLETED


async def waiting(rig: Rig, engine: Engine, count: int) -> list[Execution]:
    return [await engine.execute(rig.draft(agent("a"))) for _ in range(count)]


async def test_an_engine_that_is_full_is_busy_until_one_has_ended(rig: Rig) -> None:
    rig.options = EngineOptions(executions=2, waiting=1)
    held = Held()
    rig.runner.replies = {"a": [held]}
    async with rig.engine() as engine:
        executions = await waiting(rig, engine, 3)
        with pytest.raises(Busy) as caught:
            await engine.execute(rig.draft(agent("a")))
        assert (caught.value.code, caught.value.retryable) == ("busy", True)
        assert (await engine.list(Query())).total == 3
        held.let_go.set()
        await rested(engine, executions[0])
        await rested(engine, await engine.execute(rig.draft(agent("a"))))


async def test_many_at_once_do_not_get_past_the_limit(rig: Rig) -> None:
    rig.options = EngineOptions(executions=2, waiting=1)
    rig.runner.replies = {"a": [Held()]}
    refused: list[Busy] = []
    async with rig.engine() as engine:

        async def ask() -> None:
            try:
                await engine.execute(rig.draft(agent("a")))
            except Busy as error:
                refused.append(error)

        async with anyio.create_task_group() as many:
            for _ in range(10):
                many.start_soon(ask)
        assert len(refused) == 7


async def test_a_known_key_is_answered_even_by_a_full_engine(rig: Rig) -> None:
    rig.options = EngineOptions(executions=1, waiting=0)
    rig.runner.replies = {"a": [Held()]}
    async with rig.engine() as engine:
        first = await engine.execute(keyed(rig, "a"))
        with pytest.raises(Busy):
            await engine.execute(keyed(rig, "a", key="other"))
        assert (await engine.execute(keyed(rig, "a"))).id == first.id


@pytest.mark.req("000:5.1.4", "004:L76")
async def test_a_waiting_execution_is_interrupted_where_it_stands_and_resumed_later(rig: Rig) -> None:
    rig.options = EngineOptions(executions=1)
    held = Held()
    rig.runner.replies = {"first": [held]}
    async with rig.engine() as engine:
        first = await engine.execute(rig.draft(agent("first")))
        second = await engine.execute(rig.draft(agent("second")))
        await came(held.begun)
        second = await engine.interrupt(second.id, StopMode.NOW, "not now")
        assert (second.status, second.reason, second.epoch) == (ExecutionStatus.INTERRUPTED, "not now", 0)
        held.let_go.set()
        await rested(engine, first)
        second = await rested(engine, await engine.resume(second.id, Resume()))
    assert second.status is ExecutionStatus.COMPLETED


async def test_an_interrupted_execution_gives_its_place_to_the_next(rig: Rig) -> None:
    rig.options = EngineOptions(executions=1)
    rig.runner.replies = {"first": [Held()]}
    async with rig.engine() as engine:
        first = await engine.execute(rig.draft(agent("first")))
        second = await engine.execute(rig.draft(agent("second")))
        await until(engine, first, lambda now: bool(now.running))
        await engine.interrupt(first.id, StopMode.NOW, "make room")
        assert (await rested(engine, second)).status is ExecutionStatus.COMPLETED
