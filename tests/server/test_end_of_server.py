"""However a server ends, it ends quickly and loses nothing: what ran is interrupted, saved, and can go on."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.server.clients import SERVE, SLOW, RawClient, environment, raw

pytestmark = pytest.mark.anyio
QUICKLY_S = 10.0  # idle it takes a tenth of a second; the machine may be busy
STEPS = [
    {"id": "first", "code": "return 'kept'"},
    {"id": "second", "code": SLOW, "depends_on": ["first"]},
]
MENDED = [{"id": "second", "code": "return outputs.first", "depends_on": ["first"]}]
SIGNALS = {
    "end of input": (),
    "SIGINT": (signal.SIGINT,),
    "SIGTERM": (signal.SIGTERM,),
    "SIGINT, then SIGTERM": (signal.SIGINT, signal.SIGTERM),
    "twice SIGINT": (signal.SIGINT, signal.SIGINT),
    "five signals": (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGTERM, signal.SIGINT),
}
# A thread prints and reads where it should not, as soon as the wire is out of its reach.
NOISY = """
import os, sys, threading, time
def noise():
    while not os.path.samestat(os.fstat(1), os.fstat(2)):
        pass
    while True:
        print("noise", flush=True)
        os.write(1, b"more noise\\n")
        os.system("echo noise of a child; cat")
        sys.stdin.read()
        time.sleep(0.01)
threading.Thread(target=noise, daemon=True).start()
sys.argv = ["engine-mcp", "serve"]
from engine_mcp.__main__ import main
main()
"""


async def running(wire: RawClient) -> str:
    """An execution whose first step is done and whose second runs, with a call that waits for it."""
    begun = await wire.call("engine_execute", steps=STEPS, wait_s=0)
    name: str = begun["execution_id"]
    await wire.until(name, lambda found: found["steps"][1]["status"] == "running")
    await wire.tool("engine_status", execution_id=name, wait_s=600)
    await wire.tool("engine_execute", code="for(;;){}", wait_s=600, limits={"cpu_s": 600, "wall_s": 600})
    return name


async def resumed(project: Path, name: str) -> dict[str, Any]:
    async with raw(project) as wire:
        found = await wire.call("engine_status", execution_id=name)
        assert found["status"] == "interrupted"
        done = await wire.call("engine_resume", execution_id=name, steps=MENDED)
        await wire.end()
    assert (done["status"], done["output"]) == ("completed", "kept")
    assert done["steps"][0]["attempts"] == 1
    return found


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.req("000:7.1.4", "002:L63", "000:5.1.3", "001:L12", "003:L86")
@pytest.mark.parametrize("numbers", SIGNALS.values(), ids=SIGNALS)
async def test_a_server_that_is_told_to_end_saves_what_runs_and_exits_with_0(
    tmp_path: Path, numbers: tuple[signal.Signals, ...]
) -> None:
    async with raw(tmp_path) as wire:
        name = await running(wire)
        began = time.monotonic()
        assert await wire.end(*numbers) == 0
        assert time.monotonic() - began < QUICKLY_S
    found = await resumed(tmp_path, name)
    assert found["reason"] == (
        f"the server got {numbers[0].name}" if numbers else "the client ended the connection"
    )


@pytest.mark.crash
@pytest.mark.req("000:7.1.4", "002:L199", "000:L272")
async def test_a_server_that_is_killed_loses_nothing_that_was_on_record(tmp_path: Path) -> None:
    async with raw(tmp_path) as wire:
        name = await running(wire)
        assert await wire.end(signal.SIGKILL) == -signal.SIGKILL
    await resumed(tmp_path, name)


async def test_a_server_that_is_told_to_end_and_killed_a_moment_later_is_resumable(tmp_path: Path) -> None:
    async with raw(tmp_path) as wire:
        name = await running(wire)
        await wire.end(signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
    await resumed(tmp_path, name)


async def test_calls_that_still_wait_are_told_that_the_connection_ends(tmp_path: Path) -> None:
    async with raw(tmp_path) as wire:
        request = await wire.tool("engine_execute", code=SLOW, wait_s=600)
        await wire.call("engine_status")
        wire.process.send_signal(signal.SIGTERM)
        assert "closed" in (await wire.answer(request))["error"]["message"]


async def test_a_client_that_reads_nothing_does_not_keep_the_server_alive(tmp_path: Path) -> None:
    async with raw(tmp_path) as wire:
        name = await running(wire)
        for _ in range(200):
            await wire.request("tools/list")
        assert await wire.end(signal.SIGTERM) == 0
    await resumed(tmp_path, name)


async def test_a_client_that_is_gone_ends_the_server(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    process = await anyio.open_process(
        SERVE, stdout=theirs, cwd=tmp_path, env=environment(tmp_path), stderr=None
    )
    os.close(theirs)
    async with process:
        assert process.stdin is not None
        await process.stdin.send(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        with anyio.fail_after(30):
            await anyio.wait_readable(ours)
            os.close(ours)
            await process.stdin.send(b'{"jsonrpc": "2.0", "id": 2, "method": "ping"}\n')
            assert await process.wait() == 0


@pytest.mark.parametrize("place", ["/dev/null", "a file"])
async def test_input_that_is_no_pipe_is_served_to_its_end(tmp_path: Path, place: str) -> None:
    source = Path(place)
    if place == "a file":
        source = tmp_path / "input"
        source.write_text('{"jsonrpc": "2.0", "id": "one", "method": "ping"}\n')
    with source.open() as opened, anyio.fail_after(30):
        done = await anyio.run_process(
            SERVE, stdin=opened, cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE
        )
    assert done.returncode == 0
    assert done.stderr == b""
    assert (b'"id":"one"' in done.stdout) == (place == "a file")


async def test_a_terminal_is_served_until_a_signal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        process = await anyio.open_process(
            SERVE, stdin=theirs, cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE
        )
        async with process:
            assert process.stdout is not None
            os.write(ours, b'{"jsonrpc": "2.0", "id": "one", "method": "ping"}\n')
            with anyio.fail_after(30):
                assert b'"id":"one"' in await process.stdout.receive()
                process.send_signal(signal.SIGINT)
                assert await process.wait() == 0
    finally:
        os.close(ours)
        os.close(theirs)


async def test_stray_prints_and_reads_do_not_touch_the_wire(tmp_path: Path) -> None:
    async with raw(tmp_path, [sys.executable, "-c", NOISY]) as wire:
        for number in range(20):
            done = await wire.call("engine_execute", code=f"return {number}")
            assert done["output"] == number
        assert wire.process.stderr is not None
        assert b"noise" in await wire.process.stderr.receive()
        assert await wire.end(signal.SIGTERM) == 0


async def test_two_servers_share_a_project_and_see_each_others_executions(tmp_path: Path) -> None:
    async with raw(tmp_path) as one, raw(tmp_path) as two:
        name = await running(one)
        seen = await two.call("engine_status", execution_id=name)
        assert seen["status"] == "running"
        owned = await two.call("engine_resume", execution_id=name)
        assert owned["code"] == "execution_owned"
        stopped = await two.call("engine_interrupt", execution_id=name, reason="from over there")
        assert stopped["status"] == "interrupted"
        assert (await one.call("engine_status", execution_id=name))["reason"] == "from over there"


async def test_one_server_waits_for_what_another_one_drives(tmp_path: Path) -> None:
    async with raw(tmp_path) as one, raw(tmp_path) as two:
        begun = await one.call("engine_execute", code="await sleep(1500); return 'end'", wait_s=0)
        done = await two.call("engine_status", execution_id=begun["execution_id"], wait_s=20)
        assert (done["status"], done["output"]) == ("completed", "end")
