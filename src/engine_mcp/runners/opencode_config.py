"""OpenCode's inline configuration: what a step grants, in an agent of a name that no other file can know.

An agent's own rules come after all others, so that neither the user's configuration nor a project's can
widen them; rules without an agent would be merged with theirs, key by key.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue

from engine_mcp.core.agent import AgentTask
from engine_mcp.core.permission import grants
from engine_mcp.core.plan import Mode, Permissions, StepSpec
from engine_mcp.runners.opencode_links import Links
from engine_mcp.runners.opencode_project import Surveyed

ALLOW, DENY = "allow", "deny"
_ANTHROPIC = "anthropic"
_BY_TOOL: Mapping[str, tuple[str, ...]] = {
    "files.read": ("read", "grep"),
    "files.list": ("glob", "list"),
    "files.stat": (),
    "files.write": ("edit",),
}
_BY_MODE: Mapping[Mode, tuple[str, ...]] = {
    Mode.NONE: (),
    Mode.READ: ("files.read", "files.list", "files.stat"),
    Mode.WRITE: ("files.read", "files.list", "files.stat", "files.write"),
}
_SEARCHES = frozenset({"glob", "grep", "list"})
"""They look where they are told to, and no rule says where that may be."""
_SECRETS: Mapping[str, JsonValue] = {"*": ALLOW, "*.env": DENY, "*.env.*": DENY, "*.env.example": ALLOW}
"""What may be read: OpenCode would ask for the rest, and nobody is there to answer."""


def agent_of(mark: str) -> str:
    """The name of an attempt's agent; unlike any that a file could define."""
    return f"engine-mcp-{hashlib.sha256(mark.encode()).hexdigest()[:16]}"


def permission(permissions: Permissions, place: Surveyed) -> dict[str, JsonValue]:
    """OpenCode's rules for a step, of which the last that matches counts."""
    if grants(permissions, "shell") == ():  # it goes wherever it wants
        place = replace(place, links=Links())
    within = _BY_MODE[permissions.mode]
    named = within if permissions.allowed_tools is None else permissions.allowed_tools
    keys = {key for name in named if name in within for key in _BY_TOOL[name]}
    keys -= _SEARCHES if place.links.searchable else set()
    rules: dict[str, JsonValue] = {"*": DENY}
    rules |= dict.fromkeys(sorted(keys - {"read", "edit"}), ALLOW)
    if "read" in keys:
        rules["read"] = {**_SECRETS, **_linked(place)}
    if "edit" in keys:
        rules["edit"] = {**_edits(place), **_linked(place)}
    if (patterns := grants(permissions, "shell")) is not None:
        rules["bash"] = {"*": DENY, **dict.fromkeys(patterns, ALLOW)} if patterns else ALLOW
    if grants(permissions, "web") is not None:
        rules |= {"webfetch": ALLOW, "websearch": ALLOW}
    rules["external_directory"] = DENY
    return rules


def _linked(place: Surveyed) -> dict[str, JsonValue]:
    """No way out through a link."""
    names = [name for path in place.links.paths for name in _names(Path(path), place)]
    return {pattern: DENY for name in names for pattern in (name, f"{name}/*")}


def _names(path: Path, place: Surveyed) -> Iterator[str]:
    """How OpenCode may call a path: relative to the root of the repository, or to that of the file system."""
    yield str(path).lstrip(os.sep)
    if place.worktree is not None:
        yield str(path.relative_to(place.worktree))


def _edits(place: Surveyed) -> dict[str, JsonValue]:
    """The files that may be written: the project's, and not the rest of its repository.

    OpenCode matches paths relative to the root of the repository, or to that of the file system.
    """
    rules: dict[str, JsonValue] = {"*": DENY, f"{str(place.path).lstrip(os.sep)}/*": ALLOW}
    if place.path == place.worktree:
        return {"*": ALLOW, "../*": DENY}
    if place.worktree is not None:
        rules[f"{place.path.relative_to(place.worktree)}/*"] = ALLOW
    return rules


def inline(task: AgentTask, agent: str, place: Surveyed, servers: Iterable[str]) -> str:
    """The configuration as JSON: the agent, and nothing started besides; `servers` names the MCP servers.

    Formatters and language servers are programs that a project can bring along.
    """
    rules = permission(task.step.permissions, place)
    config: dict[str, JsonValue] = {
        "share": "disabled",
        "autoupdate": False,
        "formatter": False,
        "lsp": False,
        "instructions": list[JsonValue](place.instructions),
        "mcp": {name: {"enabled": False} for name in servers},
        "agent": {
            agent: {"mode": "primary", "description": "Carries out a step.", "permission": rules},
        },
        "provider": _declared(task.model or ""),
    }
    return _literal(json.dumps(config))


def _declared(model: str) -> dict[str, JsonValue]:
    """A model of Anthropic's, which OpenCode would refuse where its list is older than the model.

    What its list or the user says of it stays; without either it has no price, and the use is unpriced.
    """
    provider, _, name = model.partition("/")
    if provider != _ANTHROPIC or not name.startswith("claude-"):
        return {}
    return {provider: {"models": {name: {}}}}


def _literal(text: str) -> str:
    """JSON in which OpenCode finds nothing to fill in: it replaces `{env:…}` and `{file:…}` in the text."""
    return text.replace("{env:", "\\u007benv:").replace("{file:", "\\u007bfile:")


def objection(step: StepSpec) -> str:
    """Why OpenCode cannot grant what a step asks for, in one sentence; empty if it can."""
    if grants(step.permissions, "web"):
        return "The opencode runtime cannot grant the web for a pattern."
    known = {"shell", "web", *_BY_TOOL}
    wanted = step.permissions.allowed_tools or ()
    if others := [name for name in wanted if name.partition("(")[0] not in known]:
        return f"The opencode runtime has files, shell and web, and no tool {', '.join(others)}."
    return ""
