"""Why a call is refused: errors with a code of the catalogue, which become the failure of its result."""

import errno
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import anyio.to_thread
from pydantic import JsonValue

from engine_mcp.core.execution import Failure
from engine_mcp.core.tool import ToolResult
from engine_mcp.errors import EngineError, StorageError

LONGEST_SHOWN = 200


class Denied(EngineError):
    """The call wants what no call may have: something outside the project, or the engine's own state."""

    code = "denied"


class ToolFailed(EngineError):
    """The call cannot be carried out as it was made."""

    code = "tool_error"


class AccessRefused(EngineError):
    """The operating system refuses access."""

    code = "permission"


class NotNow(EngineError):
    """The call failed for a reason that may pass."""

    code = "tool_transient"


async def answered(work: Callable[[], JsonValue]) -> ToolResult:
    """Carry out blocking `work` in a thread: its value, or the EngineError that it raised as a failure."""
    try:
        return ToolResult(value=await anyio.to_thread.run_sync(work))
    except EngineError as error:
        return ToolResult(failure=Failure(error.code, error.message, error.hint))


def shown(path: str) -> str:
    """The path as it stands in a message: quoted, and not too long."""
    return repr(path if len(path) <= LONGEST_SHOWN else f"{path[:LONGEST_SHOWN]}…")


@contextmanager
def telling(path: str) -> Generator[None]:
    """Turn an OSError of the block into the EngineError that says what is wrong with `path`."""
    try:
        yield
    except OSError as error:
        raise _told(path, error) from error


def _told(path: str, error: OSError) -> EngineError:
    number = error.errno or 0
    kind = _KINDS.get(number, ToolFailed)
    words, hint = _WORDS.get(number, (os.strerror(number), _HINTS.get(kind)))
    return kind(f"{shown(path)}: {words}.", field="path", hint=hint)


_KINDS: Mapping[int, type[EngineError]] = MappingProxyType(
    {
        **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), AccessRefused),
        **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO), StorageError),
        **dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.ELOOP, errno.EBUSY, errno.ENOMEM), NotNow),
    }
)
_HINTS: Mapping[type[EngineError], str] = MappingProxyType(
    {
        AccessRefused: "Grant the engine's user access to it, or use another path.",
        StorageError: "Free space on the file system of the project, then try again.",
    }
)
_WORDS: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        errno.ENOENT: (
            "there is no such file or folder",
            "See what is there with files.list; files.stat gives null for what is not.",
        ),
        errno.EEXIST: ("it exists already", 'Use another path, or mode "replace".'),
        errno.ENOTDIR: ("a part of the path is not a folder", "See what is there with files.list."),
        errno.ELOOP: ("it was changed while it was being opened", "Try again."),
        errno.ENAMETOOLONG: ("the path, or a name in it, is too long", "Use a shorter path."),
        errno.ENXIO: ("it is not a regular file", "Use a regular file; files.stat tells the type."),
    }
)
