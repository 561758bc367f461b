"""What the engine is made of, and how much it does at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine_mcp.core.budget import Limits
from engine_mcp.core.models import Models
from engine_mcp.engine.gauge import Ratios
from engine_mcp.engine.pressure import Pressure
from engine_mcp.ports import (
    Breakers,
    Clock,
    Ledger,
    Library,
    PriceBook,
    Runner,
    Sandbox,
    Store,
    Sweeper,
    TokenCounter,
    ToolAdapter,
    Windows,
)

ORDER = ("claude-code", "opencode", "api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The adapters behind the engine's ports, and what there is to choose from.

    `order` names the runtimes that a step may run on that asks for none, the best first; `closed` says
    why there are no runners where that is meant. `ask` names the tools whose calls need an approval.
    Without `prices` nothing has a price, without `ledger` and `breakers` an engine shares nothing with
    the user's others. `pressure` tells how hard pressed the machine is. Without `counter` tokens are
    estimated, without `windows` every window is assumed; `keep_turns` of the last turns of a conversation
    keep the results of their tools. `ratios` hold what was learned of how models count.
    """

    store: Store
    clock: Clock
    sandbox: Sandbox
    library: Library
    sweeper: Sweeper | None = None
    tools: Mapping[str, ToolAdapter] = field(default_factory=dict[str, ToolAdapter])
    runners: Mapping[str, Runner] = field(default_factory=dict[str, Runner])
    models: Callable[[], Models] = Models
    order: tuple[str, ...] = ORDER
    closed: str = ""
    ask: frozenset[str] = frozenset()
    pressure: Pressure | None = None
    prices: PriceBook | None = None
    ledger: Ledger | None = None
    breakers: Breakers | None = None
    counter: TokenCounter | None = None
    windows: Windows | None = None
    keep_turns: int = 6
    ratios: Ratios = field(default_factory=Ratios)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """The operator's choices.

    `owner` is the control address of this process; `executions` run at once and `waiting` more may
    wait; `steps` are attempts at once over all executions; `grace_s` seconds are given to attempts
    that are told to stop; `budget` holds the limits of plans that set none, `caps` what no execution may
    pass. `recover` looks for executions whose process died, `wakes` for those of others that are to go on
    by themselves.
    """

    owner: str = ""
    executions: int = 8
    waiting: int = 1000
    steps: int = 16
    grace_s: float = 5.0
    budget: Limits = field(default_factory=Limits)
    caps: Limits = field(default_factory=Limits)
    recover: bool = True
    wakes: bool = True
