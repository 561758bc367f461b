"""What every built-in tool owes to `ports.ToolAdapter`."""

import pytest
from pydantic import JsonValue

from engine_mcp.app import BUILT_IN as IN_THE_APP
from engine_mcp.core.permission import allowed
from engine_mcp.core.plan import Mode, Permissions
from engine_mcp.engine.schema import defect, mismatch
from engine_mcp.ports import ToolAdapter
from engine_mcp.tools.stock import BUILT_IN

pytestmark = [pytest.mark.anyio, pytest.mark.req("002:L74")]

NAMES = ["artifact", "files.list", "files.read", "files.stat", "files.write"]
every_tool = pytest.mark.parametrize("tool", BUILT_IN, ids=lambda tool: tool.spec.name)


def test_the_stock_is_what_the_app_offers() -> None:
    assert IN_THE_APP is BUILT_IN
    assert sorted(tool.spec.name for tool in BUILT_IN) == NAMES


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        (Mode.NONE, ["artifact"]),
        (Mode.READ, [name for name in NAMES if name != "files.write"]),
        (Mode.WRITE, NAMES),
    ],
)
def test_a_mode_allows_the_tools_that_reach_no_further(mode: Mode, names: list[str]) -> None:
    specs = [tool.spec for tool in BUILT_IN]
    assert list(allowed(Permissions(mode=mode), specs)) == names
    assert allowed(Permissions(mode=mode, allowed_tools=()), specs) == ()


@every_tool
def test_a_schema_is_one_and_takes_nothing_that_it_does_not_name(tool: ToolAdapter) -> None:
    assert defect(tool.spec.input_schema) == ""
    assert tool.spec.input_schema["additionalProperties"] is False
    taken: dict[str, JsonValue] = {"artifact": {"name": "a"}, "files.write": {"path": "a", "content": "a"}}
    arguments = taken.get(tool.spec.name, {"path": "a"})
    assert isinstance(arguments, dict)
    assert mismatch(tool.spec.input_schema, arguments) == ""
    assert "unheard_of" in mismatch(tool.spec.input_schema, {**arguments, "unheard_of": 1})


@every_tool
def test_a_description_fits_and_says_what_is_returned(tool: ToolAdapter) -> None:
    assert "return" in tool.spec.description or "Keep" in tool.spec.description
    assert len(tool.spec.description) < 700


@every_tool
def test_only_what_writes_changes_something(tool: ToolAdapter) -> None:
    assert tool.spec.changes == (tool.spec.name in {"files.write", "artifact"})


@every_tool
async def test_it_tells_how_long_it_takes_and_that_it_can_be_used(tool: ToolAdapter) -> None:
    seconds = tool.estimated_s({"path": "a", "content": "x"})
    assert seconds is not None
    assert 0 < seconds < tool.spec.timeout_s
    health = await tool.health()
    assert health.usable
    assert health.detail
