"""Shrinking conversations: what it costs to decide about one, and what code does about a summary."""

import json
import time
from collections.abc import Callable, Sequence
from statistics import median

from bench.children import Children
from bench.figures import TIMES, Figure
from engine_mcp.context.tokens import Tokens
from engine_mcp.core.context.content import Content
from engine_mcp.core.context.cut import cut, shape_of
from engine_mcp.core.context.pins import chosen, pins_of, standing
from engine_mcp.core.context.render import rendered
from engine_mcp.core.context.transcript import told
from engine_mcp.core.context.verify import checked
from engine_mcp.core.context.view import view
from engine_mcp.core.summary import Shape
from engine_mcp.core.window import Anchor, Window, WindowLimits, Words, bounds, is_due
from engine_mcp.engine.gauge import Gauge, Ratios
from tests.context.texts import conversation

MESSAGES, FEW_MESSAGES = 500, 60
ROUNDS = 9
MODEL = "claude-opus-5-5"
WINDOW = Window(tokens=1_000_000, source="settings")
SUMMARY = Content(goal="Do the work.", done=("The first half.",), next_steps=("The second half.",))


def decisions(_: Children, /, *, quick: bool) -> list[Figure]:
    """Processor time of deciding whether a conversation fits, as it is and behind a summary."""
    messages = conversation(1, (FEW_MESSAGES if quick else MESSAGES) // 2)
    shapes = {"as it is": Shape(), "behind a summary": _reduced(messages)}
    return [_decision(what, messages, shape) for what, shape in shapes.items()]


def _reduced(messages: Sequence[Words]) -> Shape:
    before = messages[: len(messages) // 2 * 2 - 1]
    return shape_of(before, cut(before, [100] * len(before), 1_000), 0)


def _decision(what: str, messages: Sequence[Words], shape: Shape) -> Figure:
    gauge = Gauge(Tokens().count, Ratios(), MODEL)
    text = rendered(SUMMARY)

    def decide() -> bool:
        shown = view(messages, shape, text)
        anchor = Anchor(tokens=100_000, messages=len(shown) - 1)
        return is_due(gauge.weigh(shown, (), anchor).high, bounds(WINDOW, WindowLimits(), 16_000))

    decide()
    took = median(_took(decide) for _ in range(ROUNDS))
    sent = median(_took(lambda: json.dumps(messages)) for _ in range(ROUNDS))
    return Figure(
        what=f"deciding whether {len(messages)} messages fit, {what}, to writing them as JSON",
        value=took / sent,
        unit=TIMES,
        detail=f"{took * 1e6:,.0f} µs, as JSON {sent * 1e6:,.0f} µs",
    )


def summaries(_: Children, /, *, quick: bool) -> list[Figure]:
    """Processor time of what code does about a summary: pins, and the check of what a model wrote."""
    messages = conversation(1, (FEW_MESSAGES if quick else MESSAGES) // 2)
    source = told(messages, 0, len(messages))
    found = standing(pins_of(messages))
    kept = chosen(found.pins, 4_000, len)[0]
    works: dict[str, Callable[[], object]] = {
        "finding the pins": lambda: standing(pins_of(messages)),
        "checking the summary": lambda: checked(SUMMARY, kept, found.superseded, source),
    }
    kilobytes = len(source) / 1000
    return [
        Figure(
            what=f"{what} of {len(messages)} messages",
            value=median(_took(work) for _ in range(1 if quick else 3)) * 1e3 / kilobytes,
            unit="ms/kB",
            detail=f"in a thread; {kilobytes:,.0f} kB",
        )
        for what, work in works.items()
    ]


def _took(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began
