"""The outlook: what a decision knows of the world outside its execution."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine_mcp.core.breaker import Breaker
from engine_mcp.core.budget import Limits
from engine_mcp.core.period import Room


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The limits that executions share, the operator's caps on each of them, and what is broken, by part.

    `trials` says by part which step (`passage.trial_of`) tries out whether it is whole again; `sharers`
    is how many executions of this engine live on the shared limits at present. `began` says by step when
    its newest attempt had a place (Unix seconds; None: it waits for one), where that is known.
    """

    room: Room = field(default_factory=Room)
    caps: Limits = field(default_factory=Limits)
    breakers: Mapping[str, Breaker] = field(default_factory=dict[str, Breaker])
    trials: Mapping[str, str] = field(default_factory=dict[str, str])
    sharers: int = 1
    began: Mapping[str, float | None] = field(default_factory=dict[str, float | None])


CLEAR = Outlook()
"""Nothing is limited and nothing broken."""
