"""One process drives an execution, however many there are, and a dead one gives it back."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import psutil
import pytest
from anyio import to_thread

from engine_mcp.core.event import ExecutionStarted
from engine_mcp.errors import ExecutionOwned
from engine_mcp.store.files import FileStore
from tests.house.sources import ROOT
from tests.store.plans import Hand, created, file_store, started

pytestmark = pytest.mark.anyio
FIGHTERS, EXECUTIONS, KILLS = 6, 12, 4


@contextmanager
def fighter(*about: str) -> Generator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.store.fighter", *about]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FileStore]:
    made = file_store(tmp_path)
    yield made
    made.close()


async def waiting(store: FileStore) -> str:
    execution, log = await store.create(created())
    await log.close()
    return execution.id


async def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    with anyio.fail_after(30):
        return (await to_thread.run_sync(process.stdout.readline)).strip()


@pytest.mark.crash
@pytest.mark.req("SPEC:7.one-lease", "SPEC:7.lease-dies-with-its-holder", "004:L19")
async def test_another_process_keeps_its_execution_until_it_dies(store: FileStore, tmp_path: Path) -> None:
    name = await waiting(store)
    with fighter(str(tmp_path), "hold", name) as process:
        assert await said(process) == "held 2"
        with pytest.raises(ExecutionOwned, match=str(process.pid)):
            await store.open(name)
        assert await store.owner(name) == f"fighter {process.pid}"
        assert await store.abandoned() == ()
        assert (await store.read(name)).id == name
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(ExecutionOwned):
            await store.open(name)
        process.kill()
        process.wait(10)
    assert await store.owner(name) is None
    assert await store.abandoned() == (name,)
    _, log = await store.open(name)
    assert log.epoch == 3
    await log.close()


async def test_a_lease_names_its_holder(store: FileStore) -> None:
    execution, log = await store.create(created())
    told = json.loads((Path(store.place(execution.id)).parent / "lease").read_text(encoding="utf-8"))
    assert told == {
        "epoch": 1,
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
        "owner": "here",
    }
    await log.close()


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b'{"epoch": "many"}', b"[]"])
async def test_a_lease_that_cannot_be_read_costs_no_epoch(store: FileStore, content: bytes) -> None:
    hand = Hand(*await store.create(created()))
    for epoch in (2, 3):
        await hand.log.close()
        hand = Hand(*await store.open(hand.execution.id))
        await hand.note(started(epoch)) if epoch == 2 else None
    lease = Path(store.place(hand.execution.id)).parent / "lease"
    lease.write_bytes(content)
    assert await file_store(store_root(store)).owner(hand.execution.id) == ""
    await hand.log.close()
    _, log = await store.open(hand.execution.id)
    assert log.epoch == 3
    await log.close()


def store_root(store: FileStore) -> Path:
    return Path(store.place("x")).parents[3]


async def test_looking_at_a_lease_does_not_keep_others_from_taking_it(
    store: FileStore, tmp_path: Path
) -> None:
    name = await waiting(store)
    onlooker = file_store(tmp_path, owner="onlooker")

    async def look() -> None:
        while True:
            await onlooker.owner(name)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(look)
            for _ in range(100):
                _, log = await store.open(name)
                await log.close()
            tasks.cancel_scope.cancel()


@pytest.mark.req("002:L150")
@pytest.mark.usefixtures("no_leaks")
async def test_a_closed_record_leaves_no_descriptor(tmp_path: Path) -> None:
    store = file_store(tmp_path)
    hand = Hand(*await store.create(created()))
    await hand.note(started())
    with pytest.raises(ExecutionOwned):
        await store.open(hand.execution.id)
    await hand.log.close()
    _, log = await store.open(hand.execution.id)
    await log.close()
    await store.abandoned()
    store.close()


@pytest.mark.crash
@pytest.mark.timeout(120)
@pytest.mark.req("001:L59", "002:L132")
async def test_processes_that_fight_do_each_step_once(store: FileStore, tmp_path: Path) -> None:
    names = {await waiting(store) for _ in range(EXECUTIONS)}
    effects = tmp_path / "effects"
    await to_thread.run_sync(let_them_fight, tmp_path, effects)
    done = [line.split() for line in effects.read_text(encoding="utf-8").splitlines()]
    assert {(name, step) for name, step, *_ in done} == {
        (name, step) for name in names for step in ("s0", "s1")
    }
    assert len(done) <= 2 * EXECUTIONS + KILLS
    assert len({(name, epoch) for name, _, epoch, _ in done}) == len(done)
    for name in names:
        assert (await store.read(name)).status == "completed"
        told = await store.events(name, 0, 1000)
        epochs = [event.epoch for _, event in told if isinstance(event, ExecutionStarted)]
        assert epochs == sorted(set(epochs))
    assert await store.damaged() == {}


def let_them_fight(root: Path, effects: Path) -> None:
    """Start them all, kill some after each quarter of the work, and wait until nothing is left to do."""
    command = [sys.executable, "-m", "tests.store.fighter", str(root), "fight", str(effects)]
    fighters = [subprocess.Popen(command, cwd=ROOT) for _ in range(FIGHTERS)]
    try:
        for kill in range(KILLS):
            wanted = (kill + 1) * EXECUTIONS // 3
            while not effects.exists() or effects.read_bytes().count(b"\n") < wanted:
                with suppress(subprocess.TimeoutExpired):
                    assert fighters[-1].wait(0.005) == 0
                    break
            fighters[kill].kill()
        for number, fighter in enumerate(fighters):
            assert fighter.wait(60) == (-signal.SIGKILL if number < KILLS else 0)
    finally:
        for fighter in fighters:
            fighter.kill()
            fighter.wait(10)
