"""Which tools a step may call: what its mode allows, narrowed by the tools it names. Deny by default."""

from collections.abc import Iterable

from engine_mcp.core.plan import Mode, Permissions
from engine_mcp.core.tool import ToolSpec

_REACH = (Mode.NONE, Mode.READ, Mode.WRITE)


def allows(permissions: Permissions, spec: ToolSpec) -> bool:
    """Whether a step with these permissions may call the tool.

    Without a list of names: every tool whose own mode lies within the step's. With one: the tools
    named, and still none beyond the mode; an empty list allows nothing.
    """
    within = spec.mode is None or _REACH.index(spec.mode) <= _REACH.index(permissions.mode)
    if permissions.allowed_tools is None:
        return within and spec.mode is not None
    return within and spec.name in permissions.allowed_tools


def allows_step(permissions: Permissions, spec: ToolSpec) -> bool:
    """Whether a tool step with these permissions may run: it names its tool by itself."""
    if permissions.allowed_tools is not None:
        return allows(permissions, spec)
    return spec.mode is None or allows(permissions, spec)


def allowed(permissions: Permissions, specs: Iterable[ToolSpec]) -> tuple[str, ...]:
    """The names of the tools that a step with these permissions may call, sorted."""
    return tuple(sorted(spec.name for spec in specs if allows(permissions, spec)))
