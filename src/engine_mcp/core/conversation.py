"""The events of a conversation: its session and messages, and what stands for those that are not shown."""

from dataclasses import dataclass
from typing import Literal

from engine_mcp.core.execution import Failure, Message
from engine_mcp.core.summary import Shape, Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened:
    """The runtime gave the session of an attempt a name of its own."""

    at: float
    step: str
    number: int
    session: str
    kind: Literal["session_opened"] = "session_opened"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRecorded:
    """A conversation that this engine holds grew by one message."""

    at: float
    step: str
    number: int
    message: Message
    kind: Literal["message_recorded"] = "message_recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextStreamed:
    """A runner wrote this much more of its answer; several pieces may have been joined."""

    at: float
    step: str
    number: int
    text: str
    kind: Literal["text_streamed"] = "text_streamed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsMasked:
    """Older results of tools are shown as stubs from now on, `results` more of them."""

    at: float
    step: str
    number: int
    shape: Shape
    results: int
    tokens_before: int
    tokens_after: int
    kind: Literal["results_masked"] = "results_masked"


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRequested:
    """Somebody asked for the conversations of running steps to be reduced before their next turn."""

    at: float
    steps: tuple[str, ...]
    kind: Literal["summary_requested"] = "summary_requested"


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryStarted:
    """The messages from `first` up to `last` of a conversation of `tokens` are being summarized.

    `trigger` is the number of tokens at which that is done, `usable` what the model's window of `window`
    tokens leaves, of which `source` told. `manual`: it was asked for. Without a `model` code extracts.
    """

    at: float
    step: str
    number: int
    summary: str
    first: int
    last: int
    level: int
    tokens: int
    trigger: int
    usable: int
    window: int
    source: str
    model: str | None = None
    manual: bool = False
    kind: Literal["summary_started"] = "summary_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryFinished:
    """A summary took the place of messages; without one, `failure` says why everything stays as it was.

    `usage` of the summary has been reported already.
    """

    at: float
    step: str
    number: int
    summary: Summary | None = None
    failure: Failure | None = None
    kind: Literal["summary_finished"] = "summary_finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class SummariesUndone:
    """A conversation is shown with all of its original messages again."""

    at: float
    steps: tuple[str, ...]
    kind: Literal["summaries_undone"] = "summaries_undone"
