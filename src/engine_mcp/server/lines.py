"""The connection: one JSON-RPC message a line, read and written by the event loop itself, without threads."""

import json
import os
from collections.abc import Callable
from types import TracebackType
from typing import Self, cast

import anyio
from mcp.shared.message import SessionMessage
from mcp.types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    RequestId,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from engine_mcp.server.descriptors import never_waits

LONGEST_LINE = 16 << 20
CHUNK = 64 << 10


class _Stream:
    """What the SDK asks of both directions; the descriptors belong to whoever opened them."""

    async def aclose(self) -> None:
        """Nothing is left to close."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        return None


class Outgoing(_Stream):
    """The way to the client; a line is written whole or not begun. `gone` once nobody reads any more."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._turn = anyio.Lock()
        self._writing = anyio.CancelScope()
        self.gone = anyio.Event()

    async def send(self, item: SessionMessage, /) -> None:
        """Write a message; raises BrokenResourceError where nobody reads any more."""
        text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
        async with self._turn:
            if self.gone.is_set():
                raise anyio.BrokenResourceError
            with anyio.CancelScope(shield=True) as self._writing:
                await self._write(memoryview(f"{text}\n".encode()))

    def abandon(self) -> None:
        """Write nothing more, not even the rest of a line that the client does not take."""
        self.gone.set()
        self._writing.cancel()

    async def _write(self, rest: memoryview) -> None:
        while rest and not self.gone.is_set():
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._descriptor)
            except OSError as error:
                self.gone.set()
                raise anyio.BrokenResourceError from error


class Incoming(_Stream):
    """The messages of the client, until it ends the connection or `stop` does.

    `note` sees every message before it takes effect. A line that is no message is answered with an
    error, so that nobody waits for ever; one of more than 16 MiB is passed over.
    """

    def __init__(self, descriptor: int, outgoing: Outgoing, note: Callable[[JSONRPCMessage], None]) -> None:
        self._descriptor, self._outgoing, self._note = descriptor, outgoing, note
        self._never_waits = never_waits(descriptor)
        self._buffer = bytearray()
        self._seen = 0
        self._passing_over = False
        self._waiting = anyio.CancelScope()
        self.ended = anyio.Event()
        self.reason = "the client ended the connection"

    def stop(self, reason: str) -> None:
        """End the connection from here, as if the client had; the first reason counts."""
        if not self.ended.is_set():
            self.reason = reason
            self.ended.set()
            self._waiting.cancel()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage:
        while (line := await self._line()) is not None:
            try:
                message = jsonrpc_message_adapter.validate_json(line, by_name=False)
            except ValidationError:
                await self._refuse(line)
                continue
            self._note(message)
            return SessionMessage(message)
        self.ended.set()
        raise StopAsyncIteration

    async def receive(self) -> SessionMessage:
        """The next message; raises EndOfStream after the last."""
        try:
            return await anext(self)
        except StopAsyncIteration:
            raise anyio.EndOfStream from None

    async def _line(self) -> bytes | None:
        """The next line that is not empty; None at the end, where a torn line does not count."""
        while True:
            end = self._buffer.find(b"\n", self._seen)
            if end < 0:
                self._seen = len(self._buffer)
                if self._seen > LONGEST_LINE:
                    self._passing_over, self._seen = True, 0
                    self._buffer.clear()
                if not await self._more():
                    return None
                continue
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._seen = 0
            if self._passing_over:
                self._passing_over = False
                await self._tell(None, PARSE_ERROR, f"A message may have {LONGEST_LINE} bytes at most.")
            elif line.strip():
                return line

    async def _more(self) -> bool:
        with anyio.CancelScope() as self._waiting:
            if self.ended.is_set():
                return False
            chunk = await self._chunk()
            self._buffer += chunk
            return bool(chunk)
        return False

    async def _chunk(self) -> bytes:
        if self._never_waits:
            return await anyio.to_thread.run_sync(os.read, self._descriptor, CHUNK)
        while True:
            await anyio.wait_readable(self._descriptor)
            try:
                return os.read(self._descriptor, CHUNK)
            except BlockingIOError:  # somebody else made the stream non-blocking and read it first
                continue
            except ConnectionError:
                return b""

    async def _refuse(self, line: bytes) -> None:
        try:
            said: object = json.loads(line)
        except (ValueError, RecursionError):
            await self._tell(None, PARSE_ERROR, "This line is not JSON.")
            return
        request = cast("dict[str, object]", said) if isinstance(said, dict) else {}
        if "method" in request and "id" not in request:
            return  # a notification is never answered
        name = request.get("id")
        known = name if isinstance(name, int | str) and not isinstance(name, bool) else None
        await self._tell(known, INVALID_REQUEST, "This is not a JSON-RPC message.")

    async def _tell(self, request_id: RequestId | None, code: int, message: str) -> None:
        error = ErrorData(code=code, message=message)
        await self._outgoing.send(SessionMessage(JSONRPCError(jsonrpc="2.0", id=request_id, error=error)))
