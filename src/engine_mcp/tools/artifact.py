"""`artifact`: keeps a result under a name beside the record of the execution."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.core.execution import Failure
from engine_mcp.core.plan import Mode
from engine_mcp.core.tool import Health, ToolResult, ToolSpec
from engine_mcp.ports import Workbench
from engine_mcp.tools.arguments import given

_SPEC = ToolSpec(
    name="artifact",
    description=(
        "Keep a text or a JSON value as a named artifact of the execution; returns {digest, size, name}. "
        "The artifact is shown with the result; the newest of a name is the one that counts."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "name": {
                "type": "string",
                "minLength": 1,
                "maxLength": 200,
                "pattern": r"^(?!\.{1,2}$)[^/\\\x00-\x1f\x7f]+(?![\s\S])",
                "description": "A plain file name, such as report.md.",
            },
            "text": {"type": "string", "description": "The content; give either text or json."},
            "json": {"description": "Any JSON value, kept as indented JSON; give either text or json."},
            "media_type": {
                "type": "string",
                "pattern": r"^[\w.+-]+/[\w.+-]+(; ?[\w-]+=[\w.-]+)*(?![\s\S])",
                "maxLength": 100,
                "description": "Without it text/plain, or application/json.",
            },
        },
        "required": ["name"],
        "additionalProperties": False,
    },
    mode=Mode.NONE,
    changes=True,
)


@dataclass(frozen=True, slots=True)
class ArtifactTool:
    """Keeps artifacts on the workbench it is given."""

    @property
    def spec(self) -> ToolSpec:
        """What scripts call as `tools.artifact(arguments)`."""
        return _SPEC

    async def execute(self, arguments: Mapping[str, JsonValue], bench: Workbench) -> ToolResult:
        """Keep the content; durable on return."""
        if ("text" in arguments) == ("json" in arguments):
            return _invalid("artifact takes exactly one of text and json.")
        kind = "text/plain" if "text" in arguments else "application/json"
        try:
            content = _text(arguments).encode()
        except UnicodeEncodeError as error:
            return _invalid(
                f"The content holds half of a character at {error.start}, which UTF-8 cannot say."
            )
        name = given(arguments, "name", "")
        kept = await bench.keep(content, name=name, media_type=given(arguments, "media_type", kind))
        return ToolResult(value={"digest": kept.digest, "size": kept.size, "name": name})

    def estimated_s(self, arguments: Mapping[str, JsonValue]) -> float | None:
        """A moment for the disk."""
        del arguments
        return 0.05

    async def health(self) -> Health:
        """Usable wherever the record can be written, which the engine watches by itself."""
        return Health(usable=True, detail="Artifacts are kept beside the record of the execution.")


def _text(arguments: Mapping[str, JsonValue]) -> str:
    if "text" in arguments:
        return given(arguments, "text", "")
    return json.dumps(arguments["json"], ensure_ascii=False, indent=2) + "\n"


def _invalid(message: str) -> ToolResult:
    return ToolResult(failure=Failure("invalid_argument", message, CATALOGUE["invalid_argument"].remedy))
