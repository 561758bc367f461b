"""An attempt under way, and how it ends."""

from dataclasses import dataclass, field, replace

import anyio
from anyio.abc import TaskGroup
from pydantic import JsonValue

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.budget import Usage
from engine_mcp.core.event import AttemptStarted
from engine_mcp.core.execution import Failure, ScriptReport, Step
from engine_mcp.engine.desk import Desk
from engine_mcp.engine.parts import Parts
from engine_mcp.errors import EngineError


@dataclass(slots=True, kw_only=True)
class Running:
    """One attempt that is being carried out in `scope`; `used` is what it used and is not on record.

    `tasks` carries out what goes on beside it. `began` is when it had a place, `spent` that it was stopped
    because its share is used up.
    """

    started: AttemptStarted
    step: Step
    desk: Desk
    parts: Parts
    tasks: TaskGroup
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    used: Usage = field(default_factory=Usage)
    began: float | None = None
    spent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an attempt ended: with a value, or with a failure and what there is all the same."""

    value: JsonValue = None
    failure: Failure | None = None
    usage: Usage = field(default_factory=Usage)
    report: ScriptReport | None = None


def failure(code: str, message: str = "", hint: str = "") -> Failure:
    """A failure with a code of the catalogue, whose words fill in what is not given."""
    entry = CATALOGUE[code]
    return Failure(code, message or entry.cause, hint or entry.remedy)


def failed(error: EngineError) -> Ended:
    """The end of an attempt that an error of the engine prevented."""
    return Ended(failure=failure(error.code, error.message, error.hint))


def dated(why: Failure, now: float) -> Failure:
    """The failure with the time until which whoever failed asked to be left alone, where there is one."""
    if why.retry_at is not None or why.retry_after_s is None:
        return why
    return replace(why, retry_at=now + why.retry_after_s)
