"""Replay: a script that was stopped in the midst of its calls goes on as if nothing had happened."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from engine_mcp.core.event import AttemptStarted, CallRecorded
from engine_mcp.core.execution import Execution, ExecutionStatus, Failure, StopMode
from engine_mcp.core.request import Resume
from engine_mcp.core.script import HostCall, Outcome, Script, ScriptResult
from engine_mcp.core.tool import ToolResult
from engine_mcp.engine.outputs import INLINE
from engine_mcp.ports import Sandbox, ScriptHost, Workbench
from engine_mcp.sandbox.pool import SandboxPool
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import FakeClock, capture_events
from tests.engine.rig import (
    Rig,
    adapter,
    allowing,
    came,
    check_record,
    code,
    echo,
    failures,
    rested,
    until,
    values,
)
from tests.engine.stops import Stops

pytestmark = pytest.mark.anyio

COMPLETED = ExecutionStatus.COMPLETED


async def recorded(rig: Rig, execution: Execution) -> list[CallRecorded]:
    events = await capture_events(rig.store, execution.id)
    return [event for event in events if isinstance(event, CallRecorded)]


@pytest.mark.req("SPEC:5.replayed-calls", "002:L60")
async def test_the_recorded_calls_of_an_interrupted_script_are_not_made_again(scripting: Rig) -> None:
    stops = Stops(5)
    scripting.tools = [adapter("count", stops)]
    text = "let sum = 0; for (let n = 0; n < 10; n++) sum += (await tools.count({ n })).n; return sum"
    async with scripting.engine() as engine:
        execution = await engine.execute(scripting.draft(code("s", text)))
        execution = await stops.stopped(engine, execution)
        assert list(execution.steps["s"].calls) == [0, 1, 2, 3, 4]
        assert stops.made == [0, 1, 2, 3, 4, 5]
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert values(execution) == {"s": 45}
    assert stops.made == [0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9]
    assert execution.usage.requests == 11
    assert [event.call.ordinal for event in await recorded(scripting, execution)] == list(range(10))
    assert await check_record(scripting.store, execution.id) == execution


@pytest.mark.req("SPEC:5.replayed-calls", "000:7.1.3")
async def test_a_script_that_is_stopped_at_every_call_makes_each_no_more_than_twice(scripting: Rig) -> None:
    stops = Stops(*range(8))
    scripting.tools = [adapter("count", stops)]
    text = "const got = []; for (let n = 0; n < 8; n++) got.push((await tools.count({ n })).n); return got"
    async with scripting.engine() as engine:
        execution = await engine.execute(scripting.draft(code("s", text)))
        for _ in range(8):
            await stops.stopped(engine, execution)
            execution = await engine.resume(execution.id, Resume())
        execution = await rested(engine, execution)
    assert values(execution) == {"s": list(range(8))}
    assert stops.made == [n for n in range(8) for _ in range(2)]
    assert len(execution.steps["s"].attempts) == 9


CLOCKWORK = """
    const seen = [[Date.now(), Math.random(), new Date().getTime()]]
    for (let n = 0; n < 4; n++) {
        await sleep(1000 * (n + 1))
        await tools.count({ n, at: Date.now(), draw: Math.random() })
        seen.push([Date.now(), Math.random()])
    }
    return seen
"""


@pytest.mark.req("SPEC:5.deterministic", "SPEC:5.replayed-calls")
async def test_date_and_random_show_a_replayed_script_what_they_showed_before(scripting: Rig) -> None:
    scripting.clock = clock = FakeClock(1_000_000.25, leap=True)
    stops = Stops(2)
    scripting.tools = [counting := adapter("count", stops)]
    async with scripting.engine() as engine:
        execution = await engine.execute(scripting.draft(code("s", CLOCKWORK)))
        execution = await stops.stopped(engine, execution)
        clock.advance(86_400)
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert execution.status is COMPLETED
    seen = values(execution)["s"]
    assert isinstance(seen, list)
    times = [moment[0] for moment in seen if isinstance(moment, list)]
    start = 1_000_000_250
    day = 86_400_000
    assert times == [start, start + 1000, start + 3000, start + 6000 + day, start + 10_000 + day]
    first, second = [arguments for arguments in counting.calls if arguments["n"] == 2]
    assert first == second
    assert clock.now() == 1_000_000.25 + 10 + 86_400


async def test_two_runs_of_one_script_draw_different_lots(scripting: Rig) -> None:
    text = "return Math.random()"
    execution = await scripting.run(scripting.draft(code("a", text), code("b", text)))
    assert values(execution)["a"] != values(execution)["b"]
    events = await capture_events(scripting.store, execution.id)
    assert len({event.seed for event in events if isinstance(event, AttemptStarted)}) == 2


class Ordered:
    """Lets the calls of a script end in a given order of their `n`, and stops behind the last of it."""

    def __init__(self, order: Sequence[int]) -> None:
        self.order = list(order)
        self.made: list[JsonValue] = []
        self.turns = {n: anyio.Event() for n in order}
        self.over = anyio.Event()
        self.free = False

    async def __call__(self, arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        n = arguments["n"]
        assert isinstance(n, int)
        self.made.append(n)
        if self.free:
            return await echo(arguments, bench)
        if n == len(self.turns):
            self.over.set()
            await anyio.sleep_forever()
        if self.order and n == self.order[0]:
            self.turns[n].set()
        await self.turns[n].wait()
        return await echo(arguments, bench)

    def next(self) -> None:
        """Let the next one end."""
        self.order.pop(0)
        if self.order:
            self.turns[self.order[0]].set()


RACE = """
    const order = []
    const one = async n => {
        const got = await tools.race({ n })
        order.push(got.n)
        await tools.next()
        return got.n
    }
    const all = await Promise.all(Array.from({ length: %d }, (_, n) => one(n)))
    const last = await tools.race({ n: %d, order: order.join() })
    return { all, order, last: last.order }
"""


async def raced(pool: SandboxPool, rig: Rig, order: Sequence[int]) -> None:
    race = Ordered(order)

    async def following(arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        if not race.free:
            race.next()
        return await echo(arguments, bench)

    rig.sandbox, rig.tools = pool, [adapter("race", race), adapter("next", following)]
    text = RACE % (len(order), len(order))
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(code("s", text)))
        await came(race.over)
        await engine.interrupt(execution.id, StopMode.NOW, "a break")
        race.free = True
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert failures(execution) == {}
    told = ",".join(map(str, order))
    assert values(execution)["s"] == {"all": sorted(order), "order": list(order), "last": told}
    assert race.made == [*sorted(order), len(order), len(order)]


@pytest.mark.req("SPEC:5.replay-order")
async def test_answers_that_raced_are_handed_over_in_the_same_order_again(
    rig: Rig, pool: SandboxPool
) -> None:
    for order in ([3, 1, 4, 0, 2], [4, 3, 2, 1, 0], [0, 1, 2]):
        await raced(pool, replace(rig, store=MemoryStore()), order)


@pytest.mark.req("SPEC:5.replay-order")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(12)))
async def test_any_order_of_answers_is_kept(rig: Rig, pool: SandboxPool, order: list[int]) -> None:
    await raced(pool, replace(rig, store=MemoryStore()), order)


async def test_a_script_stopped_with_calls_under_way_makes_only_those_again(scripting: Rig) -> None:
    stops = Stops(1, 3)
    scripting.tools = [adapter("count", stops)]
    text = """
        const first = Promise.all([0, 1, 2, 3].map(n => tools.count({ n })))
        const got = await first
        return got.map(one => one.n)
    """
    async with scripting.engine() as engine:
        execution = await engine.execute(scripting.draft(code("s", text)))
        await came(stops.reached)
        execution = await until(engine, execution, lambda now: len(now.steps["s"].calls) == 2)
        await engine.interrupt(execution.id, StopMode.NOW, "a break")
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert values(execution) == {"s": [0, 1, 2, 3]}
    assert sorted(map(str, stops.made)) == ["0", "1", "1", "2", "3", "3"]


async def test_errors_and_denials_are_replayed_too(scripting: Rig) -> None:
    stops = Stops(9)

    async def fail(arguments: object, bench: object) -> ToolResult:
        del arguments, bench
        return ToolResult(failure=Failure("tool_error", f"Failure {len(scripting.tools[1].calls)}."))

    scripting.tools = [adapter("count", stops), adapter("fail", fail), adapter("secret")]
    text = """
        const told = []
        for (const name of ['fail', 'secret', 'fail'])
            try { await tools.call(name, {}) } catch (e) { told.push(e.name + ' ' + e.message.slice(0, 10)) }
        await tools.count({ n: 9 })
        return told
    """
    async with scripting.engine() as engine:
        step = code("s", text, permissions=allowing("count", "fail"))
        execution = await engine.execute(scripting.draft(step))
        await stops.stopped(engine, execution)
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert values(execution)["s"] == [
        "ToolError Failure 1.",
        "Denied This step ",
        "ToolError Failure 2.",
    ]
    assert len(scripting.tools[1].calls) == 2


async def test_a_large_answer_is_replayed_from_its_artifact(scripting: Rig) -> None:
    stops = Stops(1)

    async def big(arguments: object, bench: object) -> ToolResult:
        del arguments, bench
        return ToolResult(value="é" * INLINE)

    scripting.tools = [adapter("count", stops), bigger := adapter("big", big)]
    text = "const got = await tools.big(); await tools.count({ n: 1 }); return [got.length, got[0]]"
    async with scripting.engine() as engine:
        execution = await engine.execute(scripting.draft(code("s", text)))
        execution = await stops.stopped(engine, execution)
        output = execution.steps["s"].calls[0].output
        assert output is not None
        assert output.artifact is not None
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert values(execution)["s"] == [INLINE, "é"]
    assert len(bigger.calls) == 1


async def test_a_new_answer_never_overtakes_a_recorded_one(scripting: Rig) -> None:
    stops = Stops(1)

    async def big(arguments: object, bench: object) -> ToolResult:
        del arguments, bench
        return ToolResult(value="x" * INLINE)

    scripting.tools = [adapter("count", stops), adapter("big", big)]
    text = """
        const order = []
        const fresh = tools.count({ n: 1 }).then(() => order.push('new'))
        await Promise.all([fresh, tools.big().then(() => order.push('old'))])
        return order
    """
    async with scripting.engine() as engine:
        execution = await engine.execute(scripting.draft(code("s", text)))
        await until(engine, execution, lambda now: 1 in now.steps["s"].calls)
        await stops.stopped(engine, execution)
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert values(execution) == {"s": ["old", "new"]}


async def test_a_sleep_on_record_is_not_slept_again(scripting: Rig) -> None:
    scripting.clock = clock = FakeClock()
    stops = Stops(1)
    scripting.tools = [adapter("count", stops)]
    text = "await sleep(5000); await tools.count({ n: 1 }); return 'up'"
    async with scripting.engine() as engine:
        execution = await engine.execute(scripting.draft(code("s", text)))
        while not stops.reached.is_set():
            await anyio.wait_all_tasks_blocked()
            clock.advance(5.0)
            with anyio.move_on_after(0.05):
                await stops.reached.wait()
        await stops.stopped(engine, execution)
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert values(execution) == {"s": "up"}


class Dying:
    """A sandbox whose first process dies after the first answer to its script."""

    def __init__(self, inner: Sandbox) -> None:
        self._inner, self._died = inner, False

    async def run(self, script: Script, host: ScriptHost) -> ScriptResult:
        if self._died:
            return await self._inner.run(script, host)
        self._died = True
        await host.call(HostCall(0, "echo", '{"n":1}'))
        return ScriptResult(outcome=Outcome.CRASH)


async def test_a_script_whose_sandbox_died_goes_on_with_its_recorded_calls(scripting: Rig) -> None:
    counting = adapter("echo")
    scripting.tools = [counting]
    scripting.sandbox = Dying(scripting.sandbox)
    text = "await tools.echo({ n: 1 }); return (await tools.echo({ n: 2 })).n"
    execution = await scripting.run(scripting.draft(code("s", text)))
    assert values(execution) == {"s": 2}
    assert counting.calls == [{"n": 1}, {"n": 2}]
    assert [str(attempt.status) for attempt in execution.steps["s"].attempts] == ["failed", "succeeded"]
