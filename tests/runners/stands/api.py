"""The api runtime against the wire server.

It starts no program. What a provider breaks off, garbles or refuses has codes of its own: those
scenarios are in `test_api_trouble.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec

import anyio
from pydantic import JsonValue

from engine_mcp.core.agent import AgentCall, AgentReport, AgentResult, AgentTask
from engine_mcp.core.budget import Usage
from engine_mcp.core.execution import Failure
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.route import Route
from engine_mcp.core.tool import Health, ToolResult, ToolSpec
from engine_mcp.core.window import Asking, Fitted
from engine_mcp.ports import AgentHost
from engine_mcp.runners.api import ApiRunner
from engine_mcp.runners.api_options import ApiOptions
from tests.runners.api_rig import MODEL, runner_at
from tests.runners.stands.stand import PIECES, Place, Scenario
from tests.wire.server import Wire
from tests.wire.turns import Trouble, Turn

CHATTY = 2000
SAID = "".join(PIECES)
TURNS = {
    Scenario.SAYS: Turn(SAID, chunk=len(PIECES[0])),
    Scenario.CHATTY: Turn(" ".join([*map(str, range(CHATTY)), SAID]), chunk=5),
    Scenario.SILENT: Turn(trouble=Trouble(stall=True, at="start")),
    Scenario.SLOW: Turn(SAID, chunk=len(PIECES[0]), trouble=Trouble(stall=True)),
    Scenario.MISSING: Turn(),
}
# The part of a provider that can be missing is the extra of classic Bedrock.
PLAYED = frozenset(TURNS) - (
    frozenset({Scenario.MISSING}) if find_spec("botocore") else frozenset[Scenario]()
)
CLASSIC = ApiOptions(provider="bedrock-classic", region="us-east-1")


class _Listening:
    """Passes everything on, and leaves the note of the prompt once the answer has begun."""

    def __init__(self, host: AgentHost, wire: Wire, place: Place) -> None:
        self._host, self._wire, self._place = host, wire, place

    @property
    def tools(self) -> Sequence[ToolSpec]:
        return self._host.tools

    def report(self, news: AgentReport) -> None:
        self._host.report(news)
        path = self._place.root / "notes" / "prompt"
        if news.text and not path.exists():
            new = path.with_suffix(".new")
            new.write_text(self._wire.requests[0].text, encoding="utf-8")
            new.rename(path)

    def affordable(self, asking: int = 0) -> int | None:
        return self._host.affordable(asking)

    async def opened(self, session: str) -> None:
        await self._host.opened(session)

    async def recall(self) -> Sequence[Mapping[str, JsonValue]]:
        return await self._host.recall()

    async def remember(self, message: Mapping[str, JsonValue]) -> None:
        await self._host.remember(message)

    async def fit(self, asking: Asking) -> Fitted | Failure:
        return await self._host.fit(asking)

    async def call(self, call: AgentCall) -> ToolResult:
        return await self._host.call(call)


class _Runner:
    """The api runtime with a provider that is there for as long as an attempt lasts."""

    name = "api"
    tells_cost = ApiRunner.tells_cost
    bounds = ApiRunner.bounds

    def __init__(self, scenario: Scenario, place: Place, stall_s: float) -> None:
        self._turn, self._place = TURNS[scenario], place
        missing = scenario is Scenario.MISSING
        self._options = replace(CLASSIC if missing else ApiOptions(), stall_s=stall_s)

    async def run(self, task: AgentTask, host: AgentHost) -> AgentResult:
        with Wire() as wire:
            wire.answer(self._turn)
            async with runner_at(wire.url, self._options) as runner:
                with anyio.CancelScope(shield=True):  # else a thread may still load certificates afterwards
                    await runner.warm()
                listening = _Listening(host, wire, self._place)
                return await runner.run(replace(task, model=MODEL), listening)

    def objection(self, step: StepSpec) -> str:
        return self._alone.objection(step)

    def route(self, model: str | None) -> Route:
        return self._alone.route(model)

    async def health(self, *, fresh: bool = False) -> Health:
        return await self._alone.health(fresh=fresh)

    @property
    def _alone(self) -> ApiRunner:
        return ApiRunner(self._options, environ=self._place.environ())


class ApiStand:
    name = "api"
    scenarios = PLAYED
    program = False
    used = Usage(tokens_in=1000, tokens_out=200, requests=1, cost_basis="unpriced")
    opens: str | None = None
    session: str | None = None  # the conversation is the host's
    streams = True
    huge: str | None = None

    def runner(self, scenario: Scenario, place: Place, stall_s: float) -> _Runner:
        return _Runner(scenario, place, stall_s)


STANDS = (ApiStand(),)
