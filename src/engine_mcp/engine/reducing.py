"""Reducing: one conversation made shorter, by stubs for old results or by a summary, as events."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import anyio.to_thread
from pydantic import JsonValue, TypeAdapter

from engine_mcp.core.admission import budget_left
from engine_mcp.core.choice import Tier
from engine_mcp.core.context.content import Content
from engine_mcp.core.context.cut import shape_of
from engine_mcp.core.context.files import files_of
from engine_mcp.core.context.loss import Lost
from engine_mcp.core.context.pin import Pin
from engine_mcp.core.context.pins import Standing, chosen, must_stay, pins_of, standing
from engine_mcp.core.context.render import rendered
from engine_mcp.core.context.verify import MOST_LEFT
from engine_mcp.core.conversation import ResultsMasked, SummaryFinished, SummaryStarted
from engine_mcp.core.execution import Failure, Output, Step
from engine_mcp.core.session import named
from engine_mcp.core.summary import Shape, Summary
from engine_mcp.core.window import Bounds, Window, WindowLimits, Words
from engine_mcp.engine.attempt import Running
from engine_mcp.engine.given import given
from engine_mcp.engine.outputs import dependency_outputs, kept, loaded, written
from engine_mcp.engine.summarizing import Segment, Summarizing

PINNED, WORDS = 0.4, 0.25
"""The shares of the target that pins may take, what must stay left out, and a model's words."""
WHOLE = 0.7
"""The share of the target that a summary may take that code writes."""
LONGEST, LEAST = 8_000, 200
"""Tokens of a model's words."""
MOST_FILES = 50
_CONTENT, _LOST = TypeAdapter(Content), TypeAdapter(tuple[Lost, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The window that a conversation has to fit into, what was chosen about it, and its tokens now.

    `overhead` are the tokens that a request has besides messages. `manual`: somebody asked for a summary.
    """

    window: Window
    edge: Bounds
    limits: WindowLimits
    tokens: int
    overhead: int = 0
    endpoint: str = ""
    manual: bool = False

    @property
    def aim(self) -> int:
        """The tokens that messages are to have."""
        return max(0, self.edge.target - self.overhead)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Up to where a summary stands for messages, and up to where results are masked."""

    last: int
    masked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A summary that is not on record yet."""

    summary: Summary
    content: Content
    lost: tuple[Lost, ...]


class Reducing:
    """Reduces the conversation of one attempt; `messages` is the whole of it, `count` counts texts."""

    def __init__(
        self,
        attempt: Running,
        messages: Sequence[Words],
        count: Callable[[str], int],
        summarizing: Summarizing,
    ) -> None:
        self._attempt, self._messages, self._count = attempt, messages, count
        self._summarizing = summarizing
        self._known: dict[str, Content] = {}
        self._pins: list[Pin] = []
        self._pinned = 1  # the first message is the prompt
        self._given: tuple[Pin, ...] | None = None

    @property
    def step(self) -> Step:
        """The step as it stands."""
        return self._attempt.desk.execution.steps[self._attempt.started.step]

    async def content(self) -> Content | None:
        """What the newest summary says."""
        if not self.step.summaries:
            return None
        newest = self.step.summaries[-1]
        if newest.id not in self._known:
            value = await loaded(newest.content, self._attempt.desk)
            self._known[newest.id] = _CONTENT.validate_python(value)
        return self._known[newest.id]

    async def mask(self, shape: Shape, results: int, before: int, after: int) -> None:
        """Have old results shown as stubs from now on."""
        started = self._attempt.started
        await self._attempt.desk.say(
            ResultsMasked(
                at=self._attempt.parts.clock.now(),
                step=started.step,
                number=started.number,
                shape=shape,
                results=results,
                tokens_before=before,
                tokens_after=after,
            )
        )

    async def refuse(self, why: Failure) -> None:
        """Tell that no summary comes about."""
        started, now = self._attempt.started, self._attempt.parts.clock.now()
        await self._attempt.desk.say(
            SummaryFinished(at=now, step=started.step, number=started.number, failure=why)
        )

    # --- a summary

    async def draft(self, reach: Reach, frame: Frame, *, by_model: bool = True) -> Draft:
        """Have older messages summarized; nothing is changed yet.

        Raises ValueError, saying why, where what has to stay has no room: nothing was spent then.
        """
        await self._look_at_given()
        found = await anyio.to_thread.run_sync(self._standing, reach.last)
        self._check_room(found, frame)
        # Where what has to stay is nearly all there is, no words of a model would be of use.
        worth = self._least(found) <= MOST_LEFT * max(0, frame.tokens - frame.overhead)
        model = self._model(frame) if by_model and worth else None
        pins, left_out = chosen(found.pins, int(frame.aim * PINNED), self._count)
        summary = self._blank(reach, frame)
        self._attempt.desk.post(self._started(summary, frame, model))
        segment = await self._segment(summary, replace(found, pins=pins), frame, model)
        made = await self._summarizing.written(segment, model)
        files = files_of(self._messages[: reach.last])[-MOST_FILES:]
        budget = budget_left(self._attempt.desk.execution, self._attempt.parts.clock.now())
        return Draft(
            summary=replace(
                summary, model=made.model, prompt=made.prompt, fallback=made.fallback, usage=made.usage
            ),
            content=replace(made.content, files=files, budget=budget),
            lost=(*made.lost, *map(_left_out, left_out)),
        )

    async def take(self, draft: Draft, tokens: int) -> None:
        """Put a draft in the place of messages; durable on return."""
        content: JsonValue = _CONTENT.dump_python(draft.content, mode="json")
        lost: JsonValue = _LOST.dump_python(draft.lost, mode="json")
        desk, started = self._attempt.desk, self._attempt.started
        summary = replace(
            draft.summary,
            content=await kept(content, written(content), desk),
            lost=await kept(lost, written(lost), desk),
            tokens_after=tokens,
        )
        self._known = {summary.id: draft.content}
        now = self._attempt.parts.clock.now()
        await desk.say(SummaryFinished(at=now, step=started.step, number=started.number, summary=summary))

    def _standing(self, last: int) -> Standing:
        # What an older message says is looked for once: it takes a thousandth of a second.
        self._pins.extend(pins_of(self._messages[self._pinned : last], self._pinned))
        self._pinned = max(self._pinned, last)
        return standing((*(self._given or ()), *(pin for pin in self._pins if pin.at < last)))

    async def _look_at_given(self) -> None:
        """Look for what the first prompt has to say, in what it was made of."""
        if self._given is None:
            desk = self._attempt.desk
            outputs = await dependency_outputs(self.step, desk)
            plan = desk.execution.plan
            self._given = await anyio.to_thread.run_sync(given, self.step.spec, plan, outputs)

    def _check_room(self, found: Standing, frame: Frame) -> None:
        least = self._least(found)
        if frame.overhead + least > frame.edge.usable:
            raise ValueError(f"What is pinned takes {least:,} tokens alone.")

    def _least(self, found: Standing) -> int:
        """The tokens of the pins that have to stay, rendered."""
        pins = tuple(pin for pin in found.pins if must_stay(pin))
        return self._count(rendered(Content(pins=pins)))

    def _blank(self, reach: Reach, frame: Frame) -> Summary:
        step, count, last = self.step, len(self._messages), reach.last
        parent = step.summaries[-1] if step.summaries else None
        level = 1 if parent is None else parent.level + 1
        return Summary(
            id=named(f"{self._attempt.desk.execution.id}:{step.spec.id}:{count}:{last}:{level}"),
            parent=None if parent is None else parent.id,
            level=level,
            first=0 if parent is None else parent.last,
            last=last,
            messages=count,
            content=Output(),
            shape=shape_of(self._messages, last, max(step.shape.masked, reach.masked)),
            tokens_before=frame.tokens,
        )

    def _started(self, summary: Summary, frame: Frame, model: str | None) -> SummaryStarted:
        return SummaryStarted(
            at=self._attempt.parts.clock.now(),
            step=self._attempt.started.step,
            number=self._attempt.started.number,
            summary=summary.id,
            first=summary.first,
            last=summary.last,
            level=summary.level,
            tokens=frame.tokens,
            trigger=frame.edge.trigger,
            usable=frame.edge.usable,
            window=frame.window.tokens,
            source=frame.window.source,
            model=model,
            manual=frame.manual,
        )

    async def _segment(self, summary: Summary, found: Standing, frame: Frame, model: str | None) -> Segment:
        windows, previous = self._attempt.parts.windows, await self.content()
        writer = (
            frame.window
            if windows is None or model is None
            else windows.window(model, endpoint=frame.endpoint)
        )
        return Segment(
            id=summary.id,
            messages=self._messages,
            first=summary.first,
            last=summary.last,
            standing=found,
            previous=previous,
            most=max(LEAST, min(LONGEST, frame.window.tokens // 10, int(frame.aim * WORDS))),
            whole=max(int(frame.aim * WHOLE), self._least(found) + LEAST),
            room=writer.tokens,
            before=max(0, frame.tokens - frame.overhead),
        )

    def _model(self, frame: Frame) -> str | None:
        """The model that writes the summary: the chosen one, else the cheapest of the runtime."""
        models, runtime = self._attempt.parts.models(), self._attempt.started.runtime or ""
        if frame.limits.model is not None:
            return models.named(frame.limits.model, runtime)
        return models.of_tier(Tier.FAST, runtime) or self._attempt.started.model


def _left_out(pin: Pin) -> Lost:
    return Lost(
        id=f"m{max(pin.at, 0)}", kind=str(pin.kind), excerpt=pin.text, why="There was no room for it."
    )
