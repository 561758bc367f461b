"""What a runner is given and what it ends with."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from engine_mcp.core.budget import Usage
from engine_mcp.core.execution import Failure, Progress
from engine_mcp.core.plan import StepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTask:
    """One attempt of an agent step: the step, where it works, and what it may use.

    `outputs` are the results of the step's dependencies by id; `session` names the session to go on
    with or to begin; `reserved` is what the attempt may spend.
    """

    execution_id: str
    step: StepSpec
    project: str
    number: int
    context: JsonValue = None
    outputs: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    session: str | None = None
    reserved: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReport:
    """News of an attempt under way: what it used since the last report, and how far it is."""

    usage: Usage = field(default_factory=Usage)
    progress: Progress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentResult:
    """The end of an attempt; `output` may be partial where there is a failure.

    `usage` is what no report has told yet.
    """

    output: JsonValue = None
    usage: Usage = field(default_factory=Usage)
    failure: Failure | None = None
