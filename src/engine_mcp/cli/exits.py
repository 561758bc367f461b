"""Exit codes: one for each way a command can end."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

from engine_mcp.core.execution import ExecutionStatus
from engine_mcp.errors import EngineError


class Exit(IntEnum):
    """What the shell gets."""

    COMPLETED = 0
    FAILED = 1
    USAGE = 2
    PAUSED = 3
    INTERRUPTED = 4
    CANCELLED = 5
    NOT_FOUND = 6
    OWNED = 7
    RECORD = 8
    STATE = 9
    UNAVAILABLE = 10
    INTERNAL = 70
    PIPE = 141


MEANINGS: Mapping[Exit, str] = MappingProxyType(
    {
        Exit.COMPLETED: "completed, or done as asked",
        Exit.FAILED: "the execution failed",
        Exit.USAGE: "the command line, a plan file or a setting is wrong; nothing was started",
        Exit.PAUSED: "paused: it waits for budget, approval, an account or space, and can be resumed",
        Exit.INTERRUPTED: "interrupted: what was started is saved, and can be resumed",
        Exit.CANCELLED: "cancelled for good",
        Exit.NOT_FOUND: "no execution has this id",
        Exit.OWNED: "another process drives the execution and does not answer",
        Exit.RECORD: "the record cannot be read or written",
        Exit.STATE: "the execution has ended or runs already",
        Exit.UNAVAILABLE: "something that is needed cannot be used now",
        Exit.INTERNAL: "a defect of the engine",
        Exit.PIPE: "nobody reads the output any more",
    }
)

_BY_STATUS: Mapping[ExecutionStatus, Exit] = MappingProxyType(
    {
        ExecutionStatus.COMPLETED: Exit.COMPLETED,
        ExecutionStatus.FAILED: Exit.FAILED,
        ExecutionStatus.PAUSED: Exit.PAUSED,
        ExecutionStatus.CANCELLED: Exit.CANCELLED,
    }
)

_BY_CODE: Mapping[str, Exit] = MappingProxyType(
    {
        "invalid_argument": Exit.USAGE,
        "invalid_plan": Exit.USAGE,
        "path_outside_roots": Exit.USAGE,
        "runtime_unavailable": Exit.UNAVAILABLE,
        "unknown_tool": Exit.USAGE,
        "unknown_model": Exit.USAGE,
        "unknown_role": Exit.USAGE,
        "unknown_skill": Exit.USAGE,
        "template": Exit.USAGE,
        "unpriced": Exit.USAGE,
        "idempotency_conflict": Exit.USAGE,
        "execution_not_found": Exit.NOT_FOUND,
        "execution_owned": Exit.OWNED,
        "record_corrupt": Exit.RECORD,
        "record_newer": Exit.RECORD,
        "storage": Exit.RECORD,
        "execution_finished": Exit.STATE,
        "execution_running": Exit.STATE,
        "nothing_to_summarize": Exit.STATE,
        "busy": Exit.UNAVAILABLE,
        "sandbox_unavailable": Exit.UNAVAILABLE,
    }
)


def of_status(status: ExecutionStatus) -> Exit:
    """The exit code of a command that carried an execution as far as it went."""
    return _BY_STATUS.get(status, Exit.INTERRUPTED)


def of_error(error: EngineError) -> Exit:
    """The exit code of a command that an error ended."""
    return _BY_CODE.get(error.code, Exit.INTERNAL)
