"""The server's side of one script run: send the script, answer its calls, note what it says.

A child may be under anybody's control, so nothing it sends is trusted: frames that an honest worker would
not send end the run as a breach. Answers go out in the order in which the host gave them.
"""

import json
import logging
import re
import time

import anyio.to_thread
from anyio.abc import TaskGroup
from pydantic_core import from_json

from engine_mcp.core.script import HostAnswer, HostCall, LogLine, Script
from engine_mcp.ports import ScriptHost
from engine_mcp.sandbox.channel import Channel
from engine_mcp.sandbox.frames import BadFrame, Frame, encode
from engine_mcp.sandbox.verdict import FIRST_LINE, Thrown, Transcript

LARGEST_ANSWER = 8 << 20
PARSED_AT_ONCE = 1 << 18
MOST_LOG_LINES = 1000
PROGRESS_PER_S = 100
BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")

_log = logging.getLogger(__name__)


class Breach(Exception):
    """A child said what no worker says."""


class Conversation:
    """Talks to one child about one script; `said` is what came of it."""

    def __init__(self, channel: Channel, script: Script, host: ScriptHost, max_in_flight: int) -> None:
        self.said = Transcript()
        self._channel = channel
        self._script = script
        self._host = host
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._progress_left = float(PROGRESS_PER_S)
        self._progress_at = 0.0

    async def hold(self, calls: TaskGroup) -> None:
        """Talk until the child says that it is done, or is gone; host calls run in `calls`."""
        self._progress_at = time.monotonic()
        try:
            await self._channel.send(start_frame(self._script, self._max_in_flight))
            while not self.said.ended and (frames := await self._channel.receive()) is not None:
                for frame in frames:
                    await self._take(frame, calls)
        except ConnectionError:
            return
        except (Breach, BadFrame, ValueError) as error:
            self.said.breach = str(error)

    async def _take(self, frame: Frame, calls: TaskGroup) -> None:
        match frame:
            case Frame("C", (ordinal, name, arguments)):
                self._take_call(HostCall(int(ordinal), text_of(name), arguments), calls)
            case Frame("L", (level, text)):
                self._take_line(level, text)
            case Frame("P", (done, total, message)):
                self._take_progress(done, total, message)
            case Frame("V", (value,)):
                await self._take_value(value)
            case Frame("Z", (heap, cpu_ms, resident, unanswered, dropped)):
                said = self.said
                said.js_bytes, said.cpu_ms, said.max_rss_kb = int(heap), float(cpu_ms), int(resident)
                said.unawaited, said.logs_dropped = int(unanswered), said.logs_dropped + int(dropped)
                said.ended = True
            case _ if not self.said.concluded:
                self._take_failure(frame)
            case _:
                pass

    def _take_failure(self, frame: Frame) -> None:
        match frame:
            case Frame("E", (words, denied)):
                self.said.thrown = thrown(words, denied=denied == "denied")
            case Frame("O", (size,)):
                self.said.oversize = int(size)
            case Frame("X", (reason,)):
                self.said.stopped = reason
            case _:
                raise Breach(f"an unknown frame {frame.kind} of {len(frame.parts)} parts")

    async def _take_value(self, value: str) -> None:
        if self.said.concluded:
            return
        if len(value) > self._script.limits.max_output_kb * 1024:
            raise Breach("a value larger than allowed")
        try:
            if len(value) > PARSED_AT_ONCE:
                await anyio.to_thread.run_sync(checked, value)
            else:
                checked(value)
        except ValueError as error:
            self.said.thrown = Thrown("DepthLimit", f"the value cannot be read as JSON: {error}")
        else:
            self.said.value = value

    def _take_line(self, level: str, text: str) -> None:
        if len(self.said.logs) < MOST_LOG_LINES:
            self.said.logs.append(LogLine(level, text_of(text)))
        else:
            self.said.logs_dropped += 1

    def _take_progress(self, done: str, total: str, message: str) -> None:
        now = time.monotonic()
        earned = (now - self._progress_at) * PROGRESS_PER_S
        self._progress_left = min(self._progress_left + earned, PROGRESS_PER_S)
        self._progress_at = now
        if self._progress_left >= 1:
            self._progress_left -= 1
            self._host.progress(float(done), None if total == "null" else float(total), text_of(message))

    def _take_call(self, call: HostCall, calls: TaskGroup) -> None:
        if call.ordinal != self.said.calls or call.ordinal >= self._script.limits.max_calls:
            raise Breach(f"call {call.ordinal} after {self.said.calls} calls")
        if self._in_flight >= self._max_in_flight:
            raise Breach("more calls at once than allowed")
        self.said.calls += 1
        self._in_flight += 1
        calls.start_soon(self._carry_out, call)

    async def _carry_out(self, call: HostCall) -> None:
        started = time.monotonic()
        try:
            answer = await self._answer(call)
        finally:
            self._in_flight -= 1
            self.said.host_ms += (time.monotonic() - started) * 1000
        try:
            await self._channel.send(answer_frame(call.ordinal, answer))
        except ConnectionError:
            # The child is gone; whoever reads its channel is told.
            return

    async def _answer(self, call: HostCall) -> HostAnswer:
        try:
            checked(call.arguments)
        except ValueError as error:
            return HostAnswer(error_name="ArgumentError", error_message=f"not readable as JSON: {error}")
        try:
            return await self._host.call(call)
        except Exception:  # noqa: BLE001 - any defect of the host is one failed call, and a trace in the log
            _log.exception("host call %s %s failed", call.ordinal, call.name)
            return HostAnswer(error_name="HostFailure", error_message="the host failed to carry out the call")


def start_frame(script: Script, max_in_flight: int) -> bytes:
    """Everything a worker must know of a script."""
    limits = script.limits
    options = {
        "now": script.now_ms,
        "seedLow": script.seed & 0xFFFFFFFF,
        "seedHigh": script.seed >> 32 & 0xFFFFFFFF,
        "firstLine": FIRST_LINE,
        "maxCalls": limits.max_calls,
        "maxSent": max_in_flight,
        "maxOutput": limits.max_output_kb * 1024,
    }
    return encode(
        "S",
        str(limits.memory_mb),
        str(limits.cpu_s),
        str(limits.stack_kb),
        json.dumps(script.code),
        ascii_json(script.input),
        ascii_json(script.outputs),
        json.dumps(script.tools),
        json.dumps(options),
    )


def answer_frame(ordinal: int, answer: HostAnswer) -> bytes:
    """The reply to one call."""
    if answer.value is not None and len(answer.value) <= LARGEST_ANSWER:
        return encode("A", str(ordinal), "1", ascii_json(answer.value), str(answer.at_ms))
    name, message = answer.error_name, answer.error_message
    if answer.value is not None:
        name, message = "AnswerLimit", f"the answer takes {len(answer.value)} bytes, too many for a script"
    return encode("A", str(ordinal), "0", json.dumps([name, message]), str(answer.at_ms))


def ascii_json(text: str) -> str:
    """The same JSON in ASCII: what lies beyond can only stand inside strings."""
    return text if text.isascii() else BEYOND_ASCII.sub(lambda run: json.dumps(run[0])[1:-1], text)


def checked(text: str) -> object:
    """Read JSON as strictly as every reader after this one will. Raises ValueError."""
    return from_json(text, allow_inf_nan=False, cache_strings="none")


def thrown(words: str, *, denied: bool) -> Thrown:
    """What a frame says of an uncaught error. Raises Breach or ValueError."""
    match checked(words):
        case [str(name), str(message), str(stack)]:
            return Thrown(name, message, stack, denied)
        case _:
            raise Breach("something else where an error belongs")


def text_of(text: str) -> str:
    """A JSON string. Raises Breach for any other JSON, ValueError for none."""
    value = checked(text)
    if not isinstance(value, str):
        raise Breach("something else where a text belongs")
    return value
