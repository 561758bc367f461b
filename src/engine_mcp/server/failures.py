"""Failures as tool results: business errors in full, defects without their inner life."""

import logging

from mcp.types import CallToolResult, TextContent

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.errors import Busy, EngineError
from engine_mcp.server.fitting import cut, dumps, encodable
from engine_mcp.server.remedies import NOWHERE, Place, remedies
from engine_mcp.server.results import JsonObject, Refusal

_log = logging.getLogger(__name__)
TEXT_BYTES = 1500


def answered(result: JsonObject) -> CallToolResult:
    """A result for every client: the same in `structuredContent` and, as text, in `content`."""
    return CallToolResult(content=[TextContent(text=dumps(result))], structured_content=result)


def refused(error: EngineError, place: Place = NOWHERE) -> CallToolResult:
    """The result that tells a business error: code, message, hint, the argument, and what helps when."""
    refusal = Refusal(
        code=error.code,
        message=cut(error.message, TEXT_BYTES),
        hint=cut(error.hint, TEXT_BYTES),
        field=cut(error.field, TEXT_BYTES) if error.field else None,
        retry_after_s=error.retry_after_s if isinstance(error, Busy) else None,
        next_actions=remedies(error.code, place),
    )
    return answered(encodable(refusal.dumped())).model_copy(update={"is_error": True})


def failed(error: Exception, what: str) -> CallToolResult:
    """The result that tells a defect; what went wrong stands in the log alone."""
    _log.error("%s failed", what, exc_info=error)
    entry = CATALOGUE["internal"]
    return refused(EngineError(entry.cause, hint=entry.remedy))
