"""The context of a step as clients see it: its window, and what stands for messages that are not shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine_mcp.core.budget import Resource
from engine_mcp.core.event import SummaryStarted
from engine_mcp.core.execution import Execution, Step, StepStatus
from engine_mcp.core.request import Resume
from engine_mcp.core.shrinking import originals, restored
from engine_mcp.core.summary import Summary
from engine_mcp.core.window import Window, bounds
from engine_mcp.engine.engine import Engine
from engine_mcp.server.fitting import Detail, cut
from engine_mcp.server.reductions import UnderWay
from engine_mcp.server.results import ShownContext, ShownSummary, ShownWindow

RECENT = 250
"""How many of the latest events are looked at for a summary under way."""
FEWEST_BYTES = 200
"""The detail below which single summaries are left out; see `fitting.DETAILS`."""


@dataclass(frozen=True, slots=True)
class Contexts:
    """What an execution itself does not say: the windows of its conversations, and summaries under way."""

    windows: Mapping[str, Window] = field(default_factory=dict[str, Window])
    under_way: Mapping[str, SummaryStarted] = field(default_factory=dict[str, SummaryStarted])


UNKNOWN = Contexts()


def has_context(step: Step) -> bool:
    """Whether the engine holds a conversation of the step, or held one that was made shorter."""
    return bool(step.messages or step.summaries)


async def contexts(engine: Engine, execution: Execution) -> Contexts:
    """What is known of the conversations of an execution, by step; nothing is asked for over the network."""
    held = {name: step for name, step in execution.steps.items() if has_context(step)}
    if not held:
        return UNKNOWN
    found: dict[str, Window] = {}
    if (windows := engine.parts.windows) is not None:
        await windows.open()
        found = {name: windows.window(_model(step), endpoint=_endpoint(step)) for name, step in held.items()}
    if not any(step.status is StepStatus.RUNNING for step in held.values()):
        return Contexts(found)
    events = await engine.events(execution.id, max(0, execution.revision - RECENT), RECENT)
    return Contexts(found, UnderWay(event for _, event in events).open)


async def summarized_again(engine: Engine, execution: Execution, request: Resume) -> str:
    """A warning of originals that are asked for and too long to stay as they are; empty where there are none.

    Raises InvalidArgument for a step that does not exist.
    """
    back, windows = restored(execution, request.restore), engine.parts.windows
    if not back or windows is None:
        return ""
    known, told = (await contexts(engine, execution)).windows, list[str]()
    for step in map(execution.steps.__getitem__, back):
        limits = windows.limits(_model(step))
        for stronger in (execution.plan.window, step.spec.window, request.window):
            limits = limits.merged(stronger)
        tokens, trigger = originals(step), bounds(known[step.spec.id], limits, 0).trigger
        if tokens >= trigger:
            told.append(f"{step.spec.id} (about {tokens:,} tokens, trigger at {trigger:,})")
    if not told:
        return ""
    return f"Summarized again, unless the trigger is raised, as the originals are long: {', '.join(told)}."


def _model(step: Step) -> str | None:
    last = step.attempt
    if last is not None and last.model is not None:
        return last.model
    return step.choice.model if step.choice is not None else None


def _endpoint(step: Step) -> str:
    choice = step.choice
    return choice.route.endpoint if choice is not None and choice.route is not None else ""


def shown_context(step: Step, known: Contexts, detail: Detail) -> ShownContext | None:
    """The context of a step; None where the engine holds no conversation of it."""
    if not has_context(step):
        return None
    window, name = known.windows.get(step.spec.id), step.spec.id
    rows = step.summaries[-detail.rows :] if detail.text >= FEWEST_BYTES else step.summaries[-1:]
    return ShownContext(
        window=None if window is None else ShownWindow(tokens=window.tokens, source=window.source),
        messages=len(step.messages) or None,
        tokens_after=step.summaries[-1].tokens_after if step.summaries else None,
        masked=step.shape.masked or None,
        summarizing=True if name in known.under_way else None,
        to_summarize=step.summarize or None,
        summarized=len(step.summaries),
        summaries=[_shown(summary, detail) for summary in rows] or None,
    )


def _shown(summary: Summary, detail: Detail) -> ShownSummary:
    return ShownSummary(
        id=summary.id,
        parent=summary.parent,
        level=summary.level,
        first=f"m{summary.first}",
        last=f"m{summary.last - 1}",
        tokens_before=summary.tokens_before,
        tokens_after=summary.tokens_after,
        model=summary.model,
        cost_usd=summary.usage.of(Resource.COST),
        fallback=cut(summary.fallback, detail.text) if summary.fallback else None,
    )
