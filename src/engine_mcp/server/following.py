"""Following: whoever waits for an execution is told of conversations that are made shorter meanwhile."""

from collections.abc import Awaitable, Callable

from engine_mcp.core.event import Event
from engine_mcp.core.execution import Execution
from engine_mcp.core.shrinking import RUNTIME
from engine_mcp.server.progress import Reporter
from engine_mcp.server.reductions import UnderWay, doing, told

PAGE = 200

Events = Callable[[str, int, int], Awaitable[tuple[tuple[int, Event], ...]]]
"""Up to so many events of an execution that are numbered above a number, with their numbers."""


class Reductions:
    """Tells whoever waits for an execution of the summaries and stubs that come about meanwhile."""

    def __init__(self, events: Events, report: Reporter, after: int) -> None:
        self._events, self._report, self._after = events, report, after
        self._summaries = UnderWay()

    async def look(self, execution: Execution) -> None:
        """Tell what is new; cheap where the engine holds no conversation."""
        choices = (step.choice for step in execution.steps.values())
        if not any(choice is not None and choice.runtime == RUNTIME for choice in choices):
            self._after = execution.revision
            return
        while self._after < execution.revision:
            found = await self._events(execution.id, self._after, PAGE)
            if not found:
                return
            for number, event in found:
                self._after = number
                await self._tell(event, execution)

    async def _tell(self, event: Event, execution: Execution) -> None:
        self._summaries.take(event)
        self._report.doing = "; ".join(map(doing, self._summaries.open.values()))
        if (text := told(event)) is not None:
            await self._report.note(text, execution)
