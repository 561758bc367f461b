"""The tools as scripts and tool steps use them: a whole engine, a real sandbox, real files."""

from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import pytest

from engine_mcp.core.execution import Execution
from engine_mcp.core.plan import Draft, Mode, Permissions
from engine_mcp.engine.clock import SystemClock
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.parts import EngineOptions, Parts
from engine_mcp.sandbox.pool import SandboxPool
from engine_mcp.store.memory import MemoryStore
from engine_mcp.testing import PlainLibrary
from engine_mcp.tools.stock import BUILT_IN
from tests.tools.workplace import Workplace

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
WRITING = Permissions(mode=Mode.WRITE)

Run = Callable[[Draft], Awaitable[Execution]]


@pytest.fixture(scope="module")
async def pool(anyio_backend: object) -> AsyncIterator[SandboxPool]:
    assert anyio_backend
    async with SandboxPool() as opened:
        yield opened


@pytest.fixture
async def run(pool: SandboxPool) -> AsyncIterator[Run]:
    """Carry a draft out until it rests."""
    tools = {tool.spec.name: tool for tool in BUILT_IN}
    parts = Parts(library=PlainLibrary(), store=MemoryStore(), clock=SystemClock(), sandbox=pool, tools=tools)
    async with Engine(parts, EngineOptions()) as engine:

        async def carry_out(draft: Draft) -> Execution:
            with anyio.fail_after(40):
                return await engine.wait((await engine.execute(draft)).id, 40)

        yield carry_out


async def test_a_script_writes_lists_looks_and_reads(work: Workplace, run: Run) -> None:
    code = """
        const written = await files.write('out/a.txt', 'Ä 🙂', { make_dirs: true });
        const { entries, truncated } = await files.list('.', { pattern: '**/*.txt' });
        const [text, half, stat, none] = await Promise.all([
            files.read('out/a.txt'), files.read('out/a.txt', { offset: 3 }),
            files.stat('out/a.txt'), files.stat('b'),
        ]);
        const { digest, size, name } = await tools.artifact({ name: 'report.json', json: { text } });
        const { type } = stat;
        return { written, entries, truncated, text, half, type, none, size, name, hex: digest.length };
    """
    execution = await run(Draft(path=str(work.root), code=code, permissions=WRITING))
    output = execution.steps["main"].output
    assert output is not None, execution.steps["main"].failure
    assert output.value == {
        "written": {"path": "out/a.txt", "size": 7, "created": True},
        "entries": [{"path": "out/a.txt", "type": "file", "size": 7}],
        "truncated": False,
        "text": "Ä 🙂",
        "half": "🙂",
        "type": "file",
        "none": None,
        "size": 24,
        "name": "report.json",
        "hex": 64,
    }
    assert [artifact.name for artifact in execution.artifacts] == ["report.json"]


async def test_a_script_can_catch_what_a_tool_refuses(work: Workplace, run: Run) -> None:
    code = """
        const refused = [];
        for (const path of ['../outside/secret.txt', 'none.txt', '.engine-mcp', '', 'a\\0b']) {
            try { await files.read(path); } catch (error) {
                refused.push([error instanceof HostError, error.name, error.message]);
            }
        }
        try { await files.write('a', 'b'); } catch (error) { refused.push([true, error.name]); }
        return refused;
    """
    execution = await run(Draft(path=str(work.root), code=code))
    output = execution.steps["main"].output
    assert output is not None, execution.steps["main"].failure
    assert isinstance(output.value, list)
    names = [refused[1] for refused in output.value if isinstance(refused, list) and refused[0] is True]
    assert names == ["Denied", "ToolError", "Denied", "ToolError", "ToolError", "Denied"]
    assert not (work.root / "a").exists()


async def test_a_tool_step_fails_with_the_code_and_the_remedy_of_its_tool(work: Workplace, run: Run) -> None:
    execution = await run(Draft(path=str(work.root), tool="files.read", arguments={"path": "../outside"}))
    failure = execution.steps["main"].failure
    assert failure is not None
    assert failure.code == "denied"
    assert "relative to it" in failure.hint
    assert len(execution.steps["main"].attempts) == 1
