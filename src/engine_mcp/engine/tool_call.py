"""One call of a tool, from a script or as a step: schema, time limit, and errors as values."""

import logging

import anyio
from pydantic import JsonValue

from engine_mcp.core.tool import ToolResult
from engine_mcp.engine.attempt import failure
from engine_mcp.engine.schema import mismatch
from engine_mcp.errors import EngineError, StorageError
from engine_mcp.ports import ToolAdapter, Workbench

_log = logging.getLogger(__name__)


async def call_tool(tool: ToolAdapter, arguments: JsonValue, bench: Workbench) -> ToolResult:
    """Carry out a call; what goes wrong is a failure in the result, but for cancellation and StorageError."""
    given = {} if arguments is None else arguments
    if wrong := mismatch(tool.spec.input_schema, given):
        return ToolResult(failure=failure("invalid_argument", f"{tool.spec.name}: {wrong}"))
    if not isinstance(given, dict):
        return ToolResult(failure=failure("invalid_argument", f"{tool.spec.name} takes an object."))
    try:
        with anyio.fail_after(tool.spec.timeout_s):
            return await tool.execute(given, bench)
    except TimeoutError:
        text = f"{tool.spec.name} took longer than {tool.spec.timeout_s:g} s."
        return ToolResult(failure=failure("timeout", text))
    except StorageError:
        raise  # the execution pauses: this is no answer that a record should hold
    except EngineError as error:
        return ToolResult(failure=failure(error.code, error.message, error.hint))
    except Exception:  # noqa: BLE001 - an adapter's defect must not end the engine
        _log.exception("the tool %s failed in a way it does not foresee", tool.spec.name)
        return ToolResult(failure=failure("internal"))
