"""An execution as the one JSON document of a command."""

from engine_mcp.cli.resuming import resume_command
from engine_mcp.cli.session import Rest
from engine_mcp.cli.waiting import waits
from engine_mcp.server.results import JsonObject
from engine_mcp.server.view import Answer, view
from engine_mcp.settings import Settings


def shown(rest: Rest, settings: Settings) -> JsonObject:
    """What clients of the server see, and in `waiting` what a paused one waits for and what to type."""
    answer = Answer(contexts=rest.contexts)
    found = view(rest.execution, now=rest.now, snapshot=rest.snapshot, answer=answer)
    waiting = waits(rest, settings)
    return found if waiting is None else {**found, "waiting": waiting.shown(resume_command(rest, settings))}
