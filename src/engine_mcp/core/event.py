"""What happened: frozen events in past tense. An execution is the fold of its events.

`kind` tags an event in the journal; `at` is Unix seconds. A field may be added with a default;
any other change of a shape needs a migration of the record.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from engine_mcp.core.budget import Limits, Resource, Usage
from engine_mcp.core.charge import Charge
from engine_mcp.core.choice import Choice
from engine_mcp.core.conversation import (
    MessageRecorded,
    ResultsMasked,
    SessionOpened,
    SummariesUndone,
    SummaryFinished,
    SummaryRequested,
    SummaryStarted,
    TextStreamed,
)
from engine_mcp.core.execution import (
    Artifact,
    Asking,
    Failure,
    Output,
    Progress,
    RecordedCall,
    ScriptReport,
    StopMode,
    Switched,
)
from engine_mcp.core.period import Period
from engine_mcp.core.plan import Plan, StepSpec, Unanswered
from engine_mcp.core.window import WindowLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionCreated:
    """A plan was accepted; `budget` has the defaults of the operator filled in.

    `choices` says what carries out each agent step, by step id, `missing` why nothing can carry out an
    optional one.
    """

    at: float
    execution_id: str
    plan: Plan
    budget: Limits
    choices: Mapping[str, Choice] = field(default_factory=dict[str, Choice])
    missing: Mapping[str, Failure] = field(default_factory=dict[str, Failure])
    kind: Literal["execution_created"] = "execution_created"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionStarted:
    """A process took the lease and drives the execution from here on."""

    at: float
    epoch: int
    owner: str
    kind: Literal["execution_started"] = "execution_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResumed:
    """Somebody asked to go on, with these changes; step ids in `approve`, `deny`, `redo`.

    `steps` replaces every step that is not completed; `redo` lists the steps whose results are dropped.
    `choices` are those that changed, by step id. `window` changes when conversations are reduced; those of
    the steps in `summarize` are at their next turn, those in `restore` go on with their original messages.
    """

    at: float
    budget: Limits = field(default_factory=Limits)
    approve: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    runtime: str | None = None
    model: str | None = None
    steps: tuple[StepSpec, ...] = ()
    redo: tuple[str, ...] = ()
    step_budgets: Mapping[str, Limits] = field(default_factory=dict[str, Limits])
    choices: Mapping[str, Choice] = field(default_factory=dict[str, Choice])
    missing: Mapping[str, Failure] = field(default_factory=dict[str, Failure])
    window: WindowLimits = field(default_factory=WindowLimits)
    summarize: tuple[str, ...] = ()
    restore: tuple[str, ...] = ()
    kind: Literal["execution_resumed"] = "execution_resumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequested:
    """A stop was asked for; `reason` says by whom or why."""

    at: float
    mode: StopMode
    reason: str
    kind: Literal["stop_requested"] = "stop_requested"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSet:
    """The limits were changed: only the values given, or with `replaces` all of them."""

    at: float
    budget: Limits
    replaces: bool = False
    kind: Literal["budget_set"] = "budget_set"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetWarned:
    """A limit was passed and the execution goes on; of `period`, of one `step`, or of the execution.

    `until` is when the period ends, in Unix seconds.
    """

    at: float
    resource: Resource
    limit: float
    used: float
    period: Period | None = None
    until: float | None = None
    step: str = ""
    kind: Literal["budget_warned"] = "budget_warned"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequested:
    """A step, or a call that it wants to make, waits for somebody to approve it."""

    at: float
    step: str
    asking: Asking | None = None
    kind: Literal["approval_requested"] = "approval_requested"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAnswered:
    """An approval that a step waits for was given or refused; `by` says who did, or what."""

    at: float
    step: str
    answer: Unanswered
    by: str
    kind: Literal["approval_answered"] = "approval_answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSwitched:
    """The attempts of a step go another way from now on; its session is left behind."""

    at: float
    step: str
    switch: Switched
    kind: Literal["route_switched"] = "route_switched"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSkipped:
    """A step will not run, because of `failure`."""

    at: float
    step: str
    failure: Failure
    kind: Literal["step_skipped"] = "step_skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted:
    """A try at a step begins; durable before anything is started.

    `seed` and `clock_ms` (Unix time) make a script's `Math.random` and `Date` repeatable.
    """

    at: float
    step: str
    number: int
    seed: int = 0
    clock_ms: int = 0
    runtime: str | None = None
    model: str | None = None
    session: str | None = None
    reserved: Usage = field(default_factory=Usage)
    kind: Literal["attempt_started"] = "attempt_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReported:
    """An attempt used this much since it last said so; its end does not say it again."""

    at: float
    step: str
    number: int
    usage: Usage
    charge: Charge | None = None
    kind: Literal["usage_reported"] = "usage_reported"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStarted:
    """A script or a model called a tool; durable before the call where the tool has an effect."""

    at: float
    step: str
    number: int
    ordinal: int
    name: str
    digest: str
    kind: Literal["call_started"] = "call_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecorded:
    """A call of a script or a model was answered."""

    at: float
    step: str
    number: int
    call: RecordedCall
    requests: int = 0
    kind: Literal["call_recorded"] = "call_recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactWritten:
    """A step wrote a named artifact."""

    at: float
    step: str
    artifact: Artifact
    kind: Literal["artifact_written"] = "artifact_written"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressReported:
    """A step said how far it is."""

    at: float
    step: str
    progress: Progress
    kind: Literal["progress_reported"] = "progress_reported"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSucceeded:
    """A try ended with an output, which is the step's result."""

    at: float
    step: str
    number: int
    output: Output
    usage: Usage = field(default_factory=Usage)
    report: ScriptReport | None = None
    kind: Literal["attempt_succeeded"] = "attempt_succeeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed:
    """A try failed; `final` when the policy allows no other, and then `affects` the steps that need it."""

    at: float
    step: str
    number: int
    failure: Failure
    final: bool = True
    usage: Usage = field(default_factory=Usage)
    report: ScriptReport | None = None
    output: Output | None = None
    affects: tuple[str, ...] = ()
    kind: Literal["attempt_failed"] = "attempt_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptInterrupted:
    """A try was stopped before its end; its recorded calls and session are kept."""

    at: float
    step: str
    number: int
    usage: Usage = field(default_factory=Usage)
    kind: Literal["attempt_interrupted"] = "attempt_interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLost:
    """The process that ran a try is gone and has not said how the try ended.

    `usage` is an estimate of what was used and not told.
    """

    at: float
    step: str
    number: int
    usage: Usage = field(default_factory=Usage)
    kind: Literal["attempt_lost"] = "attempt_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionPaused:
    """Nothing runs; the execution waits for budget, approval, storage or a quota.

    `until` is when that comes by itself (Unix seconds), where it is known; `why` says more than the reason.
    """

    at: float
    reason: str
    until: float | None = None
    why: str = ""
    kind: Literal["execution_paused"] = "execution_paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionInterrupted:
    """Nothing runs, because somebody stopped it or its process died."""

    at: float
    reason: str
    kind: Literal["execution_interrupted"] = "execution_interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionCompleted:
    """Every step that matters completed; `usage` is what it took in all."""

    at: float
    usage: Usage = field(default_factory=Usage)
    kind: Literal["execution_completed"] = "execution_completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFailed:
    """A step that matters failed and nothing more can run."""

    at: float
    reason: str
    kind: Literal["execution_failed"] = "execution_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionCancelled:
    """Somebody ended the execution for good."""

    at: float
    reason: str
    kind: Literal["execution_cancelled"] = "execution_cancelled"


Event = (
    ExecutionCreated
    | ExecutionStarted
    | ExecutionResumed
    | StopRequested
    | BudgetSet
    | BudgetWarned
    | ApprovalRequested
    | ApprovalAnswered
    | RouteSwitched
    | StepSkipped
    | AttemptStarted
    | SessionOpened
    | MessageRecorded
    | TextStreamed
    | ResultsMasked
    | SummaryRequested
    | SummaryStarted
    | SummaryFinished
    | SummariesUndone
    | UsageReported
    | CallStarted
    | CallRecorded
    | ArtifactWritten
    | ProgressReported
    | AttemptSucceeded
    | AttemptFailed
    | AttemptInterrupted
    | AttemptLost
    | ExecutionPaused
    | ExecutionInterrupted
    | ExecutionCompleted
    | ExecutionFailed
    | ExecutionCancelled
)
"""Any event."""
