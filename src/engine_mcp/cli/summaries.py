"""The summaries of a step as they are on record: their chain, what each left out, the original messages."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Self

from pydantic import JsonValue, TypeAdapter

from engine_mcp.app import App
from engine_mcp.cli.finding import found
from engine_mcp.core.context.loss import Lost
from engine_mcp.core.event import Event, ExecutionResumed
from engine_mcp.core.evolve import evolve
from engine_mcp.core.execution import Execution, Output, Step
from engine_mcp.core.spending import step_of
from engine_mcp.core.summary import Summary
from engine_mcp.errors import InvalidArgument
from engine_mcp.server.reductions import paid, shrunk
from engine_mcp.server.results import JsonObject

PAGE, SHORT = 500, 8
EXCERPT = 100
"""Characters shown of what was left out."""
_MESSAGE = re.compile(r"m(\d{1,9})")
_LOST, _JSON = TypeAdapter(tuple[Lost, ...]), TypeAdapter(JsonValue)


@dataclass(frozen=True, slots=True)
class Link:
    """A summary with what it says and what it left out, loaded; `undone`: the originals came back."""

    summary: Summary
    content: JsonValue
    lost: tuple[Lost, ...]
    undone: bool = False

    def told(self) -> str:
        """The summary in a line, and a line for each thing that it left out."""
        lines = [one_line(self.summary) + (", undone" if self.undone else "")]
        if self.summary.fallback:
            lines.append(f"    written by code: {self.summary.fallback}")
        for one in self.lost:
            said = " ".join(one.excerpt.split())
            said = said if len(said) <= EXCERPT else f"{said[:EXCERPT]}…"
            lines.append(f"    left out  {one.id}  {one.kind}: {said}  ({one.why})")
        return "\n".join(lines)

    def shown(self) -> JsonObject:
        """All of it as JSON."""
        kept = self.summary
        lost: list[JsonValue] = [_JSON.validate_python(asdict(one)) for one in self.lost]
        return {
            "id": kept.id,
            "parent": kept.parent,
            "level": kept.level,
            "first": f"m{kept.first}",
            "last": f"m{kept.last - 1}",
            "tokens_before": kept.tokens_before,
            "tokens_after": kept.tokens_after,
            "model": kept.model,
            "prompt": kept.prompt,
            "fallback": kept.fallback,
            "usage": _JSON.validate_python(asdict(kept.usage)),
            "undone": self.undone,
            "content": self.content,
            "lost": lost,
        }


def one_line(summary: Summary) -> str:
    """A summary in a few words: `1a2b3c4d ← 5e6f7a8b  level 2, m0 to m41, …`."""
    parent = f" ← {summary.parent[:SHORT]}" if summary.parent else ""
    told = [
        f"level {summary.level}",
        f"m{summary.first} to m{summary.last - 1}",
        shrunk(summary.tokens_before, summary.tokens_after),
        summary.model or "by code",
        paid(summary.usage),
    ]
    return f"{summary.id[:SHORT]}{parent}  {', '.join(part for part in told if part)}"


async def chain(app: App, name: str, step: str | None) -> list[Link]:
    """The summaries of a step, the oldest first; where none is named, of the only one with a conversation."""
    execution = await app.engine.show(await found(app.engine, name))
    links: list[Link] = []
    held = await _step(app, execution, step)
    for summary in (*held.undone, *held.step.summaries):
        content = await _loaded(app, execution, summary.content)
        lost = () if summary.lost is None else await _loaded(app, execution, summary.lost)
        links.append(Link(summary, content, _LOST.validate_python(lost or ()), summary in held.undone))
    return links


async def original(app: App, name: str, step: str | None, message: str) -> JsonObject:
    """A message of a conversation as it was; raises InvalidArgument where there is none of that id."""
    execution = await app.engine.show(await found(app.engine, name))
    messages = (await _step(app, execution, step)).step.messages
    asked = _MESSAGE.fullmatch(message)
    if asked is None or int(asked[1]) >= len(messages):
        known = f"There are m0 to m{len(messages) - 1}." if messages else "There are none any more."
        raise InvalidArgument(f"There is no message {message!r}.", field="--message", hint=known)
    kept = messages[int(asked[1])]
    value = await _loaded(app, execution, kept.output)
    return value if isinstance(value, dict) else {"role": kept.role, "content": value}


@dataclass(frozen=True, slots=True)
class _Held:
    """A step as it was with its conversation, and the summaries of it that were undone."""

    step: Step
    undone: tuple[Summary, ...] = ()

    def then(self, step: Step) -> Self:
        """The same later; a conversation that was begun anew has nothing of the one before."""
        if len(step.messages) < len(self.step.messages):
            return type(self)(step)
        gone = tuple(one for one in self.step.summaries if one not in step.summaries)
        return type(self)(step, self.undone + gone)


async def _step(app: App, execution: Execution, name: str | None) -> _Held:
    """The step as it was when it last had a conversation."""
    having = await _conversations(app, execution.id)
    known = f"Those are: {', '.join(having)}." if having else "There is none here."
    if name is None and len(having) == 1:
        return next(iter(having.values()))
    if name is None:
        text = "Say which step: not exactly one had a conversation that the engine holds."
        raise InvalidArgument(text, field="--step", hint=known)
    if name not in having:
        text = f"The engine holds no conversation of a step {name!r}."
        raise InvalidArgument(text, field="--step", hint=known)
    return having[name]


async def _conversations(app: App, execution_id: str) -> dict[str, _Held]:
    """Every step that had a conversation, as it was with it: a step that completed has let go of it."""
    having: dict[str, _Held] = {}
    execution, after = None, 0
    while found := await app.engine.events(execution_id, after, PAGE):
        after = found[-1][0]
        for _, event in found:
            execution = evolve(execution, event)
            for step in _touched(event, execution):
                if step.messages:
                    before = having.get(step.spec.id)
                    having[step.spec.id] = _Held(step) if before is None else before.then(step)
    return having


def _touched(event: Event, execution: Execution) -> Iterator[Step]:
    names = event.restore if isinstance(event, ExecutionResumed) else (step_of(event) or "",)
    yield from (execution.steps[name] for name in names if name in execution.steps)


async def _loaded(app: App, execution: Execution, output: Output) -> JsonValue:
    if output.artifact is None:
        return output.value
    return _JSON.validate_python(json.loads(await app.engine.artifact(execution.id, output.artifact.digest)))
