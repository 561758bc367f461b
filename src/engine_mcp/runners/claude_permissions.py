"""Claude Code's tools: what a step's permissions come to, never more than they say."""

from collections.abc import Iterator
from dataclasses import dataclass

from engine_mcp.core.permission import grants
from engine_mcp.core.plan import Mode, Permissions

_READERS = {
    "files.read": ("Read", "Grep"),
    "files.list": ("Glob",),
    "files.stat": ("Glob",),
}
_WRITERS = {"files.write": ("Edit", "Write", "NotebookEdit")}
_WEB = ("WebFetch", "WebSearch")


@dataclass(frozen=True, slots=True)
class Granted:
    """The built-in tools that there are at all, and the rules by which a call of them is let through."""

    tools: tuple[str, ...]
    rules: tuple[str, ...]


def granted(permissions: Permissions) -> Granted:
    """What a step gets; everything else is refused without asking anybody."""
    files = tuple(dict.fromkeys(_files(permissions)))
    shell, web = grants(permissions, "shell"), grants(permissions, "web")
    commands = () if shell is None else tuple(f"Bash({pattern})" for pattern in shell) or ("Bash",)
    pages = () if web is None else _WEB
    tools = (*files, *(("Bash",) if commands else ()), *pages)
    return Granted(tools, (*files, *commands, *pages))


def objection(permissions: Permissions) -> str:
    """Why a step cannot be given what it names, in one sentence; empty if it can."""
    if grants(permissions, "web"):
        return "Claude Code is given the web as a whole or not at all: name `web` without a pattern."
    known = {*_READERS, *_WRITERS}
    for name in permissions.allowed_tools or ():
        only = Permissions(allowed_tools=(name,))
        if name not in known and grants(only, "shell") is None and grants(only, "web") is None:
            return f"Claude Code cannot be given the tool {name!r}; the runtime `api` has the engine's own."
    return ""


def _files(permissions: Permissions) -> Iterator[str]:
    within = {
        Mode.NONE: {},
        Mode.READ: _READERS,
        Mode.WRITE: {**_READERS, **_WRITERS},
    }[permissions.mode]
    for name, tools in within.items():
        if permissions.allowed_tools is None or name in permissions.allowed_tools:
            yield from tools
