"""Executions as resources: the list of them, and each by its id, in the words of `engine_status`."""

import re

from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)

from engine_mcp.errors import EngineError
from engine_mcp.server.fitting import dumps
from engine_mcp.server.schemas import ID_PATTERN
from engine_mcp.server.tools import Call, Tools

EXECUTIONS = "engine://executions"
JSON = "application/json"


async def _silent(_: float, __: float, ___: str) -> None:
    """A resource is read without news."""


_QUIET = Call(tell=_silent, given_up=lambda: None)


def listed() -> ListResourcesResult:
    """The resource that is always there."""
    overview = Resource(
        uri=EXECUTIONS,
        name="executions",
        title="Executions",
        description="The executions, newest first, with what the engine can run and how busy it is.",
        mime_type=JSON,
    )
    return ListResourcesResult(resources=[overview])


def templates() -> ListResourceTemplatesResult:
    """The way to the others."""
    one = ResourceTemplate(
        uri_template=f"{EXECUTIONS}/{{id}}",
        name="execution",
        title="An execution",
        description="How one execution stands: what engine_status tells.",
        mime_type=JSON,
    )
    return ListResourceTemplatesResult(resource_templates=[one])


def execution_of(uri: str) -> str | None:
    """The id of the execution that a URI names, None for the list of all; raises MCPError for any other."""
    if uri == EXECUTIONS:
        return None
    place, _, name = uri.rpartition("/")
    if place != EXECUTIONS or not re.fullmatch(ID_PATTERN, name):
        raise MCPError(INVALID_PARAMS, f"Unknown resource: {uri}", {"uri": uri})
    return name


async def read(uri: str, tools: Tools) -> ReadResourceResult:
    """The resource as JSON; raises MCPError where there is none."""
    name = execution_of(uri)
    try:
        found = await tools.status({} if name is None else {"execution_id": name}, _QUIET)
    except EngineError as error:
        raise MCPError(INVALID_PARAMS, f"{uri}: {error.message}", {"uri": uri, "code": error.code}) from None
    return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type=JSON, text=dumps(found))])
