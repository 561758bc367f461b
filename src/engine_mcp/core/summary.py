"""Summaries: what stands for the older messages of a conversation, and what of it is shown."""

from dataclasses import dataclass, field

from engine_mcp.core.budget import Usage
from engine_mcp.core.output import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What of a conversation is shown; positions in its messages, everything is shown from the largest on.

    The newest summary stands for what is before `last`. Results of tools before `masked` are shown as
    stubs. With `retold`, what lies from `last` up to there is not shown as it was: it is shown without its
    thinking, or told as text where the API would not take it as messages.
    """

    last: int = 0
    masked: int = 0
    retold: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What stands for the messages from `first` up to `last` of a conversation, and for its `parent`.

    `content` is the JSON of `core.context.content.Content`, `lost` that of a list of
    `core.context.loss.Lost`. `level` counts the summaries that it is built on, itself included. `model`
    and `prompt` (a digest) say what wrote it; without a model it was extracted by code, and `fallback` says
    why. `messages` are those that there were then, `tokens_before` and `tokens_after` those of the whole
    conversation; `usage` is what it took.
    """

    id: str
    first: int
    last: int
    content: Output
    shape: Shape
    parent: str | None = None
    level: int = 1
    model: str | None = None
    prompt: str = ""
    fallback: str = ""
    lost: Output | None = None
    messages: int = 0
    tokens_before: int = 0
    tokens_after: int = 0
    usage: Usage = field(default_factory=Usage)
