"""The tools of a step as the API takes them, and the results of calls as the model reads them."""

import json
import re
from collections.abc import Sequence

from pydantic import JsonValue

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.execution import Failure
from engine_mcp.core.tool import ToolResult, ToolSpec
from engine_mcp.runners.api_stream import Block
from engine_mcp.runners.api_turns import Call

LONGEST_NAME = 128
LONGEST_RESULT = 100_000
_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_-]")


class Tools:
    """The tools of an attempt, under names that the API allows; the same names for the same tools."""

    def __init__(self, specs: Sequence[ToolSpec]) -> None:
        self._names: dict[str, str] = {}
        self.definitions: list[JsonValue] = []
        for spec in specs:
            name = self._free(_FORBIDDEN.sub("_", spec.name)[:LONGEST_NAME] or "_")
            self._names[name] = spec.name
            self.definitions.append(
                {"name": name, "description": spec.description, "input_schema": spec.input_schema}
            )

    def _free(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self._names:
            ending = f"_{number}"
            name, number = wanted[: LONGEST_NAME - len(ending)] + ending, number + 1
        return name

    def named(self, name: str) -> str | None:
        """The engine's name of a tool that the model calls; None where there is none."""
        return self._names.get(name)

    def shown(self, name: str) -> str:
        """The name to tell people, known or not."""
        return self._names.get(name, name)

    def unknown(self, name: str) -> ToolResult:
        """The answer to a call of a tool that there is not."""
        known = ", ".join(self._names) or "none at all"
        return failed("unknown_tool", f"There is no tool {name!r}; there are: {known}.")


def failed(code: str, message: str) -> ToolResult:
    """A call that failed, with the catalogue's remedy."""
    return ToolResult(failure=Failure(code, message, CATALOGUE[code].remedy))


def result_block(call: Call, result: ToolResult) -> Block:
    """The result of a call as the model reads it.

    A string stands as it is, any other value as compact JSON, a failure with its code and hint; more
    than `LONGEST_RESULT` bytes are cut, and it is said so.
    """
    why = result.failure
    block: Block = {"type": "tool_result", "tool_use_id": call.id}
    shown = _bounded(_written(result.value) if why is None else _told(why))
    if shown:
        block["content"] = shown
    if why is not None:
        block["is_error"] = True
    return block


def _told(failure: Failure) -> str:
    return "\n".join(part for part in (f"{failure.code}: {failure.message}", failure.hint) if part)


def _written(value: JsonValue) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _bounded(shown: str) -> str:
    content = shown.encode(errors="replace")
    if len(content) <= LONGEST_RESULT:
        return content.decode()
    kept = content[:LONGEST_RESULT].decode(errors="ignore")
    return f"{kept}\n[cut: the first {LONGEST_RESULT} of {len(content)} bytes; ask for less at once]"
