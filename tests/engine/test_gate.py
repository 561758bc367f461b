"""The gate: what a script may call, how it is told no, and what is on record before it is done."""

from collections.abc import Mapping

import pytest
from pydantic import JsonValue

from engine_mcp.core.budget import Limits
from engine_mcp.core.event import ArtifactWritten, CallRecorded, CallStarted, Event
from engine_mcp.core.execution import Execution, Failure, Outcome
from engine_mcp.core.listing import Query
from engine_mcp.core.plan import Mode, Permissions
from engine_mcp.core.script import ScriptLimits
from engine_mcp.core.tool import ToolResult, Tree
from engine_mcp.ports import Workbench
from engine_mcp.testing import FakeClock, ScriptedTool, capture_events
from tests.engine.rig import Held, Rig, adapter, allowing, check_record, code, echo, failures, values

pytestmark = pytest.mark.anyio

NONE, READ, WRITE = Mode.NONE, Mode.READ, Mode.WRITE
CAUGHT = "try { return await %s } catch (e) { return [e.name, e.message] }"


def toolbox() -> list[ScriptedTool]:
    return [
        adapter("plain", mode=NONE),
        adapter("look", mode=READ),
        adapter("change", mode=WRITE, changes=True),
        adapter("foreign", mode=None),
    ]


async def script(
    rig: Rig, text: str, permissions: Permissions | None = None, limits: ScriptLimits | None = None
) -> Execution:
    step = code("s", text, permissions=permissions or Permissions(), limits=limits or ScriptLimits())
    return await rig.run(rig.draft(step))


async def calls_of(rig: Rig, execution: Execution) -> list[Event]:
    events = await capture_events(rig.store, execution.id)
    return [event for event in events if isinstance(event, CallStarted | CallRecorded)]


@pytest.mark.req(
    "000:1.4.1", "000:1.4.2", "SPEC:5.deny-by-default", "000:L286", "001:L28", "003:L78", "001:L13"
)
@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [
        (Permissions(mode=NONE), ["plain"]),
        (Permissions(mode=READ), ["look", "plain"]),
        (Permissions(mode=WRITE), ["change", "look", "plain"]),
        (Permissions(mode=WRITE, allowed_tools=()), []),
        (Permissions(mode=READ, allowed_tools=("foreign", "look")), ["foreign", "look"]),
        (Permissions(mode=READ, allowed_tools=("change", "look")), ["look"]),
        (Permissions(mode=NONE, allowed_tools=("look", "change", "foreign")), ["foreign"]),
        (Permissions(mode=WRITE, allowed_tools=("change",)), ["change"]),
    ],
)
async def test_a_script_sees_and_may_call_exactly_what_its_step_allows(
    scripting: Rig, permissions: Permissions, allowed: list[str]
) -> None:
    scripting.tools = toolbox()
    text = """
        const done = []
        for (const name of ['plain', 'look', 'change', 'foreign'])
            try { await tools.call(name, {}); done.push(name) } catch (e) { if (e.name != 'Denied') throw e }
        return { seen: tools.list(), done: done.sort() }
    """
    execution = await script(scripting, text, permissions)
    assert values(execution)["s"] == {"seen": allowed, "done": allowed}
    assert sorted(one.spec.name for one in scripting.tools if one.calls) == allowed


@pytest.mark.req("000:1.4.2", "SPEC:5.outcome-denied")
@pytest.mark.parametrize("name", ["change", "nothing", "__proto__", ""])
async def test_a_denied_call_that_nobody_catches_ends_the_script_as_denied(scripting: Rig, name: str) -> None:
    scripting.tools = toolbox()
    execution = await script(scripting, f"await tools.call({name!r}, {{}})")
    assert failures(execution) == {"s": "denied"}
    attempt = execution.steps["s"].attempt
    assert attempt is not None
    assert attempt.report is not None
    assert attempt.report.outcome is Outcome.DENIED
    assert not any(one.calls for one in scripting.tools)
    failure = execution.steps["s"].failure
    assert failure is not None
    assert "it may call: look, plain" in failure.message


@pytest.mark.req("000:1.4.3", "002:L76")
async def test_arguments_that_do_not_meet_the_schema_are_an_error_the_script_can_catch(
    scripting: Rig,
) -> None:
    scripting.tools = [
        adapter("add", schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    ]
    for given, said in (("{ n: 'x' }", "add: n:"), ("{}", "add: 'n'"), ("[1]", "add: [1]"), ("3", "add: 3")):
        execution = await script(scripting, CAUGHT % f"tools.add({given})")
        told = values(execution)["s"]
        assert isinstance(told, list)
        assert told[0] == "ToolError"
        assert str(told[1]).startswith(said)
    assert scripting.tools[0].calls == []


@pytest.mark.req("000:1.4.4", "004:L83")
async def test_a_failing_tool_is_an_error_that_the_script_can_catch(scripting: Rig) -> None:
    async def fail(arguments: object, bench: object) -> ToolResult:
        del arguments, bench
        return ToolResult(failure=Failure("tool_error", "The well is dry."))

    async def refuse(arguments: object, bench: object) -> ToolResult:
        del arguments, bench
        return ToolResult(failure=Failure("denied", "Not this file."))

    async def burst(arguments: object, bench: object) -> ToolResult:
        raise ZeroDivisionError(arguments, bench)

    scripting.tools = [adapter("fail", fail), adapter("refuse", refuse), adapter("burst", burst)]
    assert values(await script(scripting, CAUGHT % "tools.fail()"))["s"] == ["ToolError", "The well is dry."]
    assert values(await script(scripting, CAUGHT % "tools.refuse()"))["s"] == ["Denied", "Not this file."]
    told = values(await script(scripting, CAUGHT % "tools.burst()"))["s"]
    assert isinstance(told, list)
    assert told[0] == "ToolError"
    uncaught = await script(scripting, "await tools.fail()")
    assert failures(uncaught) == {"s": "js_error"}
    failure = uncaught.steps["s"].failure
    assert failure is not None
    assert "The well is dry." in failure.message


@pytest.mark.req("002:L77", "000:1.2.3")
async def test_a_tool_that_is_too_slow_is_an_error_that_the_script_can_catch(scripting: Rig) -> None:
    held = Held()

    async def slow(arguments: object, bench: object) -> ToolResult:
        del arguments, bench
        await held.let_go.wait()
        return ToolResult()

    scripting.tools = [adapter("slow", slow, timeout_s=0.05)]
    execution = await script(scripting, CAUGHT % "tools.slow()")
    assert values(execution)["s"] == ["ToolError", "slow took longer than 0.05 s."]


async def test_calls_of_one_script_run_side_by_side(scripting: Rig) -> None:
    most = under_way = 0
    held = Held()

    async def crowd(arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        if under_way == 5:
            held.let_go.set()
        await held.let_go.wait()
        under_way -= 1
        return await echo(arguments, bench)

    scripting.tools = [adapter("crowd", crowd)]
    text = "return await Promise.all([1, 2, 3, 4, 5].map(async n => (await tools.crowd({ n })).n))"
    assert values(await script(scripting, text))["s"] == [1, 2, 3, 4, 5]
    assert most == 5


# --- time


@pytest.mark.req("SPEC:5.deterministic")
async def test_a_script_sleeps_on_the_engines_clock_and_sees_it_go_on(scripting: Rig) -> None:
    scripting.clock = FakeClock(2_000.5, leap=True)
    text = "const a = Date.now(); await sleep(3600 * 1000); return [a, Date.now() - a]"
    assert values(await script(scripting, text))["s"] == [2_000_500, 3_600_000]


@pytest.mark.parametrize("given", ["-5", "0", "'soon'", "undefined", "{}", "true"])
async def test_a_sleep_without_a_length_is_over_at_once(scripting: Rig, given: str) -> None:
    text = f"const a = Date.now(); await sleep({given}); return Date.now() - a < 5"
    assert values(await script(scripting, text))["s"] is True


@pytest.mark.parametrize("given", ["[1]", "'x'", "3", "null", "true", "{ ms: [] }", "{}"])
async def test_a_sleep_asked_for_in_an_odd_way_harms_nobody(scripting: Rig, given: str) -> None:
    execution = await script(scripting, f"await tools.call('sleep', {given}); return 'awake'")
    assert values(execution)["s"] == "awake"


async def test_a_sleep_ends_with_the_scripts_own_time(scripting: Rig) -> None:
    scripting.clock = FakeClock()
    execution = await script(scripting, "await sleep(1e300)", limits=ScriptLimits(wall_s=0.1))
    assert failures(execution) == {"s": "timeout"}


# --- the record


@pytest.mark.req("004:L31", "SPEC:7.durable-before-the-effect")
async def test_a_call_that_changes_something_is_on_record_before_it_is_made(scripting: Rig) -> None:
    seen: list[list[str]] = []

    async def look(arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        page = await scripting.store.list(Query())
        events = await capture_events(scripting.store, page.rows[0].id)
        seen.append([event.kind for event in events if isinstance(event, CallStarted | CallRecorded)])
        return await echo(arguments, bench)

    scripting.tools = [adapter("change", look, mode=WRITE, changes=True), adapter("read", look)]
    text = "await tools.change({ n: 1 }); await tools.read({ n: 2 }); await tools.change({ n: 3 })"
    execution = await script(scripting, text, Permissions(mode=WRITE))
    assert [told[-1] for told in seen] == ["call_started", "call_recorded", "call_started"]
    calls = await calls_of(scripting, execution)
    assert [(event.kind, getattr(event, "ordinal", None)) for event in calls] == [
        ("call_started", 0),
        ("call_recorded", None),
        ("call_recorded", None),
        ("call_started", 2),
        ("call_recorded", None),
    ]
    assert await check_record(scripting.store, execution.id) == execution


async def test_each_call_is_recorded_once_and_the_records_go_with_the_completed_step(scripting: Rig) -> None:
    scripting.tools = [adapter("echo")]
    text = """
        for (let n = 0; n < 20; n++) await tools.echo({ n })
        await sleep(1)
        try { await tools.call('no', {}) } catch {}
    """
    execution = await script(scripting, text)
    calls = [event.call for event in await calls_of(scripting, execution) if isinstance(event, CallRecorded)]
    assert [call.ordinal for call in calls] == list(range(22))
    assert [call.name for call in calls[-2:]] == ["sleep", "no"]
    assert calls[-1].error_name == "Denied"
    assert execution.steps["s"].calls == {}
    assert execution.usage.requests == 20


async def test_an_artifact_of_a_tool_is_named_on_record_and_the_newest_of_a_name_counts(
    scripting: Rig,
) -> None:
    async def keep(arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        assert bench.tree == Tree(root=str(scripting.project), mode=WRITE)
        text = str(arguments["text"])
        kept = await bench.keep(text.encode(), name=str(arguments["name"]), media_type="text/plain")
        return ToolResult(value=kept.digest)

    scripting.tools = [adapter("keep", keep, mode=NONE)]
    text = """
        await tools.keep({ name: 'a', text: 'one' }); await tools.keep({ name: 'b', text: 'two' })
        return await tools.keep({ name: 'a', text: 'three' })
    """
    execution = await script(scripting, text, Permissions(mode=WRITE))
    assert [(kept.name, kept.media_type) for kept in execution.artifacts] == [
        ("b", "text/plain"),
        ("a", "text/plain"),
    ]
    assert execution.artifacts[-1].digest == values(execution)["s"]
    async with scripting.engine() as engine:
        assert await engine.artifact(execution.id, execution.artifacts[-1].digest) == b"three"
    events = await capture_events(scripting.store, execution.id)
    assert sum(isinstance(event, ArtifactWritten) for event in events) == 3


async def test_logs_and_figures_of_a_script_are_kept_with_its_attempt(scripting: Rig) -> None:
    text = "console.log('a', 1); console.error('x'.repeat(600)); await tools.echo(); return 1"
    scripting.tools = [adapter("echo")]
    execution = await script(scripting, text)
    attempt = execution.steps["s"].attempt
    assert attempt is not None
    report = attempt.report
    assert report is not None
    assert [(line.level, line.text[:3], len(line.text)) for line in report.logs] == [
        ("log", "a 1", 3),
        ("error", "xxx", 501),
    ]
    assert (report.calls, report.outcome) == (1, Outcome.VALUE)
    assert report.cpu_ms > 0


async def test_only_the_last_hundred_log_lines_are_kept(scripting: Rig) -> None:
    execution = await script(scripting, "for (let i = 0; i < 150; i++) console.log(i)")
    attempt = execution.steps["s"].attempt
    assert attempt is not None
    assert attempt.report is not None
    assert [line.text for line in attempt.report.logs] == [str(number) for number in range(50, 150)]
    assert attempt.report.logs_dropped == 50


def nested(depth: int) -> JsonValue:
    value: JsonValue = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [float("nan"), {1}, nested(151), nested(5000)], ids=["nan", "set", "deep", "deeper"]
)
async def test_what_a_tool_gives_that_is_no_json_is_an_error_of_that_call_alone(
    scripting: Rig, value: JsonValue
) -> None:
    async def odd(arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        del arguments, bench
        return ToolResult(value=value)

    scripting.tools = [adapter("odd", odd)]
    told = values(await script(scripting, CAUGHT % "tools.odd()"))["s"]
    assert isinstance(told, list)
    assert told[0] == "ToolError"
    assert "cannot be kept as JSON" in str(told[1])


async def test_allowed_tools_of_a_script_count_against_its_requests(scripting: Rig) -> None:
    scripting.tools = [adapter("echo")]
    step = code("s", "await tools.echo(); return 1", permissions=allowing("echo"))
    execution = await scripting.run(scripting.draft(step, budget=Limits(max_requests=1)))
    assert (values(execution), execution.usage.requests) == ({"s": 1}, 1)
