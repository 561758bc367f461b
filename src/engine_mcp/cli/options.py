"""Options that commands share, each group as one value."""

import math
from collections.abc import Callable
from functools import update_wrapper
from pathlib import Path
from typing import Any, TypeVar

import click

from engine_mcp.core.budget import MOST_COUNTED, MOST_SECONDS, MOST_USD, Limits, OnExceed
from engine_mcp.core.window import LEAST_TOKENS, LEAST_TRIGGER, MOST_TOKENS, WindowLimits

Command = TypeVar("Command", bound=Callable[..., object])


class Amount(click.FloatRange):
    """A finite number from `least` up to `most`."""

    def __init__(self, most: float, least: float = 0) -> None:
        super().__init__(min=least, max=most)

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


_WINDOW = (
    (
        "--window-trigger",
        Amount(1, LEAST_TRIGGER),
        "SHARE",
        "Make conversations of api shorter at this share of what the window leaves; default: 0.8.",
    ),
    (
        "--window-tokens",
        click.IntRange(min=LEAST_TOKENS, max=MOST_TOKENS),
        "N",
        "And at so many tokens at the latest; default: 150000.",
    ),
    ("--summary-model", click.STRING, "NAME", "The model that writes summaries; default: a cheap one."),
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


def window(command: Callable[..., object]) -> Callable[..., object]:
    """When conversations are made shorter, as one `WindowLimits` in `window`."""

    def gathered(*args: Any, **given: Any) -> object:  # noqa: ANN401 - click's own types
        limits = WindowLimits(
            trigger=given.pop("window_trigger"),
            max_tokens=given.pop("window_tokens"),
            model=given.pop("summary_model"),
        )
        return command(*args, window=limits, **given)

    wrapped: Callable[..., object] = update_wrapper(gathered, command)
    for name, kind, metavar, text in reversed(_WINDOW):
        wrapped = click.option(name, type=kind, metavar=metavar, help=text)(wrapped)
    return wrapped


def route(command: Command) -> Command:
    """What carries agent steps out, as `runtime` and `model`."""
    for name, text in (("--model", "A model by its name or id."), ("--runtime", "What runs agent steps.")):
        command = click.option(name, metavar="NAME", help=text)(command)
    return command


execution_id = click.argument("execution_id", metavar="ID")
