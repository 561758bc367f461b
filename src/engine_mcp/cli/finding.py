"""Which execution an abbreviated id means."""

import re

from engine_mcp.app import App
from engine_mcp.cli.session import Rest, at_rest
from engine_mcp.core.listing import Query
from engine_mcp.engine.engine import Engine
from engine_mcp.errors import ExecutionNotFound, InvalidArgument

WHOLE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
BEGINNING = re.compile(r"[0-9a-f-]{1,36}")
PAGE = 200


async def found(engine: Engine, text: str) -> str:
    """The id that begins with `text`; raises ExecutionNotFound, or InvalidArgument where several do."""
    text = text.lower()
    if WHOLE.fullmatch(text):
        return text
    ids = await _beginning_with(engine, text) if BEGINNING.fullmatch(text) else []
    if not ids:
        hint = "List the executions with `engine-mcp status`."
        raise ExecutionNotFound(f"No execution has an id that begins with {text!r}.", field="ID", hint=hint)
    if len(ids) > 1:
        several = "\n".join(ids)
        raise InvalidArgument(
            f"More than one id begins with {text!r}:\n{several}", field="ID", hint="Give more of it."
        )
    return ids[0]


async def seen(app: App, text: str) -> Rest:
    """The execution whose id begins with `text`, as it is now."""
    return await at_rest(app, await app.engine.show(await found(app.engine, text)))


async def _beginning_with(engine: Engine, text: str) -> list[str]:
    """Up to two ids, which is enough to know."""
    ids: list[str] = []
    after: str | None = None
    while len(ids) <= 1:
        page = await engine.list(Query(text=text, limit=PAGE, after=after))
        ids += [row.id for row in page.rows if row.id.startswith(text)]
        if len(page.rows) < PAGE:
            break
        after = page.rows[-1].id
    return ids
