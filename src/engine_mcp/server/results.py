"""What the five tools give: these models are the output schemas that are listed.

A field that is None is left out of the result.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from engine_mcp.core.breaker import BreakerState
from engine_mcp.core.budget import OnExceed
from engine_mcp.core.execution import AttemptStatus, ExecutionStatus, StepStatus, StopMode
from engine_mcp.core.period import Period
from engine_mcp.core.plan import StrategyName
from engine_mcp.core.route import Domain
from engine_mcp.core.script import Outcome
from engine_mcp.server.json_schema import Schema, schema_of

JsonObject = dict[str, JsonValue]


class Shown(BaseModel):
    """Something that is shown to a client."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    def dumped(self) -> JsonObject:
        """The JSON object of it."""
        return self.model_dump(mode="json", exclude_none=True, by_alias=True)


class Action(Shown):
    """A call that would help now."""

    why: str
    tool: str
    arguments: dict[str, Any]


class ShownError(Shown):
    """Why something failed, and what to do about it."""

    code: str
    message: str
    hint: str
    domain: Annotated[Domain | None, Field(description="What is broken.")] = None
    retry_at: Annotated[str | None, Field(description="UTC; not worth another try before.")] = None
    next_actions: Annotated[list[Action] | None, Field(description="Calls that help.")] = None


class ShownTime(Shown):
    """A time to come."""

    at: Annotated[str, Field(description="UTC.")]
    in_s: Annotated[float, Field(description="Seconds from now.")]


class ShownRoute(Shown):
    """Where attempts go."""

    runtime: str
    model: str | None = None


class ShownAsking(Shown):
    """An approval that is waited for."""

    call: Annotated[str | None, Field(description="The call that waits; none: the whole step.")] = None
    arguments: Annotated[str | None, Field(description="First characters of its arguments.")] = None
    since: Annotated[str, Field(description="UTC.")]
    until: ShownTime | None = None


class ShownFallback(Shown):
    """A step that goes another way than the first choice."""

    step: str
    origin: Annotated[ShownRoute, Field(serialization_alias="from")]
    to: ShownRoute
    reason: str
    domain: Annotated[Domain | None, Field(description="What was broken; none: before the start.")] = None
    code: str | None = None
    at: Annotated[str | None, Field(description="UTC.")] = None


class ShownArtifact(Shown):
    """A large or named output, kept in a file."""

    digest: str
    size: Annotated[int, Field(description="Bytes.")]
    media_type: str
    path: Annotated[str, Field(description="The file.")]
    name: str | None = None
    excerpt: str | None = None


class ShownProgress(Shown):
    """How far a step says it is."""

    done: float
    total: float | None = None
    message: str | None = None


class ShownWindow(Shown):
    """A model's window."""

    tokens: int
    source: Annotated[str, Field(description="Who says so; assumed: nobody.")]


class ShownSummary(Shown):
    """What stands for older messages."""

    id: str
    parent: Annotated[str | None, Field(description="The summary that it is built on.")] = None
    level: int
    first: Annotated[str, Field(description="First message that it stands for.")]
    last: str
    tokens_before: Annotated[int, Field(description="Of the whole conversation.")]
    tokens_after: int
    model: Annotated[str | None, Field(description="None: extracted by code.")] = None
    cost_usd: float
    fallback: Annotated[str | None, Field(description="Why code had to write it.")] = None


class ShownContext(Shown):
    """A conversation that the engine holds or held, and how much of it the model is shown."""

    window: ShownWindow | None = None
    messages: Annotated[
        int | None, Field(description="All of them, m0 being the first; none once completed.")
    ] = None
    tokens_after: Annotated[int | None, Field(description="As the last summary left it.")] = None
    masked: Annotated[
        int | None, Field(description="Before this message, results of tools are shown as stubs.")
    ] = None
    summarizing: Annotated[bool | None, Field(description="A summary is being written.")] = None
    to_summarize: Annotated[bool | None, Field(description="One was asked for.")] = None
    summarized: Annotated[int, Field(description="How often.")]
    summaries: Annotated[list[ShownSummary] | None, Field(description="The newest last.")] = None


class ShownStep(Shown):
    """A step and what became of it."""

    id: str
    status: StepStatus
    outcome: Annotated[Outcome | None, Field(description="How the last script run ended.")] = None
    agent: Annotated[str | None, Field(description="Its role.")] = None
    runtime: str | None = None
    model: str | None = None
    skills: list[str] | None = None
    why: Annotated[list[str] | None, Field(description="Why these were chosen.")] = None
    session: Annotated[str | None, Field(description="Where the next attempt goes on.")] = None
    attempts: int
    progress: ShownProgress | None = None
    context: Annotated[ShownContext | None, Field(description="Its conversation, on `api`.")] = None
    output: Annotated[JsonValue, Field(description="Its result; left out if null.")] = None
    excerpt: Annotated[str | None, Field(description="First characters of a result that is cut.")] = None
    artifact: Annotated[ShownArtifact | None, Field(description="Its result, if large.")] = None
    served_by: Annotated[ShownRoute | None, Field(description="What gave the result.")] = None
    waits_for: Annotated[ShownAsking | None, Field(description="The approval it waits for.")] = None
    error: ShownError | None = None
    impact: Annotated[list[str] | None, Field(description="Steps that cannot run because of it.")] = None


class ShownUsage(Shown):
    """What was used."""

    tokens_in: int
    tokens_out: int
    cache_read: int
    cache_write: int
    requests: int
    seconds: float
    cost_usd: float
    cost_basis: str


class ShownLimits(Shown):
    """The limits that are set."""

    max_tokens: int | None = None
    max_cost_usd: float | None = None
    max_seconds: float | None = None
    max_requests: int | None = None
    on_exceed: OnExceed | None = None


class Amounts(Shown):
    """An amount of each resource; left out where it does not apply."""

    tokens: int | None = None
    cost_usd: float | None = None
    seconds: float | None = None
    requests: int | None = None


class ShownStop(Shown):
    """A stop that is under way."""

    mode: StopMode
    reason: str


class ShownExecution(Shown):
    """An execution, whole or condensed to a few kilobytes."""

    execution_id: str
    status: ExecutionStatus
    reason: Annotated[str | None, Field(description="Why it rests.")] = None
    until: Annotated[ShownTime | None, Field(description="When what it waits for comes by itself.")] = None
    stopping: ShownStop | None = None
    happened: Annotated[str | None, Field(description="What this call did.")] = None
    strategy: StrategyName
    task: str | None = None
    path: str
    steps: list[ShownStep]
    step_counts: Annotated[dict[str, int], Field(description="How many steps are in each status.")]
    output: Annotated[JsonValue, Field(description="The result, null while there is none.")] = None
    excerpt: Annotated[str | None, Field(description="First characters of a result that is cut.")] = None
    artifact: Annotated[ShownArtifact | None, Field(description="The result, if large.")] = None
    artifacts: Annotated[list[ShownArtifact] | None, Field(description="What steps wrote, by name.")] = None
    usage: ShownUsage
    budget: ShownLimits
    warnings: list[str]
    fallbacks: Annotated[list[ShownFallback], Field(description="Steps that go another way.")]
    eta: Annotated[float | None, Field(description="Seconds left, where that can be told.")] = None
    next_poll_s: Annotated[float | None, Field(description="Ask again after so many seconds.")] = None
    next_actions: Annotated[list[Action] | None, Field(description="Calls that help now.")] = None
    events: Annotated[list[JsonObject] | None, Field(description="Events after the cursor.")] = None
    cursor: Annotated[int | None, Field(description="Give this to see later events.")] = None
    more: Annotated[bool | None, Field(description="Later events exist already.")] = None
    snapshot: Annotated[str, Field(description="File with the complete state.")]
    truncated: Annotated[str | None, Field(description="What was left out, and where it is.")] = None


class ListedExecution(Shown):
    """An execution in a list."""

    execution_id: str
    status: ExecutionStatus
    title: str
    created_at: Annotated[str, Field(description="UTC.")]
    updated_at: Annotated[str, Field(description="UTC.")]
    steps: int
    done: int
    reason: str | None = None


class ShownHealth(Shown):
    """Whether something can be used."""

    usable: bool
    version: str | None = None
    detail: str | None = None
    remedy: str | None = None


class ShownLoad(Shown):
    """How busy the engine is, and how busy it may be."""

    running: int
    pending: int
    executions: int
    steps_running: int
    steps: int


class ShownBreaker(Shown):
    """What is broken or has failed lately."""

    part: Annotated[str, Field(description="Which runtime, endpoint, account or model.")]
    state: Annotated[BreakerState, Field(description="open: not tried; half_open: being tried out.")]
    failures: Annotated[int, Field(description="Since the last success.")]
    code: str
    evidence: Annotated[str, Field(description="What the newest failure said.")]
    retry_at: Annotated[str | None, Field(description="UTC; none while open: once somebody resumes.")] = None


class ShownSpending(Shown):
    """What all executions of the user spend together in a period."""

    spent: Amounts
    limits: ShownLimits | None = None
    caps: Annotated[ShownLimits | None, Field(description="The operator's; cannot be raised here.")] = None
    reserved: Annotated[Amounts | None, Field(description="What running attempts may still use.")] = None
    remaining: Annotated[Amounts | None, Field(description="What is left, where a limit is set.")] = None
    resets_at: Annotated[str | None, Field(description="UTC.")] = None


class ShownPeriods(Shown):
    """What is spent in the periods that hold this moment."""

    day: ShownSpending
    month: ShownSpending


class Overview(Shown):
    """The engine and its executions."""

    executions: list[ListedExecution]
    total: Annotated[int, Field(description="Executions that match.")]
    next: Annotated[str | None, Field(description="Give this as after for the next page.")] = None
    runtimes: dict[str, ShownHealth]
    tools: dict[str, ShownHealth]
    strategies: list[str]
    load: ShownLoad
    breakers: Annotated[list[ShownBreaker], Field(description="What is broken or has failed lately.")]
    spending: Annotated[ShownPeriods | None, Field(description="Of all executions of the user.")] = None


class LedgerEntry(Shown):
    """What an attempt used of one model, or besides models."""

    step: str
    attempt: int
    status: AttemptStatus
    model: Annotated[str | None, Field(description="As its runtime names it.")] = None
    tokens: int
    requests: Annotated[int | None, Field(description="Of the attempt, in its first entry.")] = None
    seconds: Annotated[float | None, Field(description="Of the attempt, in its first entry.")] = None
    cost_usd: Annotated[float, Field(description="What counts.")]
    cost_basis: str
    reported_usd: Annotated[float | None, Field(description="What the runtime said.")] = None
    computed_usd: Annotated[float | None, Field(description="What the price list says.")] = None
    price: Annotated[str | None, Field(description="The price list and its version.")] = None


class Account(Shown):
    """The budget of an execution."""

    scope: str
    execution_id: str
    status: ExecutionStatus
    limits: ShownLimits
    spent: Amounts
    reserved: Annotated[Amounts, Field(description="What running attempts may still use.")]
    remaining: Annotated[Amounts, Field(description="What is left, where a limit is set.")]
    warnings: list[str]
    entries: Annotated[list[LedgerEntry], Field(description="One for each attempt and model; newest last.")]
    entries_total: int
    next: Annotated[int | None, Field(description="Give this as after for later entries.")] = None
    drift: Annotated[
        float | None, Field(description="Part by which reported costs exceed computed ones.")
    ] = None
    audit: Annotated[list[str] | None, Field(description="Where totals and journal differ.")] = None
    happened: Annotated[str | None, Field(description="What this call did.")] = None
    truncated: Annotated[str | None, Field(description="What was left out, and where it is.")] = None


class ShownChange(Shown):
    """A change of the shared limits, on record."""

    at: Annotated[str, Field(description="UTC.")]
    by: str
    before: ShownLimits
    after: ShownLimits
    spent: Annotated[Amounts, Field(description="What had been spent by then.")]
    reset: bool


class PeriodAccount(Shown):
    """The limits that all executions of the user share in a day or month."""

    scope: Period
    limits: ShownLimits
    caps: Annotated[ShownLimits | None, Field(description="The operator's; cannot be raised here.")] = None
    spent: Amounts
    reserved: Annotated[Amounts, Field(description="What running attempts may still use.")]
    remaining: Annotated[Amounts, Field(description="What is left, where a limit is set.")]
    resets_at: Annotated[str | None, Field(description="UTC, where a limit is set.")] = None
    warnings: list[str]
    changes: Annotated[list[ShownChange], Field(description="The newest first.")]
    happened: Annotated[str | None, Field(description="What this call did.")] = None
    truncated: Annotated[str | None, Field(description="What was left out, and where it is.")] = None


class Refusal(ShownError):
    """An error of a tool, with the argument it is about."""

    field: str | None = None
    retry_after_s: Annotated[float | None, Field(description="The same call may succeed then.")] = None


def output_schema(*models: type[Shown]) -> Schema:
    """The schema of a tool's result: any of the models, or a refusal.

    One object with the fields of all, because clients want an object at the root and check refusals
    against it too; `anyOf` says which fields belong together.
    """
    schemas = [schema_of(model, "serialization") for model in (*models, Refusal)]
    properties: Schema = {}
    for schema in schemas:
        properties = schema["properties"] | properties
    needed = [{"required": schema["required"]} for schema in schemas]
    return {"type": "object", "properties": properties, "anyOf": needed, "additionalProperties": False}
