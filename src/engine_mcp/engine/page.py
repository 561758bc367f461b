"""Pages: long texts are read by agents a part at a time."""

from collections.abc import Mapping

from pydantic import JsonValue

from engine_mcp.core.tool import ToolResult

PAGE = 20_000


def page(text: str, arguments: Mapping[str, JsonValue]) -> ToolResult:
    """The part of a text from the character `offset` of the arguments on, and where the next one begins."""
    given = arguments.get("offset", 0)
    begin = given if isinstance(given, int) else 0
    end = begin + PAGE
    following = end if end < len(text) else None
    return ToolResult(value={"text": text[begin:end], "next": following, "total": len(text)})
