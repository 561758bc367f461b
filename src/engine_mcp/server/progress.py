"""Waiting for an execution, with news for whoever waits."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import anyio

from engine_mcp.core.execution import Execution, Step, StepStatus
from engine_mcp.server.fitting import cut
from engine_mcp.server.view import ACTIVE

INTERVAL_S = 0.5
HEARTBEAT_S = 10.0
MESSAGE_BYTES = 200
_STIR = 1e-3

Tell = Callable[[float, float, str], Awaitable[None]]
"""How news are told: how much is done, of how much, and a message."""


class Wait(Protocol):
    """How the engine waits."""

    def __call__(self, execution_id: str, seconds: float, after: int | None, /) -> Awaitable[Execution]:
        """Until the execution rests, an event numbered above `after` counts, or time is up."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, and whether an event numbered above `after` is enough."""

    seconds: float
    after: int | None = None

    def bears(self, execution: Execution) -> bool:
        """Whether there is still something to wait for."""
        return execution.status in ACTIVE and (self.after is None or execution.revision <= self.after)


class Reporter:
    """Tells news of one execution; the number told always grows, as the protocol wants.

    `doing` is told in the place of what the steps say, where it is not empty.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._last = -_STIR
        self.doing = ""

    async def __call__(self, execution: Execution) -> None:
        """Tell how far the execution is."""
        await self.note(self.doing or _doing(execution), execution)

    async def note(self, text: str, execution: Execution) -> None:
        """Tell something that happened, and how far the execution is."""
        self._last = round(max(_done(execution), self._last + _STIR), 6)
        await self._tell(self._last, max(len(execution.steps), self._last), message(execution, text))


Look = Callable[[Execution], Awaitable[None]]
"""Looks at every state of an execution that is waited for; what it raises ends the wait."""


async def pass_over(_: Execution) -> None:
    """Nobody looks."""


async def waited(
    wait: Wait, execution: Execution, patience: Patience, report: Reporter, look: Look = pass_over
) -> Execution:
    """The execution once it rests or patience is at its end, with news on the way.

    News come at the start, at changes but not more often than every half second, and every 10
    seconds where nothing changes, so that clients that wait for a sign of life go on waiting.
    """
    until = anyio.current_time() + patience.seconds
    await look(execution)
    while patience.bears(execution) and (now := anyio.current_time()) < until:
        await report(execution)
        told = execution.revision if patience.after is None else patience.after
        calm, beat = min(now + INTERVAL_S, until), min(now + HEARTBEAT_S, until)
        execution = await wait(execution.id, calm - now, patience.after)
        left = beat - anyio.current_time()
        if patience.bears(execution) and execution.revision <= told and left > 0:
            execution = await wait(execution.id, left, told)
        await look(execution)
        if patience.bears(execution):
            # Nobody tells of changes where another process drives the execution: look at intervals.
            await anyio.sleep_until(calm)
    return execution


def message(execution: Execution, text: str = "") -> str:
    """How far the execution is, in a few words: `3/8 steps · reading sources`, or another text."""
    ended = sum(step.settled for step in execution.steps.values())
    return cut(f"{ended}/{len(execution.steps)} steps · {text or _doing(execution)}", MESSAGE_BYTES)


def _doing(execution: Execution) -> str:
    told = [step.progress.message for step in execution.running if step.progress and step.progress.message]
    return told[0] if told else ", ".join(step.spec.id for step in execution.running) or execution.status


def _done(execution: Execution) -> float:
    return sum(_share(step) for step in execution.steps.values())


def _share(step: Step) -> float:
    if step.settled:
        return 1.0
    told = step.progress
    if step.status is not StepStatus.RUNNING or told is None or not told.total:
        return 0.0
    return min(0.99, max(0.0, told.done / told.total))
