"""`run`: starts an execution and carries it as far as it goes."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict, Unpack

import click
from pydantic import JsonValue

from engine_mcp.app import App, edge
from engine_mcp.cli import options
from engine_mcp.cli.carrying import carry
from engine_mcp.cli.exits import Exit
from engine_mcp.cli.plan_file import PlanFile, read_plan
from engine_mcp.core.budget import Limits, OnExceed
from engine_mcp.core.execution import Execution
from engine_mcp.core.plan import Mode, StrategyName, TaskType
from engine_mcp.core.route import Allowed
from engine_mcp.core.window import WindowLimits
from engine_mcp.errors import EngineError, InvalidArgument
from engine_mcp.server.arguments import draft
from engine_mcp.settings import load

File = click.Path(exists=True, dir_okay=False, path_type=Path)


class Given(TypedDict):
    """What the command line says."""

    task: str | None
    plan: Path | None
    code: Path | None
    tool: str | None
    arg: tuple[str, ...]
    mode: str | None
    allow: tuple[str, ...]
    strategy: str | None
    type: str | None
    file: tuple[str, ...]
    agent: str | None
    runtime: str | None
    model: str | None
    context: str | None
    idempotency_key: str | None
    fallback: tuple[str, ...]
    auto_resume: bool
    pin: tuple[str, ...]
    window: WindowLimits
    budget: Limits
    path: Path | None
    as_json: bool


@click.command()
@click.argument("task", required=False)
@click.option("--plan", type=File, help="A plan in YAML, with the fields that engine_execute takes.")
@click.option("--code", type=File, help="A script: the body of an async JavaScript function.")
@click.option("--tool", metavar="NAME", help="A tool to call once.")
@click.option(
    "--arg", multiple=True, metavar="NAME=VALUE", help="An argument of the tool; JSON, or else text."
)
@click.option(
    "--mode",
    type=click.Choice([str(mode) for mode in Mode]),
    help="What the work may do to files; default: read.",
)
@click.option("--allow", multiple=True, metavar="TOOL", help="Allow this tool, and none that is not named.")
@click.option("--strategy", type=click.Choice(["auto", *map(str, StrategyName)]), help="Default: auto.")
@click.option("--type", type=click.Choice([*map(str, TaskType)]), help="The kind of work; default: feature.")
@click.option("--file", multiple=True, metavar="PATH", help="Put this file of the project into the prompt.")
@click.option("--agent", metavar="ROLE", help="The role of the agent, such as architect or reviewer.")
@options.route
@click.option(
    "--context", metavar="JSON|@FILE", help="An object that scripts see as `input` and agents read."
)
@click.option("--idempotency-key", metavar="KEY", help="The same key gives the same execution again.")
@click.option(
    "--fallback",
    multiple=True,
    type=click.Choice([*map(str, Allowed)]),
    help="What may be left where a route breaks: the family of runtimes, the account, the tier.",
)
@click.option("--pin", multiple=True, metavar="TEXT", help="A fact that every summary keeps word for word.")
@options.window
@click.option("--auto-resume", is_flag=True, help="Wait for a quota or a new day, and go on by itself.")
@options.budget
@options.project
@options.json
def run(**given: Unpack[Given]) -> Exit:
    """Start an execution and follow it to its end.

    Its work is a TASK in words, a plan, a script, or one call of a tool.
    Ctrl-C interrupts it: everything is saved, and the line that is printed resumes it.
    """
    _check_one_kind_of_work(given)
    settings = load(given["path"])
    file = read_plan(given["plan"]) if given["plan"] else None
    with _placed(file):
        wanted = draft(_arguments(given, file), edge(settings, OnExceed.PAUSE))

        async def begin(app: App) -> Execution:
            return await app.engine.execute(wanted)

        return carry(settings, begin, as_json=given["as_json"])


def _check_one_kind_of_work(given: Given) -> None:
    said = [name for name in ("task", "plan", "code", "tool") if given[name] is not None]
    if len(said) != 1:
        raise click.UsageError("Say the work in one of TASK, --plan, --code and --tool.")
    if given["arg"] and said != ["tool"]:
        raise click.UsageError("--arg is for --tool.")
    if said == ["plan"] and (given["mode"] or given["allow"]):
        raise click.UsageError("--mode and --allow are not for --plan; a plan says them for each step.")


@contextmanager
def _placed(file: PlanFile | None) -> Generator[None]:
    try:
        yield
    except EngineError as error:
        if file is None:
            raise
        raise file.placed(error) from error


def _arguments(given: Given, file: PlanFile | None) -> dict[str, JsonValue]:
    """The arguments of `engine_execute` that the command line and the plan file make together."""
    found: dict[str, JsonValue] = dict(file.arguments) if file else {}
    if given["path"] is not None:
        found.pop("path", None)
    said: dict[str, JsonValue | None] = {
        "task": given["task"],
        "code": given["code"].read_text(encoding="utf-8") if given["code"] else None,
        "tool": given["tool"],
        "arguments": dict(_argument(text) for text in given["arg"]) or None,
        "permissions": _permissions(given),
        "strategy": given["strategy"],
        "task_type": given["type"],
        "files": [*given["file"]] or None,
        "agent": given["agent"],
        "runtime": given["runtime"],
        "model": given["model"],
        "context": _context(given["context"]) if given["context"] is not None else None,
        "idempotency_key": given["idempotency_key"],
        "fallback": [*given["fallback"]] or None,
        "auto_resume": given["auto_resume"] or None,
        "pins": [*given["pin"]] or None,
        "window": _over(found.get("window"), asdict(given["window"])),
        "budget": _over(found.get("budget"), asdict(given["budget"])),
    }
    return {**found, **{name: value for name, value in said.items() if value is not None}}


def _over(planned: JsonValue, said: dict[str, JsonValue]) -> JsonValue:
    """What the plan file says of something, with what the command line says in its place; None: no more."""
    said = {name: value for name, value in said.items() if value is not None}
    return {**(planned if isinstance(planned, dict) else {}), **said} if said else None


def _permissions(given: Given) -> JsonValue:
    said: dict[str, JsonValue] = {"mode": given["mode"]} if given["mode"] else {}
    if given["allow"]:
        said["allowed_tools"] = [*given["allow"]]
    return said or None


def _argument(text: str) -> tuple[str, JsonValue]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"--arg takes NAME=VALUE, not {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _context(text: str) -> JsonValue:
    try:
        return json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        raise InvalidArgument(
            f"--context: {error}", field="context", hint="Give a JSON object, or @ and a file with one."
        ) from error
