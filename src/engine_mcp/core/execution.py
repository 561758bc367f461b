"""The state: Execution ▸ Step ▸ Attempt, frozen values that only `core.evolve` makes new ones of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from engine_mcp.core.budget import Limits, Usage
from engine_mcp.core.charge import Charge
from engine_mcp.core.choice import Choice
from engine_mcp.core.output import Artifact, Output
from engine_mcp.core.plan import Plan, StepSpec
from engine_mcp.core.route import Domain, Route
from engine_mcp.core.script import Isolation, LimitHit, LogLine, Outcome, ScriptError
from engine_mcp.core.summary import Shape, Summary


class ExecutionStatus(StrEnum):
    """Where an execution stands; `core.transitions` says which changes are legal."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepStatus(StrEnum):
    """Where a step stands; `core.transitions` says which changes are legal."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"
    AWAITING_APPROVAL = "awaiting_approval"


SETTLED = frozenset({StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED})
"""The statuses that last unless somebody asks for the step again."""


class AttemptStatus(StrEnum):
    """How one try at a step stands or ended."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    LOST = "lost"


class StopMode(StrEnum):
    """How to stop: attempts at once, after the running steps, for a pause, or for good."""

    NOW = "now"
    AFTER_STEP = "after_step"
    PAUSE = "pause"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt or step failed, as a code of `errors.CATALOGUE` with message and hint.

    `retry_after_s` is how long whoever failed asks to be left alone, `retry_at` (Unix seconds) when that
    is over, or when a quota resets; the engine makes the second of the first.
    """

    code: str
    message: str
    hint: str = ""
    retry_after_s: float | None = None
    retry_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCall:
    """A host call of a script with its answer, kept for replay until the step is completed.

    `digest` covers name and arguments; `at_ms` is the clock that the script saw at the delivery.
    """

    ordinal: int
    name: str
    digest: str
    at_ms: int
    output: Output | None = None
    error_name: str = ""
    error_message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message of a conversation, as JSON of the provider's own shape; `output` holds it."""

    role: str
    output: Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What an approval is waited for: since when and until when (Unix seconds, None: without end).

    `call` names the tool of a call that waits, `digest` tells it from others and `arguments` shows the
    beginning of what it is called with; all empty where the whole step waits.
    """

    since: float
    until: float | None = None
    call: str = ""
    digest: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """A step that went from one route to another: when, what was broken, and the evidence in words."""

    at: float
    origin: Route
    to: Route
    domain: Domain
    code: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptReport:
    """What a script run leaves besides its value."""

    outcome: Outcome
    error: ScriptError | None = None
    limit: LimitHit | None = None
    logs: tuple[LogLine, ...] = ()
    logs_dropped: int = 0
    isolation: Isolation | None = None
    cpu_ms: float = 0.0
    max_rss_kb: int = 0
    calls: int = 0


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try at a step, with its reservation while it runs and its usage once it ended.

    `partial` is the end of the text that a runner has streamed, kept unless the attempt succeeded.
    `charges` are what its models took, so far as it was told.
    """

    number: int
    started_at: float
    epoch: int
    seed: int = 0
    clock_ms: int = 0
    ended_at: float | None = None
    status: AttemptStatus = AttemptStatus.RUNNING
    runtime: str | None = None
    model: str | None = None
    session: str | None = None
    reserved: Usage = field(default_factory=Usage)
    usage: Usage = field(default_factory=Usage)
    failure: Failure | None = None
    report: ScriptReport | None = None
    partial: str | None = None
    charges: tuple[Charge, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The newest progress report of a step; `total` None when it is not known."""

    done: float
    total: float | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A planned step and what became of it.

    `tries` counts the failed attempts since the step was last asked for, `requests` those of the
    attempt under way; `calls` are the recorded calls that another attempt would not make again, and
    `unanswered` the digests of calls that were begun and have no answer on record, both by ordinal.
    `used` is what the attempt under way has said that it used, its recorded calls left out.
    `choice` says what carries out an agent step, `session` where the next attempt goes on, `messages`
    is the conversation of that session where this engine holds it, `shape` how much of it is shown and
    `summaries` what stands for the rest, the newest last; `summarize`: it is to be reduced before the
    next turn, whether it must or not. `asking` is the approval that is
    waited for, `granted` holds the digests of the calls that were approved, and `switches` the changes
    of route since the step was last asked for.
    """

    spec: StepSpec
    status: StepStatus = StepStatus.PENDING
    attempts: tuple[Attempt, ...] = ()
    tries: int = 0
    output: Output | None = None
    failure: Failure | None = None
    approved: bool = False
    progress: Progress | None = None
    calls: Mapping[int, RecordedCall] = field(default_factory=dict[int, RecordedCall])
    requests: int = 0
    used: Usage = field(default_factory=Usage)
    choice: Choice | None = None
    session: str | None = None
    messages: tuple[Message, ...] = ()
    shape: Shape = field(default_factory=Shape)
    summaries: tuple[Summary, ...] = ()
    summarize: bool = False
    unanswered: Mapping[int, str] = field(default_factory=dict[int, str])
    asking: Asking | None = None
    granted: frozenset[str] = frozenset()
    switches: tuple[Switched, ...] = ()

    @property
    def attempt(self) -> Attempt | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def settled(self) -> bool:
        """Whether nothing more will happen to the step unless somebody asks."""
        return self.status in SETTLED

    @property
    def satisfied(self) -> bool:
        """Whether steps that depend on this one may start: it completed, or was optional and ended."""
        return self.status is StepStatus.COMPLETED or (self.spec.optional and self.settled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """A stop that was asked for and is not finished: how, why, and for whom."""

    mode: StopMode
    reason: str


@dataclass(frozen=True, kw_only=True)
class Execution:
    """The complete state of one run of a plan after `revision` events.

    Times are Unix seconds. `active_s` is the time spent running before `running_since`;
    `warned` names the limits that were passed with a warning; `epoch` counts the processes that have
    driven the execution. `until` is when what a paused one waits for comes by itself, if it does.
    """

    id: str
    plan: Plan
    created_at: float
    budget: Limits
    revision: int = 0
    epoch: int = 0
    status: ExecutionStatus = ExecutionStatus.PENDING
    steps: Mapping[str, Step] = field(default_factory=dict[str, Step])
    usage: Usage = field(default_factory=Usage)
    stopping: Stopping | None = None
    reason: str | None = None
    warnings: tuple[str, ...] = ()
    warned: frozenset[str] = frozenset()
    artifacts: tuple[Artifact, ...] = ()
    running_since: float | None = None
    active_s: float = 0.0
    ended_at: float | None = None
    until: float | None = None
    updated_at: float = 0.0

    def active_seconds(self, now: float) -> float:
        """Seconds this execution has been running up to `now`, pauses left out."""
        open_since = 0.0 if self.running_since is None else max(0.0, now - self.running_since)
        return self.active_s + open_since

    @property
    def running(self) -> tuple[Step, ...]:
        """The steps that have an attempt under way."""
        return tuple(step for step in self.steps.values() if step.status is StepStatus.RUNNING)
