"""The MCP server: the tools on one engine, for one connection, in either era of the protocol."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server import Server, ServerRequestContext
from mcp.server.caching import CacheHint
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    SetLevelRequestParams,
)

from engine_mcp import __version__
from engine_mcp.engine.engine import Engine
from engine_mcp.server import prompts, resources
from engine_mcp.server.arguments import Edge
from engine_mcp.server.asking import HandedBack
from engine_mcp.server.cancels import Cancels
from engine_mcp.server.listing import INSTRUCTIONS, tools
from engine_mcp.server.notices import LogLevel
from engine_mcp.server.person import handed_back, reach
from engine_mcp.server.subscriptions import Subscriptions
from engine_mcp.server.tools import Call, Tools

FOR_AN_HOUR = CacheHint(ttl_ms=3_600_000, scope="public")

Context = ServerRequestContext[Any, Any]
Page = PaginatedRequestParams | None


class Answers:
    """Answers the requests of one connection; `cancels` knows what its client has cancelled."""

    def __init__(self, carried_out: Tools, cancels: Cancels, log_level: LogLevel) -> None:
        self._tools, self._cancels, self._log_level = carried_out, cancels, log_level

    async def list_tools(self, _: Context, __: Page) -> ListToolsResult:
        """The five tools."""
        return ListToolsResult(tools=list(tools()))

    async def call_tool(
        self, context: Context, params: CallToolRequestParams
    ) -> CallToolResult | InputRequiredResult:
        """The result of a call, or what a person is asked first; raises MCPError for any other tool."""
        if params.name not in self._tools:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name}")
        request_id = context.request_id
        call = Call(
            tell=context.session.report_progress,
            given_up=lambda: self._cancels.wanted(request_id),
            warn=self._log_level.warner(context),
            reach=reach(context, params),
        )
        try:
            return await self._tools.call(params.name, params.arguments or {}, call)
        except HandedBack as asked:
            return handed_back(asked)

    async def list_resources(self, _: Context, __: Page) -> ListResourcesResult:
        """The resources that have a name of their own."""
        return resources.listed()

    async def list_templates(self, _: Context, __: Page) -> ListResourceTemplatesResult:
        """The resources that are named by an id."""
        return resources.templates()

    async def read_resource(self, _: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
        """A resource; raises MCPError where there is none."""
        return await resources.read(str(params.uri), self._tools)

    async def list_prompts(self, _: Context, __: Page) -> ListPromptsResult:
        """The prompts."""
        return prompts.listed()

    async def get_prompt(self, _: Context, params: GetPromptRequestParams) -> GetPromptResult:
        """A prompt; raises MCPError where it cannot be had."""
        return prompts.filled(params.name, params.arguments or {})


def build(engine: Engine, edge: Edge, cancels: Cancels) -> Server[None]:
    """The server of one connection."""
    tools_, subscriptions, log_level = Tools(engine, edge), Subscriptions(engine), LogLevel()
    answers = Answers(tools_, cancels, log_level)

    @asynccontextmanager
    async def opened(server: object) -> AsyncGenerator[None]:
        async with tools_.asker.opened(), subscriptions.opened(server):
            yield

    server = Server(
        "engine",
        version=__version__,
        title="engine-mcp",
        instructions=INSTRUCTIONS,
        cache_hints={"tools/list": FOR_AN_HOUR, "prompts/list": FOR_AN_HOUR},
        lifespan=opened,
        on_list_tools=answers.list_tools,
        on_call_tool=answers.call_tool,
        on_list_resources=answers.list_resources,
        on_list_resource_templates=answers.list_templates,
        on_read_resource=answers.read_resource,
        on_subscribe_resource=subscriptions.subscribe,
        on_unsubscribe_resource=subscriptions.unsubscribe,
        on_subscriptions_listen=subscriptions.listen,
        on_list_prompts=answers.list_prompts,
        on_get_prompt=answers.get_prompt,
    )
    server.add_request_handler("logging/setLevel", SetLevelRequestParams, log_level.set)
    return server
