"""What a CLI of a template writes, read line by line: answer, session, use, and what went wrong."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import JsonValue

from engine_mcp.core.agent import AgentReport
from engine_mcp.core.budget import MICROS, Usage
from engine_mcp.core.execution import Progress
from engine_mcp.runners.command_template import Format, Template, UsagePaths, Wanted
from engine_mcp.runners.lines import Line

LARGEST = 8 << 20
"""The most characters of an answer, and of a JSON document."""
SHOWN = 200


def values(document: JsonValue, path: str) -> list[JsonValue]:
    """What a document has at a path: nothing, one value, or with `*` any number of them."""
    found = [document]
    for key in path.split(".") if path else ():
        found = [inner for outer in found for inner in _inner(outer, key)]
    return found


def _inner(outer: JsonValue, key: str) -> Iterator[JsonValue]:
    if isinstance(outer, dict):
        if key == "*":
            yield from outer.values()
        elif key in outer:
            yield outer[key]
    elif isinstance(outer, list):
        if key == "*":
            yield from outer
        elif key.isdecimal() and int(key) < len(outer):
            yield outer[int(key)]


def meets(document: JsonValue, wanted: Wanted) -> bool:
    """Whether a document has all these values."""
    return all(value in values(document, path) for path, value in wanted.items())


def used(document: JsonValue, paths: UsagePaths) -> Usage | None:
    """The use that a document tells; None if it tells none."""
    tokens_in, tokens_out = _sum(document, paths.tokens_in), _sum(document, paths.tokens_out)
    cached, cost = _sum(document, paths.cache_read), _sum(document, paths.cost_usd)
    if tokens_in is None and tokens_out is None and cost is None:
        return None
    read = int(cached or 0)
    return Usage(
        tokens_in=max(0, int(tokens_in or 0) - (read if paths.cached_is_input else 0)),
        tokens_out=int(tokens_out or 0),
        cache_read=read,
        cost_micros=round((cost or 0) * MICROS),
        cost_basis="unpriced" if cost is None else "reported",
    )


def _sum(document: JsonValue, path: str) -> float | None:
    found = [
        value
        for value in (values(document, path) if path else ())
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
    ]
    return sum(found) if found else None


def since(before: Usage, now: Usage) -> Usage:
    """What was used between two totals; nothing of a total that became smaller."""
    return Usage(
        tokens_in=max(0, now.tokens_in - before.tokens_in),
        tokens_out=max(0, now.tokens_out - before.tokens_out),
        cache_read=max(0, now.cache_read - before.cache_read),
        cost_micros=max(0, now.cost_micros - before.cost_micros),
        cost_basis=now.cost_basis,
    )


@dataclass(slots=True)
class Reading:
    """What was read so far; `problem` says why the output is of no use, `error` what the CLI says itself.

    `session` is the session's name once it is told, `total` the newest use where a template counts on.
    """

    template: Template
    total: Usage = field(default_factory=Usage)
    session: str | None = None
    error: str = ""
    problem: str = ""
    told_use: bool = False
    too_large: bool = False
    _answer: JsonValue = None
    _text: list[str] = field(default_factory=list[str])
    _size: int = 0
    _lines: int = 0
    _finished: bool = False

    def take(self, line: Line) -> AgentReport | None:
        """Read one line; the news in it, if it has any."""
        self._lines += 1
        match self.template.output:
            case Format.TEXT:
                return self._take_text(line)
            case Format.JSON:
                self._keep(line.text.decode(errors="replace") + "\n", cut=line.cut)
                return None
            case Format.NDJSON:
                return self._take_line(line)

    def end(self) -> AgentReport | None:
        """Read what can only be read as a whole; the news in it."""
        if self.template.output is not Format.JSON or self.problem:
            return None
        document = _parsed("".join(self._text))
        self._text = []
        if document is _NOTHING:
            self.problem = "Its output is not JSON."
            return None
        return self._take_document(document)

    @property
    def output(self) -> JsonValue:
        """The answer, or as much of it as there is."""
        text = "".join(self._text)
        match self.template.output:
            case Format.TEXT:
                return text.rstrip("\n") or None
            case Format.NDJSON if self.template.joined and text:
                return text
            case _:
                return self._answer

    @property
    def incomplete(self) -> str:
        """Why there is no result although the CLI ended well; empty if there is one."""
        if self.too_large:
            return self.problem
        if self.template.done and not self._finished:
            return self.problem or "Its output breaks off before its end."
        if self.output is None and self.template.output is not Format.TEXT:
            return self.problem or f"Its output has no answer at {self.template.answer!r}."
        return ""

    def _take_text(self, line: Line) -> AgentReport | None:
        text = line.text.decode(errors="replace") + "\n"
        return AgentReport(text=text) if self._keep(text, cut=line.cut) else None

    def _take_line(self, line: Line) -> AgentReport | None:
        document = _NOTHING if line.cut else _parsed(line.text.decode(errors="replace"))
        if document is not _NOTHING:
            return self._take_document(document)
        if line.text.strip() and not self.problem:
            start = line.text[:SHOWN].decode(errors="replace")
            self.problem = f"Line {self._lines} of its output is not JSON: {start}"
        return None

    def _take_document(self, document: JsonValue) -> AgentReport | None:
        template = self.template
        self.session = self.session or _text_at(document, template.session)
        self.error = _text_at(document, template.error) or self.error
        self._finished = self._finished or meets(document, template.done)
        usage = self._use(document)
        text = ""
        if meets(document, template.select):
            for answer in values(document, template.answer):
                text += self._take_answer(answer)
        kind = _text_at(document, "type")
        progress = Progress(done=self._lines, message=kind) if kind and not text else None
        return AgentReport(usage=usage, text=text, progress=progress)

    def _take_answer(self, answer: JsonValue) -> str:
        if not isinstance(answer, str):
            self._answer = answer
            return ""
        if self.template.joined and not self._keep(answer, cut=False):
            return ""
        self._answer = answer
        return answer if self.template.joined else f"{answer}\n"

    def _use(self, document: JsonValue) -> Usage:
        found = used(document, self.template.usage)
        if found is None:
            return Usage()
        self.told_use = True
        if not self.template.cumulative:
            return found
        new, self.total = since(self.total, found), found
        return new

    def _keep(self, text: str, *, cut: bool) -> bool:
        """Keep text up to the bound; whether it still counts."""
        if cut or self._size + len(text) > LARGEST:
            self.too_large = True
            self.problem = f"Its output is larger than {LARGEST >> 20} MiB."
        if self.too_large:
            return False
        self._size += len(text)
        self._text.append(text)
        return True


_NOTHING: JsonValue = object()  # pyright: ignore[reportAssignmentType] - told apart from every JSON value


def _parsed(text: str) -> JsonValue:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NOTHING


def _text_at(document: JsonValue, path: str) -> str:
    found = values(document, path) if path else []
    return next((value for value in found if isinstance(value, str) and value), "")
