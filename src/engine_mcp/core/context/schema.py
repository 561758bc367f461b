"""The schema of a summary: what a model is asked to write, in a fixed order."""

from collections.abc import Mapping

from pydantic import JsonValue

LARGEST = 256 << 10
"""Characters of an answer that is read at all."""
LONGEST_GOAL, LONGEST_ITEM = 2_000, 1_000
"""Characters of the goal, and of any other text; longer ones are cut at the end of a word."""
MOST_ITEMS = 40
"""Items of a list; those that follow are left out."""

LISTS = (
    "success_criteria",
    "constraints_verbatim",
    "done",
    "open_items",
    "facts_verbatim",
    "failed_approaches",
    "next_steps",
    "preferences",
)
"""The fields that are lists of texts."""
_TEXT: JsonValue = {"type": "string"}


def _listed(*names: str) -> JsonValue:
    """A list of texts, or of objects with these texts."""
    return {"type": "array", "items": _object(dict.fromkeys(names, _TEXT)) if names else _TEXT}


def _object(properties: Mapping[str, JsonValue]) -> JsonValue:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


PROPERTIES: Mapping[str, JsonValue] = {
    "goal": _TEXT,
    "success_criteria": _listed(),
    "constraints_verbatim": _listed(),
    "decisions": _listed("what", "why"),
    "files": _listed("path", "action", "detail"),
    "done": _listed(),
    "open_items": _listed(),
    "errors": _listed("verbatim", "resolution"),
    "facts_verbatim": _listed(),
    "failed_approaches": _listed(),
    "next_steps": _listed(),
    "preferences": _listed(),
}
"""The fields in their order. `files` makes a model think of them; those of the record are shown."""

SCHEMA: JsonValue = _object(PROPERTIES)
"""The whole of it; bounds are kept by code, since providers do not take them in a schema."""
