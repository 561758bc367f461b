"""`resume`: goes on with an execution that rests, or whose process is gone."""

from pathlib import Path
from typing import TypedDict, Unpack

import click

from engine_mcp.app import App
from engine_mcp.cli import options
from engine_mcp.cli.carrying import carry
from engine_mcp.cli.exits import Exit
from engine_mcp.cli.finding import found
from engine_mcp.core.budget import Limits
from engine_mcp.core.execution import Execution
from engine_mcp.core.request import Resume
from engine_mcp.settings import load


class Given(TypedDict):
    """What the command line says."""

    execution_id: str
    approve: tuple[str, ...]
    deny: tuple[str, ...]
    from_step: str | None
    runtime: str | None
    model: str | None
    budget: Limits
    path: Path | None
    as_json: bool


@click.command()
@options.execution_id
@click.option("--approve", multiple=True, metavar="STEP", help="Let a step run that waits for approval.")
@click.option("--deny", multiple=True, metavar="STEP", help="Let a step that waits for approval fail.")
@click.option("--from-step", metavar="STEP", help="Run this step again, and all that depend on it.")
@options.route
@options.budget
@options.project
@options.json
def resume(**given: Unpack[Given]) -> Exit:
    """Go on with an execution where it stopped.

    It is followed to its end, as by `run`; completed steps are not run again. ID may be cut short as
    long as it is unique.
    """
    settings = load(given["path"])
    request = Resume(
        budget=given["budget"],
        approve=given["approve"],
        deny=given["deny"],
        from_step=given["from_step"],
        runtime=given["runtime"],
        model=given["model"],
    )

    async def begin(app: App) -> Execution:
        return await app.engine.resume(await found(app.engine, given["execution_id"]), request)

    return carry(settings, begin, as_json=given["as_json"])
