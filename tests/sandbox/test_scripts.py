"""What a script can say and what comes of it: values, errors, console, and the surface it sees."""

import json

import pytest

from engine_mcp.core.script import LogLine, Outcome, Script, ScriptLimits
from engine_mcp.sandbox.pool import SandboxPool
from tests.sandbox.hosts import run

pytestmark = pytest.mark.anyio


def words(text: str) -> list[str]:
    return text.split()


SURFACE = ["tools", "files", "console", "progress", "sleep", "HostError", "input", "outputs"]
LANGUAGE = words("""
    AggregateError Array ArrayBuffer AsyncDisposableStack BigInt BigInt64Array BigUint64Array Boolean
    DOMException DataView Date DisposableStack Error EvalError Float16Array Float32Array Float64Array Function
    Infinity Int16Array Int32Array Int8Array InternalError Iterator JSON Map Math NaN Number Object Promise
    Proxy RangeError ReferenceError Reflect RegExp Set String SuppressedError Symbol SyntaxError TypeError
    URIError Uint16Array Uint32Array Uint8Array Uint8ClampedArray WeakMap WeakSet atob btoa decodeURI
    decodeURIComponent encodeURI encodeURIComponent escape eval globalThis isFinite isNaN parseFloat parseInt
    undefined unescape
""")
ABSENT = words("""
    require process fetch std os Worker XMLHttpRequest WebAssembly setTimeout performance queueMicrotask
    WeakRef FinalizationRegistry SharedArrayBuffer Atomics navigator module exports Deno Bun print load
""")


@pytest.mark.both_loops
@pytest.mark.req("003:L70", "003:L72", "003:L73", "000:1.3.1", "SPEC:5.hardened-child")
async def test_one_and_one_is_two(pool: SandboxPool) -> None:
    result = await run(pool, "return 1+1")
    assert (result.outcome, result.value) == (Outcome.VALUE, "2")
    assert result.error is result.limit is None
    assert result.usage.wall_ms > 0
    assert result.usage.cpu_ms > 0
    assert result.usage.js_bytes > 0
    assert result.usage.max_rss_kb > 0


@pytest.mark.req("000:1.4.4", "000:1.3.2", "SPEC:5.results-converted-by-documented-rules")
@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("", "null"),
        ("return", "null"),
        ("return undefined", "null"),
        ("return null", "null"),
        ("return () => 1", "null"),
        ("return Symbol('x')", "null"),
        ("return NaN", "null"),
        ("return [Infinity, -Infinity, -0]", "[null,null,0]"),
        ("return { a: undefined, b() {}, c: Symbol('x'), d: [undefined, () => 1] }", '{"d":[null,null]}'),
        ("return new Date(0)", '"1970-01-01T00:00:00.000Z"'),
        ("return new Date(NaN)", "null"),
        ("return { toJSON() { return 'mine' } }", '"mine"'),
        ("return new Map([['a', 1], [{ b: 2 }, new Map()]])", '[["a",1],[{"b":2},[]]]'),
        ("return new Set([1, new Set('a')])", '[1,["a"]]'),
        ("return [new TypeError('t')]", '[{"name":"TypeError","message":"t"}]'),
        ("return Object.create({ inherited: 1 })", "{}"),
        ("return { a: { b: [1, { c: 'ä😀' }] } }", '{"a":{"b":[1,{"c":"\\u00e4\\ud83d\\ude00"}]}}'),
        ("return 'a\\ud800b\\0'", '"a\\ufffdb\\u0000"'),
        ("return 2 ** 53", "9007199254740992"),
        ("return Promise.resolve(7)", "7"),
        ("return await (async () => 8)()", "8"),
    ],
)
async def test_a_value_becomes_documented_json(pool: SandboxPool, code: str, value: str) -> None:
    result = await run(pool, code)
    assert (result.outcome, result.value) == (Outcome.VALUE, value), result


@pytest.mark.req("000:1.4.4")
@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("const a = []; a.push(a); return a", "TypeError"),
        ("return 1n", "TypeError"),
        ("return { deep: [2n] }", "TypeError"),
        ("return 'x'.repeat(70_000)", "OutputLimit"),
        ("return 'ä'.repeat(20_000)", "OutputLimit"),
        ("let o = 0; for (let i = 0; i < 300; i++) o = [o]; return o", "DepthLimit"),
        ("return { ['\\ud800']: 1 }", "DepthLimit"),
    ],
)
async def test_a_value_without_a_json_form_is_an_error(pool: SandboxPool, code: str, name: str) -> None:
    result = await run(pool, Script(code=code, limits=ScriptLimits(max_output_kb=64)))
    assert result.outcome is Outcome.JS_ERROR
    assert result.value is None
    assert result.error is not None
    assert result.error.name == name


async def test_too_large_a_value_tells_limit_and_size(pool: SandboxPool) -> None:
    result = await run(pool, Script(code="return 'x'.repeat(70_000)", limits=ScriptLimits(max_output_kb=64)))
    assert result.limit is not None
    assert (result.limit.resource, result.limit.limit) == ("max_output_kb", 64)
    assert result.limit.used > 64


@pytest.mark.parametrize(
    "code",
    [
        "async () => 5",
        "// a comment\n/* and\nanother */ async () => { return 5 };\n",
        "async () => { return await (async () => 5)() } // the end",
        "async function main() { return 5 }",
        "async function five() { return 5 }\nreturn await five()",
    ],
)
async def test_a_script_is_a_body_or_one_async_function(pool: SandboxPool, code: str) -> None:
    assert (await run(pool, code)).value == "5"


@pytest.mark.req("000:1.3.2", "000:L288")
@pytest.mark.parametrize(
    ("code", "name", "line", "column"),
    [
        ("throw new TypeError('t')", "TypeError", 1, 11),
        ("let a = 1\n\n  missing.b", "ReferenceError", 3, 3),
        ("async () => {\n  null.x\n}", "TypeError", 2, 3),
        ("await null\nfunction f() {\n  throw new RangeError('r') }\nf()", "RangeError", 3, 13),
        ("let a = 1;\nlet b = @", "SyntaxError", 2, 9),
        ("[1].map(() => {\n  undefined() })", "TypeError", 2, 3),
    ],
)
async def test_an_error_has_name_line_and_column(
    pool: SandboxPool, code: str, name: str, line: int, column: int
) -> None:
    result = await run(pool, code)
    assert result.outcome is Outcome.JS_ERROR
    assert result.error is not None
    assert (result.error.name, result.error.line) == (name, line), result.error
    assert result.error.column == column
    assert f"script:{line}" in result.error.stack
    assert "<input>" not in result.error.stack


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("throw 'text'", "text"),
        ("throw { a: 1 }", '{"a":1}'),
        ("throw null", "null"),
        ("throw undefined", "undefined"),
        ("throw 7", "7"),
    ],
)
async def test_a_thrown_value_that_is_no_error_is_told(pool: SandboxPool, code: str, message: str) -> None:
    result = await run(pool, code)
    assert result.outcome is Outcome.JS_ERROR
    assert result.error is not None
    assert (result.error.name, result.error.message) == ("Thrown", message)


async def test_typescript_is_refused_with_a_hint(pool: SandboxPool) -> None:
    result = await run(pool, "const a: string = 'x'; return a")
    assert result.error is not None
    assert result.error.name == "SyntaxError"
    assert "plain JavaScript" in result.error.message


async def test_waiting_for_nothing_is_a_deadlock(pool: SandboxPool) -> None:
    result = await run(pool, "console.log('before'); await new Promise(() => {})")
    assert result.outcome is Outcome.JS_ERROR
    assert result.error is not None
    assert result.error.name == "Deadlock"
    assert result.logs == (LogLine("log", "before"),)


@pytest.mark.req("000:1.3.2")
async def test_the_console_is_captured_with_its_levels(pool: SandboxPool) -> None:
    code = """
        console.log('a', 1, { b: [2] }, null, undefined, [new Error('e')])
        console.info('i'); console.warn('w'); console.error(new TypeError('t'))
        console.debug('d'); console.trace('t'); console.dir({})
        const cycle = {}; cycle.cycle = cycle; console.log(cycle, 1n, Symbol('s'))
    """
    result = await run(pool, code)
    assert [line.level for line in result.logs] == [
        "log",
        "info",
        "warn",
        "error",
        "debug",
        "trace",
        "log",
        "log",
    ]
    assert result.logs[0].text == 'a 1 {"b":[2]} null undefined [{"name":"Error","message":"e"}]'
    assert result.logs[3].text == "TypeError: t"
    assert result.logs[-1].text == "[circular reference] 1 Symbol(s)"


async def test_the_console_is_capped_in_lines_and_in_bytes(pool: SandboxPool) -> None:
    lines = await run(pool, "for (let i = 0; i < 1500; i++) console.log(i)")
    assert (len(lines.logs), lines.logs_dropped) == (1000, 500)
    wide = await run(pool, "for (let i = 0; i < 100; i++) console.log('x'.repeat(9000))")
    assert sum(len(line.text) for line in wide.logs) < 300_000
    assert len(wide.logs) + wide.logs_dropped == 100


@pytest.mark.req("000:1.1.2")
async def test_what_was_logged_survives_the_cpu_limit(pool: SandboxPool) -> None:
    result = await run(
        pool, Script(code="console.log('on my way'); for (;;);", limits=ScriptLimits(cpu_s=0.2))
    )
    assert result.outcome is Outcome.CPU_LIMIT
    assert result.logs == (LogLine("log", "on my way"),)


async def test_what_was_logged_survives_the_wall_limit(pool: SandboxPool) -> None:
    code = "console.log('on my way'); await tools.never()"
    result = await run(pool, Script(code=code, tools=("never",), limits=ScriptLimits(wall_s=0.3)))
    assert result.outcome is Outcome.TIMEOUT
    assert result.logs == (LogLine("log", "on my way"),)


@pytest.mark.req("000:1.4.1", "003:L74", "SPEC:5.safe-surface")
async def test_the_globals_are_the_approved_ones(pool: SandboxPool) -> None:
    code = "return [Object.keys(globalThis), Object.getOwnPropertyNames(globalThis).sort()]"
    result = await run(pool, code)
    assert result.value is not None
    enumerable, every = json.loads(result.value)
    assert enumerable == SURFACE
    assert every == sorted([*SURFACE, *LANGUAGE])


@pytest.mark.req("000:1.4.2")
@pytest.mark.parametrize("name", ABSENT)
async def test_a_door_to_the_outside_is_absent(pool: SandboxPool, name: str) -> None:
    result = await run(pool, f"return [typeof {name}, typeof Function('return this')().{name}]")
    assert result.value == '["undefined","undefined"]'


async def test_input_and_outputs_are_there(pool: SandboxPool) -> None:
    code = "input.more = 1; return [input, outputs.first.ä]"
    result = await run(pool, Script(code=code, input='{"a":["ä"]}', outputs='{"first":{"ä":2}}'))
    assert result.value == '[{"a":["\\u00e4"],"more":1},2]'


async def test_names_of_the_surface_can_be_declared_anew(pool: SandboxPool) -> None:
    assert (
        await run(pool, "const input = 1, tools = 2; let sleep = 3; return input + tools + sleep")
    ).value == "6"


@pytest.mark.req("000:1.3.4", "SPEC:5.fresh-context")
async def test_each_run_has_a_fresh_context(pool: SandboxPool) -> None:
    first = "let x = 1; globalThis.left = 1; Object.prototype.left = 1; Array.prototype.map = null; return 1"
    assert (await run(pool, first)).value == "1"
    second = "let x = 2; return [typeof left, typeof ({}).left, [1].map((n) => n + x)]"
    assert (await run(pool, second)).value == '["undefined","undefined",[3]]'


@pytest.mark.req("SPEC:5.deterministic")
async def test_dice_and_clock_are_those_of_the_script(pool: SandboxPool) -> None:
    code = """return [Math.random(), Math.random(),
        Date.now(), new Date(), Date().length > 9, new Date(5).getTime()]"""
    first, again, other = [
        await run(pool, Script(code=code, seed=seed, now_ms=1_700_000_000_000)) for seed in (7, 7, 2**40 + 7)
    ]
    assert first.value == again.value != other.value
    assert first.value is not None
    dice = json.loads(first.value)
    assert dice[2:] == [1_700_000_000_000, "2023-11-14T22:13:20.000Z", True, 5]
    assert all(0 <= number < 1 for number in dice[:2])


@pytest.mark.req("000:1.3.1")
async def test_the_language_is_a_modern_one(pool: SandboxPool) -> None:
    code = """
        class A { #p = 1; static s = 2; get p() { return this.#p ?? 0 } }
        const { a, ...rest } = { a: 1, b: 2, c: 3 }, [x = 5, , y] = [undefined, 0, 6]
        const named = /(?<year>\\d{4})/u.exec('in 2020').groups.year
        let chained = null; chained ??= { deep: { n: 1 } }
        const settled = (await Promise.allSettled([Promise.reject(1), 2])).map((s) => s.status)
        async function* g() { yield 1; yield 2 }
        let sum = 0; for await (const n of g()) sum += n
        return [new A().p, A.s, rest, x, y, named, chained?.deep?.n, chained?.none?.n ?? 'none', settled,
            sum, `${2n ** 64n}`, [1, [2, [3]]].flat(Infinity), Object.fromEntries([['k', 1]]), [1, 2].at(-1)]
    """
    result = await run(pool, code)
    assert result.value == (
        '[1,2,{"b":2,"c":3},5,6,"2020",1,"none",["rejected","fulfilled"],3,"18446744073709551616",[1,2,3],'
        '{"k":1},2]'
    )


@pytest.mark.req("000:1.3.3", "000:1.1.1", "000:1.2.2", "003:L71")
@pytest.mark.parametrize("limit", [8, 32, 128])
async def test_the_memory_limit_is_kept_at_several_sizes(pool: SandboxPool, limit: int) -> None:
    code = "const a = []; for (;;) a.push(new Uint8Array(1e5).fill(1))"
    result = await run(pool, Script(code=code, limits=ScriptLimits(memory_mb=limit)))
    assert result.outcome is Outcome.MEMORY_LIMIT
    assert result.limit is not None
    assert (result.limit.resource, result.limit.limit) == ("memory_mb", limit)
    assert 0.6 * limit < result.limit.used < limit + 32


@pytest.mark.req("000:1.3.3")
async def test_no_limit_means_the_default_and_not_none(pool: SandboxPool) -> None:
    code = "const a = []; for (;;) a.push(new Uint8Array(1e6).fill(1))"
    nothing = ScriptLimits(memory_mb=0, cpu_s=0, wall_s=-1, stack_kb=0, max_calls=0, max_output_kb=0)
    result = await run(pool, Script(code=code, limits=nothing))
    assert result.outcome is Outcome.MEMORY_LIMIT
    assert result.limit is not None
    assert result.limit.limit == ScriptLimits().memory_mb


@pytest.mark.req("000:1.1.2", "000:1.2.2")
async def test_the_cpu_limit_tells_limit_and_use_and_does_not_count_waiting(pool: SandboxPool) -> None:
    spent = await run(pool, Script(code="for (;;);", limits=ScriptLimits(cpu_s=0.2)))
    assert spent.limit is not None
    assert (spent.limit.resource, spent.limit.limit) == ("cpu_s", 0.2)
    assert 0.2 <= spent.limit.used < 1.5
    assert (
        await run(pool, Script(code="await sleep(400); return 1", limits=ScriptLimits(cpu_s=0.2)))
    ).value == "1"


@pytest.mark.req("000:1.1.3", "000:1.2.3", "000:1.2.2")
async def test_the_wall_limit_counts_waiting_and_tells_limit_and_time(pool: SandboxPool) -> None:
    result = await run(pool, Script(code="await sleep(20_000)", limits=ScriptLimits(wall_s=0.3)))
    assert result.outcome is Outcome.TIMEOUT
    assert result.limit is not None
    assert (result.limit.resource, result.limit.limit) == ("wall_s", 0.3)
    assert result.limit.used >= 0.3


async def test_the_stack_limit_is_kept(pool: SandboxPool) -> None:
    deep = "let n = 0; const f = () => { n++; f() }; try { f() } catch {} return n"
    small, large = [
        await run(pool, Script(code=deep, limits=ScriptLimits(stack_kb=kb))) for kb in (128, 1024)
    ]
    assert int(large.value or 0) > 4 * int(small.value or 0) > 0
