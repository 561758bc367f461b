"""Claude Code's lines: what its stream-json says, as news, use and a result."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from engine_mcp.core.agent import AgentReport
from engine_mcp.core.budget import Usage
from engine_mcp.core.execution import Progress
from engine_mcp.runners.calls import called
from engine_mcp.runners.claude_errors import Heard, limit_in_words
from engine_mcp.runners.claude_meter import Meter
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
        self.ending: Ending | None = None
        self._meter = Meter()
        self._heard = Heard()
        self._messages, self._calls = set[str](), set[str]()
        self._speaking = ""

    @property
    def used(self) -> Usage:
        """All that was told of use."""
        return self._meter.used

    @property
    def untold(self) -> AgentReport | None:
        """What a run used that was ended by force: its answer under way, as far as it is known.

        None where nothing was used, or where a result line has told it all.
        """
        return None if self.ending is not None or self.used == Usage() else self._meter.under_way()

    def take(self, line: bytes) -> Sequence[AgentReport]:
        """The news in a line; lines of unknown shape are passed over."""
        try:
            return tuple(self._said(json.loads(line)))
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):  # not a line we know
            return ()

    def _said(self, said: Json) -> Iterable[AgentReport]:
        answer = said.get("parent_tool_use_id") is None
        match said.get("type"):
            case "stream_event":
                return self._streamed(said["event"], answer=answer)
            case "assistant":
                return self._spoken(said["message"], answer=answer, error=said.get("error"))
            case "result":
                return self._ended(said)
            case _:
                return self._remarked(said)

    def _streamed(self, event: Json, *, answer: bool) -> Iterable[AgentReport]:
        match event["type"]:
            case "message_start":
                self._heard = self._heard.answered()
                message: Json = event["message"]
                usage = tokens_of(message.get("usage") or {})
                return (self._asked(message["id"], str(message.get("model") or ""), usage),)
            case "message_delta":
                return (self._meter.counted(tokens_of(event["usage"])),)
            case "content_block_delta" if answer and event["delta"]["type"] == "text_delta":
                return (AgentReport(text=self._spoke(event["delta"]["text"])),)
            case _:
                return ()

    def _asked(self, message: str, model: str, read: Usage) -> AgentReport:
        """Count a request to the model; its tokens are told when its answer has ended."""
        self._messages.add(message)
        if self.text and not self.text.endswith(_BETWEEN):
            self._speaking = _BETWEEN
        asked = self._meter.asked(model, read)
        return replace(asked, progress=self._progress(f"turn {self.used.requests}"))

    def _spoke(self, text: str) -> str:
        """More of the answer, parted from what was said before in another message."""
        text, self._speaking = self._speaking + text, ""
        self.text += text
        return text

    def _spoken(self, message: Json, *, answer: bool, error: str | None) -> Iterator[AgentReport]:
        """A part of an answer, as a whole; its text is news only where it was not streamed."""
        if message.get("model") == _SYNTHETIC:
            self._heard = replace(self._heard, kind=error or self._heard.kind)
            return
        if message["id"] not in self._messages:
            asked = self._asked(message["id"], str(message.get("model") or ""), Usage())
            parts = [part["text"] for part in message["content"] if answer and part["type"] == "text"]
            yield replace(asked, progress=None, text=self._spoke("".join(parts)) if parts else "")
        for call in message["content"]:
            if call["type"] == "tool_use" and call.get("id") not in self._calls:
                self._calls |= {call["id"]} if call.get("id") else set()
                progress = self._progress(_call(call))
                yield AgentReport(progress=progress, called=called(call["name"], call["input"]))

    def _remarked(self, said: Json) -> Iterable[AgentReport]:
        match said.get("subtype") or said.get("type"):
            case "init":
                self.session = said.get("session_id")
                return ()
            case "api_retry":
                self._heard = self._heard.retry(said)
                status = f" (HTTP {said['error_status']})" if said.get("error_status") else ""
                return self._news(
                    f"retry {said['attempt']} of {said['max_retries']}: {said['error']}{status}"
                )
            case "model_fallback" | "informational":
                return self._news(str(said["content"]))
            case "tool_progress":
                return self._news(f"{said['tool_name']}, for {said['elapsed_time_seconds']:.0f} s")
            case "rate_limit_event":
                told: Json = said["rate_limit_info"]
                self._heard = self._heard.limit(told)
                return self._news(limit_in_words(told))
            case _:
                return ()

    def _ended(self, said: Json) -> Iterator[AgentReport]:
        """Take a result line, and tell what it says of use beyond what was told."""
        self.ending = Ending.of(said, fresh=self._fresh, heard=self._heard)
        yield from self._meter.billed(self.ending.usage, self.ending.by_model)
        if self.ending.denied:
            yield from self._news(f"denied: {self.ending.denied}")

    def _news(self, message: str) -> Iterable[AgentReport]:
        return (AgentReport(progress=self._progress(message)),) if message else ()

    def _progress(self, message: str) -> Progress:
        return Progress(done=self.used.requests, message=message)


def _call(call: Json) -> str:
    """A tool call in a few words: `Read src/a.py`."""
    detail = " ".join(next(_details(call["input"]), "").split())
    cut = detail if len(detail) <= LONGEST_DETAIL else detail[: LONGEST_DETAIL - 1] + "…"
    return f"{call['name']} {cut}".strip()


def _details(arguments: Json) -> Iterator[str]:
    for name in _TELLING:
        if isinstance(value := arguments.get(name), str):
            yield value
