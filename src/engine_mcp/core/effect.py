"""What must be done next: frozen values that `core.decide` returns and the driver carries out."""

from dataclasses import dataclass

from engine_mcp.core.event import AttemptStarted, Event


@dataclass(frozen=True, slots=True)
class Note:
    """Record this event; there is nothing else to carry out."""

    event: Event


@dataclass(frozen=True, slots=True)
class Start:
    """Record the event, then carry out the attempt it announces."""

    event: AttemptStarted


@dataclass(frozen=True, slots=True)
class Halt:
    """Stop the running attempt of a step; its end comes as an event. `spent`: its share is used up."""

    step: str
    spent: bool = False


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Decide again at this time (Unix seconds) even if nothing happens before.

    `for_room`: a step waits for what others hold of a shared limit.
    """

    at: float
    for_room: bool = False


Effect = Note | Start | Halt | WakeAt
"""Any effect."""
