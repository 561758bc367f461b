"""How an answer goes out: in small writes, with its trouble, until it ends or the client has left."""

import json
import socket
import struct
import threading
from asyncio import Transport  # the connections are the loop's own
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
from starlette.types import Receive, Scope, Send

from tests.wire import stream
from tests.wire.turns import Trouble, Turn

OFTEN_S = 0.005
_RESET = struct.pack("ii", 1, 0)  # lingering for no time at all


@dataclass(frozen=True, slots=True)
class Reply:
    """The response to one request for a message; an ASGI application of its own.

    `sent` is called when all but the last event has been sent, `told` with the number and an event before
    this is sent: who has read something finds it counted.
    """

    turn: Turn
    number: int
    asked: dict[str, Any]
    sent: Callable[[Turn], None]
    told: Callable[[int, stream.Event], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:

            async def client() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(client)
            await self._play(_Line(scope, send, f"req_{self.number:06d}"))
            group.cancel_scope.cancel()

    async def _play(self, line: "_Line") -> None:
        trouble = self.turn.trouble
        if trouble is not None and trouble.starts:
            await line.suffer(trouble)
            return
        if self.asked.get("stream"):
            await self._stream(line)
        else:
            await self._whole(line)

    async def _whole(self, line: "_Line") -> None:
        await _passed(self.turn.gate)
        if self.turn.trouble is not None:
            await line.suffer(self.turn.trouble)
            return
        self.sent(self.turn)
        for event in stream.events(self.turn, self.number, self.asked.get("model", "")):
            self.told(self.number, event)
        await line.json(200, stream.message(self.turn, self.number, self.asked.get("model", "")))

    async def _stream(self, line: "_Line") -> None:
        first, rest = stream.halves(stream.events(self.turn, self.number, self.asked.get("model", "")))
        await line.begin(200, "text/event-stream; charset=utf-8")
        for event in first:
            await self._say(line, event)
        await _passed(self.turn.gate)
        if self.turn.trouble is not None:
            await line.suffer(self.turn.trouble)
            return
        for event in rest[:-1]:
            await self._say(line, event)
        self.sent(self.turn)
        await line.write(stream.encoded(rest[-1]))
        await line.end()

    async def _say(self, line: "_Line", event: stream.Event) -> None:
        self.told(self.number, event)
        await line.write(stream.encoded(event))


async def _passed(gate: threading.Event | None) -> None:
    while gate is not None and not gate.is_set():  # noqa: ASYNC110 - it is an event of threads
        await anyio.sleep(OFTEN_S)


class _Line:
    """One response on its connection."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._transport: Transport = scope["state"]["transport"]
        self._send, self._request_id, self._begun = send, request_id, False

    async def begin(self, status: int, content_type: str, **more: str) -> None:
        headers = {"content-type": content_type, "request-id": self._request_id, **more}
        listed = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": listed})
        self._begun = True

    async def write(self, content: bytes) -> None:
        await self._send({"type": "http.response.body", "body": content, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    async def json(self, status: int, content: dict[str, Any], **more: str) -> None:
        body = json.dumps(content).encode()
        await self.begin(status, "application/json", content_length=str(len(body)), **more)
        await self._send({"type": "http.response.body", "body": body})

    async def suffer(self, trouble: Trouble) -> None:
        if trouble.stall:
            await anyio.sleep_forever()
        if trouble.cut:
            await self._cut(trouble.cut)
        elif self._begun:
            await self.write(stream.encoded(self._error(trouble)))
            await self.end()
        else:
            more = {} if trouble.retry_after is None else {"retry_after": trouble.retry_after}
            await self.json(trouble.status, self._error(trouble), **more, **trouble.headers)

    async def _cut(self, manner: object) -> None:
        if manner == "end":
            if not self._begun:
                await self.begin(200, "text/event-stream; charset=utf-8")
            await self.end()
            return
        if manner == "reset":
            kept: socket.socket = self._transport.get_extra_info("socket")
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()
        else:
            self._transport.close()
        await anyio.sleep_forever()  # the connection tells when it is gone

    def _error(self, trouble: Trouble) -> dict[str, Any]:
        return stream.error(trouble.kind, trouble.message, self._request_id, trouble.details)
