"""What the wire server answers: turns of a model, and the trouble that may come with them."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from tests.wire.received import Received
from tests.wire.validity import signed

StopReason = Literal[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
]


UNSCRIPTED = 1000
"""The tokens that a request takes where nobody says how many."""


@dataclass(frozen=True, slots=True)
class Text:
    """A block of text."""

    text: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """A block of thinking, with its signature."""

    text: str
    signature: str = "c2lnbmVkIGJ5IG5vYm9keQ=="


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A call of a tool; without an `id` it gets a new one.

    `input` as a str is sent as it is, whole JSON or not.
    """

    name: str
    input: Mapping[str, object] | str = field(default_factory=dict[str, object])
    id: str = ""

    @property
    def json(self) -> str:
        return self.input if isinstance(self.input, str) else json.dumps(self.input)


Block = Text | Thinking | ToolUse


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What goes wrong with a turn: one of an error, a cut or a stall.

    `at`: before anything is sent, or after the first half of the deltas; an error comes at the start
    and the others in the middle unless it says otherwise. An error in the middle is an `error` event.
    `cut`: "close" (also True) drops the connection inside the response, "reset" with a TCP reset, and
    "end" ends the response properly, but before its message has ended. `stall`: silence until the
    client leaves or the server ends. `details` are those of the error, such as an `error_code`; `headers`
    go with an error at the start.
    """

    status: int = 529
    kind: str = "overloaded_error"
    message: str = "Overloaded"
    retry_after: str | None = None
    details: Mapping[str, object] | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    at: Literal["start", "middle"] | None = None
    cut: bool | Literal["close", "reset", "end"] = False
    stall: bool = False

    @property
    def starts(self) -> bool:
        """Whether it comes before anything else."""
        return self.at == "start" or (self.at is None and not self.cut and not self.stall)


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer of the model: `thinking` if there is any, then `text`, then `blocks`.

    The server signs `thinking`, and takes it back behind the same messages alone. `input_tokens` are told as
    they are scripted; those of a server with a window that are not are told as it counts them. `chunk`:
    characters per delta. `gate`: waited for after the first half of the deltas. `model`: the model that
    the answer names, where it is not the one that was asked for.
    """

    text: str = ""
    blocks: tuple[Block, ...] | list[Block] = ()
    stop_reason: StopReason | None = None
    thinking: str = ""
    input_tokens: int = UNSCRIPTED
    output_tokens: int = 200
    cache_read: int = 0
    cache_write: int = 0
    chunk: int = 20
    gate: threading.Event | None = None
    trouble: Trouble | None = None
    model: str | None = None

    @property
    def content(self) -> list[Block]:
        thought = [Thinking(self.thinking)] if self.thinking else []
        return [*thought, *([Text(self.text)] if self.text else []), *self.blocks]

    def answering(self, body: Mapping[str, object], tokens: int | None) -> "Turn":
        """The turn as it answers a request of so many tokens: signed, and None for no count of them."""
        content, told = self.content, self.input_tokens
        if tokens is not None and told == UNSCRIPTED:
            told = tokens
        if self.thinking:
            content[0] = Thinking(self.thinking, signed(body, self.thinking))
        return replace(self, text="", thinking="", blocks=content, input_tokens=told)

    @property
    def ends(self) -> StopReason:
        """The stop reason: where none is given, `tool_use` if it calls a tool."""
        calls = any(isinstance(block, ToolUse) for block in self.content)
        return self.stop_reason or ("tool_use" if calls else "end_turn")


Answer = Turn | Callable[[Received], Turn]
"""A turn, or what makes one of the request that it answers."""
