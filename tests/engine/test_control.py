"""Another process asks the owner of an execution for a stop or for other limits."""

import json
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream

from engine_mcp.core.budget import Limits, OnExceed
from engine_mcp.core.execution import Execution, ExecutionStatus, StopMode
from engine_mcp.engine import control
from engine_mcp.engine.control import Wish, ask
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.parts import EngineOptions
from engine_mcp.errors import ExecutionOwned
from engine_mcp.store.files import FileStore
from tests.engine.rig import NOBODY, WAIT_S, Held, Rig, agent, came, check_record, rested

pytestmark = pytest.mark.anyio

REQUEST = Wish(execution_id=NOBODY, stop=StopMode.NOW)


@pytest.fixture
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give a short path: those of sockets may not be long."""
    place = str(tmp_path_factory.mktemp("s") / "a")
    yield place
    assert not Path(place).exists()


def process(rig: Rig, owner: str) -> Rig:
    """A rig with its own view of the project's files, as another process has it."""
    store = FileStore(rig.project / ".engine-mcp", clock=rig.clock, owner=owner, version="1")
    return replace(rig, store=store, options=EngineOptions(owner=owner, grace_s=1.0))


@asynccontextmanager
async def two(rig: Rig, address: str) -> AsyncGenerator[tuple[Engine, Engine, Execution, Held]]:
    """An engine that drives an execution whose first step is held, another one, and both of these."""
    held = Held()
    rig.runner.replies = {"a": [held]}
    async with process(rig, address).engine() as owner, process(rig, f"{address}2").engine() as other:
        execution = await owner.execute(rig.draft(agent("a"), agent("b", "a"), budget=Limits(max_tokens=5)))
        await came(held.begun)
        yield owner, other, execution, held


@pytest.mark.both_loops
@pytest.mark.req("SPEC:7.another-process-can-interrupt", "001:L61")
@pytest.mark.parametrize(
    ("mode", "status"),
    [(StopMode.NOW, ExecutionStatus.INTERRUPTED), (StopMode.CANCEL, ExecutionStatus.CANCELLED)],
)
async def test_another_process_stops_an_execution_through_its_owner(
    rig: Rig, address: str, anyio_backend: object, mode: StopMode, status: ExecutionStatus
) -> None:
    assert anyio_backend
    async with two(rig, address) as (owner, other, execution, held):
        with anyio.fail_after(WAIT_S):
            found = await other.interrupt(execution.id, mode, "from afar")
        assert held.stopped.is_set()
        assert (found.status, found.reason) == (status, "from afar")
        assert await owner.show(execution.id) == found
        assert await check_record(other.parts.store, execution.id) == found


async def test_a_wish_for_after_the_step_is_on_record_when_it_is_answered(rig: Rig, address: str) -> None:
    async with two(rig, address) as (owner, other, execution, held):
        found = await other.interrupt(execution.id, StopMode.AFTER_STEP, "from afar")
        assert found.status is ExecutionStatus.RUNNING
        assert found.stopping is not None
        held.let_go.set()
        assert (await rested(owner, execution)).reason == "from afar"


@pytest.mark.req("003:L55")
async def test_another_process_sets_and_resets_the_budget(rig: Rig, address: str) -> None:
    async with two(rig, address) as (owner, other, execution, _):
        wanted = Limits(max_tokens=9, max_seconds=60, on_exceed=OnExceed.WARN)
        assert (await other.set_budget(execution.id, wanted)).budget == wanted
        assert (await owner.show(execution.id)).budget == wanted
        assert (await other.set_budget(execution.id, Limits(), reset=True)).budget == Limits(max_tokens=5)


async def test_many_wishes_at_once_are_all_answered(rig: Rig, address: str) -> None:
    async with two(rig, address) as (owner, other, execution, _):
        async with anyio.create_task_group() as many:
            for tokens in range(1, 21):
                many.start_soon(other.set_budget, execution.id, Limits(max_tokens=tokens))
        assert (await owner.show(execution.id)).revision == 3 + 20


async def test_a_wish_that_cannot_be_fulfilled_is_answered_with_the_reason(rig: Rig, address: str) -> None:
    async with process(rig, address).engine():
        with pytest.raises(ExecutionOwned, match=NOBODY) as caught:
            await ask(address, REQUEST)
    assert (caught.value.code, caught.value.field) == ("execution_owned", "execution_id")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n",
        b"hello\n",
        b"\xff\xfe\x00\n",
        b"{}\n",
        b'{"execution_id": 3}\n',
        b'{"execution_id": "x", "stop": "soon"}\n',
        b'{"execution_id": "x", "budget": {"max_tokens": "many"}}\n',
        b"[" * 70_000,
        b'{"execution_id": "x"',
    ],
    ids=range(9),
)
async def test_garbage_is_answered_and_harms_nobody(rig: Rig, address: str, garbage: bytes) -> None:
    async with two(rig, address) as (_, other, execution, _held):
        with anyio.fail_after(WAIT_S):
            async with await anyio.connect_unix(address) as stream:
                await stream.send(garbage)
                await stream.send_eof()
                answer = json.loads(await stream.receive())
        assert answer == {"error": "The request could not be read."}
        assert (await other.interrupt(execution.id, StopMode.NOW, "still there")).reason == "still there"


async def test_who_hangs_up_or_says_nothing_harms_nobody(rig: Rig, address: str) -> None:
    async with two(rig, address) as (_, other, execution, _held):
        silent = await anyio.connect_unix(address)
        async with await anyio.connect_unix(address) as stream:
            await stream.send(b'{"execution_id"')
        found = await other.interrupt(execution.id, StopMode.NOW, "still there")
        assert found.reason == "still there"
    await silent.aclose()


async def test_a_defect_behind_the_socket_is_answered_and_harms_nobody(address: str) -> None:
    class Broken:
        async def fulfil(self, wish: Wish) -> None:
            raise ZeroDivisionError(wish)

    async with anyio.create_task_group() as tasks:
        await tasks.start(control.listen, address, Broken())
        for _ in range(2):
            with pytest.raises(ExecutionOwned, match="engine itself failed"):
                await ask(address, REQUEST)
        tasks.cancel_scope.cancel()


@pytest.mark.req("000:5.4.1")
async def test_an_owner_that_is_gone_or_silent_or_talks_nonsense_is_told_as_such(address: str) -> None:
    with pytest.raises(ExecutionOwned, match="does not answer"):
        await ask(address, REQUEST)

    spoken = [b"what?\n", b'{"error": 3}\n', b"{", b""]

    async def say(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            if words := spoken.pop(0):
                await stream.send(words)

    while spoken:
        async with await anyio.create_unix_listener(address) as listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, say)
            with pytest.raises(ExecutionOwned, match="does not answer"):
                await ask(address, REQUEST)
            tasks.cancel_scope.cancel()
        await anyio.Path(address).unlink()


async def test_an_owner_that_never_answers_is_not_waited_for_for_ever(address: str) -> None:
    async def listen(stream: SocketStream) -> None:
        async with stream:
            await anyio.sleep_forever()

    async with await anyio.create_unix_listener(address) as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, listen)
        with anyio.fail_after(WAIT_S):
            with pytest.raises(ExecutionOwned, match="does not answer"):
                await ask(address, REQUEST, within_s=0.05)
        tasks.cancel_scope.cancel()
    await anyio.Path(address).unlink()


async def test_the_socket_is_its_users_alone_and_takes_the_place_of_a_stale_one(
    rig: Rig, address: str
) -> None:
    async with await anyio.create_unix_listener(address):
        pass
    assert await anyio.Path(address).is_socket()
    async with two(rig, address) as (_, other, execution, _held):
        assert stat.S_IMODE((await anyio.Path(address).stat()).st_mode) == 0o600
        assert (await other.interrupt(execution.id, StopMode.NOW, "x")).status is ExecutionStatus.INTERRUPTED


OTHER = """
import sys
import anyio
from pathlib import Path
from engine_mcp.core.execution import StopMode
from engine_mcp.engine.clock import SystemClock
from engine_mcp.engine.engine import Engine
from engine_mcp.engine.parts import EngineOptions, Parts
from engine_mcp.store.files import FileStore
from engine_mcp.testing import PlainLibrary, NoSandbox

async def main():
    root, execution_id = sys.argv[1:]
    store = FileStore(Path(root), clock=SystemClock(), owner="", version="1")
    parts = Parts(library=PlainLibrary(), store=store, clock=SystemClock(), sandbox=NoSandbox())
    async with Engine(parts, EngineOptions()) as engine:
        found = await engine.interrupt(execution_id, StopMode.NOW, "from another process")
        print(found.status, found.reason)

anyio.run(main)
"""


@pytest.mark.req("SPEC:7.another-process-can-interrupt", "001:L61", "003:L56")
@pytest.mark.usefixtures("no_leaks")
async def test_a_real_other_process_interrupts_and_sees_it_interrupted(rig: Rig, address: str) -> None:
    async with two(rig, address) as (owner, _other, execution, _held):
        command = [sys.executable, "-c", OTHER, str(rig.project / ".engine-mcp"), execution.id]
        with anyio.fail_after(30):
            told = await anyio.run_process(command, stderr=subprocess.PIPE)
        assert told.stdout.decode().split(maxsplit=1) == ["interrupted", "from another process\n"]
        assert (await owner.show(execution.id)).reason == "from another process"
