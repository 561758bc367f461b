"""The command line. Each command is imported when it is called, so that none pays for another."""

from importlib import import_module

import click

from engine_mcp import __version__
from engine_mcp.cli.exits import MEANINGS
from engine_mcp.server.boot import quick_imports

COMMANDS = ("run", "status", "show", "interrupt", "resume", "budget", "prune", "doctor", "serve")
"""In the order of the help text; each is named like its module."""


class Commands(click.Group):
    """A group whose commands live in modules of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands; see `click.Group`."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name; see `click.Group`."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        with quick_imports():
            module = import_module(f"engine_mcp.cli.{cmd_name}")
        return getattr(module, cmd_name)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The exit codes, below everything else; see `click.Group`."""
        del ctx
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), meaning) for code, meaning in MEANINGS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Durable, budgeted, interruptible executions of agent work."""
