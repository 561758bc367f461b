"""Subscriptions: whoever asked is told that a resource has changed, in the way of either era."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup
from mcp.server import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
from mcp.types import (
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

Context = ServerRequestContext[Any, Any]


class Subscriptions:
    """The subscriptions of one connection; they end with it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._bus = InMemorySubscriptionBus()
        self._listen = ListenHandler(self._bus)
        self._tasks: TaskGroup | None = None
        self._scopes: dict[str, anyio.CancelScope] = {}

    @asynccontextmanager
    async def opened(self, _: object) -> AsyncGenerator[None]:
        """For the time of the connection."""
        async with anyio.create_task_group() as self._tasks:
            yield
            self._tasks.cancel_scope.cancel()

    async def subscribe(self, context: Context, params: SubscribeRequestParams) -> EmptyResult:
        """Tell about a resource from here on; until 2025."""
        execution_of(uri := str(params.uri))
        if self._tasks is not None and uri not in self._scopes:
            scope = self._scopes[uri] = anyio.CancelScope()
            self._tasks.start_soon(
                self._watch, uri, lambda: context.session.send_resource_updated(uri), scope
            )
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
        async with anyio.create_task_group() as watching:
            for uri in dict.fromkeys(params.notifications.resource_subscriptions or ()):
                execution_of(uri)
                watching.start_soon(self._watch, uri, self._publisher(uri), anyio.CancelScope())
            result = await self._listen(context, params)
            watching.cancel_scope.cancel()
        return result

    def _publisher(self, uri: str) -> Callable[[], Awaitable[None]]:
        return lambda: self._bus.publish(ResourceUpdated(uri))

    async def _watch(self, uri: str, tell: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
        """Tell at each change, but not more often than every second."""
        name = execution_of(uri)
        with scope:
            seen = await self._mark(name)
            while True:
                if name is not None and isinstance(seen, int):
                    await self._engine.wait(name, PATIENCE_S, seen)
                await anyio.sleep(PACE_S)
                if (mark := await self._mark(name)) != seen:
                    seen = mark
                    await tell()

    async def _mark(self, name: str | None) -> object:
        """What differs after each change of an execution, or of the list of them."""
        try:
            if name is not None:
                return (await self._engine.show(name)).revision
            rows = (await self._engine.list(Query(limit=LATEST))).rows
        except EngineError as error:
            return error.code
        return [(row.id, row.status, row.done) for row in rows]
