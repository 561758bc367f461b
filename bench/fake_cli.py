"""CLIs that write as many lines as their prompt asks for, in the shapes of the real ones.

They run with the standard library alone, to start quickly. Each line is one write, as the real ones do it.
"""

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PIECE = "four more words and "
SESSION = "ses_e04460475ffeUIKlxdUdbPG2mk"
_WANTED = re.compile(r"Write (\d+) pieces, (\d+) a second")
_USED = {"input_tokens": 1000, "output_tokens": 200}
_BILLED = {
    "inputTokens": 1000,
    "outputTokens": 200,
    "cacheReadInputTokens": 0,
    "cacheCreationInputTokens": 0,
    "costUSD": 0.01,
    "costBasis": "list",
}
Said = dict[str, object]


def install(folder: Path) -> None:
    """Put both programs into a folder."""
    for name in ("claude", "opencode"):
        path = folder / name
        path.write_text(
            f"#!{sys.executable} -IS\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            f"from bench.fake_cli import {name}\n{name}(sys.argv[1:])\n",
            encoding="utf-8",
        )
        path.chmod(0o755)


def claude(argv: list[str]) -> None:
    """Claude Code: a text delta a line; it ends when its stdin does."""
    if "--version" in argv:
        _write("2.1.329 (Claude Code)")
    elif argv[:2] == ["auth", "status"]:
        _write(json.dumps({"loggedIn": True, "authMethod": "api_key"}))
    else:
        count, per_s = _wanted()
        session = argv[argv.index("--session-id") + 1]
        _tell(_claude_begins(session), 0)
        _tell((_delta(session, number) for number in range(count)), per_s)
        _tell(_claude_ends(session, PIECE * count), 0)
        sys.stdin.read()


def opencode(argv: list[str]) -> None:
    """OpenCode: a part of text a line."""
    if "--version" in argv:
        _write("1.18.33")
    elif argv[0] == "models":
        _write("anthropic/claude-opus-5-5")
    elif argv[0] == "debug":
        _write("{}")
    else:
        count, per_s = _wanted()
        _tell([_event("step_start", type="step-start")], 0)
        _tell((_text(number) for number in range(count)), per_s)
        tokens = {"input": 1000, "output": 200, "reasoning": 0, "cache": {"read": 0, "write": 0}}
        _tell([_event("step_finish", type="step-finish", reason="stop", tokens=tokens, cost=0.01)], 0)


def _wanted() -> tuple[int, int]:
    """How many lines, and how many a second; with 0 as fast as they are read."""
    found = next(found for line in sys.stdin if (found := _WANTED.search(line)))
    return int(found.group(1)), int(found.group(2))


def _tell(lines: Iterator[Said] | list[Said], per_s: int) -> None:
    begun = time.monotonic()
    for number, line in enumerate(lines):
        if per_s:
            time.sleep(max(0, begun + number / per_s - time.monotonic()))
        _write(json.dumps(line, separators=(",", ":")))


def _write(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def _streamed(session: str, number: int, event: Said) -> Said:
    return {
        "type": "stream_event",
        "event": event,
        "session_id": session,
        "parent_tool_use_id": None,
        "uuid": f"adec28a1-1668-4b53-8acc-{number:012d}",
        "api_message_id": "msg_000001",
    }


def _delta(session: str, number: int) -> Said:
    delta = {"type": "text_delta", "text": PIECE}
    return _streamed(session, number, {"type": "content_block_delta", "index": 0, "delta": delta})


def _claude_begins(session: str) -> list[Said]:
    message = {"id": "msg_000001", "type": "message", "role": "assistant", "usage": _USED}
    block = {"type": "text", "text": ""}
    return [
        {"type": "system", "subtype": "init", "session_id": session},
        _streamed(session, 0, {"type": "message_start", "message": message}),
        _streamed(session, 0, {"type": "content_block_start", "index": 0, "content_block": block}),
    ]


def _claude_ends(session: str, said: str) -> list[Said]:
    content = [{"type": "text", "text": said}]
    message = {"id": "msg_000001", "model": "claude-opus-5-5", "content": content}
    return [
        {"type": "assistant", "message": message, "session_id": session, "parent_tool_use_id": None},
        _streamed(session, 0, {"type": "content_block_stop", "index": 0}),
        _streamed(session, 0, {"type": "message_delta", "delta": {}, "usage": _USED}),
        _streamed(session, 0, {"type": "message_stop"}),
        {
            "type": "result",
            "subtype": "success",
            "is_error": False,
            "result": said,
            "session_id": session,
            "model_usage_since_last_result": {"claude-opus-5-5": _BILLED},
            "permission_denials": [],
        },
    ]


def _event(kind: str, **part: object) -> Said:
    known = {"id": "prt_01", "messageID": "msg_01", "sessionID": SESSION}
    return {"type": kind, "timestamp": 1795224635685, "sessionID": SESSION, "part": {**known, **part}}


def _text(number: int) -> Said:
    return _event("text", type="text", text=PIECE, time={"start": number, "end": number})
