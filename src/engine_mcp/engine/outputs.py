"""Outputs: small ones stand in the record, large ones beside it as artifacts."""

import json
from collections.abc import Iterable

from pydantic import JsonValue

from engine_mcp.core.execution import Output, Step
from engine_mcp.core.graph import outputs_of
from engine_mcp.engine.desk import Desk

INLINE = 32 << 10
INLINE_WHEN_CROWDED = 4 << 10
CROWDED = 256 << 10
DEEPEST = 150


_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def dumps(value: JsonValue) -> str:
    """The compact JSON text of a value."""
    return _encoder.encode(value)


def written(value: JsonValue) -> str:
    """The compact JSON text of what an adapter gave; raises ValueError where the record cannot keep it."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if text.count("[") + text.count("{") > DEEPEST and _too_deep(value):
        raise ValueError(f"It is nested more than {DEEPEST} deep.")
    return text


def _too_deep(value: JsonValue) -> bool:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [inner for outer in level for inner in _within(outer)]
    return bool(level)


def _within(value: JsonValue) -> Iterable[JsonValue]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


async def kept(value: JsonValue, text: str, desk: Desk) -> Output:
    """The output that holds a value, whose JSON is `text`.

    Above 32 KiB it becomes an artifact; above 4 KiB already once the record holds 256 KiB of them, so
    that the snapshot stays small.
    """
    content = text.encode(errors="surrogatepass")
    if len(content) <= (INLINE if desk.inlined < CROWDED else INLINE_WHEN_CROWDED):
        desk.inlined += len(content)
        return Output(value=value)
    artifact = await desk.keep(content, name=None, media_type="application/json")
    return Output(artifact=artifact)


async def loaded(output: Output, desk: Desk) -> JsonValue:
    """The value of an output, wherever it is kept."""
    if output.artifact is None:
        return output.value
    return json.loads(await desk.artifact(output.artifact.digest))


async def dependency_outputs(step: Step, desk: Desk) -> dict[str, JsonValue]:
    """The results of a step's completed dependencies, by step id."""
    found = outputs_of(step, desk.execution.steps)
    return {dep.spec.id: await loaded(dep.output, desk) for dep in found if dep.output is not None}
