"""Which tools a step may call: deny by default."""

import pytest

from engine_mcp.core.permission import allowed, allows, allows_step
from engine_mcp.core.plan import Mode, Permissions
from engine_mcp.core.tool import ToolSpec

NONE, READ, WRITE = Mode.NONE, Mode.READ, Mode.WRITE


def tool(mode: Mode | None, name: str = "t") -> ToolSpec:
    return ToolSpec(name=name, description="", input_schema={}, mode=mode)


@pytest.mark.parametrize(
    ("mode", "names", "reach", "by_script", "as_step"),
    [
        (NONE, None, NONE, True, True),
        (NONE, None, READ, False, False),
        (READ, None, READ, True, True),
        (READ, None, WRITE, False, False),
        (WRITE, None, WRITE, True, True),
        (WRITE, None, None, False, True),
        (WRITE, ["t"], None, True, True),
        (NONE, ["t"], None, True, True),
        (READ, ["t"], WRITE, False, False),
        (WRITE, ["t"], WRITE, True, True),
        (WRITE, ["other"], READ, False, False),
        (WRITE, ["other"], None, False, False),
        (WRITE, [], NONE, False, False),
        (WRITE, [], None, False, False),
    ],
)
def test_a_mode_reaches_so_far_and_names_only_narrow_it(
    mode: Mode,
    names: list[str] | None,
    reach: Mode | None,
    by_script: bool,  # noqa: FBT001 - a case
    as_step: bool,  # noqa: FBT001 - a case
) -> None:
    permissions = Permissions(mode=mode, allowed_tools=None if names is None else tuple(names))
    assert allows(permissions, tool(reach)) is by_script
    assert allows_step(permissions, tool(reach)) is as_step


@pytest.mark.req("000:1.4.2")
def test_what_is_allowed_is_told_by_name_and_an_empty_list_allows_nothing() -> None:
    specs = [tool(WRITE, "w"), tool(READ, "b"), tool(NONE, "a"), tool(None, "mail")]
    assert allowed(Permissions(mode=READ), specs) == ("a", "b")
    assert allowed(Permissions(mode=WRITE, allowed_tools=("mail", "b")), specs) == ("b", "mail")
    assert allowed(Permissions(mode=WRITE, allowed_tools=()), specs) == ()
