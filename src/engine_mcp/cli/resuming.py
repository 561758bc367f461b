"""The command that goes on with an execution, exactly as it can be typed here."""

import shlex
import shutil
import sys
from pathlib import Path

from pydantic import JsonValue

from engine_mcp.core.execution import Execution
from engine_mcp.server.advice import next_actions
from engine_mcp.settings import Settings

NAMED_AT_MOST = 20


def program() -> list[str]:
    """How this program was called, so that it can be called again."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return [sys.executable, "-m", "engine_mcp"]
    found = shutil.which("engine-mcp")
    return ["engine-mcp"] if found and Path(found) == called.absolute() else [sys.argv[0]]


def command(verb: str, execution_id: str, settings: Settings, *more: str) -> str:
    """A command about an execution, quoted for the shell."""
    place = [] if settings.project == Path.cwd() else ["--path", str(settings.project)]
    return shlex.join([*program(), verb, execution_id, *place, *more])


def resume_command(execution: Execution, settings: Settings) -> str | None:
    """What to type to go on, with what the execution waits for; None if there is nothing to go on with."""
    actions = next_actions(execution, NAMED_AT_MOST)
    if not actions:
        return None
    more = [word for action in actions for word in _options(action.arguments)]
    return command("resume", execution.id, settings, *more)


def _options(arguments: dict[str, JsonValue]) -> list[str]:
    words: list[str] = []
    for name, value in arguments.items():
        match name, value:
            case "budget", dict():
                words += [word for key, limit in value.items() for word in (_flag(key), f"{limit}")]
            case (("approve" | "deny"), list()):
                words += [word for step in value for word in (_flag(name), str(step))]
            case _:
                pass
    return words


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
