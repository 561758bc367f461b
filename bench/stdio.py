"""The server over stdio against a bare hello server: processor time per call, and cold start."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from bench.children import ROOT, Children, UnmeasurableError, environment
from bench.figures import TIMES, Figure

# The kernel tells processor time in hundredths of a second.
CALLS, FEW_CALLS = 1000, 60
ROUNDS, FEW_ROUNDS = 5, 1
STARTS = 11
END_S = 10
CALL_RATIO = 1.0
START_RATIO = 1.15
# Runs for as long as it is measured, and gives the tool something to tell.
PLAN = {"code": "await sleep(50_000)", "wait_s": 0}
_ME = {"name": "bench", "version": "1"}
_PREFIX = "io.modelcontextprotocol/"


class Era(StrEnum):
    """Which protocol the client speaks."""

    MODERN = "2026-07-28"
    LEGACY = "2025-11-25"


_META = {
    f"{_PREFIX}protocolVersion": Era.MODERN,
    f"{_PREFIX}clientInfo": _ME,
    f"{_PREFIX}clientCapabilities": dict[str, object](),
}


class Server:
    """A server's process, and the client's end of its pipes."""

    def __init__(self, command: list[str], era: Era) -> None:
        self._process = subprocess.Popen(
            command,
            env=environment(),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._era, self._number, self._rest = era, 0, b""

    def greet(self) -> None:
        """Say who speaks, and take the server's first answer."""
        if self._era is Era.MODERN:
            self.ask("server/discover", {})
            return
        self.ask("initialize", {"protocolVersion": self._era, "capabilities": {}, "clientInfo": _ME})
        self._send({"method": "notifications/initialized"})

    def call(self, tool: str, arguments: Mapping[str, object]) -> dict[str, Any]:
        """The result of a tool; raises UnmeasurableError where it is an error."""
        result = self.ask("tools/call", {"name": tool, "arguments": arguments})
        if result.get("isError"):
            raise UnmeasurableError(f"{tool}: {result['content']}")
        return result

    def ask(self, method: str, parameters: Mapping[str, object]) -> dict[str, Any]:
        """The result of a request; raises UnmeasurableError where it is an error."""
        self._number += 1
        meta = {"_meta": _META} if self._era is Era.MODERN else {}
        self._send({"id": self._number, "method": method, "params": {**parameters, **meta}})
        while True:
            message = json.loads(self._line())
            if message.get("id") != self._number:
                continue
            if "error" in message:
                raise UnmeasurableError(f"{method}: {message['error']}")
            return message["result"]

    def cpu_s(self) -> float:
        """Seconds of processor time that the server has used; its children are not counted."""
        used = psutil.Process(self._process.pid).cpu_times()
        return used.user + used.system

    def end(self) -> None:
        """Close its input, and wait for its end."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, message: Mapping[str, object]) -> None:
        stdin = self._process.stdin
        if stdin is not None:
            stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def _line(self) -> bytes:
        stdout = self._process.stdout
        while b"\n" not in self._rest:
            piece = os.read(stdout.fileno(), 1 << 16) if stdout is not None else b""
            if not piece:
                raise UnmeasurableError(f"the server ended with {self._process.wait(END_S)}")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line


def commands(children: Children) -> tuple[list[str], list[str]]:
    """Our server as clients start it, on an empty project; and the bare one."""
    ours = Path(sys.executable).with_name("engine-mcp")
    return (
        [str(ours), "serve", "--path", str(children.folder())],
        [sys.executable, str(ROOT / "bench" / "bare_server.py")],
    )


@contextmanager
def serving(command: list[str], era: Era) -> Generator[Server]:
    """A server that has answered, for the time of the block."""
    server = Server(command, era)
    try:
        server.greet()
        yield server
    finally:
        server.end()


def calls(children: Children, *, quick: bool) -> list[Figure]:
    """Processor time of the server per call of `engine_status`, against a call of the bare server."""
    count, rounds = (FEW_CALLS, FEW_ROUNDS) if quick else (CALLS, ROUNDS)
    return [_calls(children, era, count, rounds) for era in Era]


def _calls(children: Children, era: Era, count: int, rounds: int) -> Figure:
    ours, bare = commands(children)
    with serving(ours, era) as server, serving(bare, era) as hello:
        name = server.call("engine_execute", PLAN)["structuredContent"]["execution_id"]
        one = partial(server.call, "engine_status", {"execution_id": name})
        other = partial(hello.call, "hello", {"name": "you"})
        costs = [(_cost_ms(server, one, count), _cost_ms(hello, other, count)) for _ in range(rounds + 1)][1:]
        server.call("engine_interrupt", {"execution_id": name})
    own, theirs = (statistics.median(column) for column in zip(*costs, strict=True))
    return Figure(
        what=f"server CPU per stdio call of `engine_status` to a bare hello server's, {era.name.lower()} era",
        value=statistics.median(own / theirs for own, theirs in costs),
        unit=TIMES,
        at_most=CALL_RATIO,
        detail=f"{own:.2f} ms, bare {theirs:.2f} ms",
    )


def _cost_ms(server: Server, call: Callable[[], object], count: int) -> float:
    before = server.cpu_s()
    for _ in range(count):
        call()
    return (server.cpu_s() - before) / count * 1000


def starts(children: Children, *, quick: bool) -> list[Figure]:
    """Wall time from the start of the process to its first answer, in turns with the bare server."""
    pair = commands(children)
    found: list[tuple[float, ...]] = []
    for number in range(1, 2) if quick else range(STARTS + 1):
        times = tuple(_start_ms(command, list(Era)[number % len(Era)]) for command in pair)
        if number:  # the first ones fill the caches of both
            found.append(times)
    own, theirs = (statistics.median(column) for column in zip(*found, strict=True))
    return [
        Figure(
            what="cold start, process start to first answer, to a bare hello server",
            value=statistics.median(own / theirs for own, theirs in found),
            unit=TIMES,
            at_most=START_RATIO,
            detail=f"{own:.0f} ms, bare {theirs:.0f} ms",
        )
    ]


def _start_ms(command: list[str], era: Era) -> float:
    began = time.perf_counter()
    with serving(command, era):
        return (time.perf_counter() - began) * 1000
