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
from engine_mcp.cli.voice import document, whole
from engine_mcp.core.execution import Artifact, Execution
from engine_mcp.errors import InvalidArgument
from engine_mcp.settings import load
from engine_mcp.store.codec import encode_state

SHORT = 12


class Given(TypedDict):
    """What the command line says."""

    execution_id: str
    artifact: str | None
    path: Path | None
    as_json: bool


@click.command()
@options.execution_id
@click.option("--artifact", metavar="NAME", help="Print the content of this artifact, by name or digest.")
@options.project
@options.json
def show(**given: Unpack[Given]) -> Exit:
    """Show an execution as a tree of steps and attempts.

    With errors, outputs and artifacts; with --json it is the complete state. ID may be cut short as
    long as it is unique.
    """
    name, wanted = given["execution_id"], given["artifact"]
    if wanted is not None and given["as_json"]:
        raise click.UsageError("--artifact prints the artifact as it is: leave out --json.")
    settings = load(given["path"])
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
