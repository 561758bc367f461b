"""Counting tokens: what one more message costs, and how far the expected count is off."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import anyio
from pydantic import JsonValue

from bench.children import Children, UnmeasurableError
from bench.figures import Figure, percentile
from engine_mcp.context.tokens import Tokens
from engine_mcp.core.window import Anchor, Words
from engine_mcp.engine.gauge import Gauge, Ratios
from tests.context.texts import KINDS, conversation, drawn
from tests.wire.received import Received

MESSAGES, FEW_MESSAGES = 500, 100
ROUNDS, ADDED = 9, 20
TURNS, FEW_TURNS = 250, 30
SEEDS, FEW_SEEDS = range(6), range(1)
MODEL = "claude-opus-5-5"
SYSTEM = drawn("prose", 6000)
TOOL: JsonValue = {
    "name": "files_read",
    "description": "Read a file.",
    "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}},
}
OVERHEAD = (SYSTEM, json.dumps([TOOL]))
MIXES: Mapping[str, tuple[str, ...]] = {"all of them mixed": (), **{kind: (kind,) for kind in KINDS}}


def append(_: Children, /, *, quick: bool) -> list[Figure]:
    """Processor time of weighing a request with one message more, against counting all of it."""
    count, size = _counter(), FEW_MESSAGES if quick else MESSAGES
    messages = conversation(1, size // 2 + ADDED)
    begun, added = messages[:size], messages[size:]
    rounds = [_round(count, begun, added) for _ in range(1 if quick else ROUNDS)]
    whole, one = (median(times) for times in zip(*rounds, strict=True))
    kilobytes = sum(len(json.dumps(message)) for message in begun) / 1000
    return [
        Figure(
            what=f"weighing a context of {len(begun)} messages after one was added, to counting all of it",
            value=one / whole * 100,
            unit="%",
            at_most=1.0,
            detail=f"{one * 1e6:,.0f} µs, all of its {kilobytes:,.0f} kB {whole * 1e3:,.1f} ms",
        )
    ]


def _round(
    count: Callable[[str], int], begun: Sequence[Words], added: Sequence[Words]
) -> tuple[float, float]:
    """Seconds of processor time for all messages, and for each that is added (the median)."""
    gauge, shown, anchor = Gauge(count, Ratios(), MODEL), [*begun], Anchor(tokens=0, messages=len(begun))
    whole = _took(lambda: gauge.weigh(begun, OVERHEAD))
    times: list[float] = []
    for message in added:
        shown.append(message)
        times.append(_took(lambda: gauge.weigh(shown, OVERHEAD, anchor)))
    return whole, median(times)


def _took(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def errors(_: Children, /, *, quick: bool) -> list[Figure]:
    """How far the expected count of each request is from what the wire server counts, by content."""
    count = _counter()
    turns, seeds = (FEW_TURNS, FEW_SEEDS) if quick else (TURNS, SEEDS)
    found = {
        mix: [off for seed in seeds for off in offs(count, conversation(seed, turns, *kinds))]
        for mix, kinds in MIXES.items()
    }
    figures = [_error(mix, offsets) for mix, offsets in found.items()]
    return [*figures, _beyond([off for offsets in found.values() for off in offsets])]


def offs(count: Callable[[str], int], messages: Sequence[Words]) -> list[tuple[float, float]]:
    """How far the expected count and the high bound of each request are off, as shares of the true count.

    Each request but the first has the count of the one before it, with its answer.
    """
    gauge, found = Gauge(count, Ratios(), MODEL), list[tuple[float, float]]()
    for asked in range(3, len(messages) + 1, 2):
        anchor = Anchor(tokens=told(messages[: asked - 1]), messages=asked - 1)
        gauge.learn(messages[: anchor.messages], OVERHEAD, anchor.tokens)
        weight, true = gauge.weigh(messages[:asked], OVERHEAD, anchor), told(messages[:asked])
        found.append((weight.tokens / true - 1, weight.high / true - 1))
    return found


def told(messages: Sequence[Words]) -> int:
    """The input tokens of a request with these messages, as the wire server counts them."""
    body = {"system": SYSTEM, "tools": [TOOL], "messages": [*messages]}
    return Received("POST", "/v1/messages", {}, body, 0.0).tokens


def _error(mix: str, found: Sequence[tuple[float, float]]) -> Figure:
    shares = [error * 100 for error, _ in found]
    far = [abs(share) for share in shares]
    return Figure(
        what=f"error of the expected tokens of a request, {mix}, p95",
        value=percentile(far, 95),
        unit="%",
        at_most=None if mix in KINDS else 2.0,
        detail=(
            f"p50 {percentile(far, 50):.2f} %, the farthest {min(shares):+.1f} % and {max(shares):+.1f} %; "
            f"{len(far):,} requests"
        ),
    )


def _beyond(found: Sequence[tuple[float, float]]) -> Figure:
    highs = [high * 100 for _, high in found]
    return Figure(
        what="requests that had more tokens than the high bound",
        value=sum(high < 0 for high in highs) / len(highs) * 100,
        unit="%",
        detail=(
            f"of {len(found):,}, by at most {-min(0.0, *highs):.2f} %; the bound is {median(highs):.2f} % "
            "too high, p50"
        ),
    )


def _counter() -> Callable[[str], int]:
    tokens = Tokens()
    estimate = tokens.count(SYSTEM)
    anyio.run(tokens.open)
    if tokens.count(SYSTEM) == estimate:
        raise UnmeasurableError("the vocabulary cannot be read")
    return tokens.count
