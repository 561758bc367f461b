"""Which tools a step may call: what its mode allows, narrowed by the tools it names. Deny by default."""

import re
from collections.abc import Iterable

from engine_mcp.core.plan import Mode, Permissions
from engine_mcp.core.tool import ToolSpec

GRANTS = re.compile(r"(shell|web)(?:\((.+)\))?", re.DOTALL)
"""What runtimes have of their own and a step may be granted: `shell`, `shell(PATTERN)` and `web`."""
_REACH = (Mode.NONE, Mode.READ, Mode.WRITE)


def allows(permissions: Permissions, spec: ToolSpec) -> bool:
    """Whether a step with these permissions may call the tool.

    Without a list of names: every tool whose own mode lies within the step's. With one: the tools
    named, and still none beyond the mode; an empty list allows nothing.
    """
    reached = spec.mode is None or within(spec.mode, permissions.mode)
    if permissions.allowed_tools is None:
        return reached and spec.mode is not None
    return reached and spec.name in permissions.allowed_tools


def within(mode: Mode, widest: Mode) -> bool:
    """Whether a mode reaches no further than another one."""
    return _REACH.index(mode) <= _REACH.index(widest)


def allows_step(permissions: Permissions, spec: ToolSpec) -> bool:
    """Whether a tool step with these permissions may run: it names its tool by itself."""
    if permissions.allowed_tools is not None:
        return allows(permissions, spec)
    return spec.mode is None or allows(permissions, spec)


def allowed(permissions: Permissions, specs: Iterable[ToolSpec]) -> tuple[str, ...]:
    """The names of the tools that a step with these permissions may call, sorted."""
    return tuple(sorted(spec.name for spec in specs if allows(permissions, spec)))


def grants(permissions: Permissions, name: str) -> tuple[str, ...] | None:
    """The patterns for which a step is granted the shell or the web; none for all; None: not at all."""
    found = [match.group(2) for tool in permissions.allowed_tools or () if (match := _grant(tool, name))]
    if not found:
        return None
    return () if None in found else tuple(pattern for pattern in found if pattern is not None)


def _grant(tool: str, name: str) -> re.Match[str] | None:
    match = GRANTS.fullmatch(tool)
    return match if match is not None and match.group(1) == name else None
