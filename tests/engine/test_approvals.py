"""Steps and calls that somebody has to approve: they wait, cost nothing, and are made once."""

from collections.abc import Mapping
from dataclasses import replace

import anyio
import pytest

from engine_mcp.core.agent import AgentCall, AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.event import ApprovalAnswered, ApprovalRequested
from engine_mcp.core.execution import Execution, ExecutionStatus, StepStatus
from engine_mcp.core.listing import Query
from engine_mcp.core.plan import Mode, StepSpec, Unanswered
from engine_mcp.core.request import Resume
from engine_mcp.core.script import HostCall, Outcome, Script, ScriptResult
from engine_mcp.engine.engine import Engine
from engine_mcp.errors import InvalidArgument
from engine_mcp.ports import AgentHost, ScriptHost
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import Crash, CrashingStore, CrashPoint, FakeClock, ScriptedRunner, capture_events
from tests.engine.played import PlayedSandbox
from tests.engine.rig import (
    ACTIVE,
    DONE,
    Held,
    HeldTool,
    Rig,
    adapter,
    agent,
    allowing,
    came,
    check_record,
    code,
    failures,
    quiet,
    rested,
    statuses,
    tool,
    until,
)
from tests.engine.test_control import process

pytestmark = pytest.mark.anyio

PAUSED, COMPLETED, FAILED = ExecutionStatus.PAUSED, ExecutionStatus.COMPLETED, ExecutionStatus.FAILED
WAITING = StepStatus.AWAITING_APPROVAL
DEPLOY = AgentCall(id="c1", name="echo", arguments={"n": 1})
MAY = allowing("echo")


class Deploying:
    """A reply that calls a tool and gives its answer."""

    def __init__(self, *calls: AgentCall) -> None:
        self.calls = calls or (DEPLOY,)

    async def __call__(self, task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        host.report(AgentReport(usage=Usage(requests=1, tokens_in=10)))
        told = [await host.call(call) for call in self.calls]
        why = next((one.failure for one in told if one.failure), None)
        return AgentResult(output=[one.value for one in told], failure=why)


def asking(rig: Rig) -> Rig:
    """A rig whose one tool changes something and is asked about."""
    rig.tools, rig.ask = [adapter("echo", mode=Mode.NONE, changes=True)], frozenset({"echo"})
    rig.sandbox = PlayedSandbox()
    rig.runner.replies = {"a": [Deploying()]}
    return rig


STEPS: Mapping[str, StepSpec] = {
    "agent": agent("a", permissions=MAY),
    "script": code("a", "[1]", permissions=MAY),
    "tool": tool("a", "echo", permissions=MAY, arguments={"n": 1}),
}
KINDS = pytest.mark.parametrize("kind", STEPS)


async def asked(engine: Engine, execution: Execution, name: str = "a") -> Execution:
    return await until(engine, execution, lambda now: now.steps[name].status is WAITING)


@KINDS
@pytest.mark.req("002:L108", "002:L28")
async def test_a_call_waits_until_it_is_approved_and_is_made_once(rig: Rig, kind: str) -> None:
    asking(rig)
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(STEPS[kind])))
        assert (execution.status, execution.reason, execution.until) == (PAUSED, "approval", None)
        assert execution.steps["a"].asking is not None
        assert rig.tools[0].calls == []
        execution = await rested(engine, await engine.resume(execution.id, Resume(approve=("a",))))
    assert execution.status is COMPLETED
    assert rig.tools[0].calls in ([{"n": 1}], [{"n": 0}])
    assert execution.steps["a"].asking is None
    assert await check_record(rig.store, execution.id) == execution


async def test_what_is_asked_names_the_tool_and_shows_the_arguments(rig: Rig) -> None:
    asking(rig)
    execution = await rig.run(rig.draft(STEPS["agent"]))
    found = execution.steps["a"].asking
    assert found is not None
    assert (found.call, found.arguments, bool(found.digest)) == ("echo", '{"n":1}', True)
    assert (found.since, found.until) == (execution.updated_at, None)


@KINDS
async def test_a_denied_call_is_not_made_and_its_step_fails_for_good(rig: Rig, kind: str) -> None:
    asking(rig)
    async with rig.engine() as engine:
        draft = rig.draft(STEPS[kind], agent("b", "a"))
        execution = await rested(engine, await engine.execute(draft))
        execution = await rested(engine, await engine.resume(execution.id, Resume(deny=("a",))))
    assert execution.status is FAILED
    assert statuses(execution) == {"a": "failed", "b": "skipped"}
    assert failures(execution)["a"] == "approval_denied"
    assert rig.tools[0].calls == []


async def test_an_answer_is_taken_while_other_branches_run(rig: Rig) -> None:
    asking(rig)
    held = Held()
    rig.runner.replies = {"a": [Deploying()], "b": [held]}
    async with rig.engine() as engine:
        draft = rig.draft(STEPS["agent"], agent("b"), agent("c", requires_approval=True), agent("d", "c"))
        execution = await engine.execute(draft)
        await came(held.begun)
        execution = await asked(engine, execution)
        execution = await engine.resume(execution.id, Resume(approve=("a",), deny=("c",)))
        execution = await until(engine, execution, lambda now: now.steps["a"].settled)
        assert statuses(execution) == {"a": "completed", "b": "running", "c": "failed", "d": "skipped"}
        held.let_go.set()
        execution = await rested(engine, execution)
    assert execution.status is FAILED
    assert rig.tools[0].calls == [{"n": 1}]


@pytest.mark.parametrize("deny", [False, True], ids=["approve", "deny"])
async def test_an_answer_in_another_process_reaches_the_one_that_runs(
    rig: Rig, tmp_path_factory: pytest.TempPathFactory, *, deny: bool
) -> None:
    asking(rig)
    held, address = Held(), str(tmp_path_factory.mktemp("s") / "a")
    rig.runner.replies = {"a": [Deploying()], "b": [held]}
    mine, others = (process(rig, f"{address}{number}") for number in range(2))
    async with mine.engine() as owner, others.engine() as other:
        execution = await owner.execute(rig.draft(STEPS["agent"], agent("b")))
        await came(held.begun)
        await asked(owner, execution)
        answer = Resume(deny=("a",)) if deny else Resume(approve=("a",))
        await other.resume(execution.id, answer)
        execution = await until(owner, execution, lambda now: now.steps["a"].settled)
        held.let_go.set()
        execution = await rested(owner, execution)
    assert execution.status is (FAILED if deny else COMPLETED)
    assert len(rig.tools[0].calls) == (0 if deny else 1)


async def test_what_was_denied_stays_denied_when_the_failed_execution_goes_on(rig: Rig) -> None:
    async with asking(rig).engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(STEPS["agent"])))
        execution = await rested(engine, await engine.resume(execution.id, Resume(deny=("a",))))
        assert execution.status is FAILED
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
        assert (execution.status, failures(execution)) == (FAILED, {"a": "approval_denied"})
        execution = await rested(engine, await engine.resume(execution.id, Resume(from_step="a")))
    assert (execution.status, execution.steps["a"].status) == (PAUSED, WAITING)
    assert rig.tools[0].calls == []


async def test_an_answer_to_what_nobody_asked_changes_nothing(rig: Rig) -> None:
    held = Held()
    rig.runner.replies = {"b": [held]}
    async with rig.engine() as engine:
        draft = rig.draft(agent("a", requires_approval=True), agent("b"))
        execution = await engine.execute(draft)
        await came(held.begun)
        execution = await asked(engine, execution)
        for wrong in (Resume(approve=("b",)), Resume(deny=("x",)), Resume(approve=("a",), deny=("a",))):
            with pytest.raises(InvalidArgument):
                await engine.resume(execution.id, wrong)
        assert (await engine.show(execution.id)).revision == execution.revision
        held.let_go.set()
        await rested(engine, execution)


OUTCOMES = pytest.mark.parametrize(
    ("answer", "status", "step"),
    [
        (Unanswered.DENY, FAILED, "failed"),
        (Unanswered.SKIP, COMPLETED, "skipped"),
        (Unanswered.APPROVE, COMPLETED, "completed"),
    ],
    ids=str,
)


@OUTCOMES
@pytest.mark.parametrize("kind", ["step", *STEPS])
async def test_without_an_answer_in_time_it_is_as_the_step_says_while_others_run(
    rig: Rig, kind: str, answer: Unanswered, status: ExecutionStatus, step: str
) -> None:
    asking(rig)
    rig.clock, held = FakeClock(), Held()
    if kind == "step":
        rig.runner.replies = {}
    rig.runner.replies = {**rig.runner.replies, "b": [held]}
    spec = STEPS.get(kind, agent("a", requires_approval=True))
    spec = replace(spec, approval_timeout_s=60.0, if_unanswered=answer)
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(spec, agent("b")))
        execution = await asked(engine, execution)
        await came(held.begun)
        rig.clock.advance(59)
        await quiet()
        assert (await engine.show(execution.id)).steps["a"].status is WAITING
        rig.clock.advance(1)
        execution = await until(engine, execution, lambda now: now.steps["a"].settled)
        held.let_go.set()
        execution = await rested(engine, execution)
    assert (execution.status, str(execution.steps["a"].status)) == (status, step)
    given = [e for e in await capture_events(rig.store, execution.id) if isinstance(e, ApprovalAnswered)]
    assert [(event.answer, event.by) for event in given] == [(answer, "timeout")]
    if answer is not Unanswered.APPROVE:
        assert failures(execution)["a"] == "approval_timeout"
        assert rig.tools[0].calls == []


@OUTCOMES
@pytest.mark.parametrize("anew", [False, True], ids=["same engine", "new engine"])
async def test_without_an_answer_in_time_it_is_as_the_step_says_while_nothing_runs(
    rig: Rig, answer: Unanswered, status: ExecutionStatus, step: str, *, anew: bool
) -> None:
    rig.clock = FakeClock()
    spec = agent("a", requires_approval=True, approval_timeout_s=60.0, if_unanswered=answer)
    first = rig.engine()
    async with first:
        execution = await rested(first, await first.execute(rig.draft(spec)))
        assert (execution.reason, execution.until) == ("approval", rig.clock.now() + 60)
        if not anew:
            rig.clock.advance(60)
            execution = await moved(first, execution)
    if anew:
        rig.clock.advance(30)
        async with rig.engine() as second:
            await quiet()
            assert (await second.show(execution.id)).status is PAUSED
            rig.clock.advance(30)
            execution = await moved(second, execution)
    assert (execution.status, str(execution.steps["a"].status)) == (status, step)


async def moved(engine: Engine, execution: Execution) -> Execution:
    """The execution once it rests elsewhere than it does now."""
    with anyio.fail_after(5):
        while (found := await engine.show(execution.id)).revision == execution.revision:
            await anyio.wait_all_tasks_blocked()
    return await rested(engine, found)


async def test_an_answer_before_the_time_is_over_counts(rig: Rig) -> None:
    rig.clock = FakeClock()
    async with rig.engine() as engine:
        draft = rig.draft(agent("a", requires_approval=True, approval_timeout_s=60.0))
        execution = await rested(engine, await engine.execute(draft))
        execution = await rested(engine, await engine.resume(execution.id, Resume(approve=("a",))))
        rig.clock.advance(99)
        await quiet()
        assert (await engine.show(execution.id)).revision == execution.revision
    assert execution.status is COMPLETED


@KINDS
async def test_a_call_that_waits_is_kept_over_a_restart_and_an_interrupt(rig: Rig, kind: str) -> None:
    asking(rig)
    held = Held()
    rig.runner.replies = {**rig.runner.replies, "b": [held, DONE]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(STEPS[kind], agent("b")))
        await came(held.begun)
        execution = await asked(engine, execution)
        was = execution.steps["a"].asking
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
        assert (execution.status, execution.reason) == (PAUSED, "approval")
        assert execution.steps["a"].asking == was
        execution = await rested(engine, await engine.resume(execution.id, Resume(approve=("a",))))
    assert execution.status is COMPLETED
    assert len(rig.tools[0].calls) == 1


@KINDS
async def test_what_waits_reserves_nothing_and_counts_no_request_twice(rig: Rig, kind: str) -> None:
    asking(rig)
    async with rig.engine() as engine:
        draft = rig.draft(STEPS[kind], budget=Limits(max_cost_usd=1.0, max_requests=3))
        execution = await rested(engine, await engine.execute(draft))
        assert execution.steps["a"].status is WAITING
        assert execution.running == ()
        before = execution.usage.requests
        assert before == (1 if kind == "agent" else 0)
        execution = await rested(engine, await engine.resume(execution.id, Resume(approve=("a",))))
    assert execution.status is COMPLETED
    assert execution.usage.requests - before == (2 if kind == "agent" else 1)


async def test_nobody_waits_to_be_asked_for_the_calls_of_another_step(rig: Rig) -> None:
    asking(rig)
    slow = HeldTool()
    rig.tools = [*rig.tools, adapter("slow", slow)]
    rig.runner.replies = {"a": [Deploying()], "b": [Deploying(AgentCall(id="c1", name="slow", arguments={}))]}
    async with rig.engine() as engine:
        steps = (agent("b", permissions=allowing("slow")), agent("a", permissions=MAY))
        execution = await engine.execute(rig.draft(*steps))
        await came(slow.begun)
        await quiet()
        seen = await engine.show(execution.id)
        slow.let_go.set()
        await rested(engine, execution)
    assert statuses(seen) == {"b": "running", "a": "awaiting_approval"}


async def test_each_of_two_calls_is_approved_for_itself(rig: Rig) -> None:
    asking(rig)
    rig.runner.replies = {"a": [Deploying(DEPLOY, replace(DEPLOY, id="c2"))]}
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(STEPS["agent"])))
        execution = await rested(engine, await engine.resume(execution.id, Resume(approve=("a",))))
        assert (execution.status, len(rig.tools[0].calls)) == (PAUSED, 1)
        execution = await rested(engine, await engine.resume(execution.id, Resume(approve=("a",))))
    assert (execution.status, len(rig.tools[0].calls)) == (COMPLETED, 2)


async def test_each_of_two_calls_of_a_script_is_approved_for_itself(rig: Rig) -> None:
    asking(rig)
    async with rig.engine() as engine:
        execution = await rested(
            engine, await engine.execute(rig.draft(code("a", "[1, 1]", permissions=MAY)))
        )
        execution = await rested(engine, await engine.resume(execution.id, Resume(approve=("a",))))
        assert (execution.status, rig.tools[0].calls) == (PAUSED, [{"n": 0}])
        execution = await rested(engine, await engine.resume(execution.id, Resume(approve=("a",))))
    assert (execution.status, rig.tools[0].calls) == (COMPLETED, [{"n": 0}, {"n": 1}])


async def test_two_calls_at_once_are_asked_about_one_after_the_other(rig: Rig) -> None:
    asking(rig)
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(code("a", "[2]", permissions=MAY))))
        for made in (0, 1):
            assert (execution.status, len(rig.tools[0].calls)) == (PAUSED, made)
            execution = await rested(engine, await engine.resume(execution.id, Resume(approve=("a",))))
    assert (execution.status, len(rig.tools[0].calls)) == (COMPLETED, 2)


class SameTwice:
    """A sandbox whose script makes the same call twice."""

    async def run(self, script: Script, host: ScriptHost) -> ScriptResult:
        del script
        for ordinal in (0, 1):
            await host.call(HostCall(ordinal, "echo", '{"n":1}'))
        return ScriptResult(outcome=Outcome.VALUE, value="null")


async def test_an_approval_of_a_script_s_call_is_good_for_one_call(rig: Rig) -> None:
    asking(rig).sandbox = SameTwice()
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(code("a", "x", permissions=MAY))))
        execution = await rested(engine, await engine.resume(execution.id, Resume(approve=("a",))))
        assert (execution.status, len(rig.tools[0].calls)) == (PAUSED, 1)


async def survived(rig: Rig, spec: StepSpec, point: CrashPoint) -> Execution | None:
    """Begin an execution in a process that dies at the point, and bring it to its end in another one."""
    try:
        async with replace(rig, store=CrashingStore(rig.store, point)).engine() as engine:
            await to_the_end(engine, await engine.execute(rig.draft(spec)))
    except* Crash:
        pass
    store = rig.store
    assert isinstance(store, MemoryStore)
    rows = (await store.list(Query())).rows
    if not rows:
        return None
    store.abandon(rows[0].id)
    async with rig.engine() as engine:
        return await to_the_end(engine, await engine.show(rows[0].id))


async def to_the_end(engine: Engine, execution: Execution) -> Execution:
    """Approve whatever is asked until the execution has ended."""
    while execution.status not in {COMPLETED, FAILED}:
        if execution.status in ACTIVE:
            execution = await rested(engine, execution)
            continue
        names = tuple(name for name, step in execution.steps.items() if step.status is WAITING)
        execution = await rested(engine, await engine.resume(execution.id, Resume(approve=names)))
    return execution


@KINDS
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_an_approved_call_is_made_once_whatever_write_the_process_dies_at(
    rig: Rig, kind: str, *, after: bool
) -> None:
    at = 1
    while True:
        rig.store, rig.runner = MemoryStore(), ScriptedRunner()
        asking(rig)
        point = CrashPoint(at, after=after)
        execution = await survived(rig, STEPS[kind], point)
        if not point.dead:
            break
        if execution is not None:
            made = len(rig.tools[0].calls)
            # Of a call that was begun and has no answer on record nobody knows whether it was made.
            assert made <= 1, (at, made)
            requested = [
                e for e in await capture_events(rig.store, execution.id) if isinstance(e, ApprovalRequested)
            ]
            assert len(requested) <= 2
            assert await check_record(rig.store, execution.id) == execution
        at += 1
    assert at > 5
