"""A person is asked where the client can do that: to approve, and whether to go on beyond a limit."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp.shared.exceptions import MCPError
from mcp.types import (
    ElicitRequestFormParams,
    ElicitRequestParams,
    ElicitResult,
    LoggingMessageNotificationParams,
)

from tests.server.clients import MODES, SERVE, WITHIN_S, called, environment, raw

pytestmark = pytest.mark.anyio

RISKY: list[dict[str, Any]] = [{"id": "risky", "code": "return 'done'", "requires_approval": True}]
SLOW = "await sleep(300); await sleep(1500); return 'slow'"
PROMPTLY_S = 15.0
ENDLESS = "await sleep(300); await sleep(600000)"


@dataclass
class Person:
    """Answers every form with `says`, without it in the way of `action`; not before `until` is set."""

    says: str | None = None
    action: Literal["decline", "cancel"] = "cancel"
    until: anyio.Event | None = None
    asked: list[ElicitRequestFormParams] = field(default_factory=list[ElicitRequestFormParams])
    notices: list[LoggingMessageNotificationParams] = field(
        default_factory=list[LoggingMessageNotificationParams]
    )
    seen: anyio.Event = field(default_factory=anyio.Event)

    async def answer(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        del context
        assert isinstance(params, ElicitRequestFormParams)
        self.asked.append(params)
        self.seen.set()
        if self.until is not None:
            await self.until.wait()
        if self.says is None:
            return ElicitResult(action=self.action)
        assert self.says in params.requested_schema["properties"]["answer"]["enum"]
        return ElicitResult(action="accept", content={"answer": self.says})

    async def hear(self, params: LoggingMessageNotificationParams) -> None:
        self.notices.append(params)


@asynccontextmanager
async def met(project: Path, mode: Literal["auto", "legacy"], person: Person) -> AsyncGenerator[Client]:
    """A client with a person behind it."""
    parameters = StdioServerParameters(
        command=SERVE[0], args=SERVE[1:], cwd=project, env=environment(project)
    )
    async with Client(
        parameters,
        mode=mode,
        elicitation_callback=person.answer,
        logging_callback=person.hear,
        log_level="warning" if mode == "auto" else None,
    ) as client:
        yield client


@pytest.mark.req("002:L28", "002:L108")
@pytest.mark.parametrize("mode", MODES)
async def test_a_step_that_a_person_approves_runs_within_the_call(
    tmp_path: Path, mode: Literal["auto", "legacy"]
) -> None:
    person = Person(says="approve")
    async with met(tmp_path, mode, person) as client:
        done = await called(client, "engine_execute", steps=RISKY)
        assert (done["status"], done["output"]) == ("completed", "done")
        assert (await called(client, "engine_status"))["total"] == 1
    [form] = person.asked
    assert "'risky'" in form.message
    assert "return 'done'" in form.message
    assert done["execution_id"] in form.message


@pytest.mark.req("002:L28")
@pytest.mark.parametrize("mode", MODES)
async def test_a_step_that_a_person_denies_fails(tmp_path: Path, mode: Literal["auto", "legacy"]) -> None:
    async with met(tmp_path, mode, Person(says="deny")) as client:
        done = await called(client, "engine_execute", steps=RISKY)
    assert done["status"] == "failed"
    assert done["steps"][0]["error"]["code"] == "approval_denied"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_form_that_is_put_away_leaves_the_step_waiting_and_is_not_shown_again(
    tmp_path: Path, mode: Literal["auto", "legacy"], action: Literal["decline", "cancel"]
) -> None:
    person = Person(action=action)
    async with met(tmp_path, mode, person) as client:
        waiting = await called(client, "engine_execute", steps=RISKY, wait_s=5)
        name = waiting["execution_id"]
        assert (waiting["status"], waiting["reason"]) == ("paused", "approval")
        assert waiting["steps"][0]["waits_for"]["since"]
        again = await called(client, "engine_status", execution_id=name, wait_s=1)
        assert again["status"] == "paused"
        assert len(person.asked) == 1
        done = await called(client, "engine_resume", execution_id=name, approve=["risky"])
    assert done["status"] == "completed"


@pytest.mark.parametrize("mode", MODES)
async def test_a_step_that_waits_beside_running_ones_is_approved_while_they_run(
    tmp_path: Path, mode: Literal["auto", "legacy"]
) -> None:
    person = Person(says="approve")
    steps = [
        *RISKY,
        {"id": "slow", "code": SLOW},
        {"id": "last", "depends_on": ["risky"], "code": "return 3"},
    ]
    async with met(tmp_path, mode, person) as client:
        done = await called(client, "engine_execute", steps=steps)
    assert done["status"] == "completed"
    assert len(person.asked) == 1


async def test_a_person_who_is_slow_holds_up_no_call_and_is_heard_later(tmp_path: Path) -> None:
    let_go = anyio.Event()
    person = Person(says="approve", until=let_go)
    async with met(tmp_path, "legacy", person) as client:
        waiting = await called(client, "engine_execute", steps=RISKY, wait_s=1)
        assert waiting["status"] == "paused"
        let_go.set()
        done = await called(client, "engine_status", execution_id=waiting["execution_id"], wait_s=WITHIN_S)
    assert done["status"] == "completed"


async def test_a_cancelled_call_takes_its_question_back(tmp_path: Path) -> None:
    person = Person(until=anyio.Event())
    steps = [*RISKY, {"id": "slow", "code": ENDLESS}]
    async with met(tmp_path, "legacy", person) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: called(client, "engine_execute", steps=steps, wait_s=600))
            await person.seen.wait()
            tasks.cancel_scope.cancel()
        [row] = (await called(client, "engine_status"))["executions"]
        found = await called(client, "engine_status", execution_id=row["execution_id"], wait_s=WITHIN_S)
    assert found["status"] == "interrupted"


@pytest.mark.req("003:L45", "003:L47")
@pytest.mark.parametrize("mode", MODES)
async def test_beyond_a_limit_the_client_is_warned_and_a_person_can_pause(
    tmp_path: Path, mode: Literal["auto", "legacy"]
) -> None:
    person = Person(says="pause here")
    async with met(tmp_path, mode, person) as client:
        paused = await called(client, "engine_execute", code=ENDLESS, budget={"max_seconds": 0.2})
        assert (paused["status"], paused["reason"]) == ("paused", "budget")
        assert "seconds limit of 0.2" in paused["warnings"][0]
        assert paused["next_actions"][0]["arguments"]["budget"]["max_seconds"] >= 1
    [form] = person.asked
    assert "seconds limit of 0.2" in form.message
    assert [(notice.level, notice.logger) for notice in person.notices] == [("warning", "engine")]
    assert "seconds limit of 0.2" in str(person.notices[0].data)


@pytest.mark.req("003:L47")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("says", ["go on", None])
async def test_beyond_a_limit_work_goes_on_unless_a_person_pauses_it(
    tmp_path: Path, mode: Literal["auto", "legacy"], says: str | None
) -> None:
    person = Person(says=says)
    async with met(tmp_path, mode, person) as client:
        done = await called(client, "engine_execute", code=SLOW, budget={"max_seconds": 0.2})
    assert (done["status"], done["output"]) == ("completed", "slow")
    assert done["warnings"]
    assert len(person.asked) == 1


@pytest.mark.req("003:L47")
async def test_work_beyond_a_limit_does_not_wait_for_a_person(tmp_path: Path) -> None:
    person = Person(until=anyio.Event())
    async with met(tmp_path, "legacy", person) as client:
        with anyio.fail_after(PROMPTLY_S):
            done = await called(client, "engine_execute", code=SLOW, budget={"max_seconds": 0.2})
    assert (done["status"], done["output"]) == ("completed", "slow")
    assert person.seen.is_set()


async def test_a_client_that_wants_errors_alone_hears_no_warnings(tmp_path: Path) -> None:
    person = Person(says="go on")
    async with met(tmp_path, "legacy", person) as client:
        assert client.server_capabilities.logging is not None
        with pytest.warns(match="logging capability is deprecated"):
            await client.set_logging_level("error")  # pyright: ignore[reportDeprecated] - until 2027
        await called(client, "engine_execute", code=SLOW, budget={"max_seconds": 0.2})
    assert person.notices == []


@pytest.mark.parametrize("mode", MODES)
async def test_a_call_that_does_not_wait_asks_nobody(tmp_path: Path, mode: Literal["auto", "legacy"]) -> None:
    person = Person(says="approve")
    async with met(tmp_path, mode, person) as client:
        begun = await called(client, "engine_execute", steps=RISKY, wait_s=0)
        await called(client, "engine_status", execution_id=begun["execution_id"])
    assert person.asked == []


async def test_a_client_without_the_capability_is_never_asked(tmp_path: Path) -> None:
    async with raw(tmp_path) as client:
        waiting = await client.call("engine_execute", steps=RISKY, wait_s=5)
        assert (waiting["status"], waiting["reason"]) == ("paused", "approval")
        warned = await client.call("engine_execute", code=SLOW, budget={"max_seconds": 0.2})
        assert warned["status"] == "completed"
        assert warned["warnings"]
        methods = {note["method"] for note in client.notes}
    assert methods <= {"notifications/progress"}


@pytest.mark.parametrize("state", ["nonsense", "../../etc 1 1", "01a1fd6f-0097-7243-9d40-de5403c9ff2f"])
async def test_a_state_that_was_not_given_here_is_refused(tmp_path: Path, state: str) -> None:
    async with met(tmp_path, "auto", Person()) as client:
        with pytest.raises(MCPError, match="request state"):
            await client.call_tool("engine_execute", {"code": "return 1"}, request_state=state)
        assert (await called(client, "engine_status"))["total"] == 0
