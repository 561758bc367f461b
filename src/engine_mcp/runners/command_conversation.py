"""A conversation with a CLI: what it tells goes to the host, and what the next attempt needs is kept."""

from contextlib import aclosing
from dataclasses import dataclass

import anyio
from pydantic import JsonValue

from engine_mcp.core.agent import AgentReport, AgentTask
from engine_mcp.core.budget import Usage
from engine_mcp.ports import AgentHost
from engine_mcp.runners.child import Child
from engine_mcp.runners.command_output import Reading
from engine_mcp.runners.command_template import Template

ROLE = "runtime"
"""The role of the message in which a session is remembered, with what it had used."""
COUNTED = ("tokens_in", "tokens_out", "cache_read", "cost_micros")


@dataclass(slots=True, kw_only=True)
class Conversation:
    """What is read of one run; `goes_on` where an earlier attempt is known to have begun the session."""

    host: AgentHost
    reading: Reading
    session: str | None
    goes_on: bool
    _kept: tuple[str | None, Usage] | None = None

    @classmethod
    async def begun(cls, task: AgentTask, host: AgentHost, template: Template) -> "Conversation":
        """Look up what earlier attempts remembered of the task's session."""
        known = [message for message in await host.recall() if message.get("session") == task.session]
        goes_on = task.begun and bool(known) and bool(template.resume)
        total = _usage(known[-1].get("used")) if goes_on else Usage()
        named_by_us = goes_on or not template.session
        return cls(
            host=host,
            reading=Reading(template, total=total),
            session=task.session if named_by_us else None,
            goes_on=goes_on,
        )

    async def follow(self, child: Child, stall_s: float) -> None:
        """Tell and keep what the CLI writes, to its end; raises Stalled."""
        async with aclosing(child.lines(stall_s)) as lines:
            async for line in lines:
                await self._tell(self.reading.take(line))
        await self._tell(self.reading.end())

    async def _tell(self, news: AgentReport | None) -> None:
        if news is not None:
            self.host.report(news)
        told = self.reading.session or self.session
        now = (told, self.reading.total)
        if told is None or now == self._kept:
            return
        self._kept = now
        with anyio.CancelScope(shield=True):  # told once, and so not to be lost
            if told != self.session:
                self.session = told
                await self.host.opened(told)
            if self.reading.template.resume:
                await self.host.remember(
                    {"role": ROLE, "session": told, "used": _counted(self.reading.total)}
                )


def _counted(total: Usage) -> dict[str, JsonValue]:
    return {name: getattr(total, name) for name in COUNTED}


def _usage(counted: JsonValue) -> Usage:
    known = counted if isinstance(counted, dict) else {}
    tokens_in, tokens_out, cache_read, cost = (_count(known.get(name)) for name in COUNTED)
    return Usage(tokens_in=tokens_in, tokens_out=tokens_out, cache_read=cache_read, cost_micros=cost)


def _count(value: JsonValue) -> int:
    return value if isinstance(value, int) else 0
