"""What fails, what is tried again, and what becomes of the rest."""

from itertools import pairwise

import pytest

from engine_mcp.catalogue import CATALOGUE, RetryClass
from engine_mcp.core.event import AttemptFailed, AttemptStarted, CallStarted
from engine_mcp.core.execution import ExecutionStatus, Failure, StepStatus
from engine_mcp.core.request import Resume
from engine_mcp.core.retry import delay
from engine_mcp.core.script import ScriptLimits
from engine_mcp.core.tool import ToolResult
from engine_mcp.errors import IllegalTransition
from engine_mcp.testing import FakeClock, capture_events
from tests.engine.rig import (
    DONE,
    Crowd,
    Held,
    Rig,
    adapter,
    agent,
    came,
    check_record,
    code,
    failing,
    failures,
    kinds,
    rested,
    statuses,
    tool,
    until,
    values,
)
from tests.engine.trouble import Trouble, troubled

pytestmark = pytest.mark.anyio
WAITED_FOR = {"quota_exhausted", "credit_exhausted"}
"""What fails no step: the execution pauses until it is there again."""


def codes(*classes: RetryClass) -> list[str]:
    return [code for code, entry in CATALOGUE.items() if entry.retry in classes]


@pytest.mark.req("002:L42", "002:L44", "002:L43", "003:L40", "002:L37", "002:L234")
async def test_one_failure_skips_what_depends_on_it_and_leaves_the_rest_alone(rig: Rig) -> None:
    rig.runner.replies = {"bad": [failing("tool_error")]}
    execution = await rig.run(
        rig.draft(
            agent("bad"), agent("near", "bad"), agent("far", "near"), agent("free"), agent("after", "free")
        )
    )
    assert execution.status is ExecutionStatus.FAILED
    assert execution.reason == "failed: bad"
    assert statuses(execution) == {
        "bad": "failed",
        "near": "skipped",
        "far": "skipped",
        "free": "completed",
        "after": "completed",
    }
    assert await check_record(rig.store, execution.id) == execution


@pytest.mark.req("002:L45", "002:L54", "002:L94", "004:L59", "002:L90")
async def test_a_failure_says_what_happened_and_a_skip_says_because_of_what(rig: Rig) -> None:
    rig.runner.replies = {"bad": [failing("tool_error", "The moon is full.")]}
    execution = await rig.run(rig.draft(agent("bad"), agent("next", "bad")))
    bad, following = execution.steps["bad"].failure, execution.steps["next"].failure
    assert bad == Failure("tool_error", "The moon is full.")
    assert following is not None
    assert following.code == "dependency_failed"
    assert "'next' needs bad" in following.message
    assert following.hint == CATALOGUE["dependency_failed"].remedy


@pytest.mark.req("002:L43", "002:L44")
async def test_an_optional_failure_is_not_fatal_and_its_dependants_run(rig: Rig) -> None:
    rig.runner.replies = {"bad": [failing("tool_error")]}
    execution = await rig.run(rig.draft(agent("bad", optional=True), agent("next", "bad")))
    assert execution.status is ExecutionStatus.COMPLETED
    assert statuses(execution) == {"bad": "failed", "next": "completed"}


async def test_an_optional_step_that_is_skipped_does_not_skip_further(rig: Rig) -> None:
    rig.runner.replies = {"bad": [failing("tool_error")]}
    execution = await rig.run(
        rig.draft(agent("bad"), agent("maybe", "bad", optional=True), agent("last", "maybe"))
    )
    assert execution.status is ExecutionStatus.FAILED
    assert statuses(execution) == {"bad": "failed", "maybe": "skipped", "last": "completed"}


@pytest.mark.req("002:L46", "002:L172", "002:L165", "002:L141", "002:L91", "002:L183")
async def test_a_transient_failure_is_tried_three_times_with_growing_pauses(rig: Rig) -> None:
    rig.runner.replies = {"a": [failing("tool_transient")]}
    execution = await rig.run(rig.draft(agent("a")))
    step = execution.steps["a"]
    assert (step.status, step.tries, len(step.attempts)) == (StepStatus.FAILED, 3, 3)
    pauses = [
        round(later.started_at - (before.ended_at or 0.0), 5) for before, later in pairwise(step.attempts)
    ]
    assert pauses == [round(delay(tries, f"{execution.id}:a"), 5) for tries in (1, 2)]
    assert 0.5 <= pauses[0] <= 1.0 <= pauses[1] <= 2.0
    assert [event.final for event in await failed(rig, execution.id)] == [False, False, True]


async def test_the_pauses_of_steps_that_fail_together_differ(rig: Rig) -> None:
    names = "abcdefgh"
    rig.runner.replies = {name: [failing("crash"), DONE] for name in names}
    execution = await rig.run(rig.draft(*map(agent, names), parallelism=8))
    assert len({delay(1, f"{execution.id}:{name}") for name in names}) == len(names)
    assert execution.status is ExecutionStatus.COMPLETED


async def failed(rig: Rig, execution_id: str) -> list[AttemptFailed]:
    events = await capture_events(rig.store, execution_id)
    return [event for event in events if isinstance(event, AttemptFailed)]


@pytest.mark.req("002:L46", "004:L83")
async def test_a_transient_failure_that_passes_leaves_a_completed_step(rig: Rig) -> None:
    rig.runner.replies = {"a": [failing("crash"), failing("crash"), DONE]}
    execution = await rig.run(rig.draft(agent("a")))
    step = execution.steps["a"]
    assert (step.status, step.failure, step.tries) == (StepStatus.COMPLETED, None, 0)
    assert [str(attempt.status) for attempt in step.attempts] == ["failed", "failed", "succeeded"]


@pytest.mark.req("002:L173", "002:L176", "002:L166", "002:L169", "002:L104")
@pytest.mark.parametrize("code", sorted({*codes(RetryClass.LOGIC, RetryClass.CONFIGURATION)} - WAITED_FOR))
async def test_an_error_of_logic_or_configuration_is_not_tried_again(rig: Rig, code: str) -> None:
    rig.runner.replies = {"a": [failing(code), DONE]}
    execution = await rig.run(rig.draft(agent("a")))
    assert failures(execution) == {"a": code}
    assert len(execution.steps["a"].attempts) == 1


@pytest.mark.req("002:L168", "002:L174")
@pytest.mark.parametrize("code", codes(RetryClass.PERMISSION, RetryClass.RESOURCE))
async def test_an_error_of_permission_or_resource_is_tried_once_more(rig: Rig, code: str) -> None:
    rig.runner.replies = {"a": [failing(code)]}
    execution = await rig.run(rig.draft(agent("a")))
    assert len(execution.steps["a"].attempts) == 2
    assert {"permission", "storage", "sandbox_unavailable"} <= {*codes(*RetryClass)}


async def test_a_code_that_nobody_knows_is_not_tried_again(rig: Rig) -> None:
    rig.runner.replies = {"a": [failing("odd")]}
    execution = await rig.run(rig.draft(agent("a")))
    assert len(execution.steps["a"].attempts) == 1


@pytest.mark.parametrize(("most", "made"), [(1, 1), (2, 2), (5, 5)])
async def test_a_plan_says_how_often_a_step_may_be_tried(rig: Rig, most: int, made: int) -> None:
    rig.runner.replies = {"a": [failing("crash")]}
    execution = await rig.run(rig.draft(agent("a", max_attempts=most)))
    assert len(execution.steps["a"].attempts) == made


async def test_after_an_error_of_resource_the_next_attempt_has_the_execution_to_itself(rig: Rig) -> None:
    crowd, other = Crowd(), Held()
    rig.runner.replies = {"a": [failing("storage"), crowd], "other": [other], "more": [crowd]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("other"), agent("more", "other")))
        await came(other.begun)
        execution = await until(engine, execution, lambda now: now.steps["a"].tries == 1)
        assert statuses(execution) == {"a": "pending", "other": "running", "more": "pending"}
        other.let_go.set()
        execution = await rested(engine, execution)
    assert execution.status is ExecutionStatus.COMPLETED
    assert crowd.most == 1


async def test_others_go_on_while_a_step_waits_for_its_next_attempt(rig: Rig) -> None:
    rig.clock = clock = FakeClock()
    rig.runner.replies = {"a": [failing("crash"), DONE]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b"), agent("c", "b")))
        execution = await until(engine, execution, lambda now: statuses(now)["c"] == "completed")
        assert statuses(execution)["a"] == "pending"
        assert execution.status is ExecutionStatus.RUNNING
        clock.advance(1.0)
        execution = await rested(engine, execution)
    assert execution.status is ExecutionStatus.COMPLETED


@pytest.mark.req("000:1.1.3", "002:L116")
async def test_an_attempt_that_takes_too_long_ends_with_a_time_out(scripting: Rig) -> None:
    scripting.runner.replies = {"a": [Held()]}
    execution = await scripting.run(
        scripting.draft(
            agent("a", timeout_s=0.05),
            code("s", "await sleep(3600 * 1000 * 24)", timeout_s=0.05),
            code("free", "return 1"),
        )
    )
    assert failures(execution) | {"s": "timeout"} == {"a": "timeout", "s": "timeout"}
    assert values(execution)["free"] == 1
    failure = execution.steps["a"].failure
    assert failure is not None
    assert "timeout_s = 0.05" in failure.message


@pytest.mark.req(
    "002:L188", "000:L288", "000:1.2.2", "000:L299", "001:L43", "002:L82", "002:L83", "002:L147", "002:L148"
)
@pytest.mark.parametrize(
    ("script", "code_of_it"),
    [
        ("throw new Error('x')", "js_error"),
        ("const a = []; while (true) a.push(new Array(1000).fill(1))", "memory_limit"),
        ("while (true);", "cpu_limit"),
        ("const f = () => f() + 1; return f()", "stack"),
        ("await new Promise(() => {}); await sleep(1)", "js_error"),
        ("return 'x'.repeat(5000)", "output_too_large"),
        ("await tools.call('nothing', {})", "denied"),
    ],
)
async def test_a_script_that_fails_says_how(scripting: Rig, script: str, code_of_it: str) -> None:
    limits = ScriptLimits(memory_mb=16, cpu_s=0.3, wall_s=5, max_output_kb=4)
    execution = await scripting.run(scripting.draft(code("s", script, limits=limits)))
    assert failures(execution) == {"s": code_of_it}
    attempt = execution.steps["s"].attempt
    assert attempt is not None
    assert attempt.report is not None
    assert attempt.report.isolation is not None


async def test_where_no_sandbox_can_be_had_a_script_fails_and_is_tried_once_more(rig: Rig) -> None:
    execution = await rig.run(rig.draft(code("s", "return 1")))
    assert failures(execution) == {"s": "sandbox_unavailable"}
    assert len(execution.steps["s"].attempts) == 2


async def test_a_runner_that_breaks_its_contract_fails_its_step_alone(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(task: object, host: object) -> None:
        raise ZeroDivisionError(task, host)

    rig.runner.replies = {"bad": [broken]}  # pyright: ignore[reportAttributeAccessIssue] - that is the point
    execution = await rig.run(rig.draft(agent("bad"), agent("good")))
    assert failures(execution) == {"bad": "internal"}
    assert statuses(execution)["good"] == "completed"
    assert "ZeroDivisionError" in caplog.text


async def test_an_error_of_the_engine_in_a_tool_is_the_failure_of_its_step(rig: Rig) -> None:
    async def broken(arguments: object, bench: object) -> ToolResult:
        raise PermissionError(arguments, bench)

    rig.tools = [adapter("broken", broken)]
    execution = await rig.run(rig.draft(tool("t", "broken")))
    assert failures(execution) == {"t": "internal"}


@pytest.mark.req("002:L77", "002:L116")
async def test_a_tool_that_takes_longer_than_it_says_fails_with_a_time_out(rig: Rig) -> None:
    held = Held()

    async def slow(arguments: object, bench: object) -> ToolResult:
        del arguments, bench
        await held.let_go.wait()
        return ToolResult()

    rig.tools = [adapter("slow", slow, timeout_s=0.05)]
    execution = await rig.run(rig.draft(tool("t", "slow")))
    assert failures(execution) == {"t": "timeout"}


async def test_a_tool_may_fail_in_a_way_that_passes(rig: Rig) -> None:
    turns = iter([ToolResult(failure=Failure("tool_transient", "Later.")), ToolResult(value=1)])

    async def act(arguments: object, bench: object) -> ToolResult:
        del arguments, bench
        return next(turns)

    rig.tools = [adapter("t", act)]
    execution = await rig.run(rig.draft(tool("t", "t")))
    assert values(execution) == {"t": 1}
    assert execution.usage.requests == 2


async def test_a_failed_execution_keeps_its_attempts_in_the_events(rig: Rig) -> None:
    rig.runner.replies = {"a": [failing("crash"), failing("tool_error")]}
    execution = await rig.run(rig.draft(agent("a")))
    assert await kinds(rig.store, execution) == [
        "execution_created",
        "execution_started",
        "attempt_started",
        "attempt_failed",
        "attempt_started",
        "attempt_failed",
        "execution_failed",
    ]
    events = await capture_events(rig.store, execution.id)
    assert [event.number for event in events if isinstance(event, AttemptStarted)] == [1, 2]


async def test_an_event_that_does_not_fit_is_refused_and_leaves_everything_as_it_was(rig: Rig) -> None:
    rig.runner.replies = {"a": [held := Held()]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(held.begun)
        driver = engine._drivers[execution.id]  # pyright: ignore[reportPrivateUsage] - only it takes events
        before = driver.execution
        stray = CallStarted(at=0.0, step="a", number=99, ordinal=0, name="x", digest="")
        with pytest.raises(IllegalTransition) as caught:
            await driver.say(stray)
        assert caught.value.code == "illegal_transition"
        assert driver.execution == before == await check_record(rig.store, execution.id)
        driver.post(stray)
        held.let_go.set()
        execution = await rested(engine, execution)
    assert execution.status is ExecutionStatus.COMPLETED


async def test_a_defect_of_the_engine_ends_one_execution_and_leaves_it_resumable(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    held, trouble = Held(), Trouble(error=ZeroDivisionError)
    rig.runner.replies = {"a": [held, DONE]}
    rig.store = troubled(rig.store, trouble)
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await came(held.begun)
        trouble.begin(times=1)
        held.let_go.set()
        execution = await rested(engine, execution)
        assert (execution.status, execution.reason) == (ExecutionStatus.INTERRUPTED, "owner died")
        assert "ZeroDivisionError" in caplog.text
        execution = await rested(engine, await engine.resume(execution.id, Resume()))
    assert execution.status is ExecutionStatus.COMPLETED
    assert [str(attempt.status) for attempt in execution.steps["a"].attempts] == ["lost", "succeeded"]
    assert await check_record(rig.store, execution.id) == execution
