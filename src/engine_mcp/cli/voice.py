"""What is said: results on standard output, everything else on standard error."""

import json
from collections.abc import Mapping
from contextlib import suppress

import click
from pydantic import JsonValue

from engine_mcp.cli.words import plain


class Unread(Exception):
    """Nobody reads standard output any more."""


def document(value: Mapping[str, JsonValue]) -> None:
    """Print the one JSON document of a command; raises Unread."""
    say(json.dumps(value, indent=2))


def say(text: str) -> None:
    """Print a part of the result; raises Unread."""
    whole(f"{plain(text)}\n")


def whole(content: str | bytes) -> None:
    """Print a result as it is; raises Unread."""
    try:
        click.echo(content, nl=False)
    except OSError as error:
        raise Unread from error


def note(text: str) -> None:
    """Tell something beside the result; a terminal that is gone is no reason to stop working."""
    with suppress(OSError):
        click.echo(plain(text), err=True)
