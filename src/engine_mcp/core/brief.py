"""What a prompt is made of, and the prompt itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from engine_mcp.core.handoff import Packet
from engine_mcp.core.plan import Mode, TaskType


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What an agent is to be: `text` goes into its prompt; `tier` is the model tier it needs, if any."""

    name: str
    description: str
    text: str
    tier: str | None = None
    source: str = "built in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """Written experience for a kind of work; `path` is where it was found."""

    name: str
    description: str
    text: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The output of a dependency as a prompt shows it; `path` is where the whole of it lies, if it is cut.

    `facts` are what the part that is not shown says, word for word.
    """

    step: str
    text: str
    path: str | None = None
    size: int | None = None
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """Everything that the prompt of one attempt is made of.

    `files` are paths relative to `project`; `hands_on` asks for a handoff packet at the end of the
    answer; `again` says why an earlier attempt in the same session did not end. `pins` are to be kept in mind
    word for word.
    """

    task: str
    project: str
    task_type: TaskType = TaskType.FEATURE
    mode: Mode = Mode.READ
    role: str | None = None
    skills: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    context: JsonValue = None
    pins: tuple[str, ...] = ()
    outputs: tuple[Shown, ...] = ()
    packets: Mapping[str, Packet] = field(default_factory=dict[str, Packet])
    hands_on: bool = False
    output_schema: JsonValue = None
    again: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryBrief:
    """Everything that the prompt of a summary is made of.

    `source` is the segment to summarize, as text; `previous` the summary before it, as JSON, which is to be
    brought up to date. `pins` are the facts that must stay as they are. `most_tokens` bounds the answer.
    """

    task: str
    project: str
    source: str
    task_type: TaskType = TaskType.FEATURE
    previous: str = ""
    pins: tuple[str, ...] = ()
    most_tokens: int = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A finished prompt: who the agent is, what to do, and what to say where its session goes on."""

    system: str
    text: str
    again: str
