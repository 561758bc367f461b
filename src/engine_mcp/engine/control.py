"""The control socket: another process of the same user asks the owner of an execution to stop it.

One request and one answer a connection, each a line of JSON. The socket stands in a directory of mode
0700, so only its user reaches it.
"""

import logging
from typing import Protocol

import anyio
from anyio.abc import SocketStream, TaskStatus
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.budget import Limits
from engine_mcp.core.execution import StopMode
from engine_mcp.core.request import Resume
from engine_mcp.errors import EngineError, ExecutionOwned, InvalidArgument, NothingToSummarize

_log = logging.getLogger(__name__)

ANSWER_S = 30.0
LONGEST = 64 << 10
_TOLD_ON = {kind.code: kind for kind in (InvalidArgument, NothingToSummarize)}
"""What the owner says of the wish itself, which is no fault of its process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for one execution: a stop, other limits, answers to approvals, or summaries."""

    execution_id: str
    stop: StopMode | None = None
    reason: str = ""
    budget: Limits = Limits()
    reset: bool = False
    approve: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    summarize: tuple[str, ...] | None = None

    @property
    def answers(self) -> Resume:
        """The same as a request to go on, where it is one."""
        return Resume(approve=self.approve, deny=self.deny, summarize=self.summarize)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Nothing, or why the wish was not fulfilled, with the code, the argument and the hint of that error."""

    error: str = ""
    code: str = ""
    field: str | None = None
    hint: str | None = None


def answering(execution_id: str, request: Resume) -> Wish:
    """The wish for what a request asks of an execution that runs elsewhere."""
    return Wish(
        execution_id=execution_id,
        approve=request.approve,
        deny=request.deny,
        summarize=request.summarize,
    )


class Owner(Protocol):
    """Who fulfils wishes."""

    async def fulfil(self, wish: Wish) -> None:
        """Fulfil a wish, or raise the EngineError that prevents it."""
        ...


_WISH, _ANSWER = TypeAdapter(Wish), TypeAdapter(Answer)


async def listen(address: str, owner: Owner, *, task_status: TaskStatus[None]) -> None:
    """Serve wishes at a socket path until cancelled; the socket is gone afterwards."""
    listener = await anyio.create_unix_listener(address, mode=0o600)
    try:
        async with listener:
            task_status.started()
            await listener.serve(lambda stream: _serve(stream, owner))
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.Path(address).unlink(missing_ok=True)


async def _serve(stream: SocketStream, owner: Owner) -> None:
    async with stream:
        with anyio.move_on_after(ANSWER_S):
            answer = Answer()
            try:
                await owner.fulfil(_WISH.validate_json(await _line(stream)))
            except EngineError as failed:
                answer = Answer(error=failed.message, code=failed.code, field=failed.field, hint=failed.hint)
            except (ValidationError, anyio.EndOfStream, anyio.BrokenResourceError):
                answer = Answer(error="The request could not be read.")
            except Exception:  # noqa: BLE001 - whoever asks must not end the engine
                _log.exception("a request over the control socket failed")
                answer = Answer(error=CATALOGUE["internal"].cause)
            await _send(stream, _ANSWER.dump_json(answer, exclude_defaults=True))


async def ask(address: str, wish: Wish, within_s: float = ANSWER_S) -> None:
    """Ask the owner; raises ExecutionOwned where it does not answer in time or cannot do it.

    Raises InvalidArgument or NothingToSummarize where the owner says so of the wish.
    """
    try:
        with anyio.fail_after(within_s):
            async with await anyio.connect_unix(address) as stream:
                await _send(stream, _WISH.dump_json(wish))
                answer = _ANSWER.validate_json(await _line(stream))
    except (OSError, TimeoutError, ValidationError, anyio.EndOfStream, anyio.BrokenResourceError) as error:
        late = f" within {within_s:g} s." if isinstance(error, TimeoutError) else "."
        why = f": {error}" if str(error) else late
        text = f"The process that drives {wish.execution_id} does not answer{why}"
        raise ExecutionOwned(text, field="execution_id") from error
    if (told := _TOLD_ON.get(answer.code)) is not None:
        raise told(answer.error, field=answer.field, hint=answer.hint)
    if answer.error:
        raise ExecutionOwned(answer.error, field="execution_id")


async def _send(stream: SocketStream, line: bytes) -> None:
    try:
        await stream.send(line + b"\n")
    except anyio.BrokenResourceError:
        return


async def _line(stream: SocketStream) -> bytes:
    text = b""
    while not text.endswith(b"\n") and len(text) < LONGEST:
        text += await stream.receive()
    return text
