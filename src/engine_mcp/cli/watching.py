"""Which watch fits what standard error is."""

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from engine_mcp.cli.lines import Lines
from engine_mcp.cli.session import Watch


def watch() -> Watch:
    """A drawing on a terminal that can be drawn on, lines anywhere else."""
    if not sys.stderr.isatty():
        return Lines()
    from rich.console import Console  # noqa: PLC0415 - pipes and logs should not wait for what only terminals need

    from engine_mcp.cli.live import LiveTable  # noqa: PLC0415 - the same

    console = Console(file=_patient(), stderr=True)
    return Lines() if console.is_dumb_terminal else LiveTable(console)


def _patient() -> TextIO | None:
    """The terminal, so that a drawing that it does not take now is left out: the work would wait for it.

    None where it cannot be opened anew. To change how standard error is open would change it for others too.
    """
    with suppress(OSError):
        place = os.open(os.ttyname(sys.stderr.fileno()), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        return io.TextIOWrapper(io.FileIO(place, "w"), sys.stderr.encoding, "replace", write_through=True)
    return None
