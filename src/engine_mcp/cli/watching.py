"""Which watch fits what standard error is."""

import sys

from engine_mcp.cli.lines import Lines
from engine_mcp.cli.session import Watch


def watch() -> Watch:
    """A drawing on a terminal that can be drawn on, lines anywhere else."""
    if not sys.stderr.isatty():
        return Lines()
    from rich.console import Console  # noqa: PLC0415 - pipes and logs should not wait for what only terminals need

    from engine_mcp.cli.live import LiveTable  # noqa: PLC0415 - the same

    console = Console(stderr=True)
    return Lines() if console.is_dumb_terminal else LiveTable(console)
