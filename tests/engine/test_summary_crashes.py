"""The process dies at any durable write, or is stopped, while a conversation is reduced; nothing is lost.

The agent of these tests asks for its conversation before each turn, as the API's runner does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import anyio
import pytest
from pydantic import JsonValue

from engine_mcp.core.agent import AgentCall, AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import Usage
from engine_mcp.core.context.schema import SCHEMA
from engine_mcp.core.context.turns import open_loop
from engine_mcp.core.conversation import ResultsMasked, SummaryFinished, SummaryStarted
from engine_mcp.core.execution import Execution, ExecutionStatus, Failure, StopMode
from engine_mcp.core.listing import Query
from engine_mcp.core.models import Models
from engine_mcp.core.request import Resume
from engine_mcp.core.window import Asking, WindowLimits, Words, rough
from engine_mcp.engine.outputs import dumps
from engine_mcp.ports import AgentHost
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import (
    CharacterCounter,
    Crash,
    CrashingStore,
    CrashPoint,
    FixedWindows,
    ScriptedRunner,
)
from tests.context.rig import GOOD
from tests.engine.played import PlayedSandbox
from tests.engine.rig import Rig, adapter, agent, check_record, rested

pytestmark = pytest.mark.anyio
WINDOW = 3_000
TURNS = 14
LONG = "It is a long story that goes on and on. " * 12
SUMMARIZING = WindowLimits(model="cheap", trigger=0.5, target=0.3)


@dataclass
class Reader:
    """An agent that takes so many turns with a call in each; `written` counts the summaries it was asked for.

    `held` keeps it from the first of them.
    """

    turns: int = TURNS
    written: int = 0
    paid: int = 0
    held: anyio.Event | None = None
    asked: anyio.Event = field(default_factory=anyio.Event)
    sent: list[Sequence[Words]] = field(default_factory=list[Sequence[Words]])

    async def __call__(self, task: AgentTask, host: AgentHost) -> AgentResult:
        if task.step.output_schema == SCHEMA:
            return await self._summary(host)
        said = list(await host.recall())
        if not said:
            await self._add(said, host, {"role": "user", "content": task.prompt.text})
        while (done := sum(one["role"] == "assistant" for one in said)) < self.turns:
            if said[-1]["role"] == "assistant":
                await self._results(said, host, done)
                continue
            fitted = await host.fit(Asking(model="m", output=200))
            if isinstance(fitted, Failure):
                return AgentResult(failure=fitted)
            self.sent.append(fitted.messages)
            self.paid += 1
            host.report(AgentReport(usage=Usage(requests=1, tokens_out=10)))
            call: JsonValue = {"type": "tool_use", "id": f"t{done}", "name": "look", "input": {"n": done}}
            content: JsonValue = [{"type": "text", "text": f"I look at {done}. {LONG}"}, call]
            await self._add(said, host, {"role": "assistant", "content": content, "stop_reason": "tool_use"})
        return AgentResult(output="done")

    async def _summary(self, host: AgentHost) -> AgentResult:
        self.written += 1
        host.report(AgentReport(usage=Usage(requests=1, tokens_out=7)))
        self.asked.set()
        if self.held is not None:
            await self.held.wait()
        return AgentResult(output=dict(GOOD))

    async def _results(self, said: list[Words], host: AgentHost, number: int) -> None:
        result = await host.call(AgentCall(id=f"t{number - 1}", name="look", arguments={"n": number - 1}))
        block: JsonValue = {
            "type": "tool_result",
            "tool_use_id": f"t{number - 1}",
            "content": str(result.value),
        }
        await self._add(said, host, {"role": "user", "content": [block]})

    async def _add(self, said: list[Words], host: AgentHost, message: Words) -> None:
        await host.remember(message)
        said.append(message)


@dataclass
class World:
    """A store that outlives the processes that write to it, and what its agent was asked."""

    rig: Rig
    reader: Reader

    @classmethod
    def of(cls, rig: Rig, reader: Reader) -> "World":
        own = replace(
            rig,
            store=MemoryStore(),
            sandbox=PlayedSandbox(),
            runner=ScriptedRunner({"a": [reader]}),
            tools=[adapter("look")],
            models=Models(patterns={"scripted": (".+",), "api": (".+",)}),
            counter=CharacterCounter(),
            windows=FixedWindows(WINDOW, chosen=SUMMARIZING),
        )
        return cls(own, reader)

    async def execution(self) -> Execution | None:
        page = await self.rig.store.list(Query())
        return await self.rig.store.read(page.rows[0].id) if page.rows else None

    async def process(self, point: CrashPoint) -> None:
        """Go on in a process of its own, until the execution is completed or the process dies."""
        try:
            async with replace(self.rig, store=CrashingStore(self.rig.store, point)).engine() as engine:
                found = await self.execution()
                if found is None:
                    found = await rested(engine, await engine.execute(self.rig.draft(agent("a", model="m"))))
                while found.status is not ExecutionStatus.COMPLETED:
                    found = await rested(engine, await engine.resume(found.id, Resume()))
        except* Crash:
            assert point.dead
        finally:
            found = await self.execution()
            if found is not None:
                assert isinstance(self.rig.store, MemoryStore)
                self.rig.store.abandon(found.id)

    async def check(self, deaths: int) -> None:
        """It is completed, nothing that is on record was paid for twice, and no request was too long."""
        execution = await self.execution()
        assert execution is not None
        await check_record(self.rig.store, execution.id)
        assert execution.status is ExecutionStatus.COMPLETED, execution.steps["a"].failure
        events = [event for _, event in await self.rig.store.events(execution.id, 0, 10_000)]
        made = [one.summary for one in events if isinstance(one, SummaryFinished) and one.summary]
        assert [one.level for one in made] == list(range(1, len(made) + 1))
        assert len(made) >= 2
        assert len(made) <= self.reader.written <= len(made) + deaths
        assert self.reader.paid <= TURNS + deaths
        assert max(rough(dumps(dict(one)) for one in sent) for sent in self.reader.sent) < 2 * WINDOW
        for sent in self.reader.sent:
            check_pairs(sent)


def check_pairs(sent: Sequence[Words]) -> None:
    """Every call is followed by its result, and every result follows its call."""
    asked: set[str] = set()
    for message in sent:
        content = message["content"]
        blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
        answered = {str(block["tool_use_id"]) for block in blocks if block["type"] == "tool_result"}
        assert answered == asked
        asked = {str(block["id"]) for block in blocks if block["type"] == "tool_use"}
    assert not asked
    assert sent[0]["role"] == "user"
    assert open_loop(sent) <= len(sent)


@pytest.mark.req("SPEC:7.crash-at-every-write")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_write_of_a_reduction_pays_for_no_finished_summary_twice(
    rig: Rig, *, after: bool
) -> None:
    at = 1
    while True:
        world = World.of(rig, Reader())
        point = CrashPoint(at, after=after)
        await world.process(point)
        if not point.dead:
            break
        await world.process(CrashPoint(0))
        await world.check(deaths=1)
        at += 1
    assert at > 3 * TURNS


@pytest.mark.req("000:5.1.4")
@pytest.mark.parametrize("mode", [StopMode.NOW, StopMode.CANCEL])
async def test_a_summary_that_is_being_written_can_be_interrupted(rig: Rig, mode: StopMode) -> None:
    world = World.of(rig, Reader(held=anyio.Event()))
    async with world.rig.engine() as engine:
        execution = await engine.execute(world.rig.draft(agent("a", model="m")))
        with anyio.fail_after(10):
            await world.reader.asked.wait()
        await engine.interrupt(execution.id, mode, "a test")
        stopped = await rested(engine, execution)
    events = [event for _, event in await world.rig.store.events(execution.id, 0, 10_000)]
    assert any(isinstance(one, SummaryStarted) for one in events)
    assert not any(isinstance(one, SummaryFinished | ResultsMasked) for one in events)
    assert stopped.usage.tokens_out == 10 * world.reader.paid + 7
    if mode is StopMode.NOW:
        world.reader.held = None
        async with world.rig.engine() as engine:
            resumed = await rested(engine, await engine.resume(execution.id, Resume()))
        assert resumed.status is ExecutionStatus.COMPLETED
        assert world.reader.written >= 3
