"""`interrupt`: stops an execution, whichever process drives it."""

from pathlib import Path
from typing import TypedDict, Unpack

import click

from engine_mcp.app import App
from engine_mcp.cli import options
from engine_mcp.cli.exits import Exit
from engine_mcp.cli.finding import found
from engine_mcp.cli.resuming import resume_command
from engine_mcp.cli.session import Rest, at_rest, inside
from engine_mcp.cli.voice import document, say
from engine_mcp.core.execution import StopMode
from engine_mcp.engine.driver import ACTIVE
from engine_mcp.server.view import view
from engine_mcp.settings import Settings, load

REASON = "interrupted from the command line"
MODES = (StopMode.NOW, StopMode.AFTER_STEP, StopMode.CANCEL)


class Given(TypedDict):
    """What the command line says."""

    execution_id: str
    mode: str
    path: Path | None
    as_json: bool


@click.command()
@options.execution_id
@click.option(
    "--mode",
    type=click.Choice([str(mode) for mode in MODES]),
    default=str(StopMode.NOW),
    show_default=True,
    help="Stop the running steps, let them end first, or end the execution for good.",
)
@options.project
@options.json
def interrupt(**given: Unpack[Given]) -> Exit:
    """Stop an execution and keep everything.

    It may be driven by another process. ID may be cut short as long as it is unique.
    """
    settings = load(given["path"])
    rest = inside(settings, lambda app: _stopped(app, given["execution_id"], StopMode(given["mode"])))
    if given["as_json"]:
        document(view(rest.execution, now=rest.now, snapshot=rest.snapshot))
    else:
        say(_told(rest, settings))
    return Exit.COMPLETED


async def _stopped(app: App, name: str, mode: StopMode) -> Rest:
    return await at_rest(app, await app.engine.interrupt(await found(app.engine, name), mode, REASON))


def _told(rest: Rest, settings: Settings) -> str:
    execution = rest.execution
    if execution.stopping is not None and execution.status in ACTIVE:
        return f"{execution.id} is {execution.status} and will stop: {execution.stopping.mode}."
    again = resume_command(rest, settings)
    return f"{execution.id} is {execution.status}." + (f"\nresume    {again}" if again else "")
