"""The places of the API that the wire server knows."""

import json
import time
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.wire import stream
from tests.wire.received import Received
from tests.wire.reply import Reply
from tests.wire.script import Script
from tests.wire.turns import Turn

MODELS = {
    "claude-opus-5-5": "Claude Opus 5.5",
    "claude-sonnet-5-5": "Claude Sonnet 5.5",
    "claude-haiku-5-5": "Claude Haiku 5.5",
}
WINDOW, LONGEST_ANSWER = 1_000_000, 128_000
TITLE_WANTED = "title generator"
TITLE = Turn("A short title", input_tokens=10, output_tokens=5)


def application(script: Script) -> Starlette:
    """An ASGI application that answers as the script says."""
    places = _Places(script)
    routes = [
        Route("/{prefix:path}v1/messages", places.messages, methods=["POST"]),
        Route("/{prefix:path}v1/messages/count_tokens", places.count, methods=["POST"]),
        Route("/{prefix:path}v1/models", places.models),
        Route("/{prefix:path}v1/models/{model}", places.model),
        Route("/api/hello", places.hello),
    ]
    return Starlette(routes=routes, exception_handlers={404: places.nowhere})


class _Places:
    def __init__(self, script: Script) -> None:
        self._script = script

    async def messages(self, request: Request) -> Reply:
        found = await _received(request)
        if TITLE_WANTED in found.system:
            self._script.noted(found)
            return Reply(TITLE, 0, found.body, lambda _: None, lambda _, __: None)
        number, turn = self._script.taken(found)
        return Reply(turn, number, found.body, self._script.sent, self._script.tell)

    async def count(self, request: Request) -> Response:
        found = await self._noted(request)
        return JSONResponse({"input_tokens": found.tokens})

    async def models(self, request: Request) -> Response:
        await self._noted(request)
        listed = [self._model(name) for name in MODELS]
        return JSONResponse(
            {"data": listed, "has_more": False, "first_id": listed[0]["id"], "last_id": listed[-1]["id"]}
        )

    async def model(self, request: Request) -> Response:
        await self._noted(request)
        name = request.path_params["model"]
        if name not in MODELS:
            return _missing(f"model: {name}")
        return JSONResponse(self._model(name))

    async def hello(self, request: Request) -> Response:
        await self._noted(request)
        return Response()

    async def nowhere(self, request: Request, _: Exception) -> Response:
        await self._noted(request)
        return _missing(f"no such place: {request.url.path}")

    async def _noted(self, request: Request) -> Received:
        found = await _received(request)
        self._script.noted(found)
        return found

    def _model(self, name: str) -> dict[str, Any]:
        return {
            "type": "model",
            "id": name,
            "display_name": MODELS[name],
            "created_at": "2026-09-01T00:00:00Z",
            "lifecycle": "active",
            "max_input_tokens": self._script.window or WINDOW,
            "max_tokens": LONGEST_ANSWER,
        }


async def _received(request: Request) -> Received:
    raw = await request.body()
    body: dict[str, Any] = json.loads(raw) if raw else {}
    return Received(request.method, request.url.path, dict(request.headers), body, time.monotonic())


def _missing(text: str) -> Response:
    return JSONResponse(
        stream.error("not_found_error", text, "req_000000"), 404, {"request-id": "req_000000"}
    )
