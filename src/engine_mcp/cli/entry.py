"""A call of the command line, from its words to its exit code.

No end comes without a word, and none but a defect's with a traceback.
"""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import TextIO

import click
from pydantic import JsonValue

from engine_mcp.cli import cli
from engine_mcp.cli.exits import Exit, of_error
from engine_mcp.cli.voice import Unread, document, note
from engine_mcp.cli.words import typed
from engine_mcp.errors import EngineError

_log = logging.getLogger("engine_mcp")


def call(words: Sequence[str]) -> int:
    """Carry out a command line; returns what the shell gets."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return _carried_out(words)
    except Unread:
        return Exit.PIPE
    finally:
        # Nothing is left that could be stopped.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for stream in (sys.stdout, sys.stderr):
            _let_go(stream)


def _let_go(stream: TextIO) -> None:
    """Write what is left; where nobody reads it, the end of the process shall not fail over it."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _carried_out(words: Sequence[str]) -> int:
    as_json = "--json" in words
    try:
        return int(_ended(words) or Exit.COMPLETED)
    except click.ClickException as error:
        return _misused(error, as_json=as_json)
    except EngineError as error:
        _refused(error, as_json=as_json)
        return of_error(error)
    except (KeyboardInterrupt, click.Abort):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        note("Stopped.")
        return Exit.INTERRUPTED
    except Unread:
        raise
    except Exception:  # noqa: BLE001 - the last one who can say anything about it
        _log.exception("a defect of the engine")
        _refused(EngineError(), as_json=as_json)
        return Exit.INTERNAL


def _ended(words: Sequence[str]) -> int | None:
    try:
        return cli.main(args=list(words), prog_name="engine-mcp", standalone_mode=False)
    except BaseExceptionGroup as group:
        raise _alone(group) from None


def _alone(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error in a group that a task group made of it; the group itself where there are more."""
    match group.exceptions:
        case [BaseExceptionGroup() as inner]:
            return _alone(inner)
        case [error]:
            return error
        case _:
            return group


def _misused(error: click.ClickException, *, as_json: bool) -> Exit:
    if as_json:
        hint = "See the command's --help."
        document({"error": {"code": "invalid_argument", "message": error.format_message(), "hint": hint}})
    else:
        error.show()
    return Exit.USAGE


def _refused(error: EngineError, *, as_json: bool) -> None:
    if not as_json:
        note(f"{error.message}\n{typed(error.hint)}")
        return
    told: dict[str, JsonValue] = {"code": error.code, "message": error.message, "hint": error.hint}
    document({"error": {**told, "field": error.field} if error.field else told})
