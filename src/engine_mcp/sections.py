"""The sections of the settings: what an operator may choose, with its bounds and defaults."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationInfo, field_validator, model_validator

from engine_mcp.core.budget import MOST_COUNTED, MOST_USD, Limits, OnExceed
from engine_mcp.core.plan import Mode
from engine_mcp.core.window import (
    DEFAULTS,
    LEAST_TARGET,
    LEAST_TOKENS,
    LEAST_TRIGGER,
    MOST_TOKENS,
    WindowLimits,
    fault,
)
from engine_mcp.sandbox.pool import CEILING

FOLDER = ".engine-mcp"
Values = dict[str, JsonValue]

RuntimeName = Annotated[
    str, Field(pattern=r"^(claude-code|opencode|api|command(:[a-z0-9][a-z0-9_-]{0,63})?)$")
]


class Section(BaseModel):
    """Settings that belong together; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ScriptCeilings(Section):
    """The most that a step may ask for in its `limits`, in the units of `ScriptLimits`."""

    memory_mb: int = Field(default=1024, ge=8, le=CEILING.memory_mb)
    cpu_s: float = Field(default=600.0, gt=0, le=CEILING.cpu_s)
    wall_s: float = Field(default=3600.0, gt=0, le=CEILING.wall_s)
    stack_kb: int = Field(default=2048, ge=64, le=CEILING.stack_kb)
    max_calls: int = Field(default=20_000, ge=1, le=CEILING.max_calls)
    max_output_kb: int = Field(default=16 << 10, ge=1, le=CEILING.max_output_kb)


_Count = Annotated[int | None, Field(ge=0, le=MOST_COUNTED)]
_Amount = Annotated[float | None, Field(ge=0, le=MOST_USD, allow_inf_nan=False)]


class BudgetDefaults(Section):
    """The limits of executions that set none; unset means without limit."""

    max_tokens: _Count = None
    max_cost_usd: _Amount = None
    max_seconds: _Amount = None
    max_requests: _Count = None
    on_exceed: OnExceed | None = None


class SpendingCaps(Section):
    """What no execution, no day and no month of the user may pass, whatever was asked for; unset: no cap.

    They always pause. The days and months count over all projects.
    """

    execution_tokens: _Count = None
    execution_cost_usd: _Amount = None
    execution_seconds: _Amount = None
    execution_requests: _Count = None
    day_tokens: _Count = None
    day_cost_usd: _Amount = None
    day_seconds: _Amount = None
    day_requests: _Count = None
    month_tokens: _Count = None
    month_cost_usd: _Amount = None
    month_seconds: _Amount = None
    month_requests: _Count = None

    def limits(self, of: Literal["execution", "day", "month"]) -> Limits:
        """The caps on one of the three, as limits that pause."""
        return Limits(
            max_tokens=getattr(self, f"{of}_tokens"),
            max_cost_usd=getattr(self, f"{of}_cost_usd"),
            max_seconds=getattr(self, f"{of}_seconds"),
            max_requests=getattr(self, f"{of}_requests"),
            on_exceed=OnExceed.PAUSE,
        )


class Spending(Section):
    """Where spending is kept and how it is counted.

    `ledger` is the file of the user's ledger (default: in the user's state directory), `prices` that of
    their own prices (default: `prices.yaml` beside the user's configuration). `time_zone`, such as
    `Europe/Berlin`, says when days and months begin; the machine's own without it.
    """

    ledger: Path | None = None
    prices: Path | None = None
    time_zone: str | None = None


class Resources(Section):
    """What the processes of one attempt may use together, and what has to stay free on the disk.

    `cpu_s` are seconds of processor time, `nice` how much they give way to others.
    """

    memory_mb: int | None = Field(default=8192, ge=16)
    cpu_s: float | None = Field(default=None, gt=0)
    nice: int = Field(default=0, ge=0, le=19)
    free_mb: int = Field(default=64, ge=0)


class Concurrency(Section):
    """How many executions run and how many more wait; how many attempts and scripts run at once."""

    executions: int = Field(default=8, ge=1, le=1000)
    waiting: int = Field(default=1000, ge=1, le=1_000_000)
    steps: int = Field(default=16, ge=1, le=1000)
    scripts: int = Field(default=16, ge=1, le=1000)


class Runtimes(Section):
    """The runtimes: which come first, the programs, and the provider of `api`.

    `stall_s` is how long one may give no sign of work. `order` names those that a step may run on that
    asks for none. `api_max_tokens` is the most that one answer may have, `api_region` that of Bedrock.
    """

    order: tuple[RuntimeName, ...] = ("claude-code", "opencode", "api")
    stall_s: float = Field(default=600.0, gt=0, le=86_400)
    claude_code: str = Field(default="claude", min_length=1)
    opencode: str = Field(default="opencode", min_length=1)
    api_provider: Literal["anthropic", "bedrock", "bedrock-classic"] = "anthropic"
    api_base_url: str | None = None
    api_region: str | None = None
    api_max_tokens: int = Field(default=16_000, ge=1, le=1_000_000)
    api_streams: int = Field(default=16, ge=1, le=1000)


class Permitted(Section):
    """The most that a step may be granted: its mode, and whether it may have the shell or the web.

    `ask` names the engine's tools whose calls wait for somebody's approval.
    """

    mode: Mode = Mode.WRITE
    shell: bool = True
    web: bool = True
    ask: tuple[str, ...] = ()


class Retention(Section):
    """How long finished executions are kept: days, and how many of them."""

    days: float = Field(default=30.0, ge=0)
    count: int = Field(default=10_000, ge=0)


_WindowTokens = Annotated[int, Field(ge=LEAST_TOKENS, le=MOST_TOKENS)]


class ContextLimits(Section):
    """When a conversation is reduced, how far, and by which model; see `core.window.WindowLimits`."""

    trigger: float | None = Field(default=None, ge=LEAST_TRIGGER, le=1, allow_inf_nan=False)
    max_tokens: _WindowTokens | None = None
    target: float | None = Field(default=None, ge=LEAST_TARGET, lt=1, allow_inf_nan=False)
    model: str | None = Field(default=None, min_length=1, max_length=128)
    price_cliffs: bool | None = None

    @field_validator("target")
    @classmethod
    def _below_the_trigger(cls, target: float | None, info: ValidationInfo) -> float | None:
        trigger: float | None = info.data.get("trigger")
        if target is not None and trigger is not None and target >= trigger:
            raise ValueError(f"the target has to be below the trigger, {trigger:g}")
        return target

    @property
    def limits(self) -> WindowLimits:
        """The same as a value of the core."""
        return WindowLimits(
            trigger=self.trigger,
            max_tokens=self.max_tokens,
            target=self.target,
            model=self.model,
            price_cliffs=self.price_cliffs,
        )


class Context(ContextLimits):
    """When conversations are reduced; unset: at 80 % of what a window leaves or 150,000 tokens, down to 45 %.

    `keep_turns` is how many of the last turns keep the results of their tools. `windows` gives windows in
    tokens by model, `models` other limits by model; both can only be set in a file.
    """

    keep_turns: int = Field(default=6, ge=1, le=1000)
    windows: dict[str, _WindowTokens] = Field(default_factory=dict[str, int])
    models: dict[str, ContextLimits] = Field(default_factory=dict[str, ContextLimits])

    @model_validator(mode="after")
    def _targets_below_triggers(self) -> Self:
        own = self.limits
        if wrong := fault(own):
            raise ValueError(f"{wrong.field}: {wrong.why.rstrip('.')}")
        for name, other in self.models.items():
            if wrong := fault(other.limits, DEFAULTS.merged(own)):
                raise ValueError(f"models.{name}.{wrong.field}: {wrong.why.rstrip('.')}")
        return self


class Choices(Section):
    """Everything an operator may choose; `grace_s` is what attempts get that are told to stop.

    `commands` declares templates of the runtime `command` by name, `models` names and tiers of models;
    both can only be set in a file.
    """

    roots: tuple[Path, ...] = ()
    state: Path = Path(FOLDER)
    script: ScriptCeilings = ScriptCeilings()
    budget: BudgetDefaults = BudgetDefaults()
    concurrency: Concurrency = Concurrency()
    retention: Retention = Retention()
    runtimes: Runtimes = Runtimes()
    permissions: Permitted = Permitted()
    caps: SpendingCaps = SpendingCaps()
    spending: Spending = Spending()
    resources: Resources = Resources()
    context: Context = Context()
    commands: Values = Field(default_factory=dict[str, JsonValue])
    models: Values = Field(default_factory=dict[str, JsonValue])
    grace_s: float = Field(default=5.0, ge=0, le=60)
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
