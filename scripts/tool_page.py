"""The reference of the tools, from what a live server lists."""

import sys
import tempfile
from collections.abc import Iterator

import anyio
from mcp import Client, StdioServerParameters
from mcp.types import Tool
from pydantic import JsonValue

from scripts.markdown import table

ANSWER_WITHIN_S = 30
NESTED = 4  # a schema may refer to itself; deeper fields are left to the schema

Schema = dict[str, JsonValue]


def resolved(schema: JsonValue, root: Schema) -> Schema:
    """Follow a reference into the definitions of `root`; anything that is no object admits anything."""
    match schema:
        case {"$ref": str(ref), **rest}:
            definitions = root.get("$defs")
            found = definitions.get(ref.rpartition("/")[2]) if isinstance(definitions, dict) else None
            return {**resolved(found, root), **rest}
        case dict():
            return schema
        case _:
            return {}


def options(schema: Schema, root: Schema) -> list[Schema]:
    """Give the alternatives of a schema, or the schema itself."""
    match schema:
        case {"anyOf": list(found)} | {"oneOf": list(found)}:
            return [resolved(option, root) for option in found]
        case _:
            return [schema]


def kind(schema: Schema, root: Schema) -> str:
    """Say in a few characters what a schema admits."""
    match schema:
        case {"enum": list(values)}:
            return ", ".join(f"`{value}`" for value in values)
        case {"anyOf": _} | {"oneOf": _}:
            return " or ".join(kind(option, root) for option in options(schema, root))
        case {"type": "array", "items": items}:
            return f"list of {kind(resolved(items, root), root)}"
        case {"type": list(names)}:
            return " or ".join(str(name) for name in names)
        case _:
            return str(schema.get("type", "any"))


def rows(schema: Schema, root: Schema, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, ...]]:
    """Give a row for each field of an object schema, and below it one for each field of the field."""
    properties, required = schema.get("properties"), schema.get("required")
    needed = required if isinstance(required, list) else []
    for name, value in properties.items() if isinstance(properties, dict) else ():
        field = resolved(value, root)
        about = " ".join(str(field.get("description", "")).split())
        default = f"`{field['default']}`" if field.get("default") is not None else ""
        yield f"`{prefix}{name}`", kind(field, root), "required" if name in needed else default, about
        for option in options(field, root) if depth < NESTED else ():
            inner, dots = (option["items"], "[].") if "items" in option else (option, ".")
            yield from rows(resolved(inner, root), root, f"{prefix}{name}{dots}", depth + 1)


def fields(schema: Schema) -> str:
    """Write the fields of an object schema, nested ones by their path."""
    found = list(rows(schema, schema))
    return table(("Field", "Type", "Default", "Meaning"), found) if found else "None."


def section(tool: Tool) -> str:
    """Write one tool: description, arguments, result."""
    parts = [f"## {tool.name}", (tool.description or "").strip(), "### Arguments", fields(tool.input_schema)]
    if tool.output_schema:
        parts += ["### Result", fields(tool.output_schema)]
    return "\n\n".join(parts)


async def listed() -> list[Tool]:
    """Ask a real server over stdio for its tools."""
    with tempfile.TemporaryDirectory() as folder, anyio.fail_after(ANSWER_WITHIN_S):
        server = StdioServerParameters(command=sys.executable, args=["-m", "engine_mcp", "serve"], cwd=folder)
        async with Client(server) as client:
            return (await client.list_tools()).tools


def page() -> str:
    """Write the whole page."""
    sections = [section(tool) for tool in anyio.run(listed)]
    return "\n\n".join(["# Tools", "What the server lists, in its order.", *sections]) + "\n"
