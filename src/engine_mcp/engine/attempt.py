"""An attempt under way, and how it ends."""

from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup
from pydantic import JsonValue

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.budget import Resource, Usage
from engine_mcp.core.event import AttemptStarted
from engine_mcp.core.execution import Failure, ScriptReport, Step
from engine_mcp.engine.desk import Desk
from engine_mcp.engine.parts import Parts
from engine_mcp.errors import EngineError


@dataclass(slots=True, kw_only=True)
class Running:
    """One attempt that is being carried out in `scope`; `used` is what it used and is not on record.

    `tasks` carries out what goes on beside it; `paid` says whether it has used any tokens or money at all.
    """

    started: AttemptStarted
    step: Step
    desk: Desk
    parts: Parts
    tasks: TaskGroup
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    used: Usage = field(default_factory=Usage)
    paid: bool = False

    def heard(self, usage: Usage) -> None:
        """Note whether anything was paid for."""
        self.paid = self.paid or usage.of(Resource.TOKENS) + usage.of(Resource.COST) > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an attempt ended: with a value, or with a failure and what there is all the same.

    `goes_on`: another attempt goes on whatever the failure's code allows.
    """

    value: JsonValue = None
    failure: Failure | None = None
    usage: Usage = field(default_factory=Usage)
    report: ScriptReport | None = None
    goes_on: bool = False


def failure(code: str, message: str = "", hint: str = "") -> Failure:
    """A failure with a code of the catalogue, whose words fill in what is not given."""
    entry = CATALOGUE[code]
    return Failure(code, message or entry.cause, hint or entry.remedy)


def failed(error: EngineError) -> Ended:
    """The end of an attempt that an error of the engine prevented."""
    return Ended(failure=failure(error.code, error.message, error.hint))
