"""What the Messages API takes: calls with their results, and thinking behind what it was thought behind."""

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

Block = dict[str, Any]
BOUND = "wire-"
"""How signatures begin that are bound to what the thinking stood behind; others are not looked at."""
_THINKING = {"thinking": "signature", "redacted_thinking": "data"}


def signed(body: Mapping[str, Any], text: str) -> str:
    """The signature of a thinking with this text that begins the answer to a request."""
    digest = _opened(body)
    for role, block in _flat(body):
        _take(digest, role, block)
    return _signature(digest, text)


def objection(body: Mapping[str, Any], thought: frozenset[str] = frozenset()) -> str | None:
    """Why the API does not take a request; None if it does.

    `thought` are the ids of the calls that were made after some thinking.
    """
    told = (
        _ordered(body),
        *_pairs(_merged(body)),
        *_bound(body),
        *_unthought(_merged(body), thought),
    )
    return next((why for why in told if why), None)


def _ordered(body: Mapping[str, Any]) -> str:
    messages = body.get("messages", [])
    if not messages:
        return "messages: at least one message is required"
    if messages[0]["role"] != "user":
        return 'messages: first message must use the "user" role'
    for at, message in enumerate(messages):
        if not message["content"] and (message["role"] == "user" or at + 1 < len(messages)):
            return f"messages.{at}: all messages must have non-empty content"
        for block in blocks(message):
            if block["type"] == "text" and not block["text"].strip():
                return f"messages.{at}: text content blocks must contain non-whitespace text"
    return ""


def blocks(message: Mapping[str, Any]) -> list[Block]:
    """The blocks of a message, however its content is written."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _flat(body: Mapping[str, Any]) -> Iterator[tuple[str, Block]]:
    for message in body.get("messages", []):
        for block in blocks(message):
            yield message["role"], block


def _merged(body: Mapping[str, Any]) -> list[tuple[str, list[Block]]]:
    """The turns: messages of the same role in a row are one."""
    turns: list[tuple[str, list[Block]]] = []
    for role, block in _flat(body):
        if not turns or turns[-1][0] != role:
            turns.append((role, []))
        turns[-1][1].append(block)
    return turns


def _ids(found: list[Block], kind: str, name: str) -> list[str]:
    return [block[name] for block in found if block["type"] == kind]


def _pairs(turns: list[tuple[str, list[Block]]]) -> Iterator[str]:
    called: list[str] = []
    for at, (role, found) in enumerate([*turns, ("user", list[Block]())]):
        results = _ids(found, "tool_result", "tool_use_id")
        if missing := [name for name in called if name not in results]:
            told = "`tool_use` ids were found without `tool_result` blocks immediately after"
            yield f"messages.{at - 1}: {told}: {', '.join(missing)}"
        if strange := [name for name in results if name not in called]:
            told = "unexpected `tool_use_id` found in `tool_result` blocks"
            yield f"messages.{at}: {told}: {', '.join(strange)}"
        if len(set(results)) < len(results):
            yield f"messages.{at}: each tool_use must have a single result"
        called = _ids(found, "tool_use", "id") if role == "assistant" else []


# --- thinking


def _bound(body: Mapping[str, Any]) -> Iterator[str]:
    found = list(_flat(body))
    if not any(_signature_of(block).startswith(BOUND) for _, block in found):
        return
    digest = _opened(body)
    for role, block in found:
        told = _signature_of(block)
        if told.startswith(BOUND) and told != _signature(digest.copy(), block.get("thinking", "")):
            yield f"`{block['type']}` block is bound to a different conversation: {told}"
        _take(digest, role, block)


def _signature_of(block: Block) -> str:
    return block.get(_THINKING.get(block["type"], ""), "")


def _unthought(turns: list[tuple[str, list[Block]]], thought: frozenset[str]) -> Iterator[str]:
    """Answers of a loop under way that have lost their thinking."""
    if not turns or not _ids(turns[-1][1], "tool_result", "tool_use_id"):
        return
    for at in range(len(turns) - 1, -1, -1):
        role, found = turns[at]
        if role == "user" and not _ids(found, "tool_result", "tool_use_id"):
            return
        lost = thought.intersection(_ids(found, "tool_use", "id"))
        if lost and not any(block["type"] in _THINKING for block in found):
            yield f"messages.{at}: expected `thinking` or `redacted_thinking`, but found `tool_use`"


def _opened(body: Mapping[str, Any]) -> Any:  # noqa: ANN401 - hashlib does not name the type of its objects
    digest = sha256()
    for part in ("system", "tools"):
        told = body.get(part) or ""
        _take(digest, part, {"text": told} if isinstance(told, str) else {"text": _plain(told)})
    return digest


def _take(digest: Any, role: str, block: Block) -> None:  # noqa: ANN401 - as above
    digest.update(json.dumps([role, _plain(block)], sort_keys=True).encode())


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """The value without what says where caches end: that may move."""
    if isinstance(value, list):
        return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType] - any JSON
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if name != "cache_control"}  # pyright: ignore[reportUnknownVariableType] - any JSON
    return value


def _signature(digest: Any, text: str) -> str:  # noqa: ANN401 - as above
    digest.update(text.encode())
    return BOUND + digest.hexdigest()
