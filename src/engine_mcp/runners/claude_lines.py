"""Claude Code's lines: what its stream-json says, as news, use and a result."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from engine_mcp.core.agent import AgentReport
from engine_mcp.core.budget import Usage
from engine_mcp.core.execution import Progress
from engine_mcp.runners.claude_result import Ending, tokens_of

Json = dict[str, Any]
LONGEST_DETAIL = 120
_BETWEEN = "\n\n"
_SYNTHETIC = "<synthetic>"
_TELLING = ("file_path", "notebook_path", "command", "pattern", "url", "query")
"""The arguments that say best what a tool does, the first one there is."""


class Reading:
    """What the lines of one run have told; each line is taken once, in its order.

    `fresh`: the run begins its session. `session` is the id that the program uses, `text` all of the
    answer so far, `used` what was told of use, `ending` the newest result line.
    """

    def __init__(self, *, fresh: bool) -> None:
        self._fresh = fresh
        self.session: str | None = None
        self.text = ""
        self.used = Usage()
        self.ending: Ending | None = None
        self._billed = Usage()
        self._messages = set[str]()
        self._speaking = ""
        self._asked_with, self._told = Usage(), Usage()

    @property
    def unpriced(self) -> bool:
        """Whether something was used whose cost nobody told."""
        return self.ending is None and self.used != Usage()

    @property
    def untold(self) -> Usage:
        """What a run used that was ended by force: its answer under way, as far as it is known."""
        return replace(_beyond(self._asked_with, self._told), cost_basis="unpriced")

    def take(self, line: bytes) -> AgentReport | None:
        """The news in a line, None where there are none; lines of unknown shape are passed over."""
        try:
            return self._heard(json.loads(line))
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):  # not a line we know
            return None

    def _heard(self, said: Json) -> AgentReport | None:
        match said.get("type"):
            case "stream_event":
                return self._streamed(said["event"], answer=said.get("parent_tool_use_id") is None)
            case "assistant":
                return self._spoken(said["message"], answer=said.get("parent_tool_use_id") is None)
            case "tool_progress":
                return self._news(f"{said['tool_name']}, for {said['elapsed_time_seconds']:.0f} s")
            case "system":
                return self._remarked(said)
            case "result":
                return self._ended(said)
            case _:
                return None

    def _streamed(self, event: Json, *, answer: bool) -> AgentReport | None:
        match event["type"]:
            case "message_start":
                message = event["message"]
                return self._asked(message["id"], tokens_of(message.get("usage") or {}))
            case "message_delta":
                usage = _beyond(tokens_of(event["usage"]), self._told)  # each one tells a total
                self._told += usage
                self.used += usage
                return AgentReport(usage=usage)
            case "content_block_delta" if answer and event["delta"]["type"] == "text_delta":
                return AgentReport(text=self._said(event["delta"]["text"]))
            case _:
                return None

    def _asked(self, message: str, read: Usage) -> AgentReport:
        """Count a request to the model; its tokens are told when its answer has ended."""
        self._messages.add(message)
        self._asked_with, self._told = read, Usage()
        if self.text and not self.text.endswith(_BETWEEN):
            self._speaking = _BETWEEN
        usage = Usage(requests=1)
        self.used += usage
        return AgentReport(usage=usage, progress=self._progress(f"turn {self.used.requests}"))

    def _said(self, text: str) -> str:
        """More of the answer, parted from what was said before in another message."""
        text, self._speaking = self._speaking + text, ""
        self.text += text
        return text

    def _spoken(self, message: Json, *, answer: bool) -> AgentReport | None:
        """A part of an answer, as a whole; its text is news only where it was not streamed."""
        if message.get("model") == _SYNTHETIC:
            return None
        usage, text = Usage(), ""
        if message["id"] not in self._messages:
            usage = self._asked(message["id"], Usage()).usage
            parts = [part["text"] for part in message["content"] if answer and part["type"] == "text"]
            text = self._said("".join(parts)) if parts else ""
        calls = [part for part in message["content"] if part["type"] == "tool_use"]
        progress = self._progress("; ".join(_call(call) for call in calls)) if calls else None
        return AgentReport(usage=usage, progress=progress, text=text)

    def _remarked(self, said: Json) -> AgentReport | None:
        match said.get("subtype"):
            case "init":
                self.session = said.get("session_id")
                return None
            case "api_retry":
                status = f" (HTTP {said['error_status']})" if said.get("error_status") else ""
                return self._news(
                    f"retry {said['attempt']} of {said['max_retries']}: {said['error']}{status}"
                )
            case "model_fallback" | "informational":
                return self._news(str(said["content"]))
            case _:
                return None

    def _ended(self, said: Json) -> AgentReport:
        """Take a result line, and tell what it says of use beyond what was told."""
        self.ending = Ending.of(said, fresh=self._fresh)
        self._billed += self.ending.usage
        rest = _beyond(self._billed, self.used)
        self.used += rest
        denied = self.ending.denied
        return AgentReport(usage=rest, progress=self._progress(f"denied: {denied}") if denied else None)

    def _news(self, message: str) -> AgentReport:
        return AgentReport(progress=self._progress(message))

    def _progress(self, message: str) -> Progress:
        return Progress(done=self.used.requests, message=message)


def _beyond(whole: Usage, told: Usage) -> Usage:
    """What `whole` has and `told` has not; what was told stays told."""
    return Usage(
        tokens_in=max(0, whole.tokens_in - told.tokens_in),
        tokens_out=max(0, whole.tokens_out - told.tokens_out),
        cache_read=max(0, whole.cache_read - told.cache_read),
        cache_write=max(0, whole.cache_write - told.cache_write),
        cost_micros=max(0, whole.cost_micros - told.cost_micros),
        cost_basis=whole.cost_basis,
    )


def _call(call: Json) -> str:
    """A tool call in a few words: `Read src/a.py`."""
    detail = " ".join(next(_details(call["input"]), "").split())
    cut = detail if len(detail) <= LONGEST_DETAIL else detail[: LONGEST_DETAIL - 1] + "…"
    return f"{call['name']} {cut}".strip()


def _details(arguments: Json) -> Iterator[str]:
    for name in _TELLING:
        if isinstance(value := arguments.get(name), str):
            yield value
