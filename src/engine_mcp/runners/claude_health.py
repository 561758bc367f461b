"""Claude Code's health: path, version and login, asked of the CLI itself without spending anything."""

import json
import re
from uuid import uuid4

from engine_mcp.core.tool import Health
from engine_mcp.runners.child import Program, started
from engine_mcp.runners.claude_launch import Launch

TESTED = "2.1 to 2.x"
_FIRST, _AFTER_LAST = (2, 1), (3, 0)
_VERSION = re.compile(r"(\d+)\.(\d+)\.\d+\S*")
_STALL_S = 10.0
_LOG_IN = "Run `claude auth login`, or set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN."


def missing(binary: str) -> Health:
    """The health of what is not there."""
    return Health(
        usable=False,
        detail=f"There is no program {binary!r} on the PATH.",
        remedy="Install it: `npm install -g @anthropic-ai/claude-code`.",
    )


async def examine(launch: Launch) -> Health:
    """Ask for version and login; raises OSError where it cannot be started."""
    told = await _answer(launch, "--version")
    found = _VERSION.search(told)
    if found is None:
        return Health(
            usable=False,
            detail=f"{launch.binary} does not tell its version.",
            remedy="Look whether it is Claude Code: `claude --version`.",
        )
    version = found.group(0)
    if not _FIRST <= (int(found.group(1)), int(found.group(2))) < _AFTER_LAST:
        return Health(
            usable=False,
            version=version,
            detail=f"{launch.binary} is version {version}; the tested ones are {TESTED}.",
            remedy="Install a tested version: `npm install -g @anthropic-ai/claude-code@2`.",
        )
    return _logged_in(launch.binary, version, await _answer(launch, "auth", "status"))


def _logged_in(binary: str, version: str, told: str) -> Health:
    try:
        state = json.loads(told)
        logged_in, method = bool(state["loggedIn"]), str(state.get("authMethod", "")).replace("_", " ")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Health(usable=True, version=version, detail=f"{binary}; whether it is logged in is not known")
    if not logged_in:
        detail = f"{binary} is not logged in."
        return Health(usable=False, version=version, detail=detail, remedy=_LOG_IN)
    return Health(usable=True, version=version, detail=f"{binary}, logged in ({method})")


async def _answer(launch: Launch, *arguments: str) -> str:
    program = Program(
        argv=(launch.binary, *arguments),
        cwd="/",
        env=launch.env(),
        mark=f"health/{uuid4()}",
    )
    async with started(program) as child:
        await child.end_input()
        lines = [line.text async for line in child.lines(_STALL_S)]
    return b"\n".join(lines).decode(errors="replace")
