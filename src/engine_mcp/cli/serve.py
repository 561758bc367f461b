"""`serve`: the MCP server over stdio."""

from pathlib import Path

import anyio
import click

from engine_mcp.app import edge, running
from engine_mcp.cli import options
from engine_mcp.cli.exits import Exit
from engine_mcp.core.budget import OnExceed
from engine_mcp.server.boot import quick_imports
from engine_mcp.settings import Settings, load


@click.command()
@options.project
@click.option(
    "--root",
    "roots",
    multiple=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Another directory in which clients may work.",
)
def serve(path: Path | None, roots: tuple[Path, ...]) -> Exit:
    """Serve the five tools to an MCP client over stdio."""
    settings = load(path, roots=roots)
    anyio.run(_serve, settings, backend_options={"use_uvloop": True})
    return Exit.COMPLETED


async def _serve(settings: Settings) -> None:
    with quick_imports():
        from engine_mcp.server.stdio import serve_stdio  # noqa: PLC0415 - only the server pays for MCP

    async with running(settings, serve=True) as app:
        await serve_stdio(app.engine, edge(settings, OnExceed.WARN))
