"""The process dies at any durable write of an agent's conversation; nothing finished is paid for twice.

The agent of these tests holds a conversation as the API's runner does: a turn of the model is paid when it
is asked for, remembered when it is there, and its calls are answered before the next one.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from pydantic import JsonValue

from engine_mcp.core.agent import AgentCall, AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import Usage
from engine_mcp.core.execution import Execution, ExecutionStatus, Output, Progress
from engine_mcp.core.listing import Query
from engine_mcp.core.plan import Mode, Permissions
from engine_mcp.core.request import Resume
from engine_mcp.core.tool import ToolResult
from engine_mcp.engine.outputs import INLINE
from engine_mcp.ports import AgentHost, Workbench
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import Crash, CrashingStore, CrashPoint, ScriptedRunner
from tests.engine.played import PlayedSandbox
from tests.engine.rig import Rig, adapter, agent, check_record, rested

pytestmark = pytest.mark.anyio

LARGE = "x" * (INLINE + 1)
WRITING = Permissions(mode=Mode.WRITE)


@dataclass
class Talk:
    """A reply that takes so many turns, each of which calls the tools named, and then answers.

    `paid` counts the turns that were asked for, by number; `opened` names the session, if the runtime does.
    """

    turns: Sequence[Sequence[str]]
    opened: str | None = None
    answer: str = "done"
    paid: Counter[int] = field(default_factory=Counter[int])
    sessions: list[str | None] = field(default_factory=list[str | None])
    told: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    async def __call__(self, task: AgentTask, host: AgentHost) -> AgentResult:
        """Go on where the recalled conversation ends."""
        self.sessions.append(task.session)
        if self.opened is not None and task.session != self.opened:
            await host.opened(self.opened)
        said = [message for message in await host.recall() if message["role"] == "assistant"]
        heard = [message for message in await host.recall() if message["role"] == "user"]
        for number, names in enumerate(self.turns):
            if number == len(said):
                await self._turn(number, host)
                said.append({})
            if number == len(heard):
                await self._results(number, names, host)
                heard.append({})
        return AgentResult(output=self.answer)

    async def _turn(self, number: int, host: AgentHost) -> None:
        self.paid[number] += 1
        host.report(AgentReport(text=f"turn {number} ", usage=Usage(requests=1, tokens_out=10)))
        host.report(AgentReport(progress=Progress(done=number)))
        await host.remember({"role": "assistant", "content": LARGE if number else "short"})

    async def _results(self, number: int, names: Sequence[str], host: AgentHost) -> None:
        results: list[JsonValue] = []
        for index, name in enumerate(names):
            call = AgentCall(id=f"{number}.{index}", name=name, arguments={"n": f"{number}.{index}"})
            result = await host.call(call)
            results.append(result.failure.code if result.failure is not None else result.value)
            self.told.setdefault(call.id, []).append(result.failure.code if result.failure else "answered")
        await host.remember({"role": "user", "content": results})


async def artifact(arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
    kept = await bench.keep(b"content", name=str(arguments["n"]), media_type="text/plain")
    return ToolResult(value=kept.digest)


@dataclass
class World:
    """A store that outlives the processes that write to it."""

    rig: Rig
    talk: Talk

    @classmethod
    def of(cls, rig: Rig, talk: Talk) -> "World":
        tools = [
            adapter("look"),
            adapter("change", mode=Mode.WRITE, changes=True),
            adapter("artifact", artifact, mode=Mode.NONE, changes=True),
        ]
        own = replace(
            rig,
            store=MemoryStore(),
            sandbox=PlayedSandbox(),
            runner=ScriptedRunner({"a": [talk]}),
            tools=tools,
        )
        return cls(own, talk)

    async def execution(self) -> Execution | None:
        page = await self.rig.store.list(Query())
        return await self.rig.store.read(page.rows[0].id) if page.rows else None

    async def process(self, point: CrashPoint) -> None:
        """Go on in a process of its own, until the execution is completed or the process dies."""
        store = CrashingStore(self.rig.store, point)
        try:
            async with replace(self.rig, store=store).engine() as engine:
                found = await self.execution()
                if found is None:
                    steps = (agent("a", permissions=WRITING), agent("b", "a"))
                    found = await rested(engine, await engine.execute(self.rig.draft(*steps)))
                while found.status is not ExecutionStatus.COMPLETED:
                    found = await rested(engine, await engine.resume(found.id, Resume()))
        except* Crash:
            assert point.dead
        finally:
            found = await self.execution()
            if found is not None:
                assert isinstance(self.rig.store, MemoryStore)
                self.rig.store.abandon(found.id)

    def calls(self) -> Counter[JsonValue]:
        """How often each call with an effect was made."""
        made = (call["n"] for tool in self.rig.tools if tool.spec.changes for call in tool.calls)
        return Counter(made)

    async def check(self, deaths: int) -> None:
        execution = await self.execution()
        assert execution is not None
        assert await check_record(self.rig.store, execution.id) == execution
        step = execution.steps["a"]
        assert (execution.status, step.output) == (ExecutionStatus.COMPLETED, Output(value="done"))
        assert sum(self.talk.paid.values()) <= len(self.talk.turns) + deaths
        assert max(self.calls().values(), default=0) <= 1
        assert len([task for task in self.rig.runner.tasks if task.step.id == "b"]) <= 1 + deaths
        self.check_sessions()
        assert (step.messages, step.calls, step.unanswered) == ((), {}, {})

    def check_sessions(self) -> None:
        """One session, but for the name that it had before the runtime gave it another."""
        named = {session for session in self.talk.sessions if session != self.talk.opened}
        assert len(named) <= 1
        if self.talk.opened is not None and self.talk.opened in self.talk.sessions:
            first = self.talk.sessions.index(self.talk.opened)
            assert set(self.talk.sessions[first:]) == {self.talk.opened}


TALKS = {
    "words": lambda: Talk([[], []]),
    "reads": lambda: Talk([["look"], ["look", "look"]]),
    "changes": lambda: Talk([["change"], ["look", "change"]]),
    "artifacts": lambda: Talk([["artifact"]]),
    "named": lambda: Talk([["change"], []], opened="ses_1"),
}


@pytest.mark.req("SPEC:7.crash-at-every-write")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", TALKS)
async def test_a_crash_at_any_write_of_a_conversation_pays_for_no_finished_turn_and_makes_no_change_twice(
    rig: Rig, name: str, *, after: bool
) -> None:
    at = 1
    while True:
        world = World.of(rig, TALKS[name]())
        point = CrashPoint(at, after=after)
        await world.process(point)
        if not point.dead:
            break
        await world.process(CrashPoint(0))
        await world.check(deaths=1)
        at += 1
    assert at > 6


@pytest.mark.req("SPEC:7.crash-at-every-write")
@pytest.mark.parametrize("name", TALKS)
@pytest.mark.parametrize("second", [1, 2, 3, 4, 6])
async def test_a_crash_of_the_process_that_goes_on_with_a_conversation_is_survived_too(
    rig: Rig, name: str, second: int
) -> None:
    for first in range(2, 16):
        for after in (False, True):
            world = World.of(rig, TALKS[name]())
            points = [CrashPoint(first, after=after), CrashPoint(second, after=not after), CrashPoint(0)]
            for point in points:
                await world.process(point)
            await world.check(deaths=2)


async def test_a_change_whose_answer_was_lost_in_a_crash_is_told_as_unknown_and_not_made_again(
    rig: Rig,
) -> None:
    told: list[str] = []
    for at in range(1, 40):
        world = World.of(rig, Talk([["change"]]))
        point = CrashPoint(at)
        await world.process(point)
        if not point.dead:
            break
        await world.process(CrashPoint(0))
        told += world.talk.told.get("0.0", [])
        if "outcome_unknown" in told:
            assert world.calls()["0.0"] <= 1
    assert "outcome_unknown" in told


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_what_finished_turns_used_is_on_record_after_a_crash(rig: Rig, *, after: bool) -> None:
    at = 1
    while True:
        world = World.of(rig, Talk([["look"], ["change"], []]))
        point = CrashPoint(at, after=after)
        await world.process(point)
        if not point.dead:
            break
        await world.process(CrashPoint(0))
        execution = await world.execution()
        assert execution is not None
        # The turn under way at the crash may be unknown; what was remembered is not.
        assert execution.usage.tokens_out >= 10 * len(world.talk.turns)
        assert execution.usage.tokens_out <= 10 * sum(world.talk.paid.values())
        assert sum(tried.usage.tokens_out for tried in execution.steps["a"].attempts) == (
            execution.usage.tokens_out
        )
        at += 1
