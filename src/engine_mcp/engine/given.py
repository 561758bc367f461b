"""What a conversation was given with its first prompt, as pins: a summary must not forget it."""

from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from engine_mcp.core.context.pin import Pin, PinKind, Voice
from engine_mcp.core.context.pins import pins_of
from engine_mcp.core.handoff import Packet, parsed, split
from engine_mcp.core.plan import Plan, StepSpec
from engine_mcp.engine.outputs import dumps

LONGEST = 400
"""Characters of a value of the plan's context that is pinned as it is."""
MOST = 100
"""Values of the context that are; what binds in longer texts is found there like in any other."""


def given(spec: StepSpec, plan: Plan, outputs: Mapping[str, JsonValue]) -> tuple[Pin, ...]:
    """The task, the plan's pins, and what its context and the results of other steps say.

    `outputs` are those of the steps that the step depends on. The message 0 has the whole of all.
    """
    found = [Pin(kind=PinKind.TASK, text=spec.task)] if spec.task else []
    found += [Pin(kind=PinKind.USER, text=text) for text in plan.pins]
    found += _of_context(plan.context)
    for output in outputs.values():
        found += _of_output(output)
    return tuple(found)


def _of_context(context: JsonValue) -> Iterator[Pin]:
    values = list(_leaves("", context))
    yield from pins_of([{"role": "user", "content": text} for _, text in values if len(text) > LONGEST])
    for name, text in [value for value in values if len(value[1]) <= LONGEST][:MOST]:
        yield Pin(kind=PinKind.FACT, text=f"{name}: {text}" if name else text, at=0, key=name)


def _leaves(name: str, value: JsonValue) -> Iterator[tuple[str, str]]:
    """The values of a structure with the names that lead to them."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}" if name else key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(name, inner)
    elif value is not None:
        yield name, value if isinstance(value, str) else dumps(value)


def _of_output(output: JsonValue) -> Iterator[Pin]:
    """What the result of another step says, in its words and in the packet that it handed on."""
    text, written = split(output)
    yield from pins_of([{"role": "assistant", "content": text}])
    try:
        packet = parsed(written)
    except ValueError:
        return
    for kind, items in _stated(packet).items():
        yield from (Pin(kind=kind, text=item, at=0, by=Voice.ASSISTANT) for item in items)


def _stated(packet: Packet) -> Mapping[PinKind, tuple[str, ...]]:
    return {
        PinKind.CONSTRAINT: packet.constraints,
        PinKind.DECISION: packet.decisions,
        PinKind.OPEN: packet.open_items,
    }
