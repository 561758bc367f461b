"""Clients of a real server in a child process: the SDK's own, and one that writes the lines itself."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp import Client, StdioServerParameters
from mcp.client.stdio import get_default_environment
from mcp.types import CallToolResult, TextContent

WITHIN_S = 30
LONGEST_LINE = 8 << 20
SERVE = [sys.executable, "-m", "engine_mcp", "serve"]
MODES: list[Literal["auto", "legacy"]] = ["auto", "legacy"]
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
SLOW = "await sleep(600000); return 'never'"


def environment(project: Path, **more: str) -> dict[str, str]:
    """What a server gets to see: nothing of whoever runs the tests but the way to Python."""
    return {
        **get_default_environment(),
        "XDG_CONFIG_HOME": str(project / "no-config"),
        "XDG_STATE_HOME": str(project / "no-state"),
        "XDG_CACHE_HOME": str(project / "no-cache"),
        **more,
    }


@asynccontextmanager
async def connected(project: Path, mode: Literal["auto", "legacy"] = "auto") -> AsyncGenerator[Client]:
    """The SDK's client of a new server for a project: `auto` speaks the modern era."""
    parameters = StdioServerParameters(
        command=SERVE[0], args=SERVE[1:], cwd=project, env=environment(project)
    )
    async with Client(parameters, mode=mode) as client:
        yield client


def said(result: CallToolResult) -> dict[str, Any]:
    """The result of a call, which is the same in both places."""
    [content] = result.content
    assert isinstance(content, TextContent)
    assert result.structured_content is not None
    assert json.loads(content.text) == result.structured_content
    assert len(content.text.encode()) < 8192
    return result.structured_content


async def called(client: Client, name: str, /, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """The result of a call that works."""
    with anyio.fail_after(WITHIN_S):
        result = await client.call_tool(name, arguments)
    assert not result.is_error, said(result)
    return said(result)


async def refusal(client: Client, name: str, /, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """The result of a call that is refused."""
    with anyio.fail_after(WITHIN_S):
        result = await client.call_tool(name, arguments)
    assert result.is_error, said(result)
    keys = said(result).keys()
    assert {"code", "message", "hint", "next_actions"} <= keys
    assert keys <= {"code", "message", "hint", "next_actions", "field", "retry_after_s"}
    return said(result)


class RawClient:
    """Speaks to a server line by line; every request is a modern one."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self._stdin = process, process.stdin
        self._lines = BufferedByteReceiveStream(process.stdout)
        self._next = 0
        self.notes: list[dict[str, Any]] = []
        self._answers: dict[object, dict[str, Any]] = {}

    async def write(self, text: str | bytes) -> None:
        await self._stdin.send(text.encode() if isinstance(text, str) else text)

    async def tell(self, method: str, **params: object) -> None:
        await self.write(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}) + "\n")

    async def request(self, method: str, **params: object) -> int:
        """Send a request and give its id."""
        self._next += 1
        message = {"jsonrpc": "2.0", "id": self._next, "method": method}
        await self.write(json.dumps({**message, "params": {"_meta": MODERN, **params}}) + "\n")
        return self._next

    async def tool(self, name: str, /, **arguments: object) -> int:
        """Send a call of a tool and give its id."""
        meta = {**MODERN, "progressToken": f"news of {self._next + 1}"}
        return await self.request("tools/call", name=name, arguments=arguments, _meta=meta)

    async def message(self) -> dict[str, Any]:
        """The next message of the server."""
        with anyio.fail_after(WITHIN_S):
            return json.loads(await self._lines.receive_until(b"\n", LONGEST_LINE))

    async def answer(self, request_id: object) -> dict[str, Any]:
        """The answer to a request; what comes before it is kept."""
        while request_id not in self._answers:
            message = await self.message()
            if "method" in message:
                self.notes.append(message)
            else:
                self._answers[message["id"]] = message
        return self._answers.pop(request_id)

    async def call(self, name: str, /, **arguments: object) -> dict[str, Any]:
        """The result of a call, or the refusal."""
        found = await self.answer(await self.tool(name, **arguments))
        return found["result"]["structuredContent"]

    async def until(self, execution_id: str, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The execution once `holds` holds; asked for at every event."""
        cursor = 0
        with anyio.fail_after(WITHIN_S):
            while True:
                found = await self.call("engine_status", execution_id=execution_id, cursor=cursor, wait_s=10)
                if holds(found):
                    return found
                cursor = found["cursor"]

    async def end(self, *numbers: signal.Signals) -> int:
        """The exit code of the server, ended by signals, or without any by the end of input."""
        for number in numbers:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)
            await anyio.sleep(0.02)  # clients leave a moment between their signals too
        if not numbers:
            await self._stdin.aclose()
        with anyio.fail_after(WITHIN_S):
            return await self.process.wait()


@asynccontextmanager
async def raw(project: Path, command: list[str] = SERVE, **more: str) -> AsyncGenerator[RawClient]:
    """A client that writes its own lines, of a new server for a project."""
    process = await anyio.open_process(
        command, cwd=project, env=environment(project, **more), stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        yield RawClient(process)
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
            await process.aclose()
