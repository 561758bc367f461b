"""Subscriptions: whoever asked is told that a resource has changed, in the way of either era."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import TaskGroup
from mcp.server import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    EmptyResult,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)

from engine_mcp.core.listing import Query
from engine_mcp.engine.engine import Engine
from engine_mcp.errors import EngineError
from engine_mcp.server.resources import execution_of

PACE_S = 1.0
PATIENCE_S = 60.0
LATEST = 20
MOST = 100

Context = ServerRequestContext[Any, Any]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A resource, by its execution or None for the list, as it was when somebody asked about it."""

    uri: str
    name: str | None
    mark: object


class Subscriptions:
    """The subscriptions of one connection; they end with it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._bus = InMemorySubscriptionBus()
        self._listen = ListenHandler(self._bus)
        self._tasks: TaskGroup | None = None
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._watched = 0

    @asynccontextmanager
    async def opened(self, _: object) -> AsyncGenerator[None]:
        """For the time of the connection."""
        async with anyio.create_task_group() as self._tasks:
            yield
            self._tasks.cancel_scope.cancel()

    async def subscribe(self, context: Context, params: SubscribeRequestParams) -> EmptyResult:
        """Tell about a resource from here on; until 2025."""
        uri = str(params.uri)
        seen = await self._seen(uri)
        if self._tasks is not None and uri not in self._scopes:
            self._scopes[uri] = anyio.CancelScope()
            self._tasks.start_soon(self._told, seen, lambda: context.session.send_resource_updated(uri))
        return EmptyResult()

    async def unsubscribe(self, _: Context, params: UnsubscribeRequestParams) -> EmptyResult:
        """Tell no more about a resource."""
        if (scope := self._scopes.pop(str(params.uri), None)) is not None:
            scope.cancel()
        return EmptyResult()

    async def listen(
        self, context: Context, params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Tell about resources for as long as the request is open; from 2026 on."""
        wanted = dict.fromkeys(params.notifications.resource_subscriptions or ())
        all_seen = [await self._seen(uri) for uri in wanted]
        async with anyio.create_task_group() as watching:
            for seen in all_seen:
                watching.start_soon(self._watch, seen, self._publisher(seen.uri))
            try:
                return await self._listen(context, params)
            finally:
                watching.cancel_scope.cancel()
        raise AssertionError("a task group does not swallow a result")

    async def _seen(self, uri: str) -> _Seen:
        """What the client may know already; taken before it is told that it will hear of changes."""
        name = execution_of(uri)
        if self._watched >= MOST:
            raise MCPError(INVALID_PARAMS, f"At most {MOST} resources can be subscribed to.")
        return _Seen(uri, name, await self._mark(name))

    def _publisher(self, uri: str) -> Callable[[], Awaitable[None]]:
        return lambda: self._bus.publish(ResourceUpdated(uri))

    async def _told(self, seen: _Seen, tell: Callable[[], Awaitable[None]]) -> None:
        with self._scopes[seen.uri]:
            await self._watch(seen, tell)

    async def _watch(self, seen: _Seen, tell: Callable[[], Awaitable[None]]) -> None:
        """Tell at each change, but not more often than every second."""
        name, known = seen.name, seen.mark
        self._watched += 1
        try:
            while True:
                if name is not None and isinstance(known, int):
                    await self._engine.wait(name, PATIENCE_S, known)
                await anyio.sleep(PACE_S)
                if (mark := await self._mark(name)) != known:
                    known = mark
                    await tell()
        finally:
            self._watched -= 1

    async def _mark(self, name: str | None) -> object:
        """What differs after each change of an execution, or of the list of them."""
        try:
            if name is not None:
                return (await self._engine.show(name)).revision
            rows = (await self._engine.list(Query(limit=LATEST))).rows
        except EngineError as error:
            return error.code
        return [(row.id, row.status, row.done) for row in rows]
