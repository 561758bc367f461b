"""The window: a model's token space, how much of it a conversation may fill, and when it has to shrink."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

from pydantic import JsonValue

ASSUMED = 200_000
"""Tokens of a window that nobody knows."""
MARGIN = 0.02
"""The share of a window that is left free, since counts are estimates."""
MOST_OUTPUT = 0.25
"""The share of a window that an answer may reserve at most."""
NEAR = 0.1
LEAST_TRIGGER, LEAST_TARGET = 0.05, 0.02
LEAST_TOKENS, MOST_TOKENS = 1_000, 100_000_000
"""The bounds of what may be said to be a window, or too many tokens."""


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


_SHARE, _AIM = 0.8, 0.45
DEFAULTS = WindowLimits(trigger=_SHARE, max_tokens=150_000, target=_AIM, price_cliffs=False)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why limits cannot be taken: the `field` that is wrong, and a sentence."""

    field: str
    why: str


def fault(limits: WindowLimits, weaker: WindowLimits = DEFAULTS) -> Fault | None:
    """What is wrong with limits that are put in the place of `weaker` ones; None: nothing.

    A target that the weaker ones have never contradicts a trigger: `bounds` lowers it.
    """
    trigger, target = limits.trigger, limits.target
    if trigger is not None and not LEAST_TRIGGER <= trigger <= 1:
        return Fault("trigger", f"The trigger is between {LEAST_TRIGGER:g} and 1, not {trigger:g}.")
    if limits.max_tokens is not None and limits.max_tokens < LEAST_TOKENS:
        return Fault("max_tokens", f"That is at least {LEAST_TOKENS} tokens, not {limits.max_tokens}.")
    if target is None:
        return None
    below = trigger or weaker.trigger or _SHARE
    if not LEAST_TARGET <= target < below:
        why = f"The target is at least {LEAST_TARGET:g} and below the trigger, {below:g}; it is {target:g}."
        return Fault("target", why)
    return None


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
    """The bounds of a conversation in a window, whose answers are to have up to `output` tokens.

    A target that is not below the trigger, which was said elsewhere, is lowered in proportion.
    """
    chosen = DEFAULTS.merged(limits)
    reserved = min(output, int(window.tokens * MOST_OUTPUT))
    usable = max(0, window.tokens - reserved - int(window.tokens * MARGIN))
    share, aim = chosen.trigger or _SHARE, chosen.target or _AIM
    if aim >= share:
        aim = share * _AIM / _SHARE
    caps = [chosen.max_tokens] if chosen.max_tokens is not None else []
    if chosen.price_cliffs:
        caps += window.cliffs
    trigger = min([int(usable * share), *caps])
    return Bounds(usable=usable, trigger=trigger, target=int(trigger * aim / share), output=reserved)


def is_due(tokens: int, edge: Bounds) -> bool:
    """Whether a conversation of so many tokens has to be reduced."""
    return tokens >= edge.trigger


def is_near(tokens: int, edge: Bounds) -> bool:
    """Whether an estimate is so near to the trigger that it is worth to ask for the count."""
    return abs(tokens - edge.trigger) <= edge.trigger * NEAR


def rough(texts: Iterable[str]) -> int:
    """About how many tokens texts have, rather too many: two for each three bytes."""
    return sum(len(text.encode(errors="surrogatepass")) * 2 // 3 + 1 for text in texts)


Words = Mapping[str, JsonValue]
"""A message of a conversation, `role` and `content` among its fields."""
Tell = Callable[[], Awaitable[Window | None]]
"""Asks the provider how large the model's window is; None where it does not say in time."""
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
    `tell` asks the provider for the model's window. `anchor` is the count of the last request with
    its answer, as long as nothing but messages was added since. `overflowed`: the provider has refused
    the conversation as too long.
    """

    model: str | None = None
    overhead: tuple[str, ...] = ()
    output: int
    tell: Tell | None = None
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
