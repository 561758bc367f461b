"""All five tools through the SDK's own client, in both eras of the protocol."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import anyio
import pytest
from mcp import Client, MCPError
from mcp.types import INVALID_PARAMS

from engine_mcp import __version__
from engine_mcp.server.listing import INSTRUCTIONS, tools
from tests.server.checking import conforming
from tests.server.clients import MODES, SLOW, called, connected, refusal, said

pytestmark = pytest.mark.anyio
NOBODY = "01a1fd6f-0097-7243-9d40-000000000000"
WAITS_FOR = "while (!(await files.stat(%r))) await sleep(100); "
PATIENT = {"max_calls": 500}
CHAIN = [
    {"id": "a", "code": "return 1"},
    {"id": "b", "code": "return 2"},
    {"id": "c", "code": "return outputs.a + outputs.b", "depends_on": ["a", "b"]},
    {"id": "d", "code": "return outputs.c * input.factor", "depends_on": ["c"]},
    {"id": "e", "code": "return {a: outputs.a, d: outputs.d}", "depends_on": ["a", "d"]},
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a project with spaces é")


@pytest.fixture(scope="module", params=MODES)
async def client(
    anyio_backend: object, project: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Client]:
    assert anyio_backend
    async with connected(project, request.param) as opened:
        await opened.list_tools()  # from here on the client checks results against their schemas
        yield opened


async def count(client: Client) -> int:
    return (await called(client, "engine_status"))["total"]


@pytest.mark.req("003:L52")
async def test_the_server_says_who_it_is_and_lists_its_tools(client: Client) -> None:
    assert client.server_info is not None
    assert (client.server_info.name, client.server_info.version) == ("engine", __version__)
    assert client.instructions == INSTRUCTIONS
    listed = (await client.list_tools()).tools
    assert [tool.model_dump() for tool in listed] == [tool.model_dump() for tool in tools()]


def test_each_client_speaks_the_era_it_is_named_after(client: Client) -> None:
    assert client.protocol_version in {"2026-07-28", "2025-11-25"}


@pytest.mark.req("002:L17", "003:L32", "003:L38", "003:L41", "002:L34", "002:L187", "002:L27", "000:L190")
async def test_five_steps_run_in_the_order_of_their_dependencies(client: Client) -> None:
    done = await called(client, "engine_execute", steps=CHAIN, context={"factor": 10}, wait_s=30)
    assert (done["status"], done["strategy"], done["output"]) == ("completed", "parallel", {"a": 1, "d": 30})
    assert [step["output"] for step in done["steps"]] == [1, 2, 3, 30, {"a": 1, "d": 30}]
    assert await anyio.Path(done["snapshot"]).is_file()
    events = await events_of(client, done["execution_id"])
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    kinds = [event["kind"] for event in events]
    assert (kinds[0], kinds[-1]) == ("execution_created", "execution_completed")
    order = [event["step"] for event in events if event["kind"] == "attempt_succeeded"]
    assert [sorted(order[:2]), order[2:]] == [["a", "b"], ["c", "d", "e"]]


async def events_of(client: Client, execution_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor, more = 0, True
    while more:
        page = await called(client, "engine_status", execution_id=execution_id, cursor=cursor)
        found, cursor, more = found + page["events"], page["cursor"], page["more"]
    return found


@pytest.mark.req("003:L41", "003:L36")
@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        ({"code": "return input.n + 1", "context": {"n": 1}}, 2),
        ({"steps": [{"id": "x", "code": "return 'é😀'"}], "strategy": "single"}, "é😀"),
        (
            {
                "strategy": "multi",
                "steps": [{"id": "x", "code": "return 1"}, {"id": "y", "code": "return 2"}],
            },
            2,
        ),
        ({"tool": "files.stat", "arguments": {"path": "absent"}}, None),
    ],
    ids=["code", "single", "multi", "tool"],
)
async def test_work_can_be_said_in_every_way(
    client: Client, arguments: dict[str, Any], output: object
) -> None:
    done = await called(client, "engine_execute", **arguments)
    assert (done["status"], done["output"]) == ("completed", output)


async def test_news_come_while_a_call_waits(client: Client) -> None:
    news: list[tuple[float, float | None, str | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        news.append((progress, total, message))

    code = "progress(1, 4, 'warming up'); await sleep(700); progress(3, 4, 'nearly'); await sleep(700)"
    await client.call_tool("engine_execute", {"code": code}, progress_callback=note)
    assert [done for done, _, _ in news] == sorted({done for done, _, _ in news})
    assert all(total == 1 for _, total, _ in news)
    assert "0/1 steps · warming up" in [text for _, _, text in news]


@pytest.mark.req("000:6.1.1", "000:6.1.2", "004:L113", "004:L75", "001:L61")
async def test_without_waiting_there_is_a_handle_and_a_long_poll_gives_the_end(client: Client) -> None:
    begun = await called(client, "engine_execute", code="await sleep(500); return 'end'", wait_s=0)
    assert begun["status"] in {"pending", "running"}
    assert begun["next_poll_s"] > 0
    assert UUID(begun["execution_id"]).version == 7
    done = await called(client, "engine_status", execution_id=begun["execution_id"], wait_s=20)
    assert (done["status"], done["output"]) == ("completed", "end")


@pytest.mark.req(
    "003:L56",
    "000:5.1.1",
    "001:L40",
    "000:7.1.1",
    "000:7.1.2",
    "000:5.2.1",
    "000:5.2.3",
    "001:L45",
    "004:L76",
    "004:L77",
)
async def test_an_interrupted_execution_goes_on_without_repeating_what_is_done(
    client: Client, project: Path
) -> None:
    go = f"go on, {client.protocol_version}"
    waiting = WAITS_FOR % go + "return outputs.first"
    steps = [
        {"id": "first", "code": "return 'kept'"},
        {"id": "second", "code": waiting, "depends_on": ["first"], "limits": PATIENT},
    ]
    begun = await called(client, "engine_execute", steps=steps, wait_s=0)
    name = begun["execution_id"]
    await until_running(client, name, "second")
    stopped = await called(client, "engine_interrupt", execution_id=name, reason="tea")
    assert (stopped["status"], stopped["reason"]) == ("interrupted", "tea")
    assert "second" in stopped["happened"]
    assert stopped["next_actions"][0]["arguments"] == {"execution_id": name}
    again = await called(client, "engine_interrupt", execution_id=name)
    assert "nothing changed" in again["happened"]
    await anyio.Path(project, go).touch()
    done = await called(client, "engine_resume", execution_id=name, wait_s=30)
    assert (done["status"], done["output"]) == ("completed", "kept")
    assert [step["attempts"] for step in done["steps"]] == [1, 2]


async def until_running(client: Client, execution_id: str, step: str) -> None:
    cursor = 0
    while True:
        found = await called(client, "engine_status", execution_id=execution_id, cursor=cursor, wait_s=10)
        if [shown["status"] for shown in found["steps"] if shown["id"] == step] == ["running"]:
            return
        cursor = found["cursor"]


async def test_a_stop_after_the_running_step_lets_it_end(client: Client, project: Path) -> None:
    go = f"end, {client.protocol_version}"
    steps = [
        {"id": "first", "code": WAITS_FOR % go + "return 1", "limits": PATIENT},
        {"id": "second", "code": "return 2", "depends_on": ["first"]},
    ]
    begun = await called(client, "engine_execute", steps=steps, wait_s=0)
    name = begun["execution_id"]
    await until_running(client, name, "first")
    asked = await called(client, "engine_interrupt", execution_id=name, mode="after_step")
    assert asked["stopping"]["mode"] == "after_step"
    assert "first" in asked["happened"]
    await anyio.Path(project, go).touch()
    rest = await called(client, "engine_status", execution_id=name, wait_s=20)
    assert rest["status"] == "interrupted"
    assert [step["status"] for step in rest["steps"]] == ["completed", "pending"]


@pytest.mark.req("004:L78", "004:L57")
async def test_a_cancelled_execution_is_over_for_good(client: Client) -> None:
    begun = await called(client, "engine_execute", code=SLOW, wait_s=0)
    name = begun["execution_id"]
    over = await called(client, "engine_interrupt", execution_id=name, mode="cancel")
    assert over["status"] == "cancelled"
    assert "next_actions" not in over
    for tool in ("engine_interrupt", "engine_resume"):
        told = await refusal(client, tool, execution_id=name)
        assert told["code"] == "execution_finished"
        assert "from_step" not in str(told)
        assert [action["tool"] for action in told["next_actions"]] == ["engine_status", "engine_execute"]


@pytest.mark.req("000:5.2.1", "000:5.4.2", "000:5.4.4", "000:6.3.3")
async def test_what_cannot_be_stopped_or_resumed_is_told_with_a_code_of_its_own(client: Client) -> None:
    begun = await called(client, "engine_execute", code=SLOW, wait_s=0)
    name = begun["execution_id"]
    assert (await refusal(client, "engine_resume", execution_id=name))["code"] == "execution_running"
    await called(client, "engine_interrupt", execution_id=name, mode="cancel")
    for tool in ("engine_status", "engine_budget", "engine_interrupt", "engine_resume"):
        unknown = await refusal(client, tool, execution_id=NOBODY)
        assert (unknown["code"], unknown["field"]) == ("execution_not_found", "execution_id")
        assert name in unknown["hint"]
        for traversal in ("../../etc", f"{NOBODY}/..", NOBODY.upper(), ""):
            odd = await refusal(client, tool, execution_id=traversal)
            assert (odd["code"], odd["field"]) == ("invalid_argument", "execution_id")


@pytest.mark.req("003:L55", "003:L57")
async def test_a_limit_pauses_is_raised_and_read_back(client: Client) -> None:
    budget = {"max_seconds": 0.5, "on_exceed": "pause"}
    paused = await called(client, "engine_execute", code="await sleep(1200); return 1", budget=budget)
    name = paused["execution_id"]
    assert (paused["status"], paused["reason"]) == ("paused", "budget")
    action = paused["next_actions"][0]
    assert (action["tool"], action["arguments"]["budget"]) == ("engine_resume", {"max_seconds": 1.0})
    account = await called(client, "engine_budget", execution_id=name)
    assert account["limits"] == {"max_seconds": 0.5, "on_exceed": "pause"}
    assert account["spent"]["seconds"] >= 0.5
    assert account["remaining"] == {"seconds": 0.0}
    assert account["entries"][0]["status"] == "interrupted"
    raised = await called(client, "engine_budget", execution_id=name, budget={"max_seconds": 60})
    assert raised["limits"]["max_seconds"] == 60
    assert "max_seconds = 60" in raised["happened"]
    reset = await called(client, "engine_budget", execution_id=name, reset=True)
    assert reset["limits"]["max_seconds"] == 0.5
    done = await called(client, action["tool"], **{**action["arguments"], "budget": {"max_seconds": 60}})
    assert (done["status"], done["output"]) == ("completed", 1)


async def test_from_mcp_a_limit_warns_unless_the_request_says_pause(client: Client) -> None:
    done = await called(
        client, "engine_execute", code="await sleep(300); return 1", budget={"max_seconds": 0.1}
    )
    assert done["status"] == "completed"
    assert "seconds" in done["warnings"][0]


@pytest.mark.req("002:L28", "002:L108")
async def test_a_step_that_needs_approval_waits_for_it(client: Client) -> None:
    steps = [{"id": "risky", "code": "return 'done'", "requires_approval": True}]
    waiting = await called(client, "engine_execute", steps=steps)
    assert (waiting["status"], waiting["steps"][0]["status"]) == ("paused", "awaiting_approval")
    action = waiting["next_actions"][0]
    assert action["arguments"]["approve"] == ["risky"]
    done = await called(client, action["tool"], **action["arguments"])
    assert (done["status"], done["output"]) == ("completed", "done")
    waiting = await called(client, "engine_execute", steps=steps)
    denied = await called(client, "engine_resume", execution_id=waiting["execution_id"], deny=["risky"])
    assert (denied["status"], denied["steps"][0]["error"]["code"]) == ("failed", "approval_denied")


async def test_a_completed_step_and_all_after_it_can_be_run_again(client: Client) -> None:
    done = await called(client, "engine_execute", steps=CHAIN, context={"factor": 2})
    again = await called(client, "engine_resume", execution_id=done["execution_id"], from_step="d")
    assert again["status"] == "completed"
    assert [step["attempts"] for step in again["steps"]] == [1, 1, 1, 2, 2]


async def test_a_failed_step_is_told_and_can_be_replaced(client: Client) -> None:
    failed = await called(client, "engine_execute", steps=[{"id": "x", "code": "null.x"}])
    assert failed["status"] == "failed"
    assert failed["steps"][0]["error"]["code"] == "js_error"
    assert failed["steps"][0]["outcome"] == "js_error"
    name, steps = failed["execution_id"], [{"id": "x", "code": "return 'mended'"}]
    mended = await called(client, "engine_resume", execution_id=name, steps=steps)
    assert (mended["status"], mended["output"]) == ("completed", "mended")


async def test_the_same_key_gives_the_same_execution(client: Client) -> None:
    key = f"key of {client.protocol_version}"
    first = await called(client, "engine_execute", code="return Math.random()", idempotency_key=key)
    again = await called(client, "engine_execute", code="return Math.random()", idempotency_key=key)
    assert (again["execution_id"], again["output"]) == (first["execution_id"], first["output"])
    other = await refusal(client, "engine_execute", code="return 2", idempotency_key=key)
    assert (other["code"], other["field"]) == ("idempotency_conflict", "idempotency_key")


@pytest.mark.req("003:L53", "002:L107", "000:7.3.3")
@pytest.mark.parametrize(
    ("arguments", "code", "field"),
    [
        ({"taks": "x"}, "invalid_argument", "taks"),
        ({"task": ""}, "invalid_argument", "task"),
        ({"task": "  "}, "invalid_plan", "task"),
        ({}, "invalid_plan", "task"),
        ({"code": "1", "tool": "files.read"}, "invalid_plan", "tool"),
        ({"steps": [{"id": "a", "code": "1"}, {"id": "a", "code": "1"}]}, "invalid_plan", "steps[1].id"),
        ({"steps": [{"id": "a", "code": "1", "depends_on": ["b"]}]}, "invalid_plan", "steps[0].depends_on"),
        ({"steps": [{"id": "a", "code": "1", "depends_on": ["a"]}]}, "invalid_plan", "steps[0].depends_on"),
        ({"steps": [{"id": "a"}]}, "invalid_plan", "steps[0]"),
        ({"steps": [{"id": "a", "tool": "files.eat"}]}, "unknown_tool", "steps[0].tool"),
        ({"steps": [{"id": "a", "task": "think"}]}, "runtime_unavailable", "steps[0]"),
        ({"task": "think", "runtime": "api"}, "runtime_unavailable", "steps[0].runtime"),
        ({"code": "1", "path": ".."}, "path_outside_roots", "path"),
        ({"code": "1", "path": "absent"}, "path_outside_roots", "path"),
        ({"code": "1", "limits": {"wall_s": 86400}}, "invalid_argument", "limits.wall_s"),
        (
            {"steps": [{"id": "a", "code": "1", "output_schema": {"type": 7}}]},
            "invalid_argument",
            "steps[0].output_schema",
        ),
    ],
)
async def test_what_cannot_be_carried_out_is_refused_by_name_and_begins_nothing(
    client: Client, arguments: dict[str, Any], code: str, field: str
) -> None:
    before = await count(client)
    refused = await refusal(client, "engine_execute", **arguments)
    assert (refused["code"], refused["field"]) == (code, field)
    assert await count(client) == before


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"cursor": 3}, "cursor"),
        ({"wait_s": 3}, "wait_s"),
        ({"execution_id": NOBODY, "status": "failed"}, "status"),
        ({"execution_id": NOBODY, "text": "x"}, "text"),
        ({"limit": 51}, "limit"),
    ],
)
async def test_status_refuses_arguments_that_do_not_belong_together(
    client: Client, arguments: dict[str, Any], field: str
) -> None:
    refused = await refusal(client, "engine_status", **arguments)
    assert (refused["code"], refused["field"]) == ("invalid_argument", field)


async def test_a_tool_that_does_not_exist_is_an_error_of_the_protocol(client: Client) -> None:
    with pytest.raises(MCPError, match="engine_dance") as caught:
        await client.call_tool("engine_dance", {})
    assert caught.value.error.code == INVALID_PARAMS


@pytest.mark.req("003:L54", "000:6.2.3", "001:L14")
async def test_the_overview_can_be_filtered_and_paged(client: Client) -> None:
    marks = [f"mark {client.protocol_version} {number}" for number in range(3)]
    for mark in marks:
        await called(client, "engine_execute", task=mark, code="return 1")
    mine = f"mark {client.protocol_version}"
    first = await called(client, "engine_status", text=mine, limit=2)
    assert [row["title"] for row in first["executions"]] == [marks[2], marks[1]]
    assert first["total"] == 3
    rest = await called(client, "engine_status", text=mine, limit=2, after=first["next"])
    assert [row["title"] for row in rest["executions"]] == [marks[0]]
    assert "next" not in rest
    assert (await called(client, "engine_status", text=mine, status="failed"))["executions"] == []
    assert {"files.read", "files.write", "artifact"} <= first["tools"].keys()
    assert first["strategies"] == ["multi", "parallel", "single"]
    assert first["load"]["executions"] > 0


@pytest.mark.req("002:L139", "000:7.3.3")
async def test_large_outputs_are_cut_or_kept_in_files_and_the_result_stays_small(client: Client) -> None:
    middling = await called(client, "engine_execute", code="return 'é'.repeat(10000)")
    assert middling["output"] is None
    assert middling["excerpt"].startswith('"ééé')
    large = await called(client, "engine_execute", code="return 'x'.repeat(3000000)")
    kept = large["artifact"]
    assert kept["size"] == 3_000_002
    assert await anyio.Path(kept["path"]).read_text(encoding="utf-8") == f'"{"x" * 3_000_000}"'
    many = [{"id": f"step-{number}", "code": "return 'y'.repeat(500)"} for number in range(120)]
    crowd = await called(client, "engine_execute", steps=many, parallelism=16, wait_s=60)
    assert crowd["step_counts"] == {"completed": 120}
    assert "of 120 steps" in crowd["truncated"]


@pytest.mark.req("000:7.3.3")
async def test_a_large_input_arrives_whole(client: Client) -> None:
    text = "ü" * 1_000_000
    done = await called(client, "engine_execute", code="return input.text.length", context={"text": text})
    assert done["output"] == len(text)


async def test_half_a_surrogate_pair_does_not_break_the_wire(client: Client) -> None:
    done = await called(client, "engine_execute", code=r"return 'a\ud800b'")
    assert done["status"] == "completed"
    assert "a" in done["output"]


@pytest.mark.req("004:L268", "004:L21", "000:L105", "000:7.1.3", "002:L62")
async def test_an_execution_goes_through_its_whole_life_by_its_tools(client: Client, project: Path) -> None:
    go = f"live, {client.protocol_version}"
    steps = [
        {"id": "risky", "code": "return 1", "requires_approval": True},
        {
            "id": "long",
            "code": WAITS_FOR % go + "return outputs.risky + 1",
            "depends_on": ["risky"],
            "limits": PATIENT,
        },
    ]
    name = (await called(client, "engine_execute", steps=steps))["execution_id"]
    await called(client, "engine_resume", execution_id=name, approve=["risky"], wait_s=0)
    for cycle in range(5):
        await until_running(client, name, "long")
        stopped = await called(client, "engine_interrupt", execution_id=name, reason=f"cycle {cycle}")
        assert (stopped["status"], stopped["reason"]) == ("interrupted", f"cycle {cycle}")
        await called(client, "engine_resume", execution_id=name, wait_s=0)
    await anyio.Path(project, go).touch()
    done = await called(client, "engine_status", execution_id=name, wait_s=30)
    assert (done["status"], done["output"]) == ("completed", 2)
    assert done["steps"][0]["attempts"] == 1
    kinds = [event["kind"] for event in await events_of(client, name)]
    assert kinds.count("execution_paused") == 1
    assert kinds.count("execution_interrupted") == 5
    assert kinds.count("execution_resumed") == 6


@pytest.mark.req("001:L42", "000:L300", "000:6.1.4", "003:L57")
async def test_every_execution_has_an_id_of_its_own(client: Client) -> None:
    names: list[str] = []

    async def begin() -> None:
        names.append((await called(client, "engine_execute", code="return 1", wait_s=0))["execution_id"])

    async with anyio.create_task_group() as tasks:
        for _ in range(30):
            tasks.start_soon(begin)
    assert len(set(names)) == 30
    for name in names:
        assert (await called(client, "engine_status", execution_id=name, wait_s=20))["status"] == "completed"


async def test_calls_are_carried_out_side_by_side(client: Client) -> None:
    async with anyio.create_task_group() as tasks:
        with anyio.fail_after(20):
            waiting = await called(client, "engine_execute", code=SLOW, wait_s=0)
            name = waiting["execution_id"]
            tasks.start_soon(lambda: called(client, "engine_status", execution_id=name, wait_s=60))
            await called(client, "engine_status")
            await called(client, "engine_interrupt", execution_id=name, mode="cancel")


async def test_results_meet_the_schemas_that_are_listed(client: Client) -> None:
    schemas = {tool.name: tool.output_schema or {} for tool in (await client.list_tools()).tools}
    done = await called(client, "engine_execute", code="return 1")
    name = done["execution_id"]
    conforming(done, schemas["engine_execute"])
    for tool, arguments in [
        ("engine_status", {"execution_id": name, "cursor": 0}),
        ("engine_status", {}),
        ("engine_budget", {"execution_id": name}),
        ("engine_interrupt", {"execution_id": name}),
        ("engine_resume", {"execution_id": name}),
    ]:
        conforming(said(await client.call_tool(tool, arguments)), schemas[tool])


def test_modes_are_the_two_eras() -> None:
    eras: list[Literal["auto", "legacy"]] = ["auto", "legacy"]
    assert eras == MODES
