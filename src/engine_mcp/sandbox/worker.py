"""The child's side of one script run: from the ready engine to the last frame.

Values stay text here: nothing is parsed that a script sends or gets. A script that does not end is
stopped by the engine first (its logs are kept), then by the CPU timer, then by the kernel's CPU limit;
the server's clock stands over them all.
"""

import math
import os
import resource
import signal
import sys
import time
from typing import Protocol

from engine_mcp.sandbox.binding import Engine, Evaluation, Limits, Spent
from engine_mcp.sandbox.frames import Decoder, Frame, encode
from engine_mcp.sandbox.layers import Layer

CHUNK = 1 << 16
RSS_PER_KIB = 1024 if sys.platform == "darwin" else 1
LARGEST_FRAME = 64 << 20
FLUSH_S = 0.02
TIMER_SLACK_S = 0.25
KERNEL_SLACK_S = 1.25
ENGINE_ROOM = 96 << 20
ENGINE_WASTE = 1.25

# A script that touches what scripts touch.
REHEARSAL = (
    encode(
        "S",
        "64",
        "1",
        "256",
        '"console.log(1, {}); progress(1); return [await tools.x({a: [1]}), Math.random(), new Date()]"',
        "null",
        "{}",
        '["x"]',
        '{"now":0,"maxCalls":1,"maxSent":1,"maxOutput":99,"seedLow":0,"seedHigh":0,"firstLine":1000}',
    ),
    encode("A", "0", "1", "[null]", "1"),
)

FINISHED, WAITING, IDLE = "F", "W", "I"


class Channel(Protocol):
    """The blocking socket to the server."""

    def recv(self, size: int, /) -> bytes:
        """Wait for bytes; empty at the end."""
        ...

    def sendall(self, chunk: bytes, /) -> None:
        """Send bytes whole."""
        ...


class Rehearsal:
    """Stands in for a server that sends `REHEARSAL`."""

    def __init__(self) -> None:
        self._left = list(REHEARSAL)

    def recv(self, size: int, /) -> bytes:
        """The next frame, which is shorter than any buffer."""
        return self._left.pop(0)[:size]

    def sendall(self, chunk: bytes, /) -> None:
        """Nobody listens."""


def rehearse(engine: Engine, shim: str) -> None:
    """Run a script for nobody, so that the next one finds its memory copied and its code loaded."""
    Worker(Rehearsal(), frozenset(), 0).serve(engine, shim, "")


def used() -> tuple[str, str]:
    """CPU milliseconds and the most resident KiB of this process so far."""
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // RSS_PER_KIB
    return f"{time.process_time() * 1000:.3f}", str(resident)


class Worker:
    """Serves one script over `channel`; `address_space` is what the process takes before it, in bytes."""

    def __init__(self, channel: Channel, layers: frozenset[Layer], address_space: int) -> None:
        self._channel = channel
        self._layers = layers
        self._address_space = address_space
        self._decoder = Decoder(LARGEST_FRAME)
        self._flush_at = 0.0
        self._last = b""

    def serve(self, engine: Engine, shim: str, held: str) -> None:
        """Say ready and which layers are `held`, run the one script that comes, say how it ended."""
        self._evaluation = evaluation = Evaluation(engine, shim)
        self._channel.sendall(encode("R", held, *used()))
        memory_mb, cpu_s, stack_kb, *texts = self._receive()[0].parts
        limits = Limits(int(memory_mb), float(cpu_s), int(stack_kb))
        self._arm(limits)
        evaluation.allow(limits)
        try:
            end = self._run(evaluation, texts)
        except Spent as spent:
            end = encode("X", str(spent))
        self._conclude(evaluation, end)

    def _arm(self, limits: Limits) -> None:
        """Set the stops that work when the engine does not come back."""
        if Layer.CPU_TIMER in self._layers:
            signal.setitimer(signal.ITIMER_PROF, limits.cpu_s + TIMER_SLACK_S)
        if Layer.RLIMITS in self._layers:
            seconds = math.ceil(time.process_time() + limits.cpu_s + KERNEL_SLACK_S)
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        if Layer.RLIMITS in self._layers and self._address_space:
            heap = int((limits.memory_mb << 20) * ENGINE_WASTE)
            total = self._address_space + heap + ENGINE_ROOM
            resource.setrlimit(resource.RLIMIT_AS, (total, total))

    def _run(self, evaluation: Evaluation, texts: list[str]) -> bytes:
        """Carry the script on until it ends; gives the frame to add where it cannot end by itself."""
        evaluation.order("start", *texts)
        self._pump(evaluation)
        while (state := self._flush(evaluation)) == WAITING:
            for answer in self._receive():
                # Each delivery runs to its end before the next one: so a replay can repeat the order.
                evaluation.order("deliver", *answer.parts)
                self._pump(evaluation)
        return encode("X", "deadlock") if state == IDLE else b""

    def _pump(self, evaluation: Evaluation) -> None:
        """Run every promise job, and let nobody wait long for what they send."""
        while evaluation.job():
            if time.monotonic() >= self._flush_at and self._flush(evaluation) == FINISHED:
                return

    def _flush(self, evaluation: Evaluation) -> str:
        """Send what the script has to send; gives its state. The last of it waits for the conclusion."""
        drained = evaluation.order("drain")
        state, frames = drained[0], drained[1:].encode("ascii")
        if state == FINISHED:
            self._last += frames
        elif frames:
            self._channel.sendall(frames)
        self._flush_at = time.monotonic() + FLUSH_S
        return state

    def _conclude(self, evaluation: Evaluation, end: bytes) -> None:
        """Send what is left, then why the script was ended, then what it used."""
        counts = ["0", "0"]
        evaluation.end()
        try:
            self._flush(evaluation)
            counts = evaluation.order("count").split(",")
        except Spent:
            pass  # what a script logged can be lost; how it ended cannot
        self._channel.sendall(self._last + end + encode("Z", str(evaluation.heap()), *used(), *counts))

    def _receive(self) -> list[Frame]:
        """Wait for frames; without a server there is nothing left to do."""
        while True:
            chunk = self._channel.recv(CHUNK)
            if not chunk:
                os._exit(0)
            if frames := list(self._decoder.feed(chunk)):
                return frames
