"""The MCP server: the tools on one engine, for one connection, in either era of the protocol."""

from typing import Any

from mcp.server import Server, ServerRequestContext
from mcp.server.caching import CacheHint
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
)

from engine_mcp import __version__
from engine_mcp.engine.engine import Engine
from engine_mcp.server.arguments import Edge
from engine_mcp.server.cancels import Cancels
from engine_mcp.server.listing import INSTRUCTIONS, tools
from engine_mcp.server.tools import Call, Tools

HOUR_MS = 3_600_000

Context = ServerRequestContext[Any, Any]


def build(engine: Engine, edge: Edge, cancels: Cancels) -> Server:
    """The server of one connection; `cancels` knows what its client has cancelled."""
    carried_out = Tools(engine, edge)

    async def list_tools(_: Context, __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=list(tools()))

    async def call_tool(context: Context, params: CallToolRequestParams) -> CallToolResult:
        if params.name not in carried_out:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name}")
        call = Call(
            tell=context.session.report_progress,
            given_up=lambda: cancels.wanted(context.request_id),
        )
        return await carried_out.call(params.name, params.arguments or {}, call)

    return Server(
        "engine",
        version=__version__,
        title="engine-mcp",
        instructions=INSTRUCTIONS,
        cache_hints={"tools/list": CacheHint(ttl_ms=HOUR_MS, scope="public")},
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )
