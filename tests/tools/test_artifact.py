"""artifact: a named result beside the record."""

from hashlib import sha256
from pathlib import Path

import pytest
from pydantic import JsonValue

from engine_mcp.engine.tool_call import call_tool
from engine_mcp.tools.artifact import ArtifactTool
from tests.tools.workplace import Keeper

pytestmark = pytest.mark.anyio
ARTIFACT = ArtifactTool()


@pytest.mark.parametrize(
    ("arguments", "content", "media_type"),
    [
        ({"text": "# Ä\n"}, "# Ä\n", "text/plain"),
        ({"text": ""}, "", "text/plain"),
        (
            {"text": "# Ä", "media_type": "text/markdown; charset=utf-8"},
            "# Ä",
            "text/markdown; charset=utf-8",
        ),
        ({"json": {"a": ["Ä", None]}}, '{\n  "a": [\n    "Ä",\n    null\n  ]\n}\n', "application/json"),
        ({"json": None}, "null\n", "application/json"),
        ({"json": 7, "media_type": "application/x-count+json"}, "7\n", "application/x-count+json"),
    ],
)
async def test_a_text_or_a_json_value_is_kept_under_its_name(
    tmp_path: Path, arguments: dict[str, JsonValue], content: str, media_type: str
) -> None:
    bench = Keeper(tmp_path)
    result = await call_tool(ARTIFACT, {"name": "a report.md", **arguments}, bench)
    encoded = content.encode()
    assert bench.kept == [(encoded, "a report.md", media_type)]
    digest = sha256(encoded).hexdigest()
    assert result.value == {"digest": digest, "size": len(encoded), "name": "a report.md"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"text": "a"}, "name"),
        ({"name": "a"}, "text and json"),
        ({"name": "a", "text": "a", "json": "a"}, "text and json"),
        ({"name": "a", "text": "half \ud800"}, "half of a character"),
        ({"name": "a", "json": ["half \udfff"]}, "half of a character"),
        ({"name": "a", "text": ["a"]}, "text"),
        ({"name": "a", "text": "a", "media_type": "markdown"}, "media_type"),
        ({"name": "a", "text": "a", "media_type": "text/plain\nX: y"}, "media_type"),
        ({"name": "a", "text": "a", "media_type": "text/plain\n"}, "media_type"),
        ({"name": "a", "text": "a", "kind": "b"}, "kind"),
        *(
            ({"name": name, "text": "a"}, "name")
            for name in ("", ".", "..", "a/b", "/a", "..\\a", "a\0b", "a\nb", "a\n", "x" * 201, 7)
        ),
    ],
)
async def test_what_is_no_artifact_is_refused_and_not_kept(
    tmp_path: Path, arguments: dict[str, JsonValue], said: str
) -> None:
    bench = Keeper(tmp_path)
    result = await call_tool(ARTIFACT, arguments, bench)
    assert result.failure is not None
    assert result.failure.code == "invalid_argument"
    assert said in result.failure.message
    assert bench.kept == []
