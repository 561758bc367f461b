"""The content of a summary: the fixed structure that a model fills in and code checks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine_mcp.core.context.pin import Pin


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided, and why."""

    what: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileNote:
    """A file that was worked on: its path, what was done to it, and a detail."""

    path: str
    action: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorNote:
    """An error as it was told, and how it was resolved, if it was."""

    verbatim: str
    resolution: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a summary says; `pins` are put there by code alone, word for word.

    `files` and `budget` come from the record and never from a model.
    """

    goal: str = ""
    success_criteria: tuple[str, ...] = ()
    constraints_verbatim: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = ()
    done: tuple[str, ...] = ()
    open_items: tuple[str, ...] = ()
    errors: tuple[ErrorNote, ...] = ()
    facts_verbatim: tuple[str, ...] = ()
    failed_approaches: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()
    preferences: tuple[str, ...] = ()
    files: tuple[FileNote, ...] = ()
    budget: Mapping[str, float] = field(default_factory=dict[str, float])
    pins: tuple[Pin, ...] = ()
    marker: str = ""
