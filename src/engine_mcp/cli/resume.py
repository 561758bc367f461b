"""`resume`: goes on with an execution that rests, or whose process is gone."""

from pathlib import Path
from typing import TypedDict, Unpack

import click

from engine_mcp.app import App
from engine_mcp.cli import options
from engine_mcp.cli.carrying import carry
from engine_mcp.cli.exits import Exit
from engine_mcp.cli.finding import found
from engine_mcp.cli.voice import note
from engine_mcp.core.budget import Limits
from engine_mcp.core.execution import Execution
from engine_mcp.core.request import Resume
from engine_mcp.core.shrinking import unrestored
from engine_mcp.core.window import WindowLimits
from engine_mcp.errors import ExecutionFinished, InvalidArgument
from engine_mcp.server.contexts import summarized_again
from engine_mcp.server.outcome import final
from engine_mcp.settings import load

_OF_A_STEP = frozenset({"step_budgets", "summarize", "restore"})
"""What --step is given for."""


class Given(TypedDict):
    """What the command line says."""

    execution_id: str
    approve: tuple[str, ...]
    deny: tuple[str, ...]
    from_step: str | None
    step: str | None
    summarize: bool
    originals: bool
    runtime: str | None
    model: str | None
    window: WindowLimits
    budget: Limits
    path: Path | None
    as_json: bool


@click.command()
@options.execution_id
@click.option("--approve", multiple=True, metavar="STEP", help="Let a step run that waits for approval.")
@click.option("--deny", multiple=True, metavar="STEP", help="Let a step that waits for approval fail.")
@click.option("--from-step", metavar="STEP", help="Run this step again, and all that depend on it.")
@click.option("--step", metavar="STEP", help="Limits, --summarize and --originals are for this step alone.")
@click.option("--summarize", is_flag=True, help="Make conversations of api shorter at their next turn.")
@click.option("--originals", is_flag=True, help="Undo summaries: go on with the original messages.")
@options.route
@options.window
@options.budget
@options.project
@options.json
def resume(**given: Unpack[Given]) -> Exit:
    """Go on with an execution where it stopped.

    It is followed to its end, as by `run`; completed steps are not run again. Where another process
    drives it, --approve, --deny and --summarize are handed over to that one. ID may be cut short as long
    as it is unique.
    """
    request = _request(given)

    async def begin(app: App) -> Execution:
        return await _gone_on(app, await found(app.engine, given["execution_id"]), request, given["step"])

    return carry(load(given["path"]), begin, as_json=given["as_json"], answers=request.only_answers)


async def _gone_on(app: App, name: str, request: Resume, step: str | None) -> Execution:
    before = await app.engine.show(name)
    try:
        again = await summarized_again(app.engine, before, request)
        execution = await app.engine.resume(name, request)
    except ExecutionFinished as error:
        raise final(before, error) from error
    except InvalidArgument as error:
        if step is None or error.field not in _OF_A_STEP:
            raise
        raise InvalidArgument(error.message, field="--step", hint=error.hint) from error
    for said in (unrestored(before, request.restore), again):
        if said:
            note(said)
    return execution


def _request(given: Given) -> Resume:
    step, budget = given["step"], given["budget"]
    if step is not None and not (budget.limited or given["summarize"] or given["originals"]):
        raise click.UsageError("--step is for a limit such as --max-tokens, --summarize or --originals.")
    meant = () if step is None else (step,)
    return Resume(
        budget=budget if step is None else Limits(),
        step_budgets={step: budget} if step is not None and budget.limited else {},
        approve=given["approve"],
        deny=given["deny"],
        from_step=given["from_step"],
        runtime=given["runtime"],
        model=given["model"],
        window=given["window"],
        summarize=meant if given["summarize"] else None,
        restore=meant if given["originals"] else None,
    )
