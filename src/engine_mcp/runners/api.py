"""The api runtime: an agent loop of the engine's own on the Anthropic Messages API."""

import gc
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Protocol
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.agent import AgentResult, AgentTask
from engine_mcp.core.budget import Resource
from engine_mcp.core.execution import Failure
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.route import Route
from engine_mcp.core.tool import Health
from engine_mcp.ports import AgentHost
from engine_mcp.runners.api_loop import Conversation, Link
from engine_mcp.runners.api_options import Access, ApiOptions, Obstacle, access, route
from engine_mcp.runners.health import Probe
from engine_mcp.runners.secrecy import secrets_of


class _Endpoint(Link, Protocol):
    async def aclose(self) -> None: ...


class ApiRunner:
    """Fulfils `ports.Runner`; `aclose` closes its connections."""

    name = "api"
    tells_cost = False
    bounds = frozenset({Resource.TOKENS, Resource.COST})

    def __init__(self, options: ApiOptions, *, environ: Mapping[str, str]) -> None:
        self._options = options
        self._access = access(options, environ)
        self._route = route(options, environ, self._access)
        self._secrets = secrets_of(environ)
        self._endpoint: _Endpoint | None = None
        self._building = anyio.Lock()
        self._probe = Probe(self._look)

    async def warm(self) -> None:
        """Load the SDK and build the client, so that the first attempt need not wait for it."""
        if isinstance(self._access, Access):
            await self._ready(self._access)

    async def run(self, task: AgentTask, host: AgentHost) -> AgentResult:
        """Carry out one attempt; see `ports.Runner`. The session is the conversation that the host keeps."""
        if isinstance(self._access, Obstacle):
            found = self._access
            return AgentResult(failure=Failure(found.code, found.detail, found.remedy))
        if task.model is None:
            remedy = CATALOGUE["model_unavailable"].remedy
            return AgentResult(failure=Failure("model_unavailable", "No model is named.", remedy))
        link = await self._ready(self._access)
        result = await Conversation(task, host, link, self._options).hold()
        return self._secrets.kept_from(result)  # a provider may quote the key that it refuses

    def objection(self, step: StepSpec) -> str:
        """Why a step cannot be carried out here: there are the engine's own tools and no others."""
        wanted = {name.partition("(")[0] for name in step.permissions.allowed_tools or ()}
        if "shell" in wanted:
            return "The api runtime has no shell."
        if "web" in wanted:
            return "The api runtime has no web tools."
        return ""

    def route(self, model: str | None) -> Route:
        """Where an attempt on this model would go."""
        return replace(self._route, model=model)

    async def health(self, *, fresh: bool = False) -> Health:
        """Whether there are credentials; the provider is not asked."""
        return await self._probe(fresh=fresh)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._endpoint is not None:
            await self._endpoint.aclose()

    async def _ready(self, way: Access) -> Link:
        async with self._building:
            if self._endpoint is None:
                self._endpoint = await anyio.to_thread.run_sync(
                    _built, self._options, way, abandon_on_cancel=True
                )
            return self._endpoint

    async def _look(self) -> Health:
        told = f"anthropic {await anyio.to_thread.run_sync(version, 'anthropic')}"
        if isinstance(self._access, Obstacle):
            return Health(usable=False, version=told, detail=self._access.detail, remedy=self._access.remedy)
        place = urlsplit(self._access.base_url)
        shown = f"{place.scheme}://{place.hostname}" + (f":{place.port}" if place.port else "")
        return Health(usable=True, version=told, detail=f"{shown} with {self._access.source}")


def _built(options: ApiOptions, way: Access) -> _Endpoint:
    from engine_mcp.runners.api_sdk import Endpoint  # noqa: PLC0415 - the SDK takes seconds to import

    endpoint = Endpoint(options, way)
    gc.freeze()  # to look at all of the SDK again and again would stop every stream for a tenth of a second
    return endpoint
