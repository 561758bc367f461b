"""Lines in, lines out: whatever the client sends or does, messages stay whole and the reading goes on."""

import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any, ParamSpec

import anyio
import pytest
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage, JSONRPCNotification, JSONRPCRequest

from engine_mcp.server.lines import CHUNK, LONGEST_LINE, Incoming, Outgoing

pytestmark = [pytest.mark.anyio, pytest.mark.both_loops]
WITHIN_S = 20
Given = ParamSpec("Given")
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


def note_of(text: str) -> SessionMessage:
    return SessionMessage(JSONRPCNotification(jsonrpc="2.0", method="news", params={"text": text}))


def bounded(test: Callable[Given, Awaitable[None]]) -> Callable[Given, Awaitable[None]]:
    """The test, which may not take longer than it ever should."""

    @wraps(test)
    async def run(*args: Given.args, **kwargs: Given.kwargs) -> None:
        with anyio.fail_after(WITHIN_S):
            await test(*args, **kwargs)

    return run


class Ends:
    """Both ends of both directions; the client's are `say` and `hear`."""

    def __init__(self, *, sockets: bool) -> None:
        if sockets:
            pairs = socket.socketpair(), socket.socketpair()
            (theirs_in, say), (hear, theirs_out) = [(a.detach(), b.detach()) for a, b in pairs]
        else:
            (theirs_in, say), (hear, theirs_out) = os.pipe(), os.pipe()
        self.say, self.hear = say, hear
        self._open = {theirs_in, say, hear, theirs_out}
        self.seen: list[JSONRPCMessage] = []
        os.set_blocking(theirs_out, False)
        self.outgoing = Outgoing(theirs_out)
        self.incoming = Incoming(theirs_in, self.outgoing, self.seen.append)

    def close(self, descriptor: int | None = None) -> None:
        for one in [descriptor] if descriptor is not None else list(self._open):
            self._open.discard(one)
            os.close(one)

    def heard(self) -> list[dict[str, Any]]:
        """What the server wrote, without waiting."""
        os.set_blocking(self.hear, False)
        text = b""
        while True:
            try:
                text += (chunk := os.read(self.hear, CHUNK))
            except BlockingIOError:
                break
            if not chunk:
                break
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(params=[False, True], ids=["pipes", "sockets"])
async def ends(anyio_backend: object, request: pytest.FixtureRequest) -> AsyncIterator[Ends]:
    assert anyio_backend
    opened = Ends(sockets=request.param)
    yield opened
    opened.close()


async def everything(ends: Ends) -> list[object]:
    """The ids of all requests until the client ends."""
    return [item.message.id async for item in ends.incoming if isinstance(item.message, JSONRPCRequest)]


@bounded
async def test_messages_arrive_in_order_however_they_are_cut(ends: Ends) -> None:
    lines = b"".join(b'{"jsonrpc":"2.0","id":%d,"method":"ping"}\n' % number for number in range(50))

    async def dribble() -> None:
        for start in range(0, len(lines), 7):
            await anyio.wait_writable(ends.say)
            os.write(ends.say, lines[start : start + 7])
        ends.close(ends.say)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dribble)
        assert await everything(ends) == list(range(50))
    assert len(ends.seen) == 50
    assert ends.incoming.ended.is_set()


@bounded
async def test_a_message_is_seen_before_it_takes_effect(ends: Ends) -> None:
    os.write(ends.say, PING + b"\n")
    item = await ends.incoming.receive()
    assert ends.seen == [item.message]


@bounded
async def test_a_torn_line_at_the_end_does_not_count(ends: Ends) -> None:
    os.write(ends.say, PING + b"\n" + PING)
    ends.close(ends.say)
    assert await everything(ends) == [1]
    with pytest.raises(anyio.EndOfStream):
        await ends.incoming.receive()


@pytest.mark.req("004:L83")
@pytest.mark.parametrize(
    ("line", "code", "name"),
    [
        (b"not json", -32700, None),
        (b"\xff\xfe\x00", -32700, None),
        (b"[" * 100_000, -32700, None),
        (b'{"jsonrpc":"2.0","id":7,"method":5}', -32600, 7),
        (b'{"jsonrpc":"2.0","id":"x","method":"ping","params":[1]}', -32600, "x"),
        (b'{"jsonrpc":"1.0","id":true,"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":7,"method":"a","params":{"half":"\\ud800"}}', -32600, 7),
        (b"[]", -32600, None),
        (b"7", -32600, None),
    ],
)
@bounded
async def test_what_is_no_message_is_answered_and_the_reading_goes_on(
    ends: Ends, line: bytes, code: int, name: object
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, os.write, ends.say, line + b"\n\n  \r\n" + PING + b"\r\n")
        assert (await ends.incoming.receive()).message.model_dump()["id"] == 1
    [answer] = ends.heard()
    assert (answer["id"], answer["error"]["code"]) == (name, code)


@bounded
async def test_a_notification_that_is_malformed_is_not_answered(ends: Ends) -> None:
    os.write(ends.say, b'{"jsonrpc":"2.0","method":"x","params":3}\n')
    ends.close(ends.say)
    assert await everything(ends) == []
    assert ends.heard() == []


@bounded
async def test_a_line_beyond_all_measure_is_passed_over(ends: Ends) -> None:
    def flood() -> None:
        for _ in range(LONGEST_LINE // CHUNK + 40):
            os.write(ends.say, b"x" * CHUNK)
        os.write(ends.say, b"\n" + PING + b"\n")
        ends.close(ends.say)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, flood)
        assert await everything(ends) == [1]
    [answer] = ends.heard()
    assert answer["error"]["code"] == -32700


@bounded
async def test_a_stop_ends_a_wait_for_the_client(ends: Ends) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(everything, ends)
        await anyio.wait_all_tasks_blocked()
        ends.incoming.stop("a signal")
        ends.incoming.stop("another one")
    assert ends.incoming.reason == "a signal"
    os.write(ends.say, PING + b"\n")
    assert await everything(ends) == []


@bounded
async def test_lines_of_many_writers_do_not_mix(ends: Ends) -> None:
    texts = [letter * 100_000 for letter in "abcdefgh"]
    lines: list[bytes] = []

    def read() -> None:
        with os.fdopen(os.dup(ends.hear), "rb") as stream:
            lines.extend(stream.readline() for _ in texts)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, read)
        for text in texts:
            tasks.start_soon(ends.outgoing.send, note_of(text))
    assert sorted(json.loads(line)["params"]["text"] for line in lines) == texts


@bounded
async def test_a_writer_that_is_cancelled_has_written_its_line_whole_or_not_at_all(ends: Ends) -> None:
    texts: list[str] = []

    def read() -> None:
        with os.fdopen(os.dup(ends.hear), "rb") as stream:
            texts.extend(json.loads(stream.readline())["params"]["text"] for _ in range(2))

    async with anyio.create_task_group() as reading:
        async with anyio.create_task_group() as writing:
            writing.start_soon(ends.outgoing.send, note_of("begun" * 100_000))
            await anyio.wait_all_tasks_blocked()
            writing.start_soon(ends.outgoing.send, note_of("waiting"))
            await anyio.wait_all_tasks_blocked()
            writing.cancel_scope.cancel()
            reading.start_soon(anyio.to_thread.run_sync, read)
        await ends.outgoing.send(note_of("later"))
    assert texts == ["begun" * 100_000, "later"]


@bounded
async def test_a_client_that_is_gone_is_found_out_by_writing(ends: Ends) -> None:
    ends.close(ends.hear)
    for _ in range(2):
        with pytest.raises(anyio.BrokenResourceError):
            await ends.outgoing.send(note_of("x" * 1_000_000))
    assert ends.outgoing.gone.is_set()


@bounded
async def test_a_client_that_takes_nothing_can_be_abandoned(ends: Ends) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ends.outgoing.send, note_of("x" * 5_000_000))
        await anyio.wait_all_tasks_blocked()
        ends.outgoing.abandon()
    assert ends.outgoing.gone.is_set()
