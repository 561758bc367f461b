"""Fitting: before each request of a conversation that is kept here, it is seen to that it fits the window."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import anyio.to_thread

from engine_mcp.core.agent import AgentReport
from engine_mcp.core.context.cut import cut
from engine_mcp.core.context.mask import masked, stubs
from engine_mcp.core.context.render import rendered
from engine_mcp.core.context.view import view
from engine_mcp.core.execution import Failure
from engine_mcp.core.summary import Shape
from engine_mcp.core.window import Anchor, Asking, Fitted, Window, Words, bounds, is_due, is_near, rough
from engine_mcp.engine.attempt import Running, failure
from engine_mcp.engine.gauge import UNSURE, Gauge, Weight
from engine_mcp.engine.outputs import dumps
from engine_mcp.engine.reducing import WHOLE, Draft, Frame, Reach, Reducing
from engine_mcp.engine.summarizing import Summarizing
from engine_mcp.engine.warden import Warden

MASK_ENOUGH = 0.75
"""Up to this share of the trigger stubs for old results are enough, and nothing is summarized."""
TAIL, MOST_TAIL = 0.3, 0.15
"""The share of the target, and of the window, that the last turns may take which stay word for word."""
SMALLER = 4
"""By how much less stays where what stayed did not fit."""
LEAST_GROWTH = 0.25
"""The share of the trigger by which a conversation has to grow before it is reduced again."""
LEAST_SAID = 0.1
"""The share of a known window at least that a provider can mean when it finds a conversation too long."""
PAUSED = "pause_turn"


class Fitting:
    """Fits the conversation of one attempt; `messages` is the whole of it, and grows."""

    def __init__(self, attempt: Running, warden: Warden, report: Callable[[AgentReport], None]) -> None:
        self.messages: list[Words] = []
        self._attempt, parts = attempt, attempt.parts
        count = parts.counter.count if parts.counter is not None else _rough
        self._gauge = Gauge(count, parts.ratios, attempt.started.model)
        summarizing = Summarizing(attempt, warden, report, self._gauge.text)
        self._reducing = Reducing(attempt, self.messages, self._gauge.text, summarizing)
        self._begun, self._learned = False, 0
        self._most: int | None = None
        self._asked, self._vain = False, 0
        choice = attempt.step.choice
        self._endpoint = choice.route.endpoint if choice is not None and choice.route is not None else ""

    def begin(self, messages: Sequence[Words]) -> None:
        """Take the conversation as it was left."""
        self.messages[:] = messages
        self._begun = True

    @property
    def fits(self) -> bool:
        """Whether the conversation is kept here, and reduced where it must be."""
        return self._begun and self._attempt.parts.windows is not None

    async def fit(self, asking: Asking) -> Fitted | Failure:
        """What the next request may have, reduced first where it would be too long or somebody asked."""
        parts = self._attempt.parts
        if parts.counter is None or parts.windows is None:
            return self._whole(asking)
        await parts.counter.open()
        await parts.windows.open()
        shown = await self._shown(self._reducing.step.shape)
        # To count takes a tenth of a second where much was added.
        weight = await anyio.to_thread.run_sync(self._weigh, shown, asking)
        frame = await self._frame(asking, weight)
        if asking.anchor is None and (is_near(weight.high, frame.edge) or is_due(weight.high, frame.edge)):
            weight = await self._exact(shown, asking) or weight
            frame = replace(frame, tokens=weight.tokens)
        if not self._must_reduce(weight, frame):
            return Fitted(messages=tuple(shown), tokens=weight.high, output=frame.edge.output)
        return await self._reduced(Fitted(messages=tuple(shown), tokens=weight.high, output=0), asking, frame)

    def _whole(self, asking: Asking) -> Fitted:
        """Everything, where nothing is known of windows."""
        anchor = asking.anchor or Anchor(tokens=rough(asking.overhead), messages=0)
        fresh = (dumps(dict(message)) for message in self.messages[anchor.messages :])
        tokens = anchor.tokens + rough(fresh)
        return Fitted(messages=tuple(self.messages), tokens=tokens, output=asking.output)

    # --- how it stands

    async def _shown(self, shape: Shape) -> list[Words]:
        content = await self._reducing.content()
        return view(self.messages, shape, "" if content is None else rendered(content))

    def _weigh(self, shown: Sequence[Words], asking: Asking) -> Weight:
        anchor = asking.anchor
        if anchor is None:
            return self._gauge.weigh(shown, asking.overhead)
        # What was added since is shown as it is.
        anchor = replace(anchor, messages=len(shown) - (len(self.messages) - anchor.messages))
        if anchor.tokens < self._gauge.least(shown[: anchor.messages], asking.overhead):
            return self._gauge.weigh(shown, asking.overhead)  # nobody counts so few tokens
        if anchor.tokens != self._learned:
            self._gauge.learn(shown[: anchor.messages], asking.overhead, anchor.tokens)
            self._learned = anchor.tokens
        return self._gauge.weigh(shown, asking.overhead, anchor)

    async def _exact(self, shown: Sequence[Words], asking: Asking) -> Weight | None:
        tokens = await asking.exact(shown) if asking.exact is not None else None
        if tokens is None or tokens < self._gauge.least(shown, asking.overhead):
            return None
        self._gauge.learn(shown, asking.overhead, tokens)
        return self._gauge.weigh(shown, asking.overhead, Anchor(tokens=tokens, messages=len(shown)))

    async def _frame(self, asking: Asking, weight: Weight) -> Frame:
        window = await self._window(asking)
        if asking.overflowed and weight.tokens > window.tokens * LEAST_SAID:
            # What was sent was too long, whatever was said of the window.
            self._most = min(self._most or window.tokens, weight.tokens)
        if self._most is not None:
            window = replace(window, tokens=min(window.tokens, self._most))
        windows, step = self._attempt.parts.windows, self._reducing.step
        chosen = self._attempt.desk.execution.plan.window.merged(step.spec.window)
        limits = chosen if windows is None else windows.limits(asking.model).merged(chosen)
        return Frame(
            window=window,
            edge=bounds(window, limits, asking.output),
            limits=limits,
            tokens=weight.tokens,
            overhead=self._gauge.around(asking.overhead),
            endpoint=self._endpoint,
            manual=step.summarize or asking.overflowed,
        )

    async def _window(self, asking: Asking) -> Window:
        windows = self._attempt.parts.windows
        assert windows is not None  # noqa: S101 - only called where there are windows
        known = windows.window(asking.model, endpoint=self._endpoint)
        if known.source not in {"prices", "assumed"} or asking.tell is None or asking.model is None:
            return known
        if self._asked:
            return known
        self._asked = True  # one that does not say it now does not say it at the next turn either
        if (told := await asking.tell()) is None:
            return known
        await windows.learn(asking.model, told, endpoint=self._endpoint)
        return windows.window(asking.model, told, endpoint=self._endpoint)

    def _must_reduce(self, weight: Weight, frame: Frame) -> bool:
        if self.messages[-1].get("stop_reason") == PAUSED:
            return False  # the provider is in the midst of a turn, and wants it back as it is
        if frame.manual or weight.high > frame.edge.usable:
            return True
        summaries, edge = self._reducing.step.summaries, frame.edge
        # Where the target is out of reach, each turn would have a summary of its own.
        before = max(self._vain, summaries[-1].tokens_after if summaries else 0)
        growth = max((edge.trigger - edge.target) // 2, int(edge.trigger * LEAST_GROWTH))
        return is_due(weight.high, edge) and (not before or weight.high >= before + growth)

    # --- what is done about it

    async def _reduced(self, before: Fitted, asking: Asking, frame: Frame) -> Fitted | Failure:
        fits = before.tokens <= frame.edge.usable and not asking.overflowed
        if not frame.manual and (fitted := await self._masked(asking, frame, fits=fits)) is not None:
            return fitted
        by_model = True
        for reach in await anyio.to_thread.run_sync(self._cuts, frame, fits):
            try:
                draft = await self._reducing.draft(reach, frame, by_model=by_model)
            except ValueError as error:
                return await self._unreduced(before, frame, fits=fits, why=str(error))
            if (fitted := await self._drafted(draft, asking, frame)) is not None:
                return fitted
            by_model = False
        return await self._unreduced(before, frame, fits=fits)

    def _cuts(self, frame: Frame, fits: bool) -> list[Reach]:  # noqa: FBT001 - called in a thread, by position
        """How far messages can be summarized and results masked, what keeps most first.

        What was said last stays; where that does not fit, with stubs for its results, and else not at all.
        """
        sizes = [self._gauge.size(message) for message in self.messages]
        keep = max(1, min(int(frame.window.tokens * MOST_TAIL), int(frame.aim * TAIL)))
        found: list[Reach] = []
        while keep:
            last = cut(self.messages, sizes, keep)
            taken = frame.overhead + int(frame.aim * WHOLE) + int(sum(sizes[last:]) * UNSURE)
            if taken <= frame.edge.usable:
                found.append(Reach(last=last, masked=last))
            keep = keep // SMALLER
        if not fits:
            end = len(self.messages)
            found += [Reach(last=cut(self.messages, sizes, 1), masked=end), Reach(last=end, masked=end)]
        return [one for one in dict.fromkeys(found) if one.last > self._reducing.step.shape.last]

    async def _masked(self, asking: Asking, frame: Frame, *, fits: bool) -> Fitted | None:
        """The conversation with stubs for old results, if that is enough.

        Unless it fits, also for those of the last turns: they can be read again, a part at a time.
        """
        old, turns = self._reducing.step.shape, self._attempt.parts.keep_turns
        for kept in (turns,) if fits else (turns, 1, 0):
            shape = masked(self.messages, old, kept)
            if shape is None:
                continue
            shown = await self._shown(shape)
            after = await anyio.to_thread.run_sync(self._gauge.weigh, shown, asking.overhead)
            if after.tokens <= frame.edge.trigger * MASK_ENOUGH and after.high <= frame.edge.usable:
                results = stubs(self.messages, max(old.last, old.masked), shape.masked)
                await self._reducing.mask(shape, results, frame.tokens, after.tokens)
                return self._fitted(shown, after, frame)
        return None

    def _fitted(self, shown: Sequence[Words], after: Weight, frame: Frame) -> Fitted:
        return Fitted(messages=tuple(shown), tokens=after.high, output=frame.edge.output, reduced=True)

    async def _drafted(self, draft: Draft, asking: Asking, frame: Frame) -> Fitted | None:
        """The conversation behind a draft, which is taken; None where it does not fit, or is no shorter."""
        shown = view(self.messages, draft.summary.shape, rendered(draft.content))
        weight = await anyio.to_thread.run_sync(self._gauge.weigh, shown, asking.overhead)
        if weight.high > frame.edge.usable:
            weight = await self._exact(shown, asking) or weight
        if weight.high > frame.edge.usable or weight.tokens >= frame.tokens:
            return None
        await self._reducing.take(draft, weight.tokens)
        return self._fitted(shown, weight, frame)

    async def _unreduced(
        self, before: Fitted, frame: Frame, *, fits: bool, why: str = ""
    ) -> Fitted | Failure:
        """Everything as it is, where nothing can be summarized; a failure where it does not fit so."""
        if not fits:
            return await self._too_small(why or f"What has to stay takes {before.tokens:,} tokens.", frame)
        self._vain = before.tokens
        await self._reducing.refuse(failure("nothing_to_summarize", why))
        return replace(before, output=frame.edge.output)

    async def _too_small(self, why: str, frame: Frame) -> Failure:
        leaves = f"The window of {frame.window.tokens:,} tokens leaves {frame.edge.usable:,}."
        told = failure("window_too_small", f"{why} {leaves}")
        await self._reducing.refuse(told)
        return told


def _rough(text: str) -> int:
    return rough([text])
