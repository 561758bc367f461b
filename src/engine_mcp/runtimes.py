"""The runtimes: settings become runners. A new runner is one line here."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from engine_mcp.errors import InvalidArgument
from engine_mcp.ports import Runner
from engine_mcp.runners.api import ApiRunner
from engine_mcp.runners.api_options import ApiOptions
from engine_mcp.runners.claude_code import ClaudeCodeRunner
from engine_mcp.runners.command import CommandRunner
from engine_mcp.runners.command_ready import ready
from engine_mcp.runners.command_template import Template, load
from engine_mcp.runners.opencode import OpenCodeRunner
from engine_mcp.runners.watch import Caps
from engine_mcp.settings import Settings


@dataclass(frozen=True, slots=True)
class Runtimes:
    """The runners by name, and the one among them that keeps connections."""

    runners: Mapping[str, Runner]
    api: ApiRunner

    async def aclose(self) -> None:
        """Close the connections."""
        await self.api.aclose()


def built(settings: Settings) -> Runtimes:
    """The runtimes of these settings; raises InvalidArgument where a declared command is none."""
    chosen, environ = settings.runtimes, settings.environ
    # A runtime may take this long twice to save its session; the rest is for ending it by force.
    stall_s, grace_s = chosen.stall_s, settings.grace_s / 3
    caps = Caps(
        memory_mb=settings.resources.memory_mb, cpu_s=settings.resources.cpu_s, nice=settings.resources.nice
    )
    api = ApiRunner(
        ApiOptions(
            provider=chosen.api_provider,
            base_url=chosen.api_base_url,
            region=chosen.api_region,
            max_tokens=chosen.api_max_tokens,
            streams=chosen.api_streams,
            stall_s=stall_s,
        ),
        environ=environ,
    )
    listed: list[Runner] = [
        ClaudeCodeRunner(
            environ=environ, binary=chosen.claude_code, stall_s=stall_s, grace_s=grace_s, caps=caps
        ),
        OpenCodeRunner(environ=environ, binary=chosen.opencode, stall_s=stall_s, grace_s=grace_s, caps=caps),
        api,
        *(
            CommandRunner(name, template, environ=environ, stall_s=stall_s, grace_s=grace_s, caps=caps)
            for name, template in templates(settings.commands).items()
        ),
    ]
    return Runtimes({runner.name: runner for runner in listed}, api)


def templates(declared: Mapping[str, JsonValue]) -> dict[str, Template]:
    """The templates by runtime, the declared before the ready ones; `default` is `command` itself.

    Raises InvalidArgument, naming the setting, where a declared one is none.
    """
    known = dict(ready())
    for name, raw in declared.items():
        try:
            known[name] = load(raw)
        except InvalidArgument as error:
            error.field = f"commands.{name}.{error.field}" if error.field else f"commands.{name}"
            raise
    return {"command" if name == "default" else f"command:{name}": known[name] for name in known}
