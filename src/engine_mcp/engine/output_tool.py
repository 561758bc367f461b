"""`output`: lets an agent read the whole of a dependency's output that its prompt shows only in part."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from engine_mcp.core.plan import Mode
from engine_mcp.core.tool import Health, ToolResult, ToolSpec
from engine_mcp.engine.attempt import failure
from engine_mcp.engine.page import page
from engine_mcp.ports import Workbench

_SPEC = ToolSpec(
    name="output",
    description=(
        "Read the output of a step that this one depends on, from a character on; returns {text, next, "
        "total}, with next null at the end. Use it where the prompt shows only the beginning."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "step": {"type": "string", "description": "The id of the step."},
            "offset": {"type": "integer", "minimum": 0, "description": "The first character; default 0."},
        },
        "required": ["step"],
        "additionalProperties": False,
    },
    mode=Mode.NONE,
    requests=0,
)


@dataclass(frozen=True, slots=True)
class OutputTool:
    """Fulfils `ports.ToolAdapter`; `texts` are the whole outputs by step id."""

    texts: Mapping[str, str]

    @property
    def spec(self) -> ToolSpec:
        """What the model is told."""
        return _SPEC

    async def execute(self, arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        """One page of an output."""
        del bench
        name = str(arguments["step"])
        text = self.texts.get(name)
        if text is None:
            known = ", ".join(self.texts)
            why = f"There is no output of {name!r} to read; there are: {known}."
            return ToolResult(failure=failure("invalid_argument", why))
        return page(text, arguments)

    def estimated_s(self, arguments: Mapping[str, JsonValue]) -> float | None:
        """At once."""
        del arguments
        return 0.0

    async def health(self) -> Health:
        """Always usable."""
        return Health(usable=True)
