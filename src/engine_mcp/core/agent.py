"""What a runner is given, what it tells and asks on the way, and what it ends with."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from engine_mcp.core.brief import Prompt
from engine_mcp.core.budget import Usage
from engine_mcp.core.execution import Failure, Progress
from engine_mcp.core.plan import StepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTask:
    """One attempt of an agent step: what to do, where, on which model and in which session.

    `model` is the runtime's own id of it, None for the runtime's default. `session` names the session
    to begin, or with `begun` the one that an earlier attempt began or was about to begin. `reserved` is
    what the attempt may spend; an amount of 0 sets no bound.
    """

    execution_id: str
    step: StepSpec
    number: int
    project: str
    prompt: Prompt
    model: str | None = None
    session: str | None = None
    begun: bool = False
    reserved: Usage = field(default_factory=Usage)

    @property
    def mark(self) -> str:
        """What tells the processes of this attempt from all others; they carry it in their environment."""
        return f"{self.execution_id}/{self.step.id}/{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReport:
    """News of an attempt under way, each part told once: use and text since the last report.

    `model` is the one that was used, as the runtime names it; empty where it does not say. A cost with
    the basis `reported` is that of everything used since the last report of a cost. `called` is a digest
    of name and arguments of a tool call that the runtime made by itself.
    """

    usage: Usage = field(default_factory=Usage)
    model: str = ""
    called: str = ""
    progress: Progress | None = None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCall:
    """A tool call of a model; `id` is unique in the conversation and the same whenever it is asked again.

    `inner`: a script makes it that the model wrote.
    """

    id: str
    name: str
    arguments: JsonValue = None
    inner: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentResult:
    """The end of an attempt; `output` may be partial where there is a failure.

    `usage` is what no report has told yet, on `model`; a cost in it counts as in a report. `windows` are
    those of models in tokens, as far as the runtime says.
    """

    output: JsonValue = None
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    windows: Mapping[str, int] = field(default_factory=dict[str, int])
    failure: Failure | None = None
