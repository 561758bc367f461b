"""What passes between a script and its host."""

import json
from collections.abc import Sequence

import anyio
import pytest

from engine_mcp.core.script import HostAnswer, HostCall, Outcome, Script, ScriptLimits
from engine_mcp.sandbox.pool import SandboxOptions, SandboxPool
from tests.sandbox.hosts import Host, run

pytestmark = pytest.mark.anyio

TOOLS = ("echo", "never", "files.read", "git.log", "git", "git.log.all", "call", "a.name")


def called(host: Host) -> list[tuple[int, str, object]]:
    return [(call.ordinal, call.name, json.loads(call.arguments)) for call in host.calls]


class Turns:
    """Answers its calls one by one, in a given order of ordinals, whatever order they came in."""

    def __init__(self, order: Sequence[int]) -> None:
        self._order = list(order)
        self._turn = {ordinal: anyio.Event() for ordinal in order}

    async def answer(self, call: HostCall) -> HostAnswer:
        if call.ordinal == self._order[0] and len(self._turn) == len(self._order):
            self._turn[call.ordinal].set()
        await self._turn[call.ordinal].wait()
        place = self._order.index(call.ordinal)
        if place + 1 < len(self._order):
            self._turn[self._order[place + 1]].set()
        return HostAnswer(value=json.dumps(call.ordinal), at_ms=1000 + place)


@pytest.mark.both_loops
@pytest.mark.req("000:1.4.1", "SPEC:5.safe-surface")
async def test_tools_are_called_by_name_by_path_and_by_text(pool: SandboxPool) -> None:
    host = Host({name: Host().answers["echo"] for name in TOOLS})
    code = """
        await tools.echo({ a: 'ä' }); await tools.git({ b: 1 }); await tools.git.log({ c: 2 })
        await tools.git.log.all(); await tools.call('call', [3]); await tools.files.read({ path: 'x' })
        await tools.a.name(null)
        return tools.list()
    """
    result = await run(pool, Script(code=code, tools=TOOLS), host)
    assert json.loads(result.value or "") == list(TOOLS)
    assert called(host) == [
        (0, "echo", {"a": "ä"}),
        (1, "git", {"b": 1}),
        (2, "git.log", {"c": 2}),
        (3, "git.log.all", {}),
        (4, "call", [3]),
        (5, "files.read", {"path": "x"}),
        (6, "a.name", None),
    ]
    assert result.usage.calls == 7
    assert result.usage.host_ms > 0


@pytest.mark.req("000:1.4.2", "SPEC:5.deny-by-default")
async def test_without_tools_there_is_none_but_any_name_still_reaches_the_host(pool: SandboxPool) -> None:
    host = Host()
    result = await run(
        pool, "try { await tools.call('x', {}) } catch (e) { return [tools.list(), e.name] }", host
    )
    assert result.value == '[[],"Denied"]'
    assert called(host) == [(0, "x", {})]


async def test_files_and_sleep_are_host_calls_with_one_object(pool: SandboxPool) -> None:
    host = Host(
        {name: Host().answers["echo"] for name in ("files.read", "files.list", "files.stat", "files.write")}
    )
    code = """
        await files.read('a', { limit: 5 }); await files.list('b'); await files.stat('c', { path: 'not me' })
        await files.write('d', 'text', { append: true }); await files.write('e', { content: 'other' })
        await sleep(1)
    """
    await run(pool, code, host)
    assert called(host) == [
        (0, "files.read", {"limit": 5, "path": "a"}),
        (1, "files.list", {"path": "b"}),
        (2, "files.stat", {"path": "c"}),
        (3, "files.write", {"append": True, "path": "d", "content": "text"}),
        (4, "files.write", {"content": "other", "path": "e"}),
        (5, "sleep", {"ms": 1}),
    ]


@pytest.mark.req("000:1.4.3")
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("(() => { const a = {}; a.a = a; return a })()", "TypeError"),
        ("1n", "TypeError"),
        ("{ n: 1n }", "TypeError"),
        ("{ f() {} }", "TypeError"),
        ("() => 1", "TypeError"),
        ("{ s: Symbol('s') }", "TypeError"),
        ("{ n: NaN }", "TypeError"),
        ("[-Infinity]", "TypeError"),
        ("JSON.parse('{\"__proto__\": 1}')", "TypeError"),
        ("{ ['__proto__']: { x: 1 } }", "TypeError"),
        ("'x'.repeat(2 ** 20)", "RangeError"),
        ("'ä'.repeat(2 ** 18)", "RangeError"),
        ("JSON.parse('['.repeat(300) + ']'.repeat(300))", "ArgumentError"),
        ("{ get a() { throw new SyntaxError('mine') } }", "SyntaxError"),
    ],
)
async def test_bad_arguments_reject_the_call_and_the_script_goes_on(
    pool: SandboxPool, arguments: str, name: str
) -> None:
    host = Host()
    code = f"try {{ await tools.echo({arguments}) }} catch (e) {{ await tools.echo({{}}); return e.name }}"
    result = await run(pool, Script(code=code, tools=("echo",)), host)
    assert result.value == json.dumps(name)
    assert [call.arguments for call in host.calls] == ["{}"]


@pytest.mark.req("000:1.4.3")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("", "{}"),
        ("undefined", "{}"),
        ("null", "null"),
        ("{ a: undefined, d: new Date(0) }", '{"d":"1970-01-01T00:00:00.000Z"}'),
        ("[new Map([[1, 2]]), new Set('ab')]", '[[[1,2]],["a","b"]]'),
        ("{ '\\0': '\\ud800', ä: '😀' }", '{"\\u0000":"\\ufffd","\\u00e4":"\\ud83d\\ude00"}'),
        ("2 ** 53", "9007199254740992"),
    ],
)
async def test_other_arguments_are_converted_as_documented(
    pool: SandboxPool, arguments: str, text: str
) -> None:
    host = Host()
    await run(pool, Script(code=f"await tools.echo({arguments})", tools=("echo",)), host)
    assert [call.arguments for call in host.calls] == [text]


@pytest.mark.req("SPEC:5.parallel")
async def test_calls_run_truly_in_parallel(pool: SandboxPool) -> None:
    arrived, everybody = 0, anyio.Event()

    async def meet(_: HostCall) -> HostAnswer:
        nonlocal arrived
        arrived += 1
        if arrived == 20:
            everybody.set()
        await everybody.wait()
        return HostAnswer(value="1")

    code = "return (await Promise.all(Array.from({ length: 20 }, () => tools.meet()))).length"
    result = await run(pool, Script(code=code, tools=("meet",)), Host({"meet": meet}))
    assert result.value == "20"


async def test_no_more_calls_than_allowed_are_under_way_and_the_rest_wait_in_order() -> None:
    host = Host()
    code = (
        "return (await Promise.all(Array.from({ length: 30 }, (_, i) => tools.sleep({ ms: 1, i })))).length"
    )
    async with SandboxPool(SandboxOptions(max_in_flight=4)) as pool:
        result = await run(pool, Script(code=code, tools=("sleep",)), host)
    assert result.value == "30"
    assert host.most_at_once == 4
    assert [call.ordinal for call in host.calls] == list(range(30))


@pytest.mark.req("SPEC:5.host-call-limit")
async def test_calls_beyond_the_limit_are_rejected_and_never_sent(pool: SandboxPool) -> None:
    host = Host()
    code = """
        const ends = await Promise.allSettled(Array.from({ length: 7 }, () => tools.echo()))
        return ends.map((end) => end.reason?.name ?? 'ok')
    """
    script = Script(code=code, tools=("echo",), limits=ScriptLimits(max_calls=5))
    assert json.loads((await run(pool, script, host)).value or "") == ["ok"] * 5 + ["CallLimit"] * 2
    assert len(host.calls) == 5


@pytest.mark.req("SPEC:5.replay-order")
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_answers_arrive_in_the_order_of_the_host_each_pumped_before_the_next(
    pool: SandboxPool, order: tuple[int, ...]
) -> None:
    code = """
        const seen = []
        await Promise.all([0, 1, 2].map(async (n) => {
            const ordinal = await tools.turn({ n })
            seen.push([ordinal, 'first', Date.now()]); await null; await null; await null
            seen.push([ordinal, 'last', Date.now()])
        }))
        return seen
    """
    host = Host({"turn": Turns(order).answer})
    result = await run(pool, Script(code=code, tools=("turn",), now_ms=5), host)
    expected = [
        [ordinal, word, 1000 + place] for place, ordinal in enumerate(order) for word in ("first", "last")
    ]
    assert json.loads(result.value or "") == expected


async def test_the_clock_of_a_script_never_goes_back(pool: SandboxPool) -> None:
    async def late(_: HostCall) -> HostAnswer:
        return HostAnswer(value="1", at_ms=3)

    code = "await tools.late(); return Date.now()"
    result = await run(pool, Script(code=code, tools=("late",), now_ms=5), Host({"late": late}))
    assert result.value == "5"


async def test_ordinals_are_given_in_the_order_of_the_program(pool: SandboxPool) -> None:
    host = Host()
    code = """
        await tools.echo({ toJSON() { tools.call('inner', {}).catch(() => 0); return 'outer' } })
        await tools.echo(2)
    """
    await run(pool, Script(code=code, tools=("echo",)), host)
    assert called(host) == [(0, "inner", {}), (1, "echo", "outer"), (2, "echo", 2)]


@pytest.mark.req("000:1.2.1", "000:1.4.1")
async def test_an_error_of_the_host_is_a_host_error_to_the_script(pool: SandboxPool) -> None:
    async def broken(_: HostCall) -> HostAnswer:
        return HostAnswer(error_name="ToolFault", error_message="ä")

    code = """
        try { await tools.broken() } catch (e) {
            return [e instanceof HostError, e instanceof Error, e.name, e.message, String(e)]
        }
    """
    result = await run(pool, Script(code=code, tools=("broken",)), Host({"broken": broken}))
    assert json.loads(result.value or "") == [True, True, "ToolFault", "ä", "ToolFault: ä"]


@pytest.mark.req("000:1.2.1")
async def test_a_defect_of_the_host_is_one_failed_call_and_tells_the_script_nothing(
    pool: SandboxPool, caplog: pytest.LogCaptureFixture
) -> None:
    async def defective(_: HostCall) -> HostAnswer:
        raise RuntimeError("the secret path")

    code = "try { await tools.defective() } catch (e) { return [e.name, e.message] }"
    result = await run(pool, Script(code=code, tools=("defective",)), Host({"defective": defective}))
    assert json.loads(result.value or "") == ["HostFailure", "the host failed to carry out the call"]
    assert "the secret path" in caplog.text


@pytest.mark.parametrize("answer", ["{", "", "nul"])
async def test_an_answer_that_is_no_json_fails_that_call_alone(pool: SandboxPool, answer: str) -> None:
    async def garbled(_: HostCall) -> HostAnswer:
        return HostAnswer(value=answer)

    code = "try { await tools.garbled() } catch (e) { return e.name }"
    result = await run(pool, Script(code=code, tools=("garbled",)), Host({"garbled": garbled}))
    assert result.value == '"SyntaxError"'


async def test_a_large_answer_arrives_and_a_huge_one_is_an_error(pool: SandboxPool) -> None:
    async def text(call: HostCall) -> HostAnswer:
        return HostAnswer(value=json.dumps("ä" * json.loads(call.arguments), ensure_ascii=False))

    code = """
        const large = (await tools.text(600_000)).length
        try { await tools.text(9_000_000) } catch (e) { return [large, e.name] }
    """
    result = await run(pool, Script(code=code, tools=("text",)), Host({"text": text}))
    assert result.value == '[600000,"AnswerLimit"]'


@pytest.mark.req("SPEC:5.outcome-denied")
async def test_only_an_uncaught_refusal_of_the_host_is_the_outcome_denied(pool: SandboxPool) -> None:
    uncaught = await run(pool, "await tools.call('forbidden', {})")
    assert uncaught.outcome is Outcome.DENIED
    assert uncaught.error is not None
    assert uncaught.error.message == "forbidden is not allowed"
    assert (
        await run(pool, "throw Object.assign(new Error('x'), { name: 'Denied' })")
    ).outcome is Outcome.JS_ERROR
    assert (await run(pool, "try { await tools.call('x') } catch { return 1 }")).outcome is Outcome.VALUE


async def test_calls_left_behind_are_counted_cancelled_and_awaited(pool: SandboxPool) -> None:
    cleaned: list[str] = []

    async def slow(call: HostCall) -> HostAnswer:
        try:
            await anyio.sleep_forever()
        finally:
            cleaned.append(call.name)
        raise AssertionError

    code = "tools.slow(); tools.slow(); tools.echo(); return 1"
    result = await run(pool, Script(code=code, tools=("slow", "echo")), Host({"slow": slow}))
    assert (result.value, result.unawaited) == ("1", 3)
    assert cleaned == ["slow", "slow"]


@pytest.mark.req("SPEC:5.progress")
async def test_progress_reaches_the_host_and_takes_no_ordinal(pool: SandboxPool) -> None:
    host = Host()
    code = """
        progress(1); await tools.echo(); progress(2, 4); await tools.echo()
        progress(2.5, null, 'ä'); progress(3, 4, 'latest'); await tools.echo(); progress(4, 4, 'end')
    """
    await run(pool, Script(code=code, tools=("echo",)), host)
    assert host.steps == [(1, None, ""), (2, 4, ""), (3, 4, "latest"), (4, 4, "end")]
    assert [call.ordinal for call in host.calls] == [0, 1, 2]


async def test_progress_takes_numbers_only(pool: SandboxPool) -> None:
    result = await run(pool, "try { progress('much') } catch (e) { return e.name }")
    assert result.value == '"TypeError"'


async def test_a_flood_of_progress_is_thinned_out(pool: SandboxPool) -> None:
    host = Host()
    code = """
        for (let i = 0; i < 1e4; i++) {
            progress(i)
            if (i % 100 === 99) await tools.echo()
        }
    """
    await run(pool, Script(code=code, tools=("echo",)), host)
    assert 1 <= len(host.steps) <= 101
    assert host.steps == sorted(host.steps)


async def test_calls_start_while_the_script_still_computes(pool: SandboxPool) -> None:
    code = """
        let arrived = false; tools.echo().then(() => { arrived = true })
        for (let i = 0; i < 2e5; i++) await null
        return arrived
    """
    host = Host()
    result = await run(pool, Script(code=code, tools=("echo",)), host)
    assert len(host.calls) == 1
    # Answered early, delivered late: only a script that waits for its host gets an answer.
    assert result.value == "false"
