"""The gauge: how many tokens the next request of a conversation has, from what was told and what is counted.

The local vocabulary counts fewer tokens than providers do, by a ratio that depends on model and content.
So what a provider told of the last request is taken as it is, and only what was added since is counted.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from pydantic import JsonValue

from engine_mcp.core.window import Anchor, Words
from engine_mcp.engine.outputs import dumps

USUAL, OLDER = 1.6, 1.2
"""Tokens of the provider to one that is counted, before it told any: for models from 4.7 on, and before."""
NEWER = (4, 7)
LEAST, MOST = 0.6, 2.5
NEWS = 0.3
"""The weight of the newest report in a ratio."""
ENOUGH = 200
"""Counted tokens from which on a report says something of texts, and not of what is around them."""
UNSURE = 1.12
"""What the high bound has on top: German, the farthest from the mean of all that was measured, takes 1.77."""
MESSAGE, CALL, TOOLS = 4, 12, 400
"""Tokens around a message, around a call or its result, and for a request that has tools at all."""
IMAGE, PAGE, PAGE_SIZE = 5_000, 3_000, 50_000
"""Tokens of an image and of a page of a document at most; characters in base64 that a page takes at least."""
HIDDEN = 4
"""Characters of thinking that is not shown to a token: in base64 it is a third longer than its text."""
MOST_KEPT = 20_000
"""Counts that are kept; a conversation has some hundred messages."""
_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2})(?!\d))?(?!\d)")
_TOOL = '"input_schema"'

Sums = tuple[int, int]
"""Counted tokens of texts, and tokens of the provider for what is no text."""


@dataclass(frozen=True, slots=True)
class Weight:
    """The tokens of a request: as many as expected, and as many as it has at most."""

    tokens: int
    high: int


class Ratios:
    """How many tokens each model's provider sees where one is counted; shared by all conversations."""

    def __init__(self) -> None:
        self._known: dict[str, float] = {}

    def of(self, model: str | None) -> float:
        """The ratio of a model: as its provider's reports have it so far, else as such models have it."""
        return self._known.get(model or "", usual(model))

    def learn(self, model: str | None, counted: int, told: int) -> None:
        """Take in that `counted` tokens were `told` ones; too few of them say nothing."""
        if counted < ENOUGH:
            return
        news = min(MOST, max(LEAST, told / counted))
        before = self.of(model)
        self._known[model or ""] = before + NEWS * (news - before)


def usual(model: str | None) -> float:
    """The ratio of a model of which nothing was told yet; one that is not known counts as a current one."""
    found = _VERSION.search((model or "").casefold())
    if found is None:
        return USUAL
    return OLDER if (int(found[1]), int(found[2] or 0)) < NEWER else USUAL


class Gauge:
    """Weighs the requests of one conversation with one model; `count` is that of a `ports.TokenCounter`.

    Messages must not change once they were weighed. Positions are those of the messages that are given.
    """

    def __init__(self, count: Callable[[str], int], ratios: Ratios, model: str | None) -> None:
        self._count, self._ratios, self._model = count, ratios, model
        self._kept: dict[tuple[int, int], int] = {}
        self._messages: list[Words] = []
        self._totals: list[Sums] = [(0, 0)]

    def weigh(
        self, messages: Sequence[Words], overhead: Sequence[str] = (), anchor: Anchor | None = None
    ) -> Weight:
        """The tokens of a request with these messages and, besides them, the texts of `overhead`.

        `anchor` is what was told of the first of the messages, with the overhead; None where anything in
        them or in the overhead is not what it was. The high bound is for content of any one kind; only
        letters without sense have more.
        """
        if anchor is not None and 0 <= anchor.messages <= len(messages):
            told, (counted, fixed) = anchor.tokens, self._between(messages, anchor.messages)
        else:
            told, (counted, fixed) = 0, _added(self._between(messages, 0), self._around(overhead))
        ratio = self._ratios.of(self._model)
        return Weight(told + fixed + ceil(counted * ratio), told + fixed + ceil(counted * self._high))

    def least(self, messages: Sequence[Words], overhead: Sequence[str]) -> int:
        """The tokens below which nobody's count of these messages and texts can be."""
        counted, _ = _added(self._between(messages, 0), self._around(overhead))
        return int(counted * LEAST)

    def around(self, overhead: Sequence[str]) -> int:
        """The tokens of what a request has besides messages, at most."""
        counted, fixed = self._around(overhead)
        return fixed + ceil(counted * self._high)

    def learn(self, messages: Sequence[Words], overhead: Sequence[str], told: int) -> None:
        """Take in that a request with these messages and texts had so many tokens, cached ones included.

        Not for requests in which the provider did more than answer: its own tools, edits, compaction.
        """
        counted, fixed = _added(self._between(messages, 0), self._around(overhead))
        self._ratios.learn(self._model, counted, told - fixed)

    def size(self, message: Words) -> int:
        """The tokens of one message, as many as expected."""
        counted, fixed = self._sums(message)
        return fixed + ceil(counted * self._ratios.of(self._model))

    def text(self, text: str) -> int:
        """The tokens of a text, as many as expected."""
        return ceil(self._counted(text) * self._ratios.of(self._model))

    # --- what is counted

    @property
    def _high(self) -> float:
        """The ratio that no content passes."""
        return max(self._ratios.of(self._model), usual(self._model)) * UNSURE

    def _between(self, messages: Sequence[Words], first: int) -> Sums:
        """The sums of the messages from `first` on; those that were there before are not counted again."""
        same = _same(self._messages, messages)
        if same < len(messages):
            del self._messages[same:], self._totals[same + 1 :]
        for message in messages[same:]:
            self._messages.append(message)
            self._totals.append(_added(self._totals[-1], self._sums(message)))
        (counted, fixed), (counted_before, fixed_before) = self._totals[len(messages)], self._totals[first]
        return counted - counted_before, fixed - fixed_before

    def _around(self, overhead: Sequence[str]) -> Sums:
        has_tools = any(_TOOL in text for text in overhead)
        return sum(map(self._counted, overhead)), TOOLS if has_tools else 0

    def _sums(self, message: Words) -> Sums:
        texts: list[str] = []
        fixed = _taken(message.get("content"), texts)
        return self._counted("\n".join(texts)), MESSAGE + fixed

    def _counted(self, text: str) -> int:
        # Texts are often the same in a new object; to keep their digests does not keep them in memory.
        key = hash(text), len(text)
        if key not in self._kept:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[key] = self._count(text)
        return self._kept[key]


def _same(known: list[Words], messages: Sequence[Words]) -> int:
    """How many of the first messages are the known ones."""
    most = min(len(known), len(messages))
    if known[:most] == [*messages[:most]]:  # at once where they are the same objects
        return most
    return next(at for at in range(most) if known[at] != messages[at])


def _added(one: Sums, other: Sums) -> Sums:
    return one[0] + other[0], one[1] + other[1]


def _taken(content: JsonValue, texts: list[str]) -> int:
    """The tokens of what is no text in the content of a message; its texts are added to `texts`."""
    if isinstance(content, list):
        return sum(_fixed(block, texts) for block in content)
    if content is not None:
        texts.append(content if isinstance(content, str) else dumps(content))
    return 0


def _fixed(block: JsonValue, texts: list[str]) -> int:
    match block:
        case {"type": "text", "text": str(text)} | {"type": "thinking", "thinking": str(text)}:
            texts.append(text)
        case {"type": "tool_use", "name": str(name), "input": given}:
            texts += name, dumps(given)
            return CALL
        case {"type": "tool_result", **rest}:
            return CALL + _taken(rest.get("content"), texts)
        case {"type": "redacted_thinking", "data": str(hidden)}:
            return len(hidden) // HIDDEN
        case {"type": "image"}:
            return IMAGE
        case {"type": "document", "source": {"type": "base64", "data": str(pages)}}:
            return PAGE * ceil(len(pages) / PAGE_SIZE)
        case _:
            texts.append(dumps(block))
    return 0
