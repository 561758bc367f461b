"""Notices: warnings that a client is sent as log messages, in the way of either era."""

import warnings
from typing import Any, get_args

from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp.types import EmptyResult, LoggingLevel, SetLevelRequestParams

from engine_mcp.server.asking import Warn

Context = ServerRequestContext[Any, Any]
_LEVELS: tuple[LoggingLevel, ...] = get_args(LoggingLevel)
_WARNING: LoggingLevel = "warning"


class LogLevel:
    """From which level on the client of one connection wants log messages; until 2025 it may say so."""

    def __init__(self) -> None:
        self._least: LoggingLevel = _LEVELS[0]

    async def set(self, _: Context, params: SetLevelRequestParams) -> EmptyResult:
        """Send none below this level from here on."""
        self._least = params.level
        return EmptyResult()

    def warner(self, context: Context) -> Warn:
        """What warns the client during a request; from 2026 on each request says whether it wants to be."""

        async def warn(text: str) -> None:
            if _LEVELS.index(_WARNING) < _LEVELS.index(self._least):
                return
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MCPDeprecationWarning)
                sending = context.session.send_log_message(  # pyright: ignore[reportDeprecated] - to go in 2027
                    _WARNING, text, logger="engine", related_request_id=context.request_id
                )
            await sending

        return warn
