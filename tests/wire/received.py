"""A request as it reached the wire server."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

CHARACTERS_PER_TOKEN = 3


@dataclass(frozen=True, slots=True)
class Received:
    """A request.

    `headers` have lower-case names, `at` is monotonic, `text` is all of the body's texts, unescaped.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    at: float

    @property
    def text(self) -> str:
        return "\n".join(_texts(self.body))

    @property
    def system(self) -> str:
        """The text of the system prompt."""
        return "\n".join(_texts(self.body.get("system")))

    @property
    def tokens(self) -> int:
        """What its messages count for, in tokens: a third of their characters."""
        return len(json.dumps(self.body.get("messages", []))) // CHARACTERS_PER_TOKEN

    @property
    def results(self) -> dict[str, str]:
        """The texts of the tool results it carries, by the id of the call, in their order."""
        return {
            block["tool_use_id"]: _shown(block.get("content"))
            for message in self.body.get("messages", [])
            if isinstance(message["content"], list)
            for block in message["content"]
            if block["type"] == "tool_result"
        }


def _shown(content: str | list[dict[str, Any]] | None) -> str:
    """What a model reads of the content of a tool result."""
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in content or () if block["type"] == "text")


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
