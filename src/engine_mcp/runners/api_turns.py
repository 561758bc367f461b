"""A conversation in the shape of the API: what its messages are, and where it stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import JsonValue

from engine_mcp.runners.api_stream import Block, Reply

Message = Mapping[str, JsonValue]
FULL = "model_context_window_exceeded"
CUT = frozenset({"max_tokens", FULL})
ENDED = frozenset({"end_turn", "stop_sequence", "tool_use"})
PAUSED = "pause_turn"


class Standing(StrEnum):
    """Where a conversation stands: the model is to speak, calls are to be answered, it ended, it was cut."""

    ASK = "ask"
    CALLS = "calls"
    ANSWERED = "answered"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call as the model asked for it; `name` is the one the API knows."""

    id: str
    name: str
    given: JsonValue


def user(*content: Block) -> Message:
    """A message to the model."""
    return {"role": "user", "content": list(content)}


def text(words: str) -> Block:
    """A block of text; the API takes no blank one."""
    return {"type": "text", "text": words.encode(errors="replace").decode() if words.strip() else "Go on."}


def assistant(reply: Reply) -> Message:
    """A complete answer, with its stop reason: without that nobody could tell later where it stands."""
    content: list[JsonValue] = [*reply.content(cut=reply.stop_reason in CUT)]
    return {"role": "assistant", "content": content, "stop_reason": reply.stop_reason}


def sent(messages: Sequence[Message]) -> list[JsonValue]:
    """The messages as a request holds them."""
    return [{"role": message["role"], "content": message["content"]} for message in messages]


def standing(messages: Sequence[Message]) -> Standing:
    """Where the conversation stands after its last message."""
    last = messages[-1]
    if last["role"] != "assistant":
        return Standing.ASK
    if calls_of(last):
        return Standing.CALLS
    reason = last.get("stop_reason", "end_turn")
    if reason == PAUSED:
        return Standing.ASK
    return Standing.ANSWERED if reason in ENDED else Standing.CUT


def calls_of(message: Message) -> list[Call]:
    """The calls that a message asks for, in their order."""
    return [
        Call(str(block.get("id", "")), str(block.get("name", "")), block.get("input"))
        for block in _blocks(message)
        if block.get("type") == "tool_use"
    ]


def said(messages: Sequence[Message]) -> str | None:
    """What the model said last, over all the pauses that it took in it; None if it has not spoken yet."""
    found: list[str] = []
    for message in reversed(messages):
        if message["role"] != "assistant":
            if found:
                break
            continue
        if found and message.get("stop_reason") != PAUSED:
            break
        found.append(_text_of(message))
    return "".join(reversed(found)) if found else None


def pauses(messages: Sequence[Message]) -> int:
    """How often in a row the model has paused."""
    count = 0
    for message in reversed(messages):
        if message.get("stop_reason") != PAUSED:
            break
        count += 1
    return count


def turns(messages: Sequence[Message]) -> int:
    """How often the model has spoken."""
    return sum(message["role"] == "assistant" for message in messages)


def sayable(message: Message) -> bool:
    """Whether the API would take the message back inside of a conversation."""
    return any(block.get("type") not in {"thinking", "redacted_thinking"} for block in _blocks(message))


def _text_of(message: Message) -> str:
    return "".join(str(block.get("text", "")) for block in _blocks(message) if block.get("type") == "text")


def _blocks(message: Message) -> list[Block]:
    content = message.get("content")
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
