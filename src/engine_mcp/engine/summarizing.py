"""Summarizing: a model writes what stands for older messages and code checks it, or writes it instead."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import anyio
import anyio.to_thread

from engine_mcp.catalogue import RetryClass
from engine_mcp.core.agent import AgentReport, AgentResult, AgentTask
from engine_mcp.core.brief import Prompt, SummaryBrief
from engine_mcp.core.budget import Usage
from engine_mcp.core.context.content import Content
from engine_mcp.core.context.extract import extracted
from engine_mcp.core.context.loss import Lost
from engine_mcp.core.context.pin import PinKind
from engine_mcp.core.context.pins import Standing
from engine_mcp.core.context.reading import read
from engine_mcp.core.context.render import rendered, source_of
from engine_mcp.core.context.schema import SCHEMA
from engine_mcp.core.context.transcript import mark, neutral, told
from engine_mcp.core.context.verify import acceptable, checked
from engine_mcp.core.execution import Failure
from engine_mcp.core.plan import Mode, Permissions
from engine_mcp.core.retry import OVERFLOW, delay, retry_class
from engine_mcp.core.session import named
from engine_mcp.core.window import Words
from engine_mcp.engine.aside import Aside
from engine_mcp.engine.attempt import Running, failure
from engine_mcp.engine.warden import Warden
from engine_mcp.errors import EngineError

WITHIN_S = 600.0
TRIES = 2
SURE = 0.8
"""The share of a window that is filled by counts that are estimates."""
LEAST_ROOM = 500
LONGEST = 20_000
"""Characters of a result that the writer of a summary sees."""
_NOTHING = Permissions(mode=Mode.NONE, allowed_tools=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What is to be summarized: the messages from `first` up to `last`, and what has to survive.

    `previous` is the summary of what lies before. The new one may have `most` tokens of a model's words, and
    `whole` with all that code adds. `room` are the tokens of its writer's window,
    `before` those of everything that it stands for.
    """

    id: str
    messages: Sequence[Words]
    first: int
    last: int
    standing: Standing
    previous: Content | None
    most: int
    whole: int
    room: int
    before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A summary and who wrote it; `fallback` says why code did. `usage` is what it took all the same."""

    content: Content
    lost: tuple[Lost, ...] = ()
    model: str | None = None
    prompt: str = ""
    fallback: str = ""
    usage: Usage = field(default_factory=Usage)


class Summarizing:
    """Has the summaries of one attempt written; what that takes is held against the attempt's share.

    `count` gives the tokens of a text.
    """

    def __init__(
        self,
        attempt: Running,
        warden: Warden,
        report: Callable[[AgentReport], None],
        count: Callable[[str], int],
    ) -> None:
        self._attempt, self._warden, self._report, self._count = attempt, warden, report, count
        self._used, self._prompt = Usage(), ""

    async def written(self, segment: Segment, model: str | None) -> Written:
        """The summary of a segment, by `model` if there is one and it does what it is asked for.

        Raises ValueError where not even what has to stay has room.
        """
        self._used, self._prompt, before = Usage(), "", self._warden.cost_micros
        try:
            content = await self._asked(segment, model)
            found = await anyio.to_thread.run_sync(self._checked, segment, content)
            written = replace(found, model=model)
        except (ValueError, EngineError) as error:
            content = await anyio.to_thread.run_sync(self._extracted, segment, str(error))
            written = Written(content=content, fallback=str(error))
        cost = self._warden.cost_micros - before
        basis = "computed" if cost else self._used.cost_basis
        usage = replace(self._used, cost_micros=cost, cost_basis=basis)
        return replace(written, prompt=self._prompt, usage=usage)

    # --- the model

    async def _asked(self, segment: Segment, model: str | None) -> Content:
        """What the model wrote; raises ValueError saying why there is nothing."""
        if model is None:
            raise ValueError("There is no model to write it.")
        content, room = segment.previous, await self._room(segment)
        for source in self._sources(segment, room):
            brief = self._brief(segment, source, content)
            asked = await self._attempt.parts.library.summary_prompt(brief)
            self._prompt = asked.again
            content = await self._answered(segment, asked, model)
        if content is None:
            raise ValueError("There is nothing to summarize.")
        return content

    async def _room(self, segment: Segment) -> int:
        """The tokens of source that a request for a summary can have; raises ValueError where it has none."""
        frame = self._brief(segment, "", segment.previous)
        asked = await self._attempt.parts.library.summary_prompt(frame)
        around = self._count(asked.system) + self._count(asked.text)
        # The summary that the next part builds on may be as long as one can get.
        room = int((segment.room - segment.most) * SURE) - around - segment.most
        if room < LEAST_ROOM:
            raise ValueError("The window of its writer is too small.")
        return room

    def _sources(self, segment: Segment, room: int) -> Iterator[str]:
        """The text of the segment in parts that have room."""
        part: list[str] = []
        tokens = 0
        for text in self._pieces(segment, room):
            size = self._count(text)
            if part and tokens + size > room:
                yield "\n\n".join(part)
                part, tokens = [], 0
            part.append(text)
            tokens += size
        if part:
            yield "\n\n".join(part)

    def _pieces(self, segment: Segment, room: int) -> Iterator[str]:
        """The messages of the segment as texts; one that has no room is cut into pieces."""
        for at in range(segment.first, segment.last):
            text = told(segment.messages, at, at + 1, LONGEST)
            tokens = self._count(text)
            length = len(text) if tokens <= room else max(1, len(text) * room // tokens * 2 // 3)
            yield text[:length]
            for begin in range(length, len(text), length):
                yield f"{mark(f'm{at} goes on')}\n{neutral(text[begin : begin + length])}"

    def _brief(self, segment: Segment, source: str, previous: Content | None) -> SummaryBrief:
        plan, spec = self._attempt.desk.execution.plan, self._attempt.step.spec
        return SummaryBrief(
            task=spec.task or "",
            project=plan.path,
            source=source,
            task_type=plan.task_type,
            previous="" if previous is None else source_of(previous),
            pins=tuple(pin.text for pin in segment.standing.pins if pin.kind is not PinKind.TASK),
            most_tokens=segment.most,
        )

    async def _answered(self, segment: Segment, prompt: Prompt, model: str) -> Content:
        clock, ended = self._attempt.parts.clock, AgentResult()
        for number in range(1, TRIES + 1):
            ended = await self._run(segment, prompt, model)
            if ended.failure is None:
                return read(ended.output)
            if not _is_passing(ended.failure) or number == TRIES:
                break
            await clock.sleep_until(clock.now() + delay(number, segment.id))
        raise ValueError(f"{model} did not write it: {ended.failure.message if ended.failure else ''}")

    async def _run(self, segment: Segment, prompt: Prompt, model: str) -> AgentResult:
        runner = self._attempt.parts.runners.get(self._attempt.started.runtime or "")
        if runner is None:
            return AgentResult(failure=failure("runtime_unavailable"))

        def affordable(asking: int) -> int:
            left = self._warden.affordable(asking, model)
            return segment.most if left is None else min(segment.most, left)

        late = failure("timeout", f"The summary was not there after {WITHIN_S:g} s.")
        ended = AgentResult(failure=late)
        with anyio.move_on_after(WITHIN_S):
            ended = await runner.run(self._task(segment, prompt, model), Aside(affordable, self._heard))
            self._heard(AgentReport(usage=ended.usage, model=ended.model))
        return ended

    def _heard(self, news: AgentReport) -> None:
        self._used += news.usage
        self._report(AgentReport(usage=news.usage, model=news.model))

    def _task(self, segment: Segment, prompt: Prompt, model: str) -> AgentTask:
        attempt, spec = self._attempt, self._attempt.step.spec
        step = replace(spec, task=prompt.text, permissions=_NOTHING, output_schema=SCHEMA, skills=())
        return AgentTask(
            execution_id=attempt.desk.execution.id,
            step=step,
            number=attempt.started.number,
            project=attempt.desk.execution.plan.path,
            prompt=replace(prompt, again=""),
            model=model,
            session=named(f"{attempt.desk.execution.id}:{spec.id}:{segment.id}"),
        )

    # --- the code

    def _checked(self, segment: Segment, content: Content) -> Written:
        source = told(segment.messages, segment.first, segment.last)
        previous = "" if segment.previous is None else source_of(segment.previous)
        standing = segment.standing
        found = checked(content, standing.pins, standing.superseded, source, previous)
        after = self._count(rendered(found.content))
        if why := found.distrust or acceptable(segment.before, after, replace(found.content, pins=())):
            raise ValueError(why)
        return Written(content=found.content, lost=found.lost)

    def _extracted(self, segment: Segment, why: str) -> Content:
        messages, pins = segment.messages[: segment.last], segment.standing.pins
        return extracted(messages, pins, segment.whole, self._count, why)


def _is_passing(why: Failure) -> bool:
    """Whether the same request may be answered in a moment."""
    return retry_class(why.code) is RetryClass.TRANSIENT and why.code != OVERFLOW
