"""Options that commands share, each group as one value."""

import math
from collections.abc import Callable
from functools import update_wrapper
from pathlib import Path
from typing import Any, TypeVar

import click

from engine_mcp.core.budget import MOST_COUNTED, MOST_SECONDS, MOST_USD, Limits, OnExceed

Command = TypeVar("Command", bound=Callable[..., object])


class Amount(click.FloatRange):
    """A finite number from 0 up to `most`."""

    def __init__(self, most: float) -> None:
        super().__init__(min=0, max=most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - click's own types
        """The number; refuses what is none, as every comparison with it would be false."""
        found: float = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return abs(found)  # no -0


_LIMITS = (
    ("--max-tokens", click.IntRange(min=0, max=MOST_COUNTED), "N", "Tokens of all kinds together."),
    ("--max-cost-usd", Amount(MOST_USD), "USD", "Money, in US dollars."),
    ("--max-seconds", Amount(MOST_SECONDS), "S", "Seconds of running."),
    ("--max-requests", click.IntRange(min=0, max=MOST_COUNTED), "N", "Model calls and tool calls."),
    ("--on-exceed", click.Choice([*map(str, OnExceed)]), None, "At a limit: go on and say so, or pause."),
)


def project(command: Command) -> Command:
    """The project to work in, as `path`."""
    return click.option(
        "--path",
        metavar="DIR",
        type=click.Path(file_okay=False, path_type=Path),
        help="The project; default: the current directory.",
    )(command)


def json(command: Command) -> Command:
    """Whether to print JSON, as `as_json`."""
    text = "Print exactly one JSON document on standard output."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def budget(command: Callable[..., object]) -> Callable[..., object]:
    """Limits, as one `Limits` in `budget`."""

    def gathered(*args: Any, **given: Any) -> object:  # noqa: ANN401 - click's own types
        names = [name.removeprefix("--").replace("-", "_") for name, _, _, _ in _LIMITS]
        values = {name: given.pop(name) for name in names}
        if values["on_exceed"] is not None:
            values["on_exceed"] = OnExceed(values["on_exceed"])
        return command(*args, budget=Limits(**values), **given)

    wrapped: Callable[..., object] = update_wrapper(gathered, command)
    for name, kind, metavar, text in reversed(_LIMITS):
        wrapped = click.option(name, type=kind, metavar=metavar, help=text)(wrapped)
    return wrapped


def route(command: Command) -> Command:
    """What carries agent steps out, as `runtime` and `model`."""
    for name, text in (("--model", "A model by its name or id."), ("--runtime", "What runs agent steps.")):
        command = click.option(name, metavar="NAME", help=text)(command)
    return command


execution_id = click.argument("execution_id", metavar="ID")
