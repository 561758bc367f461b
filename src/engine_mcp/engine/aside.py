"""Questions aside: a runner is asked something that does not belong to the conversation of its step."""

import json
from collections.abc import Callable, Mapping, Sequence

from pydantic import JsonValue

from engine_mcp.core.agent import AgentCall, AgentReport
from engine_mcp.core.execution import Failure
from engine_mcp.core.tool import ToolResult, ToolSpec
from engine_mcp.core.window import Asking, Fitted, Words, rough
from engine_mcp.engine.attempt import failure


class Aside:
    """Fulfils `ports.AgentHost` for one question: nothing of it is kept, and there are no tools.

    `affordable` and `report` are those of the attempt that pays; only use is passed on.
    """

    def __init__(
        self, affordable: Callable[[int], int | None], report: Callable[[AgentReport], object]
    ) -> None:
        self._affordable, self._report = affordable, report
        self._said: list[Words] = []

    @property
    def tools(self) -> Sequence[ToolSpec]:
        """None."""
        return ()

    def affordable(self, asking: int = 0) -> int | None:
        """As much as the attempt allows."""
        return self._affordable(asking)

    def report(self, news: AgentReport) -> None:
        """Pass on what was used."""
        self._report(AgentReport(usage=news.usage, model=news.model))

    async def opened(self, session: str) -> None:
        """Forget the session."""
        del session

    async def recall(self) -> Sequence[Mapping[str, JsonValue]]:
        """Nothing was said before."""
        return ()

    async def remember(self, message: Mapping[str, JsonValue]) -> None:
        """Keep it until the answer is there."""
        self._said.append(message)

    async def fit(self, asking: Asking) -> Fitted | Failure:
        """Everything as it is: whoever asks makes sure that the question fits."""
        tokens = rough([*asking.overhead, *(json.dumps(dict(message)) for message in self._said)])
        return Fitted(messages=tuple(self._said), tokens=tokens, output=asking.output)

    async def call(self, call: AgentCall) -> ToolResult:
        """There are no tools."""
        return ToolResult(failure=failure("denied", f"A question aside may not call {call.name!r}."))
