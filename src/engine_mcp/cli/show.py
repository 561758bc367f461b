"""`show`: an execution as a tree of its steps and attempts, or one of its artifacts."""

import json
from pathlib import Path
from typing import TypedDict, Unpack

import click
from pydantic import JsonValue

from engine_mcp.app import App
from engine_mcp.cli import options
from engine_mcp.cli.exits import Exit
from engine_mcp.cli.finding import found, seen
from engine_mcp.cli.session import inside
from engine_mcp.cli.voice import document, say, whole
from engine_mcp.core.execution import Artifact, Execution
from engine_mcp.errors import InvalidArgument
from engine_mcp.settings import Settings, load
from engine_mcp.store.codec import encode_state

SHORT = 12


class Given(TypedDict):
    """What the command line says."""

    execution_id: str
    artifact: str | None
    step: str | None
    summaries: bool
    message: str | None
    path: Path | None
    as_json: bool


@click.command()
@options.execution_id
@click.option("--artifact", metavar="NAME", help="Print the content of this artifact, by name or digest.")
@click.option("--step", metavar="STEP", help="Whose summaries or message; needed where several have some.")
@click.option("--summaries", is_flag=True, help="Print what stands for older messages, and what it left out.")
@click.option("--message", metavar="ID", help="Print this message of a conversation as it was, such as m12.")
@options.project
@options.json
def show(**given: Unpack[Given]) -> Exit:
    """Show an execution as a tree of steps and attempts.

    With errors, outputs and artifacts; with --json it is the complete state. ID may be cut short as
    long as it is unique.
    """
    name, wanted = given["execution_id"], given["artifact"]
    _check(given)
    settings = load(given["path"])
    if given["summaries"] or given["message"] is not None:
        _print_context(given, settings)
        return Exit.COMPLETED
    if wanted is not None:
        whole(inside(settings, lambda app: _content(app, name, wanted)))
        return Exit.COMPLETED
    rest = inside(settings, lambda app: seen(app, name))
    if given["as_json"]:
        state: JsonValue = json.loads(encode_state(rest.execution))
        document({"execution_id": rest.execution.id, "snapshot": rest.snapshot, "state": state})
    else:
        from engine_mcp.cli.tree import print_tree  # noqa: PLC0415 - rich is for people

        print_tree(rest)
    return Exit.COMPLETED


def _check(given: Given) -> None:
    said = [name for name in ("artifact", "summaries", "message") if given[name]]
    if len(said) > 1:
        raise click.UsageError("Ask for one of --artifact, --summaries and --message.")
    if said == ["artifact"] and given["as_json"]:
        raise click.UsageError("--artifact prints the artifact as it is: leave out --json.")
    if given["step"] is not None and said not in (["summaries"], ["message"]):
        raise click.UsageError("--step is for --summaries and --message.")


def _print_context(given: Given, settings: Settings) -> None:
    """Print the summaries of a step, or one of its messages."""
    from engine_mcp.cli import summaries  # noqa: PLC0415 - reads the shapes of summaries only when asked to

    name, step, message = given["execution_id"], given["step"], given["message"]
    if message is not None:
        document(inside(settings, lambda app: summaries.original(app, name, step, message)))
        return
    chain = inside(settings, lambda app: summaries.chain(app, name, step))
    if given["as_json"]:
        document({"summaries": [one.shown() for one in chain]})
        return
    for number, one in enumerate(chain, 1):
        say(f"{number} of {len(chain)}  {one.told()}")


async def _content(app: App, name: str, wanted: str) -> bytes:
    execution = await app.engine.show(await found(app.engine, name))
    return await app.engine.artifact(execution.id, _artifact(execution, wanted).digest)


def _artifact(execution: Execution, wanted: str) -> Artifact:
    outputs = (step.output.artifact for step in execution.steps.values() if step.output is not None)
    kept = [*execution.artifacts, *(artifact for artifact in outputs if artifact is not None)]
    for artifact in kept:
        if wanted in {artifact.name, artifact.digest, artifact.digest[:SHORT]}:
            return artifact
    known = ", ".join(artifact.name or artifact.digest[:SHORT] for artifact in kept) or "none"
    hint = f"Its artifacts are: {known}."
    raise InvalidArgument(f"{execution.id} has no artifact {wanted!r}.", field="--artifact", hint=hint)
