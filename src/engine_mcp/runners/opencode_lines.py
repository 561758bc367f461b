"""OpenCode's lines: what `run --format json` says, as news, use, an answer and a failure."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from engine_mcp.core.agent import AgentReport
from engine_mcp.core.budget import MICROS, Resource, Usage
from engine_mcp.core.execution import Failure, Progress
from engine_mcp.core.fault import LONGEST, Signs
from engine_mcp.errors import CATALOGUE
from engine_mcp.runners.calls import called
from engine_mcp.runners.faults import fault, retry_after

Json = dict[str, Any]
LONGEST_DETAIL = 120
ENDED_WELL = "stop"
_BETWEEN = "\n\n"
_BY_REASON = {"content-filter": "refused", "length": "truncated"}
_TELLING = ("filePath", "command", "pattern", "url", "query", "path")
"""The arguments that say best what a tool does, the first one there is."""
_REJECTED = re.compile(r"permission requested: (.+?); auto-rejecting")
_NO_MODEL = re.compile(r"ProviderModelNotFoundError: ([^\"\\]+)")
_LOGGED = re.compile(r'error\.error="((?:[^"\\]|\\.)+)"')
_MISUSED = re.compile(r"^opencode run \[message\.\.\]", re.MULTILINE)
"""How its usage begins, which it writes where it does not know an argument."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Reading:
    """What the lines of one run on a model have told; each line is taken once, in its order.

    It does not say which model it uses: that is the one that it was given, empty where it chose itself.
    `prompt` is what it was asked. `session` is the id that the program gave, `answer` the text of the
    newest step, `said` the newest text there was, `reason` why the newest step ended, `failure` what the
    first error event stands for, `broken_off` how many steps before the newest broke off in a row.
    """

    def __init__(self, model: str = "", prompt: str = "") -> None:
        self._model, self._prompt = model, prompt
        self.session: str | None = None
        self.answer = ""
        self.said = ""
        self.reason = ""
        self.failure: Failure | None = None
        self.broken_off = 0
        self._steps = 0
        self._context = 0
        self._calls = set[str]()

    @property
    def untold(self) -> AgentReport | None:
        """What the step used in which the run was cut off, rather too high; None if it was not in one."""
        if self._steps == 0 or self.reason:
            return None
        usage = Usage(
            tokens_in=self._context or _estimated(self._prompt),
            tokens_out=_estimated(self.answer),
            requests=1,
            cost_basis="unpriced",
        )
        return AgentReport(usage=usage, model=self._model)

    def take(self, line: bytes) -> AgentReport | None:
        """The news in a line, None where there are none; what is no event of a session is passed over."""
        try:
            event = json.loads(line)
            session = str(event["sessionID"])
            news = self._heard(event)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            return None
        self.session = self.session or session
        return news

    def _heard(self, event: Json) -> AgentReport | None:
        match event["type"]:
            case "step_start":
                return self._began()
            case "text":
                return self._spoken(event["part"])
            case "tool_use":
                return self._called(event["part"])
            case "step_finish":
                return self._finished(event["part"])
            case "error":
                self.failure = self.failure or _fault(
                    event["error"], float(event.get("timestamp") or 0) / 1000
                )
                return self._news(f"error: {self.failure.message[:LONGEST_DETAIL]}")
            case _:
                return None

    def _began(self) -> AgentReport:
        """A step; one before it that has not ended broke off, and was paid for all the same."""
        before = self.untold
        self.broken_off = self.broken_off + 1 if before is not None else 0
        self.answer, self.reason = "", ""
        self._steps += 1
        return replace(before or AgentReport(), progress=self._progress(f"turn {self._steps}"))

    def _spoken(self, part: Json) -> AgentReport | None:
        """A whole part of an answer; what the program says to itself between two steps is none."""
        text = str(part["text"])
        if part.get("synthetic") or "compaction_continue" in (part.get("metadata") or {}):
            return None
        between = _BETWEEN if self.said and not self.answer else ""
        self.answer += text
        self.said = self.answer or self.said
        return AgentReport(text=between + text)

    def _finished(self, part: Json) -> AgentReport:
        self.reason = str(part["reason"])
        used = usage_of(part)
        self._context = int(used.of(Resource.TOKENS))
        return AgentReport(usage=used, model=self._model)

    def _called(self, part: Json) -> AgentReport:
        """A tool call, which may be told more than once: while it runs and when it has ended."""
        name, state, known = str(part["tool"]), part["state"], part.get("callID")
        digest = "" if known in self._calls else called(name, state.get("input"))
        self._calls |= {known} if known else set()
        return AgentReport(progress=self._progress(_call(part)), called=digest)

    def _news(self, message: str) -> AgentReport:
        return AgentReport(progress=self._progress(message))

    def _progress(self, message: str) -> Progress:
        return Progress(done=self._steps, message=message)


def usage_of(part: Json) -> Usage:
    """The use of one step; its `output` is without the tokens of reasoning."""
    tokens = part["tokens"]
    cost = round(float(part["cost"]) * MICROS)
    used = Usage(
        tokens_in=int(tokens["input"]),
        tokens_out=int(tokens["output"]) + int(tokens["reasoning"]),
        cache_read=int(tokens["cache"]["read"]),
        cache_write=int(tokens["cache"]["write"]),
        requests=1,
        cost_micros=cost,
    )
    basis = "unpriced" if cost == 0 and used.tokens_in + used.tokens_out else "reported"
    return used + Usage(cost_basis=basis)


def _estimated(text: str) -> int:
    """The tokens of a text, one for each 1.5 bytes: fewer are met in no kind of text that was measured."""
    return -(-len(text.encode(errors="replace")) * 2 // 3)


def _call(part: Json) -> str:
    """A tool call in a few words: `read src/a.py`, and why it failed where it did."""
    state = part["state"]
    detail = " ".join(next(_details(state.get("input") or {}), "").split())[:LONGEST_DETAIL]
    told = f"{part['tool']} {detail}".rstrip()
    return f"{told}: {str(state['error'])[:LONGEST_DETAIL]}" if state.get("error") else told


def _details(arguments: Json) -> Iterator[str]:
    return (str(arguments[name]) for name in _TELLING if name in arguments)


def _fault(error: Json, at: float) -> Failure:
    """The failure that an error event stands for; `at` is when it was told, in Unix seconds."""
    told: Json = error.get("data") or {}
    name, status = str(error["name"]), told.get("statusCode")
    answer = _answer(told)
    details: Json = answer.get("details") or {}
    headers: dict[str, str] = told.get("responseHeaders") or {}
    pause = next((text for header, text in headers.items() if header.lower() == "retry-after"), None)
    return fault(
        Signs(
            text=str(told.get("message") or name),
            status=int(status) if status is not None else None,
            kind=str(answer.get("type") or name),
            error_code=str(details.get("error_code") or ""),
            retry_after_s=retry_after(pause, at),
        ),
        "provider_error" if told.get("isRetryable") else "runtime_failed",
    )


def _answer(told: Json) -> Json:
    """The error as the provider's answer has it; empty where that has none."""
    try:
        error = json.loads(told["responseBody"])["error"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}  # pyright: ignore[reportUnknownVariableType] - its keys are looked up one by one


def failure_of(reading: Reading, code: int | None, errors: str) -> Failure | None:
    """Why a run failed: by its events, its exit code and the end of its stderr; None if it did not.

    `code` is None where the program has closed its output and does not end: what it said counts.
    """
    missing = _NO_MODEL.search(errors)
    if missing is not None and reading.failure is not None:
        remedy = "Name a model that `opencode models` lists, and resume."
        return Failure("model_unavailable", missing.group(1).strip(), remedy)
    if reading.failure is not None:
        return reading.failure
    if code in {0, None} and reading.reason == ENDED_WELL:
        return None
    rejected = ", ".join(dict.fromkeys(_REJECTED.findall(errors)))
    known = _BY_REASON.get(reading.reason) or ("denied" if rejected else None)
    if known is None:
        return _without_answer(reading, code, _COLOURS.sub("", errors).strip())
    message = f"OpenCode asked for what nobody was there to permit: {rejected}." if known == "denied" else ""
    return Failure(known, message or CATALOGUE[known].cause, CATALOGUE[known].remedy)


def _without_answer(reading: Reading, code: int | None, errors: str) -> Failure:
    if reading.session is None and _MISUSED.search(errors):
        remedy = "Use a version of OpenCode in the tested range; `engine-mcp doctor` names it."
        text = f"OpenCode does not take its arguments: {errors[-LONGEST:]}"
        return Failure("runtime_missing", text, remedy)
    last = f" (last step: {reading.reason})" if reading.reason else ""
    ended = "closed its output" if code is None else f"ended with exit code {code}"
    how = f"OpenCode {ended} without an answer{last}"
    text = f"{how}: {errors[-LONGEST // 2 :]}" if errors else f"{how}."
    return fault(Signs(text=text, exit_code=None if reading.session else code))


def stalled(stall_s: float, errors: str) -> Failure:
    """The failure of a run that was silent; only its log may tell why."""
    logged = _LOGGED.findall(errors)
    why = f" The last that it logged: {logged[-1][:LONGEST]}" if logged else ""
    text = f"OpenCode said nothing for {stall_s:g} s, and its processes were idle.{why}"
    return Failure("runtime_stalled", text, CATALOGUE["runtime_stalled"].remedy)


def session_missing(reading: Reading, errors: str) -> bool:
    """Whether a run ended because the session to go on with is not there."""
    return reading.session is None and "Session not found" in errors
