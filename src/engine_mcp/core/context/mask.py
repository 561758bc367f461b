"""Masking: older results of tools are shown as stubs, which say how the whole can be read again."""

import json
from collections.abc import Sequence

from pydantic import JsonValue

from engine_mcp.core.context.cut import KEPT_TURNS, shape_of
from engine_mcp.core.context.turns import Block, blocks, called_before, last_turns, shown
from engine_mcp.core.summary import Shape
from engine_mcp.core.window import Words

BEGINNING = 80
"""Characters of a result that its stub shows."""


def masked(messages: Sequence[Words], shape: Shape, keep_turns: int = KEPT_TURNS) -> Shape | None:
    """The shape in which results older than the last `keep_turns` turns are stubs too; None: none is new."""
    border = last_turns(messages, keep_turns)
    if not stubs(messages, max(shape.last, shape.masked), border):
        return None
    return shape_of(messages, shape.last, border)


def stubs(messages: Sequence[Words], first: int, last: int) -> int:
    """How many results of the messages from `first` up to `last` a stub would make smaller."""
    return sum(
        is_result(block) and masked_block(block, at, called_before(messages, at)) is not block
        for at in range(first, last)
        for block in blocks(messages[at])
    )


def masked_message(messages: Sequence[Words], position: int) -> Words:
    """The message at a position with stubs for its results; the same object where that changes nothing."""
    message = messages[position]
    found = blocks(message)
    if not any(map(is_result, found)):
        return message
    tools = called_before(messages, position)
    content = [masked_block(block, position, tools) if is_result(block) else block for block in found]
    if all(new is old for new, old in zip(content, found, strict=True)):
        return message
    return {**message, "content": list[JsonValue](content)}


def masked_block(block: Block, position: int, tools: dict[str, str]) -> Block:
    """The result with a stub for its content; the same object where the stub would not be smaller."""
    short = stub(block, position, tools.get(str(block.get("tool_use_id")), ""))
    return {**block, "content": short} if len(short) < _size(block) else block


def stub(block: Block, position: int, tool: str = "") -> str:
    """One line for a result: its tool, size and first words, and the id of its message to read it by.

    Of an error the whole first line stays as it is.
    """
    text, size = shown(block.get("content")), f"{_size(block):,} characters"
    name = f"`{tool}`" if tool else "a tool"
    if block.get("is_error") is True:
        first = next(iter(text.splitlines()), "")
        return f"{first} [error of {name}, {size}; `recall` m{position} reads all of it]"
    words = json.dumps(" ".join(text[: 4 * BEGINNING].split())[:BEGINNING], ensure_ascii=False)
    return f"[result of {name}, {size}, begins {words}; `recall` m{position} reads all of it]"


def is_result(block: Block) -> bool:
    """Whether a block answers a call."""
    return block.get("type") == "tool_result"


def _size(block: Block) -> int:
    content = block.get("content")
    if not isinstance(content, list):
        return len(shown(content))
    return sum(
        len(str(part.get("text", "")))
        if isinstance(part, dict) and part.get("type") == "text"
        else len(json.dumps(part))
        for part in content
    )
