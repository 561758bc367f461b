"""Results stay small: the same thing is drawn with less and less detail until it fits."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import JsonValue

from engine_mcp.server.results import JsonObject

MOST_BYTES = 8000
"""Of a whole result; clients cut or set aside what is larger than about 8 KiB."""


@dataclass(frozen=True, slots=True)
class Detail:
    """The most of everything: bytes of the result, of a step's output, of a text; rows of a list."""

    result: int
    output: int
    text: int
    rows: int


DETAILS = (
    Detail(result=7000, output=7000, text=4000, rows=100),
    Detail(result=4000, output=600, text=400, rows=50),
    Detail(result=2500, output=120, text=200, rows=25),
    Detail(result=1500, output=0, text=120, rows=12),
    Detail(result=600, output=0, text=100, rows=4),
    Detail(result=200, output=0, text=60, rows=1),
)


def dumps(value: JsonValue) -> str:
    """The compact JSON text of a value."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def size(value: JsonValue) -> int:
    """The bytes of a value as JSON."""
    return len(dumps(value).encode(errors="surrogatepass"))


def fitted(draw: Callable[[Detail], JsonObject], most: int = MOST_BYTES) -> JsonObject:
    """What `draw` gives with the most detail that fits into `most` bytes."""
    drawn: JsonObject = {}
    for detail in DETAILS:
        drawn = draw(detail)
        if _written_wide(drawn) <= most:
            break
    return encodable(drawn)


def _written_wide(value: JsonObject) -> int:
    """The bytes of it with a blank after each comma and colon, as some clients write it for their models."""
    return len(json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))


def encodable(value: JsonObject) -> JsonObject:
    """The same for UTF-8: JavaScript and file names have halves of surrogate pairs, which are replaced."""
    text = dumps(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.loads(text.encode(errors="replace"))
    return value


def cut(text: str, most: int) -> str:
    """The beginning of a text that takes at most `most` bytes as JSON; with an ellipsis if it is cut."""
    if len(text) <= most and size(text) <= most + 2:
        return text
    kept = text[: max(0, most - 3)]
    while kept and size(kept) > most:
        kept = kept[: len(kept) * most // (size(kept) + 1)]
    return f"{kept}…"
