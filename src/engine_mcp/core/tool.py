"""What a tool says of itself, and what it is asked."""

from dataclasses import dataclass, field

from pydantic import JsonValue

from engine_mcp.core.execution import Failure
from engine_mcp.core.plan import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool as callers see it; `input_schema` is a JSON Schema of its arguments.

    `mode` is the least permission mode that allows the tool without naming it; None: it has to be
    named in `allowed_tools`. A call of a tool that `changes` something outside the record is on record
    before it is carried out. `requests` is what one call counts against `max_requests`.
    """

    name: str
    description: str
    input_schema: dict[str, JsonValue]
    mode: Mode | None = None
    changes: bool = False
    requests: int = 1
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """The end of a call: a JSON value, or why there is none."""

    value: JsonValue = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether something can be used, in one sentence; `remedy` says what to do if not."""

    usable: bool
    version: str = ""
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Where a call may work: the project directory (absolute, resolved) and how far it may reach."""

    root: str
    mode: Mode = field(default=Mode.READ)
