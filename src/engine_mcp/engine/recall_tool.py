"""`recall`: lets an agent read the original of what its conversation shows only in part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from engine_mcp.core.context.transcript import message_read
from engine_mcp.core.plan import Mode
from engine_mcp.core.tool import Health, ToolResult, ToolSpec
from engine_mcp.core.window import Words
from engine_mcp.engine.attempt import failure
from engine_mcp.engine.page import page
from engine_mcp.ports import Workbench

_SPEC = ToolSpec(
    name="recall",
    description=(
        "Read the original of an earlier message of this conversation that a summary or a stub stands for, "
        "by its id such as m12, from a character on; returns {text, next, total}, with next null at the end."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "The id of the message, such as m12."},
            "offset": {"type": "integer", "minimum": 0, "description": "The first character; default 0."},
        },
        "required": ["id"],
        "additionalProperties": False,
    },
    mode=Mode.NONE,
    requests=0,
)


@dataclass(frozen=True, slots=True)
class RecallTool:
    """Fulfils `ports.ToolAdapter`; `messages` is the whole conversation, which grows."""

    messages: Sequence[Words]

    @property
    def spec(self) -> ToolSpec:
        """What the model is told."""
        return _SPEC

    async def execute(self, arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        """One page of a message."""
        del bench
        name = str(arguments["id"])
        text = message_read(self.messages, name)
        if text is None:
            why = f"There is no message {name!r}; there are m0 to m{len(self.messages) - 1}."
            return ToolResult(failure=failure("invalid_argument", why))
        return page(text, arguments)

    def estimated_s(self, arguments: Mapping[str, JsonValue]) -> float | None:
        """At once."""
        del arguments
        return 0.0

    async def health(self) -> Health:
        """Always usable."""
        return Health(usable=True)
