"""The window: a model's token space, how much of it a conversation may fill, and when it has to shrink."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

from pydantic import JsonValue

ASSUMED = 200_000
"""Tokens of a window that nobody knows."""
MARGIN = 0.02
"""The share of a window that is left free, since counts are estimates."""
MOST_OUTPUT = 0.25
"""The share of a window that an answer may reserve at most."""
LEAST_TRIGGER, LEAST_TARGET = 0.05, 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowLimits:
    """When a conversation is reduced, how far and by which model; None: as the next weaker place says.

    `trigger` is the share of the usable window at which it is reduced, `max_tokens` a number of tokens
    that triggers sooner, `target` the share of the usable window that is aimed at. `model` writes the
    summaries, as in `model` of a step. With `price_cliffs` a conversation also stays below the number of
    tokens above which the model's price rises.
    """

    trigger: float | None = None
    max_tokens: int | None = None
    target: float | None = None
    model: str | None = None
    price_cliffs: bool | None = None

    def merged(self, other: Self) -> Self:
        """These limits with every value that `other` sets put in its place."""
        given = {one.name: value for one in fields(other) if (value := getattr(other, one.name)) is not None}
        return replace(self, **given)


DEFAULTS = WindowLimits(trigger=0.8, max_tokens=150_000, target=0.45, price_cliffs=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A model's window in tokens, input and output together, and who says so.

    `source` is "settings", "runtime", "provider", "prices" or "assumed". `cliffs` are the numbers of input
    tokens above which the price of a whole request rises.
    """

    tokens: int
    source: str
    cliffs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a conversation may take, in tokens of input: `usable` at most, at `trigger` down to `target`.

    `output` is what the answer may have at most.
    """

    usable: int
    trigger: int
    target: int
    output: int


def bounds(window: Window, limits: WindowLimits, output: int) -> Bounds:
    """The bounds of a conversation in a window, whose answers are to have up to `output` tokens."""
    chosen = DEFAULTS.merged(limits)
    reserved = min(output, int(window.tokens * MOST_OUTPUT))
    usable = max(0, window.tokens - reserved - int(window.tokens * MARGIN))
    share, aim = chosen.trigger or 1.0, chosen.target or 0.0
    caps = [chosen.max_tokens] if chosen.max_tokens is not None else []
    if chosen.price_cliffs:
        caps += window.cliffs
    trigger = min([int(usable * share), *caps])
    return Bounds(
        usable=usable, trigger=trigger, target=int(trigger * min(1.0, aim / share)), output=reserved
    )


Words = Mapping[str, JsonValue]
"""A message of a conversation, `role` and `content` among its fields."""
Exact = Callable[[Sequence[Words]], Awaitable[int | None]]
"""Asks the provider how many tokens a request with these messages has; None where it does not say in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A count that the provider told: `tokens` of everything up to and with the first `messages`."""

    tokens: int
    messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A request that is about to be made, without its messages.

    `overhead` are the texts that it has besides them, `output` the most tokens that the answer is to have.
    `window` is what the provider says of the model's window. `anchor` is the count of the last request with
    its answer, as long as nothing but messages was added since. `overflowed`: the provider has refused
    the conversation as too long.
    """

    model: str | None = None
    overhead: tuple[str, ...] = ()
    output: int
    window: Window | None = None
    anchor: Anchor | None = None
    overflowed: bool = False
    exact: Exact | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A conversation that fits: what to send, its tokens with the overhead (at most), room for the answer.

    `reduced`: it is not what was sent before with messages added.
    """

    messages: tuple[Words, ...]
    tokens: int
    output: int
    reduced: bool = False
