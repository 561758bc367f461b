"""Claude Code's start: the command line, the environment and the first lines on its stdin."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from engine_mcp.core.agent import AgentTask
from engine_mcp.core.budget import MICROS
from engine_mcp.runners.child import Program
from engine_mcp.runners.claude_permissions import granted
from engine_mcp.runners.claude_settings import PASSED, UserSettings
from engine_mcp.runners.surroundings import surroundings
from engine_mcp.runners.watch import UNCAPPED, Caps

_ALWAYS = (
    *("-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"),
    *("--include-partial-messages", "--strict-mcp-config", "--mcp-config", '{"mcpServers":{}}'),
    *("--restricted", "--permission-mode", "dontAsk"),
)
INTERRUPT = b'{"type":"control_request","request_id":"stop","request":{"subtype":"interrupt"}}\n'


@dataclass(frozen=True, slots=True)
class Opening:
    """One way to open a session: go on with it or begin it, None to let Claude Code name it."""

    session: str | None
    goes_on: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """The session, on the command line."""
        if self.session is None:
            return ()
        return ("--resume" if self.goes_on else "--session-id", self.session)


@dataclass(frozen=True, slots=True)
class Launch:
    """What it takes to start Claude Code on this machine: `binary` is its path."""

    binary: str
    environ: Mapping[str, str]
    settings: UserSettings
    retries: int
    caps: Caps = UNCAPPED

    def program(self, task: AgentTask, opening: Opening) -> Program:
        """The program that carries out an attempt."""
        return Program(
            argv=(self.binary, *_ALWAYS, *self._flags(task), *opening.flags),
            cwd=task.project,
            env=self.env(),
            mark=task.mark,
            scratch=("CLAUDE_CODE_TMPDIR",),
            caps=self.caps,
        )

    def env(self) -> dict[str, str]:
        """The environment: the user's settings come before the engine's, as Claude Code has it."""
        return {
            **surroundings(self.environ, PASSED),
            **self.settings.env,
            "CLAUDE_CODE_MAX_RETRIES": str(self.retries),
            "CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD": "1",
            "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
            "DISABLE_AUTOUPDATER": "1",
        }

    def _flags(self, task: AgentTask) -> tuple[str, ...]:
        permitted = granted(task.step.permissions)
        settings = {**self.settings.login, "permissions": {"allow": list(permitted.rules)}}
        flags = ["--tools", ",".join(permitted.tools), "--settings", json.dumps(settings)]
        flags += ["--add-dir", task.project]  # restricted mode reads CLAUDE.md of such directories only
        if task.model is not None:
            flags += ["--model", task.model]
        if task.reserved.cost_micros > 0:
            flags += ["--max-budget-usd", f"{task.reserved.cost_micros / MICROS:.6f}"]
        return tuple(flags)


def first_lines(task: AgentTask, opening: Opening) -> bytes:
    """What is written first: who the agent is, and the prompt. A command line has no room for either."""
    request: dict[str, JsonValue] = {"subtype": "initialize", "appendSystemPrompt": task.prompt.system}
    schema = task.step.output_schema
    if isinstance(schema, dict) and schema.get("type") == "object":  # others are no input of a tool
        request["jsonSchema"] = schema
    prompt = task.prompt.again if opening.goes_on and task.prompt.again else task.prompt.text
    content = f"\n{prompt}" if prompt.startswith("/") else prompt  # else it is taken for a command
    lines: tuple[dict[str, JsonValue], ...] = (
        {"type": "control_request", "request_id": "start", "request": request},
        {"type": "user", "message": {"role": "user", "content": content}},
    )
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)
