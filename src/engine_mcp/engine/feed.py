"""The feed: what of an execution counts, for everybody who reads along."""

from collections import deque
from collections.abc import Sequence

import anyio

from engine_mcp.core.event import Event
from engine_mcp.core.execution import Execution

KEPT = 256


class Feed:
    """The newest state of an execution and its latest events, each with its number.

    Readers pull: a slow one costs the engine nothing and turns to the journal for what it missed.
    """

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self._events: deque[tuple[int, Event]] = deque(maxlen=KEPT)
        self._changed = anyio.Event()

    def publish(self, events: Sequence[Event], after: Execution) -> None:
        """Show durable events and the state they lead to."""
        self._events.extend(enumerate(events, self.execution.revision + 1))
        self.show(after)

    def show(self, execution: Execution) -> None:
        """Show a state, whether or not events lead to it, and wake who waits."""
        self.execution = execution
        self._changed.set()
        self._changed = anyio.Event()

    @property
    def changed(self) -> anyio.Event:
        """Set at the next change after now."""
        return self._changed

    def since(self, after: int, limit: int) -> tuple[tuple[int, Event], ...] | None:
        """Up to `limit` events numbered above `after`; None where the feed no longer has them all."""
        if after >= self.execution.revision:
            return ()
        if not self._events or self._events[0][0] > after + 1:
            return None
        start = after + 1 - self._events[0][0]
        return tuple(self._events[index] for index in range(start, min(start + limit, len(self._events))))
