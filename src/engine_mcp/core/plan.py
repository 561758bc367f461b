"""What a caller asks for: a Plan and its StepSpecs, checked as a whole before anything is spent."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter

from pydantic import JsonValue

from engine_mcp.core.budget import Limits
from engine_mcp.core.route import Allowed
from engine_mcp.core.script import ScriptLimits
from engine_mcp.core.window import WindowLimits
from engine_mcp.errors import InvalidPlan

MAX_STEPS = 1000


class TaskType(StrEnum):
    """The nature of the work; with words and files it chooses strategy, role and model."""

    FEATURE = "feature"
    BUGFIX = "bugfix"
    REFACTOR = "refactor"
    TEST = "test"
    DOCUMENTATION = "documentation"
    ARCHITECTURE = "architecture"


class StrategyName(StrEnum):
    """How the steps relate: one, a chain of roles, or a dependency graph."""

    SINGLE = "single"
    MULTI = "multi"
    PARALLEL = "parallel"


class StepKind(StrEnum):
    """What carries out a step: a runner, the sandbox, or a tool adapter."""

    AGENT = "agent"
    CODE = "code"
    TOOL = "tool"


class Mode(StrEnum):
    """How far a step may reach into the project: nothing, read files, write files."""

    NONE = "none"
    READ = "read"
    WRITE = "write"


class OnCancel(StrEnum):
    """What a cancelled request does to the execution it started."""

    INTERRUPT = "interrupt"
    CONTINUE = "continue"


class Unanswered(StrEnum):
    """What becomes of a step whose approval nobody gave or refused in time."""

    DENY = "deny"
    SKIP = "skip"
    APPROVE = "approve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """A mode, and the tools allowed by name; None allows the files of the mode and no other tool."""

    mode: Mode = Mode.READ
    allowed_tools: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """One step as planned; exactly one of `task`, `code` and `tool` says the work.

    `approval_timeout_s` is how long an approval is waited for (None: without end) before `if_unanswered`
    says what becomes of the step.
    """

    id: str
    task: str | None = None
    code: str | None = None
    tool: str | None = None
    arguments: JsonValue = None
    depends_on: tuple[str, ...] = ()
    agent: str | None = None
    model: str | None = None
    runtime: str | None = None
    skills: tuple[str, ...] = ()
    permissions: Permissions = field(default_factory=Permissions)
    output_schema: JsonValue = None
    optional: bool = False
    requires_approval: bool = False
    approval_timeout_s: float | None = None
    if_unanswered: Unanswered = Unanswered.DENY
    timeout_s: float | None = None
    max_attempts: int = 3
    budget: Limits = field(default_factory=Limits)
    limits: ScriptLimits = field(default_factory=ScriptLimits)
    window: WindowLimits = field(default_factory=WindowLimits)

    @property
    def kind(self) -> StepKind:
        """Which of the three ways to work this step uses."""
        if self.code is not None:
            return StepKind.CODE
        return StepKind.TOOL if self.tool is not None else StepKind.AGENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole request: where, what, how, and within which limits.

    `fallback` names what an attempt may leave when its route breaks; with `auto_resume` an execution
    that waits for a quota or a new day goes on by itself once it is there. `window` says when conversations
    are reduced, where a step does not; `pins` are facts that stay in them word for word.
    """

    path: str
    steps: tuple[StepSpec, ...]
    strategy: StrategyName
    task: str | None = None
    task_type: TaskType = TaskType.FEATURE
    files: tuple[str, ...] = ()
    context: JsonValue = None
    budget: Limits = field(default_factory=Limits)
    parallelism: int = 4
    on_cancel: OnCancel = OnCancel.INTERRUPT
    idempotency_key: str | None = None
    fallback: tuple[Allowed, ...] = ()
    auto_resume: bool = False
    window: WindowLimits = field(default_factory=WindowLimits)
    pins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A request before a strategy turned it into steps; `strategy` None means auto."""

    path: str
    task: str | None = None
    code: str | None = None
    tool: str | None = None
    arguments: JsonValue = None
    steps: tuple[StepSpec, ...] = ()
    strategy: StrategyName | None = None
    task_type: TaskType = TaskType.FEATURE
    files: tuple[str, ...] = ()
    context: JsonValue = None
    agent: str | None = None
    model: str | None = None
    runtime: str | None = None
    permissions: Permissions = field(default_factory=Permissions)
    limits: ScriptLimits = field(default_factory=ScriptLimits)
    budget: Limits = field(default_factory=Limits)
    parallelism: int = 4
    on_cancel: OnCancel = OnCancel.INTERRUPT
    idempotency_key: str | None = None
    fallback: tuple[Allowed, ...] = ()
    auto_resume: bool = False
    window: WindowLimits = field(default_factory=WindowLimits)
    pins: tuple[str, ...] = ()


def check_steps(steps: Iterable[StepSpec]) -> None:
    """Refuse steps that cannot be a plan, naming them; raises InvalidPlan, else returns None."""
    listed = tuple(steps)
    if not 0 < len(listed) <= MAX_STEPS:
        msg = f"A plan has between 1 and {MAX_STEPS} steps; this one has {len(listed)}."
        raise InvalidPlan(msg, field="steps")
    _check_ids(listed)
    for index, spec in enumerate(listed):
        _check_work(spec, f"steps[{index}]")
    _check_order(listed)


def _check_ids(steps: tuple[StepSpec, ...]) -> None:
    seen: set[str] = set()
    for index, spec in enumerate(steps):
        if spec.id in seen:
            msg = f"The step id {spec.id!r} is used twice."
            raise InvalidPlan(msg, field=f"steps[{index}].id")
        seen.add(spec.id)
    for index, spec in enumerate(steps):
        if spec.id in spec.depends_on:
            msg = f"The step {spec.id!r} depends on itself."
            raise InvalidPlan(msg, field=f"steps[{index}].depends_on")
        if unknown := [dep for dep in spec.depends_on if dep not in seen]:
            msg = f"The step {spec.id!r} depends on steps that do not exist: {', '.join(unknown)}."
            raise InvalidPlan(msg, field=f"steps[{index}].depends_on")


def _check_work(spec: StepSpec, where: str) -> None:
    given = [name for name in ("task", "code", "tool") if getattr(spec, name) is not None]
    if len(given) != 1:
        said = "none" if not given else " and ".join(given)
        msg = f"The step {spec.id!r} must say its work in exactly one of task, code or tool; it has {said}."
        raise InvalidPlan(msg, field=where)


def _check_order(steps: tuple[StepSpec, ...]) -> None:
    try:
        TopologicalSorter({spec.id: spec.depends_on for spec in steps}).prepare()
    except CycleError as error:
        ring: list[str] = error.args[1]
        msg = f"The steps depend on each other in a circle: {' → '.join(ring)}."
        raise InvalidPlan(msg, field="steps") from None
