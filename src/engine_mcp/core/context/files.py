"""The trail of files: what the tools did to which file, from the calls and their results."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from pydantic import JsonValue

from engine_mcp.core.context.content import FileNote

_ACTIONS = {"files_read": "read", "files_write": "written", "files_list": "listed"}
WRITTEN_BEFORE = "written before"
_CHANGED = frozenset({"written", "created"})
Message = Mapping[str, JsonValue]


def files_of(messages: Iterable[Message]) -> tuple[FileNote, ...]:
    """Every file or folder that a call read, wrote or listed, with what was done to it last.

    In the order of the last actions. Calls that failed, or have no result yet, are not counted. `detail` of a
    file that was only read since says that it had been written.
    """
    calls: dict[str, tuple[str, Mapping[str, JsonValue]]] = {}
    trail: dict[str, FileNote] = {}
    for message in messages:
        for block in _blocks(message):
            if block.get("type") == "tool_use":
                name, given = str(block.get("name")).replace(".", "_"), block.get("input")
                if name in _ACTIONS:
                    calls[str(block.get("id"))] = name, given if isinstance(given, dict) else {}
            elif block.get("type") == "tool_result" and block.get("is_error") is not True:
                call = calls.pop(str(block.get("tool_use_id")), None)
                if call and (note := _note(*call, block.get("content"))):
                    trail[note.path] = _after(trail.pop(note.path, None), note)
    return tuple(trail.values())


def _blocks(message: Message) -> Iterator[Mapping[str, JsonValue]]:
    content = message.get("content")
    if isinstance(content, list):
        yield from (block for block in content if isinstance(block, dict))


def _note(name: str, given: Mapping[str, JsonValue], result: JsonValue) -> FileNote | None:
    path = given.get("path", "." if name == "files_list" else None)
    if not isinstance(path, str) or not path.strip():
        return None
    action = _ACTIONS[name]
    told: dict[str, JsonValue] = _told(result) if action == "written" else {}
    if told.get("created") is True:
        action = "created"
    size = told.get("size")
    detail = f"{size} bytes" if isinstance(size, int) else ""
    return FileNote(path=_plain(path), action=action, detail=detail)


def _after(before: FileNote | None, note: FileNote) -> FileNote:
    if before is None or note.action in _CHANGED:
        return note
    if before.action in _CHANGED or before.detail == WRITTEN_BEFORE:
        return FileNote(path=note.path, action=note.action, detail=WRITTEN_BEFORE)
    return note


def _told(result: JsonValue) -> dict[str, JsonValue]:
    if isinstance(result, list):
        texts = [block.get("text") for block in result if isinstance(block, dict)]
        result = "".join(text for text in texts if isinstance(text, str))
    value: JsonValue = None
    if isinstance(result, str):
        with suppress(ValueError, RecursionError):  # a result that is no JSON tells nothing of the file
            value = json.loads(result)
    return value if isinstance(value, dict) else {}


def _plain(path: str) -> str:
    """A path without the parts that say nothing."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    return ("/" if path.startswith("/") else "") + "/".join(parts) or "."
