"""The programs that measure runtimes, each against the least that would do the same; see `bench.programs`.

`pieces` and `per_s` say what the other side writes; the processor time is that of the measured process
alone, without that of its children.
"""

import subprocess
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
from pydantic_core import from_json

from bench import fake_cli, workload
from bench.children import Numbers
from bench.lag import Lag
from engine_mcp.core.choice import Tier
from engine_mcp.core.models import Models
from engine_mcp.core.plan import Draft
from engine_mcp.engine.engine import Engine
from engine_mcp.ports import Runner
from engine_mcp.runners.api import ApiRunner
from engine_mcp.runners.api_options import ApiOptions
from engine_mcp.runners.claude_code import ClaudeCodeRunner
from engine_mcp.runners.opencode import OpenCodeRunner

MODEL = "claude-opus-5-5"
TIERS = {tier: {"api": MODEL} for tier in Tier}
KEY = "a-key-of-nobody"
FEW = 20
STALL_S = 60.0
Stream = Callable[[int], Coroutine[Any, Any, object]]


def asked(pieces: int, per_s: int) -> str:
    """What makes the other side write."""
    return f"Write {pieces} pieces, {per_s} a second."


async def taken(stream: Stream, work: dict[str, Any]) -> Numbers:
    """Microseconds of processor time per piece; what a stream costs whatever its length does not count."""
    streams = work.get("streams", 1)
    many = work["pieces"]
    spent: list[float] = []
    took: list[float] = []
    for pieces in (FEW, FEW, many):  # the first one is a warm-up
        started, cpu = time.perf_counter(), time.process_time()
        await _at_once(stream, pieces, streams)
        spent.append(time.process_time() - cpu)
        took.append(time.perf_counter() - started)
    count = (many - FEW) * streams
    return {
        "cpu_us_per_piece": (spent[2] - spent[1]) / count * 1e6,
        "pieces_per_s": count / (took[2] - took[1]),
    }


async def watched(stream: Stream, work: dict[str, Any]) -> Numbers:
    """The same, with the lag of the loop meanwhile and, before, with nothing to do."""
    streams = work["streams"]
    await _at_once(stream, FEW, streams)
    idle, busy = Lag(), Lag()
    await idle.during(partial(anyio.sleep, work["idle_s"]))
    started, cpu = time.perf_counter(), time.process_time()
    await busy.during(partial(_at_once, stream, work["pieces"], streams))
    used, took = time.process_time() - cpu, time.perf_counter() - started
    count = work["pieces"] * streams
    rates = {"cpu_us_per_piece": used / count * 1e6, "pieces_per_s": count / took, "cpu_share": used / took}
    return {**idle.numbers("idle"), **busy.numbers("busy"), **rates}


async def _at_once(stream: Stream, pieces: int, streams: int) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(streams):
            group.start_soon(stream, pieces)


# --- through the engine


async def engine_streams(work: dict[str, Any]) -> Numbers:
    """Attempts through the engine, what they write on record."""
    folder, streams = Path(work["folder"]), work.get("streams", 1)
    async with (
        runner(work) as runs,
        workload.engine(folder, runs, streams, partial(Models, tiers=TIERS)) as opened,
    ):
        return await _measured(partial(_execution, opened, work), work)


async def _execution(opened: Engine, work: dict[str, Any], pieces: int) -> None:
    await workload.complete(opened, Draft(path=work["folder"], task=asked(pieces, work["per_s"])), 1)


async def _measured(stream: Stream, work: dict[str, Any]) -> Numbers:
    return await (watched if "idle_s" in work else taken)(stream, work)


@asynccontextmanager
async def runner(work: dict[str, Any]) -> AsyncGenerator[Runner]:
    """The runner of a runtime, in front of its other side."""
    if work["runtime"] == "api":
        options = ApiOptions(base_url=work["url"], streams=work.get("streams", 1))
        api = ApiRunner(options, environ={"ANTHROPIC_API_KEY": KEY})
        await api.warm()
        yield api
        await api.aclose()
        return
    kind = {"claude": ClaudeCodeRunner, "opencode": OpenCodeRunner}[work["runtime"]]
    yield kind(environ=environ(Path(work["folder"])), stall_s=STALL_S)


def environ(folder: Path) -> dict[str, str]:
    """The environment of an engine that finds the fake CLIs."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    fake_cli.install(programs)
    return {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(folder), "ANTHROPIC_API_KEY": KEY}


# --- the least that would do


async def bare_streams(work: dict[str, Any]) -> Numbers:
    """The same streams, read by themselves."""
    if work["runtime"] != "api":
        program = Path(work["folder"]) / "bin" / work["runtime"]
        environ(Path(work["folder"]))
        return await _measured(partial(_lines, str(program), work), work)
    from bench.bare_stream import reading  # noqa: PLC0415 - the SDK takes a second to import

    async with reading(work["url"], KEY, MODEL) as read:

        async def events(pieces: int) -> None:
            _check(await read(asked(pieces, work["per_s"])), pieces)

        return await _measured(events, work)


async def _lines(program: str, work: dict[str, Any], pieces: int) -> None:
    prompt = f"{asked(pieces, work['per_s'])}\n".encode()
    argv = [program, "run", "--session-id", str(uuid4())]
    count, rest = 0, b""
    async with await anyio.open_process(argv, cwd=work["folder"], stderr=subprocess.DEVNULL) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("it has no pipes")
        await process.stdin.send(prompt)
        await process.stdin.aclose()
        async with aclosing(process.stdout) as chunks:
            async for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    count += fake_cli.PIECE in str(from_json(line))
        await process.wait()
    _check(count, pieces)


def _check(count: int, pieces: int) -> None:
    if count < pieces:
        raise RuntimeError(f"{count} of {pieces} pieces came")
