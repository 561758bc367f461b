"""The Anthropic SDK: one client, one request at a time through it, and what can go wrong on the way.

Importing this module imports the SDK, which takes seconds: only `api.py` does, in a thread.
"""

from collections.abc import Callable, Mapping
from typing import Any

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

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.execution import Failure
from engine_mcp.core.fault import fault
from engine_mcp.runners.api_options import Access, ApiOptions
from engine_mcp.runners.api_stream import Reply

CONNECT_S = 30.0
CLOSE_S = 2.0
BREATH = 4
"""Events after which others get their turn: a stream whose events are all there would starve them."""
QUIET = 3
"""How many times `stall_s` an answer may do without an event while the connection shows that it lives.

The API sends pings while a model thinks unseen, and the SDK keeps them to itself.
"""
_LONGEST = 1500
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
        return _stalled(f"The provider sent nothing of its answer for {self._quiet_s:g} s.")

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
        return failure_of(error, otherwise="provider_error")
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


def failure_of(error: Exception, *, otherwise: str) -> Failure:
    """The failure that an exception of the SDK stands for; `otherwise` where nothing is known of it."""
    if isinstance(error, APIStatusError):
        return _refused(error)
    cause = error.__cause__ if isinstance(error, APIConnectionError) and error.__cause__ else error
    kind, told = type(cause).__name__, str(cause) or str(error)
    # The SDK does not show the classes of its HTTP client, so they are known by their names.
    if kind == "ReadTimeout":
        return _stalled("The provider sent nothing for too long.")
    broken = isinstance(error, APIConnectionError) or type(cause).__module__.partition(".")[0] in _TRANSPORT
    if broken:
        return Failure("unreachable", f"{kind}: {told}"[:_LONGEST], CATALOGUE["unreachable"].remedy)
    return fault(f"{kind}: {told}"[:_LONGEST], otherwise=otherwise)


def _refused(error: APIStatusError) -> Failure:
    told = (error.api_message or error.message)[:_LONGEST]
    if error.error_code:
        # In words, because words are what tells a limit on spending from one on speed.
        told = f"{told} ({error.error_code.replace('_', ' ')})"
    if wait := error.response.headers.get("retry-after"):
        told = f"{told} Retry after {wait} s."
    if error.request_id:
        told = f"{told} [{error.request_id}]"
    # An error inside a stream has the status of the response that it came in.
    status = None if error.status_code < 400 else error.status_code  # noqa: PLR2004 - HTTP's own
    return fault(told, status=status, kind=error.type or "", otherwise="unreachable")


def _stalled(told: str) -> Failure:
    return Failure("runtime_stalled", told, CATALOGUE["runtime_stalled"].remedy)
