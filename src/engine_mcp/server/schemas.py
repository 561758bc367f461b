"""The arguments of the five tools. These models are the schemas that are listed and the parsers too."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from engine_mcp.core.budget import MOST_COUNTED, MOST_SECONDS, MOST_USD, OnExceed
from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.core.plan import MAX_STEPS, Mode, OnCancel, TaskType, Unanswered
from engine_mcp.core.route import Allowed
from engine_mcp.core.window import LEAST_TARGET, LEAST_TOKENS, LEAST_TRIGGER, MOST_TOKENS
from engine_mcp.errors import InvalidArgument

TEXT_MAX = 4 << 20
MOST_PINS, LONGEST_PIN = 50, 2000
DAY_S = 86_400
YEAR_S = 365 * DAY_S
WAIT_S = 20

Text = Annotated[str, Field(min_length=1, max_length=TEXT_MAX)]
Name = Annotated[str, Field(min_length=1, max_length=128)]
Names = Annotated[list[Name], Field(max_length=MAX_STEPS)]
StepId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]
Pin = Annotated[str, Field(min_length=1, max_length=LONGEST_PIN)]
StepIds = Annotated[list[StepId], Field(max_length=MAX_STEPS)]
Object = dict[str, JsonValue]
Count = Annotated[int, Field(ge=0, le=MOST_COUNTED)]
Seconds = Annotated[float, Field(gt=0, le=DAY_S)]
ID_PATTERN = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
ExecutionId = Annotated[str, Field(pattern=ID_PATTERN)]
Strategy = Literal["auto", "single", "multi", "parallel"]
Runtime = (
    Literal["claude-code", "opencode", "api", "command"]
    | Annotated[str, Field(pattern=r"^command:[a-z0-9][a-z0-9_-]{0,63}$")]
)
WaitS = Annotated[float, Field(ge=0, le=600)]


class Arguments(BaseModel):
    """What a caller may say; anything else is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)


def refuse(said: Arguments, why: str, *names: str) -> None:
    """Raise InvalidArgument for the first of the arguments named that was given."""
    for name in names:
        if getattr(said, name) != type(said).model_fields[name].default:
            raise InvalidArgument(f"{name} {why}.", field=name)


class BudgetArgument(Arguments):
    """Limits; what is left out sets none."""

    max_tokens: Annotated[Count | None, Field(description="Tokens of all kinds together.")] = None
    max_cost_usd: Annotated[float | None, Field(ge=0, le=MOST_USD, description="US dollars.")] = None
    max_seconds: Annotated[float | None, Field(ge=0, le=MOST_SECONDS, description="Seconds of running.")] = (
        None
    )
    max_requests: Annotated[Count | None, Field(description="Model calls and tool calls.")] = None
    on_exceed: Annotated[
        OnExceed | None,
        Field(description="At a limit: go on with a warning, or keep everything and wait for more."),
    ] = None


class LimitsArgument(Arguments):
    """What one script may use; never above the operator's own limits."""

    memory_mb: Annotated[int | None, Field(ge=8, le=16384, description="MiB; default 128.")] = None
    cpu_s: Annotated[Seconds | None, Field(description="CPU seconds; default 30.")] = None
    wall_s: Annotated[Seconds | None, Field(description="Seconds in all; default 60.")] = None
    stack_kb: Annotated[int | None, Field(ge=64, le=4096, description="KiB; default 512.")] = None
    max_calls: Annotated[int | None, Field(ge=1, le=10**6, description="Host calls; default 256.")] = None
    max_output_kb: Annotated[
        int | None, Field(ge=1, le=32768, description="KiB of returned JSON; default 4096.")
    ] = None


class WindowArgument(Arguments):
    """When a conversation of `api` is made shorter; what is left out stays as it is."""

    trigger: Annotated[
        float | None,
        Field(ge=LEAST_TRIGGER, le=1, description="At this share of what the window leaves; default 0.8."),
    ] = None
    max_tokens: Annotated[
        int | None,
        Field(ge=LEAST_TOKENS, le=MOST_TOKENS, description="Or at so many tokens; default 150000."),
    ] = None
    target: Annotated[
        float | None, Field(ge=LEAST_TARGET, lt=1, description="Down to this share; default 0.45.")
    ] = None
    model: Annotated[Name | None, Field(description="What writes summaries; default: a cheap one.")] = None
    price_cliffs: Annotated[bool | None, Field(description="Also before the model's price rises.")] = None


class PermissionsArgument(Arguments):
    """How far the work may reach into the project."""

    mode: Annotated[Mode, Field(description="No files, read files, or write files.")] = Mode.READ
    allowed_tools: Annotated[
        Names | None,
        Field(
            description="The only tools it may use, by name; agents also: shell, shell(PATTERN) as in"
            " shell(git *), web, script. [] allows none. Default: the file tools of the mode."
        ),
    ] = None


class StepArgument(Arguments):
    """One step; exactly one of task, code and tool says its work."""

    id: Annotated[StepId, Field(description="Its name, for depends_on and outputs.")]
    task: Annotated[Text | None, Field(description="Work for an agent, in words.")] = None
    code: Annotated[Text | None, Field(description="A script.")] = None
    tool: Annotated[Name | None, Field(description="A tool to call once.")] = None
    arguments: Annotated[Object | None, Field(description="Arguments of that tool.")] = None
    depends_on: Annotated[StepIds, Field(description="Steps that must end before.")] = []
    agent: Annotated[Name | None, Field(description="Role of the agent; default: by the task.")] = None
    model: Annotated[Name | None, Field(description="Model of the agent; default: by the task.")] = None
    runtime: Annotated[Runtime | None, Field(description="Runtime of the agent; default: first usable.")] = (
        None
    )
    skills: Annotated[Names, Field(description="Skills of the agent; default: by the task.")] = []
    permissions: PermissionsArgument = PermissionsArgument()
    output_schema: Annotated[Object | None, Field(description="JSON Schema its output must meet.")] = None
    optional: Annotated[bool, Field(description="Its failure does not fail the execution.")] = False
    requires_approval: Annotated[bool, Field(description="Waits for approve in engine_resume.")] = False
    approval_timeout_s: Annotated[
        float | None, Field(gt=0, le=YEAR_S, description="Seconds to wait for it; default: without end.")
    ] = None
    if_unanswered: Annotated[Unanswered, Field(description="What becomes of it after that.")] = (
        Unanswered.DENY
    )
    timeout_s: Annotated[Seconds | None, Field(description="Seconds for an attempt.")] = None
    max_attempts: Annotated[int, Field(ge=1, le=10, description="Tries, where a retry can help.")] = 3
    budget: BudgetArgument = BudgetArgument()
    limits: LimitsArgument = LimitsArgument()
    window: WindowArgument = WindowArgument()


class PlanArguments(Arguments):
    """What a plan says, on the wire or in a file."""

    task: Annotated[Text | None, Field(description="The work in words, or its title.")] = None
    steps: Annotated[
        list[StepArgument], Field(max_length=MAX_STEPS, description="The work, step by step.")
    ] = []
    code: Annotated[Text | None, Field(description="The work as one script.")] = None
    tool: Annotated[Name | None, Field(description="The work as one call of this tool.")] = None
    arguments: Annotated[Object | None, Field(description="Arguments of that tool.")] = None
    path: Annotated[Text | None, Field(description="Project directory; default: the server's.")] = None
    files: Annotated[list[Text], Field(max_length=1000, description="Files for the prompts.")] = []
    context: Annotated[Object | None, Field(description="What scripts see as input and agents read.")] = None
    task_type: Annotated[TaskType, Field(description="Nature of the work.")] = TaskType.FEATURE
    strategy: Annotated[Strategy, Field(description="How the steps relate.")] = "auto"
    parallelism: Annotated[int, Field(ge=1, le=64, description="Steps at once.")] = 4
    agent: Annotated[
        Name | None,
        Field(description="Role: product, architect, senior, developer, reviewer, ops or your own."),
    ] = None
    model: Annotated[Name | None, Field(description="Model: haiku, sonnet, opus, fable or an id.")] = None
    runtime: Annotated[
        Runtime | None, Field(description="Runtime; engine_status tells which are usable.")
    ] = None
    permissions: PermissionsArgument = PermissionsArgument()
    limits: LimitsArgument = LimitsArgument()
    budget: BudgetArgument = BudgetArgument()
    window: WindowArgument = WindowArgument()
    pins: Annotated[
        list[Pin], Field(max_length=MOST_PINS, description="Facts that every summary keeps word for word.")
    ] = []
    fallback: Annotated[
        list[Allowed],
        Field(
            max_length=len(Allowed),
            description="What agents may leave when their route breaks: the family of runtimes, the account"
            " that pays, the tier of the model. Default: none.",
        ),
    ] = []
    auto_resume: Annotated[
        bool, Field(description="Go on by itself once a quota or a shared limit begins anew.")
    ] = False
    idempotency_key: Annotated[
        Name | None, Field(description="The same key gives the same execution again.")
    ] = None
    on_cancel: Annotated[OnCancel, Field(description="What a cancelled call does.")] = OnCancel.INTERRUPT


class ExecuteArguments(PlanArguments):
    """Of `engine_execute`."""

    wait_s: Annotated[WaitS, Field(description="Seconds to wait for the end.")] = WAIT_S


class StatusArguments(Arguments):
    """Of `engine_status`."""

    execution_id: Annotated[ExecutionId | None, Field(description="Which one; none: the engine.")] = None
    cursor: Annotated[
        Count | None, Field(description="Also list the events after this number; 0 for all.")
    ] = None
    wait_s: Annotated[
        WaitS, Field(description="Wait for an event after the cursor, or without one for the end.")
    ] = 0
    status: Annotated[ExecutionStatus | None, Field(description="List executions in this status.")] = None
    text: Annotated[str | None, Field(max_length=200, description="List those whose task has this.")] = None
    limit: Annotated[int, Field(ge=1, le=50, description="How many to list.")] = 10
    after: Annotated[ExecutionId | None, Field(description="Last id of the page before.")] = None


class BudgetArguments(Arguments):
    """Of `engine_budget`."""

    scope: Annotated[
        Literal["execution", "day", "month"],
        Field(description="Whose limits: of one execution, or those all executions share in a period."),
    ] = "execution"
    execution_id: Annotated[ExecutionId | None, Field(description="Which one; not for day and month.")] = None
    budget: Annotated[BudgetArgument, Field(description="Limits to set; others stay.")] = BudgetArgument()
    reset: Annotated[
        bool, Field(description="First go back to the plan's limits; of a period: take all away. Recorded.")
    ] = False
    after: Annotated[
        Count | None, Field(description="List the entries after so many, oldest first; default: the newest.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=100, description="How many entries or changes to list.")] = 20
    audit: Annotated[bool, Field(description="Compare the totals with the whole journal.")] = False


class InterruptArguments(Arguments):
    """Of `engine_interrupt`."""

    execution_id: Annotated[ExecutionId, Field(description="Which one.")]
    mode: Annotated[
        Literal["now", "after_step", "cancel"],
        Field(description="At once, after the running steps, or for good."),
    ] = "now"
    reason: Annotated[str, Field(max_length=500, description="Why, for the record.")] = ""


class ChangeArguments(Arguments):
    """What a resume may change."""

    budget: Annotated[BudgetArgument, Field(description="Limits to raise.")] = BudgetArgument()
    approve: Annotated[StepIds, Field(description="Steps to approve.")] = []
    deny: Annotated[StepIds, Field(description="Steps to refuse.")] = []
    runtime: Annotated[Runtime | None, Field(description="Runtime from here on.")] = None
    model: Annotated[Name | None, Field(description="Model from here on.")] = None
    steps: Annotated[
        list[StepArgument],
        Field(max_length=MAX_STEPS, description="In place of the steps that are not completed."),
    ] = []
    from_step: Annotated[
        StepId | None, Field(description="Run this step and all that depend on it again.")
    ] = None
    step_budgets: Annotated[
        dict[str, BudgetArgument],
        Field(max_length=MAX_STEPS, description="Limits to raise of single steps, by id."),
    ] = {}
    window: Annotated[WindowArgument, Field(description="From here on.")] = WindowArgument()
    summarize: Annotated[
        bool | StepIds, Field(description="Make conversations of api shorter now: all, or of these steps.")
    ] = False
    restore: Annotated[bool | StepIds, Field(description="Undo summaries: all, or of these steps.")] = False


class ResumeArguments(ChangeArguments):
    """Of `engine_resume`."""

    execution_id: Annotated[ExecutionId, Field(description="Which one.")]
    wait_s: Annotated[WaitS, Field(description="Seconds to wait for the end.")] = WAIT_S
