"""Outputs: small ones stand in the record, large ones beside it as artifacts."""

import json

from pydantic import JsonValue

from engine_mcp.core.execution import Output, Step
from engine_mcp.core.graph import outputs_of
from engine_mcp.engine.desk import Desk

INLINE = 32 << 10
INLINE_WHEN_CROWDED = 4 << 10
CROWDED = 256 << 10


_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def dumps(value: JsonValue) -> str:
    """The compact JSON text of a value."""
    return _encoder.encode(value)


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
