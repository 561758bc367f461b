"""`resume`: goes on with an execution that rests, or whose process is gone."""

from dataclasses import replace
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
    step: str | None
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
@click.option("--step", metavar="STEP", help="The limits given are those of this step.")
@options.route
@options.budget
@options.project
@options.json
def resume(**given: Unpack[Given]) -> Exit:
    """Go on with an execution where it stopped.

    It is followed to its end, as by `run`; completed steps are not run again. Where another process
    drives it, --approve and --deny are handed over to that one. ID may be cut short as long as it is
    unique.
    """
    settings, step = load(given["path"]), given["step"]
    if step is not None and not given["budget"].limited:
        raise click.UsageError("--step is for a limit such as --max-tokens.")
    request = Resume(
        budget=given["budget"] if step is None else Limits(),
        approve=given["approve"],
        deny=given["deny"],
        from_step=given["from_step"],
        runtime=given["runtime"],
        model=given["model"],
    )

    async def begin(app: App) -> Execution:
        name = await found(app.engine, given["execution_id"])
        wanted = request
        if step is not None:
            wanted = replace(request, step_budgets={step: given["budget"]})
        return await app.engine.resume(name, wanted)

    return carry(settings, begin, as_json=given["as_json"], answers=request.only_answers)
