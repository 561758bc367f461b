"""The Anthropic SDK: one client, one request at a time through it, and what can go wrong on the way.

Importing this module imports the SDK, which takes seconds: only `api.py` does, in a thread.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import anyio
from anthropic import (
    APIConnectionError,
    APIStatusError,
    AsyncAnthropic,
    AsyncStream,
    Timeout,
)
from anthropic.lib.bedrock import AsyncAnthropicBedrock, AsyncAnthropicBedrockMantle
from anthropic.types import RawMessageStreamEvent
from pydantic import JsonValue

from engine_mcp.core.execution import Failure
from engine_mcp.core.fault import KINDS, Signs
from engine_mcp.core.window import Window
from engine_mcp.runners.api_options import Access, ApiOptions
from engine_mcp.runners.api_stream import Reply
from engine_mcp.runners.faults import fault, retry_after

CONNECT_S = 30.0
CLOSE_S = 2.0
ASIDE_S = 5.0
"""How long the provider may take to say what is not needed: there are estimates."""
BREATH = 4
"""Events after which others get their turn: a stream whose events are all there would starve them."""
QUIET = 3
"""How many times `stall_s` an answer may do without an event while the connection shows that it lives.

The API sends pings while a model thinks unseen, and the SDK keeps them to itself.
"""
_LONGEST = 1500
_CAUSES = 12
"""How many exceptions behind one are looked at."""
_TRANSPORT = frozenset({"httpx2", "httpcore2", "h11", "ssl", "anyio"})

Client = AsyncAnthropic | AsyncAnthropicBedrock | AsyncAnthropicBedrockMantle


class Endpoint:
    """The provider; fulfils `api_loop.Link`. Building it takes a while: do it in a thread."""

    def __init__(self, options: ApiOptions, access: Access) -> None:
        self._client = _client(options, access)
        self._quiet_s = options.stall_s * QUIET
        self._places = anyio.CapacityLimiter(options.streams)

    async def ask(
        self, request: Mapping[str, JsonValue], reply: Reply, heard: Callable[[str], None]
    ) -> Failure | None:
        """Send a request, feed the events of its answer to `reply` and tell each; why it broke, if it did."""
        async with self._places:
            with anyio.CancelScope(deadline=anyio.current_time() + self._quiet_s) as scope:
                return await self._stream(request, reply, heard, scope)
        return fault(
            Signs(text=f"The provider sent nothing of its answer for {self._quiet_s:g} s."), "runtime_stalled"
        )

    async def count(self, request: Mapping[str, JsonValue]) -> int | None:
        """The input tokens of a request; None where the provider does not say so in time."""
        count: Any = self._client.messages.count_tokens
        try:
            with anyio.fail_after(ASIDE_S):
                return int((await count(**request)).input_tokens)
        except Exception:  # noqa: BLE001 - whatever goes wrong, there is an estimate
            return None

    async def window(self, model: str) -> Window | None:
        """The window of a model; None where the provider does not say so in time."""
        if not isinstance(self._client, AsyncAnthropic):
            return None
        try:
            with anyio.fail_after(ASIDE_S):
                found = await self._client.models.retrieve(model)
        except Exception:  # noqa: BLE001 - whatever goes wrong, the window is known or assumed otherwise
            return None
        told = found.max_input_tokens
        return Window(tokens=told, source="provider") if told else None

    async def aclose(self) -> None:
        """Close the connections."""
        with anyio.move_on_after(CLOSE_S, shield=True):
            await self._client.close()

    async def _stream(
        self,
        request: Mapping[str, JsonValue],
        reply: Reply,
        heard: Callable[[str], None],
        scope: anyio.CancelScope,
    ) -> Failure | None:
        create: Any = self._client.messages.create  # the request is JSON already, not the SDK's own types
        try:
            stream: AsyncStream[RawMessageStreamEvent] = await create(**request, stream=True)
        except Exception as error:  # noqa: BLE001 - nothing but the SDK and what it is built on runs here
            return failure_of(error, otherwise="request_rejected")
        reply.request_id = stream.response.headers.get("request-id", "")
        count = 0
        try:
            while (event := await _next(stream)) is not None:
                if isinstance(event, Failure):
                    return event
                self._prolong(scope)
                heard(reply.feed(event))
                count += 1
                if count % BREATH == 0:
                    await anyio.lowlevel.checkpoint()
        finally:
            with anyio.move_on_after(CLOSE_S, shield=True):
                await stream.close()
        return None

    def _prolong(self, scope: anyio.CancelScope) -> None:
        """Give the next event its time; now and then does, because it costs more than an event."""
        deadline = anyio.current_time() + self._quiet_s
        if deadline - scope.deadline > self._quiet_s / 8:
            scope.deadline = deadline


async def _next(stream: AsyncStream[RawMessageStreamEvent]) -> dict[str, JsonValue] | Failure | None:
    """The next event, as it came; None at the end."""
    try:
        event = await anext(stream)
    except StopAsyncIteration:
        return None
    except Exception as error:  # noqa: BLE001 - nothing but the SDK and what it is built on runs here
        return failure_of(error, otherwise="provider_error", cut=True)
    # Types that the SDK does not know yet are passed on without its warnings.
    return event.to_dict(mode="json", warnings=False)  # pyright: ignore[reportReturnType] - it is JSON


def _client(options: ApiOptions, access: Access) -> Client:
    timeout = Timeout(options.stall_s, connect=CONNECT_S)
    if options.provider == "anthropic":
        return AsyncAnthropic(
            api_key=access.api_key,
            auth_token=access.auth_token,
            base_url=access.base_url,
            timeout=timeout,
            max_retries=0,
            open_telemetry=False,
        )
    chosen = AsyncAnthropicBedrockMantle if options.provider == "bedrock" else AsyncAnthropicBedrock
    return chosen(
        api_key=access.api_key,
        aws_region=access.region,
        aws_access_key=access.aws_access_key,
        aws_secret_key=access.aws_secret_key,
        aws_session_token=access.aws_session_token,
        aws_profile=access.aws_profile,
        base_url=access.base_url,
        timeout=timeout,
        max_retries=0,
        open_telemetry=False,
    )


def failure_of(error: Exception, *, otherwise: str, cut: bool = False) -> Failure:
    """The failure that an exception of the SDK stands for; `otherwise` where nothing is known of it.

    `cut`: it came after the answer had begun.
    """
    if isinstance(error, APIStatusError):
        return _refused(error)
    causes = _causes(error)
    names = [type(cause).__name__ for cause in causes]
    # The SDK does not show the classes of its HTTP client, so they are known by their names.
    kind = next((name for name in reversed(names) if name in KINDS), "")
    told = "; ".join(dict.fromkeys(f"{name}: {cause}" for name, cause in zip(names, causes, strict=True)))
    broken = any(
        isinstance(cause, APIConnectionError) or type(cause).__module__.partition(".")[0] in _TRANSPORT
        for cause in causes
    )
    signs = Signs(text=told[:_LONGEST], kind=kind, cut=cut and broken)
    return fault(signs, "unreachable" if broken else otherwise)


def _causes(error: BaseException) -> list[BaseException]:
    """An exception and what led to it, the first cause last."""
    found = list[BaseException]()
    waiting = [error]
    while waiting and len(found) < _CAUSES:
        latest = waiting.pop(0)
        found.append(latest)
        if isinstance(latest, BaseExceptionGroup):
            waiting.extend(cast("BaseExceptionGroup[BaseException]", latest).exceptions)
        elif (before := latest.__cause__ or latest.__context__) is not None:
            waiting.append(before)
    return found


def _refused(error: APIStatusError) -> Failure:
    told = (error.api_message or error.message)[:_LONGEST]
    if error.error_code:
        told = f"{told} ({error.error_code.replace('_', ' ')})"
    header = error.response.headers.get("retry-after")
    wait_s = retry_after(header, time.time())
    if wait_s is not None:
        told = f"{told} Retry after {wait_s:.0f} s."
    if error.request_id:
        told = f"{told} [{error.request_id}]"
    # An error inside a stream has the status of the response that it came in.
    status = None if error.status_code < 400 else error.status_code  # noqa: PLR2004 - HTTP's own
    return fault(
        Signs(
            text=told,
            status=status,
            kind=error.type or "",
            error_code=error.error_code or "",
            cut=status is None,
            retry_after_s=wait_s,
        ),
        "unreachable",
    )
