"""`prune`: removes finished executions that the retention settings keep no longer."""

from pathlib import Path

import click

from engine_mcp.app import App
from engine_mcp.cli import options
from engine_mcp.cli.exits import Exit
from engine_mcp.cli.session import inside
from engine_mcp.cli.voice import document, note, say
from engine_mcp.settings import load
from engine_mcp.store.retention import Retention


@click.command()
@click.option("--dry-run", is_flag=True, help="Only tell which ones would go.")
@options.project
@options.json
def prune(*, dry_run: bool, path: Path | None, as_json: bool) -> Exit:
    """Remove executions that finished long ago.

    How long is kept, and how many, say the retention settings.
    Nothing unfinished is touched, and none whose folder holds a file named `keep`.
    """
    settings = load(path)
    policy = Retention(days=settings.retention.days, count=settings.retention.count)

    async def removed(app: App) -> list[str]:
        return list(await app.store.prune(policy, dry_run=dry_run))

    ids = inside(settings, removed)
    if as_json:
        document({"removed": [*ids], "dry_run": dry_run})
    else:
        for name in ids:
            say(name)
        note(f"{len(ids)} {'would be' if dry_run else 'were'} removed.")
    return Exit.COMPLETED
