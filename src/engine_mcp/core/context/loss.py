"""The loss record: what a reduction left out, and where the whole of it can be read."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """One thing that a summary does not hold any more.

    `id` names what to read it by: `m12` the message 12 of the conversation, counted from 0. `kind` is that
    of a pin, or "result", "turn", "invented", "hostile"; `why` says in words why it was left out.
    """

    id: str
    kind: str
    excerpt: str
    why: str
