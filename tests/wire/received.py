"""A request as it reached the wire server."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import JsonValue

PIECES: Mapping[str, tuple[str, int, int]] = {
    "inner": (r"(?<=[^\w\s])[A-Za-z]+", 50, 34),
    "word": (r"[A-Za-z]+", 10, 34),
    "digits": (r"[0-9]+", 0, 80),
    "line": (r"\n\s*", 95, 5),
    "blanks": (r"[^\S\n]+", -2, 2),
    "wide": (r"[\u2e80-\U0010ffff]", 0, 100),
    "accented": (r"[\u0080-\u024f]", 0, 200),
    "letters": (r"[^\W\d_A-Za-z]+", 0, 46),
    "mark": (r"(?P<same>.)(?P=same)*", 71, 4),
}
"""What a text is made of: a pattern, and the hundredths of tokens that it takes, once and per character."""
_PIECE = re.compile("|".join(f"(?P<{name}>{pattern})" for name, (pattern, _, _) in PIECES.items()), re.DOTALL)
TOOLS, MESSAGE, CALL, IMAGE, PAGE = 346, 3, 10, 1_600, 2_000
"""Tokens of what is not in the texts: that there are tools, a message, a call or result, pictures, pages."""


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
        """The input tokens of its system prompt, its tools and its messages; see `tokens_of`."""
        tools: list[JsonValue] = self.body.get("tools") or []
        return (
            _content_tokens(self.body.get("system"))
            + (TOOLS if tools else 0)
            + sum(tokens_of(json.dumps(tool)) for tool in tools)
            + sum(MESSAGE + _content_tokens(one["content"]) for one in self.body.get("messages", []))
        )

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


@lru_cache(maxsize=4096)
def tokens_of(text: str) -> int:
    """The tokens of a text on the wire, by a rule of its own, which no vocabulary is behind.

    It stands in for the tokenizer that nobody has: as many characters to a token as current models have
    for prose, code, JSON, logs and other languages, and so another ratio to cl100k_base for each of them.
    """
    hundredths = 0
    for piece in _PIECE.finditer(text):
        _, once, each = PIECES[piece.lastgroup or "mark"]
        hundredths += once + each * len(piece.group())
    return -(-hundredths // 100)


def _content_tokens(content: JsonValue) -> int:
    if isinstance(content, str):
        return tokens_of(content)
    blocks = content if isinstance(content, list) else []
    return sum(_block_tokens(block) for block in blocks if isinstance(block, dict))


def _block_tokens(block: Mapping[str, Any]) -> int:
    match block["type"]:
        case "text" | "thinking" as kind:
            return tokens_of(block[kind])
        case "tool_use":
            return CALL + tokens_of(block["name"]) + tokens_of(json.dumps(block["input"], ensure_ascii=False))
        case "tool_result":
            return CALL + _content_tokens(block.get("content"))
        case "image":
            return IMAGE
        case "document":
            return PAGE
        case _:
            return tokens_of(json.dumps(block, ensure_ascii=False))


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
