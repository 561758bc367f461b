"""Turns: what the messages of a conversation are to each other, and whether a loop of calls is under way."""

import re
from collections.abc import Sequence

from pydantic import JsonValue

from engine_mcp.core.window import Words

Block = dict[str, JsonValue]
PAUSED = "pause_turn"
LONGEST_NAME = 128
_THINKING = frozenset({"thinking", "redacted_thinking"})
_NO_NAME = re.compile(r"[^a-zA-Z0-9_.:/-]")


def blocks(message: Words) -> list[Block]:
    """The blocks of a message; a content that is a text counts as one block."""
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def calls(message: Words) -> dict[str, str]:
    """The names of the tools that a message calls, by the ids of the calls, in their order."""
    return {
        str(block.get("id", "")): named(str(block.get("name", "")))
        for block in blocks(message)
        if block.get("type") == "tool_use"
    }


def named(name: str) -> str:
    """A name that a model gave, as it may stand between words of ours."""
    return _NO_NAME.sub("_", name[:LONGEST_NAME])


def called_before(messages: Sequence[Words], position: int) -> dict[str, str]:
    """The calls that the message at a position answers: those of the message before it."""
    return calls(messages[position - 1]) if position > 0 else {}


def has_results(message: Words) -> bool:
    """Whether a message answers calls."""
    return any(block.get("type") == "tool_result" for block in blocks(message))


def asks(messages: Sequence[Words], position: int) -> bool:
    """Whether the message at a position is a real turn of the user: one that answers no calls.

    What the user says right behind results is one turn with them for the API. An answer without a word
    does not come between: it cannot be shown.
    """
    if messages[position].get("role") != "user":
        return False
    for at in range(position, -1, -1):
        if has_results(messages[at]):
            return False
        if messages[at].get("role") != "user" and says(messages[at]):
            break
    return True


def says(message: Words) -> bool:
    """Whether a message holds anything but thinking."""
    return any(block.get("type") not in _THINKING for block in blocks(message))


def has_thinking(message: Words) -> bool:
    """Whether a message holds thinking, which is valid only behind what it was thought behind."""
    return any(block.get("type") in _THINKING for block in blocks(message))


def without_thinking(message: Words) -> Words:
    """The message without its thinking; the same object where it has none."""
    if not has_thinking(message):
        return message
    kept: list[JsonValue] = [block for block in blocks(message) if block.get("type") not in _THINKING]
    return {**message, "content": kept}


def spoken(messages: Sequence[Words]) -> int:
    """How many of the messages are the model's."""
    return sum(message.get("role") == "assistant" for message in messages)


def open_loop(messages: Sequence[Words]) -> int:
    """Where the loop of calls under way begins: behind the user's last real turn.

    The number of messages where none is under way: the model has answered, or not yet begun to.
    """
    end = len(messages)
    if not messages or not _goes_on(messages):
        return end
    return next((at for at in range(end, 0, -1) if asks(messages, at - 1)), 0)


def _goes_on(messages: Sequence[Words]) -> bool:
    last = messages[-1]
    if last.get("role") == "user":
        return not asks(messages, len(messages) - 1)
    return bool(calls(last)) or last.get("stop_reason") == PAUSED


def starts(messages: Sequence[Words]) -> list[int]:
    """The positions before which a conversation may be cut: the user's real turns, and messages that call.

    What answers calls stays with them, and what else the model says with what it was said to.
    """
    return [at for at, message in enumerate(messages) if calls(message) or asks(messages, at)]


def last_turns(messages: Sequence[Words], turns: int) -> int:
    """Where the last so many turns of the model begin."""
    if turns <= 0:
        return len(messages)
    places = [at for at, message in enumerate(messages) if message.get("role") == "assistant"]
    return places[-turns] if len(places) >= turns else 0


def shown(content: JsonValue) -> str:
    """The text of the content of a result; what is no text only by its type."""
    if isinstance(content, str):
        return content
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return "\n".join(
        str(part.get("text", "")) if part.get("type") == "text" else f"[{part.get('type')}]" for part in parts
    )
