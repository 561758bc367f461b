"""A step goes on in another runtime where its own is broken, and never for another reason."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from engine_mcp.core.agent import AgentResult
from engine_mcp.core.breaker import LOOK_S
from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.choice import Tier
from engine_mcp.core.event import AttemptFailed, RouteSwitched
from engine_mcp.core.execution import Execution, ExecutionStatus
from engine_mcp.core.listing import Query
from engine_mcp.core.models import Models
from engine_mcp.core.plan import Mode, Permissions
from engine_mcp.core.request import Resume
from engine_mcp.core.route import Allowed, Domain
from engine_mcp.core.tool import Health
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import Crash, CrashingStore, CrashPoint, Reply, ScriptedRunner, capture_events
from tests.engine.rig import Rig, agent, check_record, failing, failures, rested, statuses

pytestmark = pytest.mark.anyio

CENT = Usage(requests=1, cost_micros=10_000, cost_basis="reported")
CRASH = replace(failing("runtime_failed", "It died with a segmentation fault."), usage=CENT)
GOOD = AgentResult(output="done", usage=CENT)


def pair(rig: Rig, reply: Reply, second: Sequence[Reply] = (GOOD,)) -> ScriptedRunner:
    """A rig of two runtimes: the first one always replies so to the step, the other takes its place."""
    spare = ScriptedRunner({"a": second}, name="spare")
    rig.runner.replies, rig.others = {"a": [reply]}, [spare]
    return spare


def ways(execution: Execution, step: str = "a") -> list[str]:
    return [str(attempt.runtime) for attempt in execution.steps[step].attempts]


async def switches(rig: Rig, execution: Execution) -> list[RouteSwitched]:
    return [e for e in await capture_events(rig.store, execution.id) if isinstance(e, RouteSwitched)]


@pytest.mark.req("002:L190")
async def test_a_step_whose_runtime_crashes_twice_goes_on_in_the_other_one_of_the_family(rig: Rig) -> None:
    permissions = Permissions(mode=Mode.WRITE, allowed_tools=())
    spare = pair(rig, CRASH)
    execution = await rig.run(rig.draft(agent("a", permissions=permissions), agent("b", "a")))
    assert execution.status is ExecutionStatus.COMPLETED
    assert ways(execution) == ["scripted", "scripted", "spare"]
    assert ways(execution, "b") == ["scripted"]
    first, second, _b = rig.runner.tasks
    assert first.session == second.session != spare.tasks[0].session
    assert not spare.tasks[0].begun
    assert first.step.permissions == spare.tasks[0].step.permissions == permissions
    assert await check_record(rig.store, execution.id) == execution


async def test_a_change_of_route_is_on_record_with_what_broke_and_the_evidence(rig: Rig) -> None:
    pair(rig, CRASH)
    execution = await rig.run(rig.draft(agent("a")))
    (event,) = await switches(rig, execution)
    switch = event.switch
    assert (switch.origin.runtime, switch.to.runtime) == ("scripted", "spare")
    assert (switch.domain, switch.code) == (Domain.HARNESS, "runtime_failed")
    assert "segmentation fault" in switch.why
    assert execution.steps["a"].switches == (switch,)


async def test_what_every_attempt_took_is_paid_for_on_both_routes(rig: Rig) -> None:
    pair(rig, CRASH)
    execution = await rig.run(rig.draft(agent("a")))
    assert [attempt.usage.cost_micros for attempt in execution.steps["a"].attempts] == [10_000] * 3
    assert (execution.usage.cost_micros, execution.usage.requests) == (30_000, 3)


@pytest.mark.parametrize(
    "code",
    [
        "refused",
        "denied",
        "approval_denied",
        "spending_limit",
        "budget_exceeded",
        "request_rejected",
        "context_overflow",
        "output_invalid",
        "tool_error",
        "no_progress",
        "timeout",
        "internal",
        "crash",
        "host_network",
    ],
)
async def test_no_other_route_is_taken_for_what_it_would_not_mend(rig: Rig, code: str) -> None:
    spare = pair(rig, failing(code))
    execution = await rig.run(rig.draft(agent("a")))
    assert failures(execution) == {"a": code}
    assert spare.tasks == []
    assert await switches(rig, execution) == []


async def test_a_share_that_is_used_up_pauses_and_takes_no_other_route(rig: Rig) -> None:
    spare = pair(rig, replace(failing("spending_limit"), usage=Usage(cost_micros=1_000_000)))
    execution = await rig.run(rig.draft(agent("a"), budget=Limits(max_cost_usd=1.0)))
    assert (execution.status, execution.reason) == (ExecutionStatus.PAUSED, "budget")
    assert spare.tasks == []


@pytest.mark.req("003:L31")
@pytest.mark.parametrize(
    ("kind", "family", "pool"),
    [(Allowed.FAMILY, "strangers", "nobody"), (Allowed.POOL, "scripted", "another")],
    ids=["family", "account"],
)
async def test_family_and_account_are_left_only_where_the_plan_allows_it(
    rig: Rig, kind: Allowed, family: str, pool: str
) -> None:
    spare = pair(rig, CRASH)
    spare.family, spare.pool = family, pool
    execution = await rig.run(rig.draft(agent("a")))
    assert failures(execution) == {"a": "runtime_failed"}
    assert spare.tasks == []
    wrong = tuple(allowed for allowed in Allowed if allowed is not kind)
    execution = await rig.run(rig.draft(agent("a"), fallback=wrong))
    assert ways(execution) == ["scripted"] * 3
    execution = await rig.run(rig.draft(agent("a"), fallback=(kind,)))
    assert ways(execution) == ["scripted", "scripted", "spare"]
    assert execution.status is ExecutionStatus.COMPLETED


async def test_the_tier_of_the_model_is_left_only_where_the_plan_allows_it(rig: Rig) -> None:
    names = {Tier.STRONG: "big", Tier.STANDARD: "middle", Tier.FAST: "small"}
    rig.models = Models(tiers={tier: {"scripted": name} for tier, name in names.items()})
    gone = failing("model_unavailable", "No such model.")
    step = replace(agent("a"), task="Fix the race in the payment code.")
    rig.runner.replies = {"a": [gone]}
    execution = await rig.run(rig.draft(step))
    assert failures(execution) == {"a": "model_unavailable"}
    rig.runner = ScriptedRunner({"a": [gone, GOOD]})
    execution = await rig.run(rig.draft(step, fallback=(Allowed.TIER,)))
    models = [attempt.model for attempt in execution.steps["a"].attempts]
    assert (models, execution.status) == (["middle", "small"], ExecutionStatus.COMPLETED)


async def test_a_runtime_that_was_asked_for_is_never_left(rig: Rig) -> None:
    spare = pair(rig, CRASH)
    draft = rig.draft(agent("a", runtime="scripted"), fallback=tuple(Allowed))
    execution = await rig.run(draft)
    assert failures(execution) == {"a": "runtime_failed"}
    assert spare.tasks == []


async def test_a_step_that_crashes_on_both_routes_fails_with_what_it_tried(rig: Rig) -> None:
    pair(rig, CRASH, second=[CRASH])
    execution = await rig.run(rig.draft(agent("a"), agent("b", "a")))
    assert execution.status is ExecutionStatus.FAILED
    assert statuses(execution) == {"a": "failed", "b": "skipped"}
    assert set(ways(execution)) == {"scripted", "spare"}
    assert len(await switches(rig, execution)) == 1
    (last,) = [
        event
        for event in await capture_events(rig.store, execution.id)
        if isinstance(event, AttemptFailed) and event.final
    ]
    assert last.affects == ("b",)


async def test_a_runtime_that_is_gone_is_left_at_once(rig: Rig) -> None:
    pair(rig, failing("runtime_missing"))
    execution = await rig.run(rig.draft(agent("a")))
    assert ways(execution) == ["scripted", "spare"]


async def test_a_step_whose_ways_are_all_known_to_be_broken_waits_for_one(rig: Rig) -> None:
    gone = failing("runtime_missing")
    spare = pair(rig, gone, second=[gone])
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"))))
        assert failures(execution) == {"a": "runtime_missing"}
        second = await rested(engine, await engine.execute(rig.draft(agent("b"))))
    assert second.status is ExecutionStatus.COMPLETED
    waited = second.steps["b"].attempts[0].started_at - second.created_at
    assert 25 <= waited <= LOOK_S + 2
    assert len(rig.runner.tasks) + len(spare.tasks) == 3


async def test_one_change_of_route_for_one_kind_of_fault_is_enough(rig: Rig) -> None:
    spare = pair(rig, CRASH, second=[CRASH])
    third = ScriptedRunner({"a": [GOOD]}, name="third")
    rig.others = [spare, third]
    execution = await rig.run(rig.draft(agent("a")))
    assert failures(execution) == {"a": "runtime_failed"}
    assert third.tasks == []


async def test_an_endpoint_that_both_runtimes_ask_is_no_reason_to_change(rig: Rig) -> None:
    spare = pair(rig, failing("provider_error"))
    execution = await rig.run(rig.draft(agent("a")))
    assert failures(execution) == {"a": "provider_error"}
    assert spare.tasks == []


async def test_a_runtime_that_cannot_be_used_now_takes_nobodys_place(rig: Rig) -> None:
    spare = pair(rig, CRASH)
    spare.usable = Health(usable=False, detail="It is not installed.")
    execution = await rig.run(rig.draft(agent("a")))
    assert failures(execution) == {"a": "runtime_failed"}


async def test_a_step_goes_the_way_that_is_known_to_be_whole_before_it_starts(rig: Rig) -> None:
    spare = pair(rig, failing("runtime_missing"), second=[GOOD])
    execution = await rig.run(rig.draft(agent("a"), agent("b", "a")))
    assert (ways(execution), ways(execution, "b")) == (["scripted", "spare"], ["spare"])
    assert [task.step.id for task in spare.tasks] == ["a", "b"]
    of_b = [event.switch for event in await switches(rig, execution) if event.step == "b"]
    assert [(switch.domain, switch.code) for switch in of_b] == [(Domain.HARNESS, "")]


async def test_a_step_that_was_switched_is_told_what_it_may_use_and_goes_on_where_it_was_resumed(
    rig: Rig,
) -> None:
    spare = pair(rig, CRASH, second=[failing("tool_error"), GOOD])
    async with rig.engine() as engine:
        execution = await rested(engine, await engine.execute(rig.draft(agent("a"))))
        assert failures(execution) == {"a": "tool_error"}
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert ways(execution) == ["scripted", "scripted", "spare", "spare"]
    assert spare.tasks[1].session == spare.tasks[0].session


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_write_leaves_no_step_on_two_routes(rig: Rig, *, after: bool) -> None:
    at = 1
    while True:
        rig.store, rig.runner = MemoryStore(), ScriptedRunner()
        pair(rig, CRASH)
        point = CrashPoint(at, after=after)
        try:
            await replace(rig, store=CrashingStore(rig.store, point)).run(rig.draft(agent("a")))
        except* Crash:
            pass
        if not point.dead:
            break
        execution = await recovered(rig)
        if execution is not None:
            assert execution.status is ExecutionStatus.COMPLETED
            assert len(execution.steps["a"].switches) == 1
            assert "scripted" not in ways(execution)[ways(execution).index("spare") :]
            sessions = {attempt.runtime: attempt.session for attempt in execution.steps["a"].attempts}
            assert sessions["scripted"] != sessions["spare"]
            assert await check_record(rig.store, execution.id) == execution
        at += 1
    assert at > 8


async def recovered(rig: Rig) -> Execution | None:
    """What a new engine makes of the only execution on record, if there is one."""
    store = rig.store
    assert isinstance(store, MemoryStore)
    rows = (await store.list(Query())).rows
    if not rows:
        return None
    store.abandon(rows[0].id)
    async with rig.engine() as engine:
        execution = await engine.show(rows[0].id)
        if execution.status is ExecutionStatus.COMPLETED:
            return execution
        return await rested(engine, await engine.resume(execution.id, Resume()))
