"""Agent steps: sessions, what is streamed, what is kept, what a schema asks for."""

from collections.abc import Sequence
from dataclasses import replace

import anyio
import pytest
from pydantic import JsonValue

from engine_mcp.core.agent import AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import Limits, OnExceed, Usage
from engine_mcp.core.event import AttemptStarted, SessionOpened, TextStreamed
from engine_mcp.core.evolve import fold
from engine_mcp.core.execution import Execution, ExecutionStatus, Failure, Output, Progress, StopMode
from engine_mcp.core.plan import Draft, Permissions
from engine_mcp.core.request import Resume
from engine_mcp.engine.recovery import lost
from engine_mcp.errors import RuntimeUnavailable
from engine_mcp.ports import AgentHost
from engine_mcp.testing import capture_events
from tests.engine.rig import DONE, Held, Rig, agent, came, check_record, failures, rested, statuses, until

pytestmark = pytest.mark.anyio


async def interrupted(rig: Rig, held: Held, draft: Draft) -> Execution:
    async with rig.engine() as engine:
        execution = await engine.execute(draft)
        await came(held.begun)
        return await engine.interrupt(execution.id, StopMode.NOW, "stopped")


async def going_on(rig: Rig, execution: Execution, request: Resume | None = None) -> Execution:
    async with rig.engine() as engine:
        return await rested(engine, await engine.resume(execution.id, request or Resume()))


def sessions(tasks: Sequence[AgentTask]) -> list[tuple[str | None, bool]]:
    return [(task.session, task.begun) for task in tasks]


def has_written(execution: Execution) -> bool:
    return any(step.attempts[-1].partial is not None for step in execution.running)


# --- sessions


@pytest.mark.req("000:5.2.3")
async def test_a_session_is_named_and_on_record_before_the_runner_begins(rig: Rig) -> None:
    seen: list[str | None] = []

    async def looking(task: AgentTask, host: AgentHost) -> AgentResult:
        del host
        events = await capture_events(rig.store, task.execution_id)
        seen.extend(event.session for event in events if isinstance(event, AttemptStarted))
        return DONE

    rig.runner.replies = {"a": [looking]}
    await rig.run(rig.draft(agent("a")))
    assert seen == [rig.runner.tasks[0].session]
    assert not rig.runner.tasks[0].begun


async def test_an_interrupted_attempt_goes_on_in_the_same_session_again_and_again(rig: Rig) -> None:
    cycles = [Held(), Held(), Held()]
    rig.runner.replies = {"a": [*cycles, DONE]}
    execution = await interrupted(rig, cycles[0], rig.draft(agent("a")))
    for held in cycles[1:]:
        async with rig.engine() as engine:
            await engine.resume(execution.id, Resume())
            await came(held.begun)
            await engine.interrupt(execution.id, StopMode.NOW, "again")
    execution = await going_on(rig, execution)
    first = rig.runner.tasks[0].session
    assert sessions(rig.runner.tasks) == [(first, False), (first, True), (first, True), (first, True)]
    assert "interrupted" in rig.runner.tasks[-1].prompt.again
    assert await check_record(rig.store, execution.id) == execution


async def test_the_name_that_a_runtime_gives_its_session_is_the_one_that_goes_on(rig: Rig) -> None:
    held = Held()

    async def naming(task: AgentTask, host: AgentHost) -> AgentResult:
        await host.opened("ses_1")
        return await held(task, host)

    rig.runner.replies = {"a": [naming, DONE]}
    execution = await interrupted(rig, held, rig.draft(agent("a")))
    await going_on(rig, execution)
    assert rig.runner.tasks[1].session == "ses_1"
    assert rig.runner.tasks[1].begun
    opened = [e for e in await capture_events(rig.store, execution.id) if isinstance(e, SessionOpened)]
    assert [event.session for event in opened] == ["ses_1"]


async def test_another_try_after_a_failure_goes_on_in_the_same_session_and_hears_why(rig: Rig) -> None:
    rig.runner.replies = {"a": [AgentResult(failure=Failure("overloaded", "Too busy.")), DONE]}
    await rig.run(rig.draft(agent("a")))
    first, second = rig.runner.tasks
    assert (second.session, second.begun) == (first.session, True)
    assert "Too busy." in second.prompt.again


async def test_a_step_that_runs_anew_begins_a_session_of_its_own(rig: Rig) -> None:
    execution = await rig.run(rig.draft(agent("a")))
    await going_on(rig, execution, Resume(from_step="a"))
    first, second = rig.runner.tasks
    assert second.session != first.session
    assert not second.begun


async def test_steps_do_not_share_a_session(rig: Rig) -> None:
    await rig.run(rig.draft(agent("a"), agent("b")))
    assert len({task.session for task in rig.runner.tasks}) == 2


# --- what is streamed


@pytest.mark.req("004:L49", "004:L46", "004:L67")
async def test_what_a_runner_streams_is_on_record_while_it_works(rig: Rig) -> None:
    held = Held()

    async def writing(task: AgentTask, host: AgentHost) -> AgentResult:
        for word in ("One ", "two ", "three."):
            host.report(AgentReport(text=word))
        return await held(task, host)

    rig.runner.replies = {"a": [writing]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await until(engine, execution, has_written)
        events = await capture_events(rig.store, execution.id)
        held.let_go.set()
        await rested(engine, execution)
    assert "".join(e.text for e in events if isinstance(e, TextStreamed)) == "One two three."


async def test_what_follows_much_text_is_told_while_the_attempt_works(rig: Rig) -> None:
    held = Held()

    async def writing(task: AgentTask, host: AgentHost) -> AgentResult:
        host.report(AgentReport(text="a little, "))
        await anyio.wait_all_tasks_blocked()
        host.report(AgentReport(text="much" * 1000))
        host.report(AgentReport(text=", and the rest"))
        return await held(task, host)

    rig.runner.replies = {"a": [writing]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        await until(
            engine, execution, lambda now: any("rest" in (s.attempts[-1].partial or "") for s in now.running)
        )
        held.let_go.set()
        await rested(engine, execution)


async def test_much_text_is_told_in_pieces_that_can_be_read_by_cursor(rig: Rig) -> None:
    text = "abcdefghij" * 1000

    async def writing(task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        host.report(AgentReport(text=text))
        return DONE

    rig.runner.replies = {"a": [writing]}
    execution = await rig.run(rig.draft(agent("a")))
    pieces = [e.text for e in await capture_events(rig.store, execution.id) if isinstance(e, TextStreamed)]
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= 1000


async def test_a_torrent_of_news_does_not_become_a_torrent_of_events(rig: Rig) -> None:
    async def hasty(task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        for number in range(1000):
            host.report(AgentReport(text="x", progress=Progress(done=number), usage=Usage(tokens_out=1)))
        return DONE

    rig.runner.replies = {"a": [hasty]}
    execution = await rig.run(rig.draft(agent("a")))
    assert len(await capture_events(rig.store, execution.id)) < 12
    assert execution.usage.tokens_out == 1000


@pytest.mark.parametrize("stopped", [True, False], ids=["interrupted", "failed"])
async def test_what_an_attempt_wrote_before_its_end_is_kept(rig: Rig, *, stopped: bool) -> None:
    held = Held(AgentResult(failure=Failure("runtime_failed", "Died.")))

    async def writing(task: AgentTask, host: AgentHost) -> AgentResult:
        host.report(AgentReport(text="Half of an answer"))
        return await held(task, host)

    rig.runner.replies = {"a": [writing]}
    if stopped:
        execution = await interrupted(rig, held, rig.draft(agent("a")))
    else:
        held.let_go.set()
        execution = await rig.run(rig.draft(agent("a", max_attempts=1)))
    assert execution.steps["a"].output == Output(value="Half of an answer")


async def test_what_a_lost_attempt_wrote_is_kept(rig: Rig) -> None:
    async def writing(task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        host.report(AgentReport(text="Half of an answer"))
        await anyio.sleep_forever()
        return DONE

    rig.runner.replies = {"a": [writing]}
    async with rig.engine() as engine:
        execution = await engine.execute(rig.draft(agent("a")))
        now = await until(engine, execution, has_written)
        seen = fold(now, lost(now, now.updated_at))
    assert statuses(seen) == {"a": "interrupted"}
    assert seen.steps["a"].output == Output(value="Half of an answer")


async def test_the_text_of_a_successful_attempt_is_not_kept_twice(rig: Rig) -> None:
    async def writing(task: AgentTask, host: AgentHost) -> AgentResult:
        del task
        host.report(AgentReport(text="done"))
        return DONE

    rig.runner.replies = {"a": [writing]}
    execution = await rig.run(rig.draft(agent("a")))
    assert execution.steps["a"].attempts[-1].partial is None
    assert execution.steps["a"].output == Output(value="done")


# --- what a schema asks for

SCHEMA: JsonValue = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.mark.parametrize(
    "text", ['{"n": 1}', 'Here it is:\n```json\n{"n": 1}\n```\nAnything else?', '```\n{"n": 1}\n```']
)
async def test_json_in_the_text_of_an_agent_is_the_output_of_its_schema(rig: Rig, text: str) -> None:
    rig.runner.replies = {"a": [AgentResult(output=text)]}
    execution = await rig.run(rig.draft(agent("a", output_schema=SCHEMA)))
    assert execution.steps["a"].output == Output(value={"n": 1})


async def test_a_text_that_its_schema_wants_stays_a_text(rig: Rig) -> None:
    rig.runner.replies = {"a": [AgentResult(output='{"n": 1}')]}
    execution = await rig.run(rig.draft(agent("a", output_schema={"type": "string"})))
    assert execution.steps["a"].output == Output(value='{"n": 1}')


async def test_an_answer_without_what_the_schema_asks_for_fails_and_is_kept(rig: Rig) -> None:
    rig.runner.replies = {"a": [AgentResult(output="No numbers here.")]}
    execution = await rig.run(rig.draft(agent("a", output_schema=SCHEMA)))
    assert failures(execution) == {"a": "output_invalid"}
    assert execution.steps["a"].output == Output(value="No numbers here.")


# --- money


async def test_an_attempt_that_used_up_its_share_pauses_and_goes_on_with_more(rig: Rig) -> None:
    spent = AgentResult(failure=Failure("spending_limit", "Used up."), usage=Usage(cost_micros=1_000_000))
    rig.runner.replies = {"a": [spent, DONE]}
    limits = Limits(max_cost_usd=1.0, on_exceed=OnExceed.PAUSE)
    execution = await rig.run(rig.draft(agent("a"), budget=limits))
    assert (execution.status, execution.reason) == (ExecutionStatus.PAUSED, "budget")
    assert execution.usage.cost_micros == 1_000_000
    execution = await going_on(rig, execution, Resume(budget=Limits(max_cost_usd=3.0)))
    assert execution.status is ExecutionStatus.COMPLETED
    first, second = rig.runner.tasks
    assert (first.reserved.cost_micros, second.reserved.cost_micros) == (1_000_000, 2_000_000)
    assert second.session == first.session


# --- what cannot be


async def test_a_runtime_that_is_gone_when_its_turn_comes_fails_the_attempt(rig: Rig) -> None:
    held = Held()
    rig.runner.replies = {"a": [held]}
    usable = dict(rig.parts.runners)
    engine = rig.engine()
    engine.parts = replace(rig.parts, runners=usable)
    async with engine:
        execution = await engine.execute(rig.draft(agent("a"), agent("b", "a")))
        await came(held.begun)
        usable.clear()
        held.let_go.set()
        execution = await rested(engine, execution)
    assert failures(execution) == {"b": "runtime_unavailable"}


async def test_without_any_runtime_agent_steps_are_refused_before_anything_is_recorded(rig: Rig) -> None:
    engine = rig.engine()
    engine.parts = replace(rig.parts, runners={})
    async with engine:
        with pytest.raises(RuntimeUnavailable, match="none is set up"):
            await engine.execute(rig.draft(agent("a", permissions=Permissions())))
    assert await rig.store.abandoned() == ()
