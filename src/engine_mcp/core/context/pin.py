"""Pins: facts of a conversation that must survive word for word."""

from dataclasses import dataclass
from enum import StrEnum


class PinKind(StrEnum):
    """What a pin holds."""

    TASK = "task"
    USER = "user"
    CONSTRAINT = "constraint"
    DECISION = "decision"
    PREFERENCE = "preference"
    ERROR = "error"
    COMMAND = "command"
    OPEN = "open"
    PATH = "path"
    ID = "id"
    NUMBER = "number"
    FACT = "fact"


class Voice(StrEnum):
    """Who said what a pin holds; the plan speaks for the user."""

    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One fact; `text` as it was said, `at` the position of the message that said it (-1: the plan).

    `key` is what a later pin with the same key replaces, such as the name of a value; empty: nothing.
    """

    kind: PinKind
    text: str
    at: int = -1
    key: str = ""
    by: Voice = Voice.USER
