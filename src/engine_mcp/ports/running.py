"""Runners, and what they may tell and ask."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from pydantic import JsonValue

from engine_mcp.core.agent import AgentCall, AgentReport, AgentResult, AgentTask
from engine_mcp.core.brief import Brief, Prompt, Role, Skill, SummaryBrief
from engine_mcp.core.budget import Resource
from engine_mcp.core.execution import Failure
from engine_mcp.core.plan import StepSpec
from engine_mcp.core.route import Route
from engine_mcp.core.tool import Health, ToolResult, ToolSpec
from engine_mcp.core.window import Asking, Fitted


class AgentHost(Protocol):
    """What a runner may tell and ask while it carries out an attempt; the way back into the engine."""

    @property
    def tools(self) -> Sequence[ToolSpec]:
        """The tools that the step may call through `call`, code mode (`script`) among them."""
        ...

    def affordable(self, asking: int = 0) -> int | None:
        """The most tokens that the next answer may have within the attempt's share; None without a bound.

        `asking` are the tokens of the request itself. It is 0 where nothing is left.
        """
        ...

    def report(self, news: AgentReport) -> None:
        """Take news: use, progress, text as it is written. Returns at once; may be called very often."""
        ...

    async def opened(self, session: str) -> None:
        """Record the session's own name where the runtime chose it; durable on return."""
        ...

    async def recall(self) -> Sequence[Mapping[str, JsonValue]]:
        """The conversation that earlier attempts of this session remembered, in order."""
        ...

    async def remember(self, message: Mapping[str, JsonValue]) -> None:
        """Record one message of a conversation, `role` among its fields; durable on return."""
        ...

    async def fit(self, asking: Asking) -> Fitted | Failure:
        """The remembered conversation as the next request may have it, reduced where it would be too long.

        Called before every request of a conversation that the runner keeps here; may take as long as a
        request, and spend. The failure is that of a conversation which cannot be made to fit.
        """
        ...

    async def call(self, call: AgentCall) -> ToolResult:
        """Carry out a tool call behind the gate: permissions, budget, record. Calls run concurrently.

        A call that was answered in an earlier attempt is answered from the record; one that was cut off
        and may have changed something fails with `outcome_unknown`. Expected failures are results.
        """
        ...


class Runner(Protocol):
    """Carries out agent attempts on one runtime."""

    @property
    def name(self) -> str:
        """The runtime's name, as in `runtime` of a step."""
        ...

    async def run(self, task: AgentTask, host: AgentHost) -> AgentResult:
        """Carry out one attempt and report usage, text and progress as they come.

        Expected failures are results, never exceptions. Cancelling the caller stops the attempt:
        first so that its session is saved, then by force, within a bounded time; what was used up
        to the end has been reported when the cancellation goes on, and no process of the attempt is
        left. A session that exists goes on; one that was only announced is begun.
        """
        ...

    def objection(self, step: StepSpec) -> str:
        """Why this runtime cannot carry out a step as it is planned, in one sentence; empty if it can.

        Asked before anything is recorded or spent: permissions or tools that it cannot grant.
        """
        ...

    def route(self, model: str | None) -> Route:
        """Where an attempt on this model would go: family, endpoint and the account that pays.

        Cheap and without I/O: from the settings and the environment that the attempt would get.
        """
        ...

    @property
    def tells_cost(self) -> bool:
        """Whether attempts report what they cost, whatever the model is."""
        ...

    @property
    def bounds(self) -> frozenset[Resource]:
        """The resources, tokens or cost, whose reserved share attempts keep to by themselves."""
        ...

    async def health(self, *, fresh: bool = False) -> Health:
        """Whether the runtime can be used now; bounded in time, spends nothing.

        The answer is kept for a while; `fresh` asks again.
        """
        ...


class Library(Protocol):
    """Roles, skills and prompt templates, those of a project before those of the user and the built-in."""

    async def roles(self, project: str) -> Mapping[str, Role]:
        """The roles by name; raises TemplateError that names a file which is none."""
        ...

    async def skills(self, project: str) -> Mapping[str, Skill]:
        """The skills by name, as Claude Code and OpenCode would find them; unreadable ones are left out."""
        ...

    async def prompt(self, brief: Brief) -> Prompt:
        """The prompt of an attempt; raises TemplateError, UnknownRole or UnknownSkill."""
        ...

    async def summary_prompt(self, brief: SummaryBrief) -> Prompt:
        """The prompt of a summary; raises TemplateError."""
        ...
