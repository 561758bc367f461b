"""What the tests of the api runtime share: a runner at an address, tasks, tools, and raw bytes."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
from anyio.abc import ByteStream, SocketAttribute
from pydantic import JsonValue

from engine_mcp.core.agent import AgentCall, AgentTask
from engine_mcp.core.brief import Prompt
from engine_mcp.core.budget import Usage
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.tool import ToolResult, ToolSpec
from engine_mcp.runners.api import ApiRunner
from engine_mcp.runners.api_options import ApiOptions
from tests.wire import stream
from tests.wire.turns import Turn

MODEL = "claude-opus-5-5"
ENVIRON = {"ANTHROPIC_API_KEY": "a-key-for-tests"}
PROMPT = Prompt(system="You are a tester.", text="Say hello.", again="It was cut. Go on.")
TASK = AgentTask(
    execution_id="e",
    step=StepSpec(id="greet", task="Say hello."),
    number=1,
    project="/nowhere",
    prompt=PROMPT,
    model=MODEL,
)
SCHEMA: dict[str, JsonValue] = {"type": "object", "properties": {"path": {"type": "string"}}}
READ = ToolSpec(name="files.read", description="Read a file.", input_schema=SCHEMA)
LIST = ToolSpec(name="files.list", description="List files.", input_schema=SCHEMA)
HEADERS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def shaped(schema: JsonValue) -> AgentTask:
    """The task, with a schema for its output."""
    return replace(TASK, step=replace(TASK.step, output_schema=schema))


def reserving(tokens: int) -> AgentTask:
    """The task, with so many tokens reserved."""
    return replace(TASK, reserved=Usage(tokens_out=tokens))


def echo(call: AgentCall) -> ToolResult:
    """Answer every call with its name and its arguments."""
    return ToolResult(value={"name": call.name, "given": call.arguments})


def sse(turn: Turn) -> bytes:
    """All the events of a turn, as they stand on the wire."""
    return b"".join(stream.encoded(event) for event in stream.events(turn, 1, MODEL))


@asynccontextmanager
async def runner_at(
    url: str, options: ApiOptions | None = None, environ: Mapping[str, str] = ENVIRON
) -> AsyncGenerator[ApiRunner]:
    """A runner whose provider is at an address, closed at the end."""
    runner = ApiRunner(replace(options or ApiOptions(), base_url=url), environ=environ)
    try:
        yield runner
    finally:
        await runner.aclose()


@asynccontextmanager
async def raw(answer: Callable[[ByteStream], Awaitable[None]]) -> AsyncGenerator[str]:
    """A server that takes one request per connection and has `answer` write what it likes."""

    async def serve(connection: ByteStream) -> None:
        async with connection:
            received = b""
            while not (received.endswith(b"}") and b"\r\n\r\n{" in received):
                received += await connection.receive()
            try:
                await answer(connection)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{listener.extra_attributes[SocketAttribute.local_port]()}"
        group.cancel_scope.cancel()
