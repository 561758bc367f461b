"""Reductions: what is told of conversations that are made shorter."""

from collections.abc import Iterable

from engine_mcp.core import event as ev
from engine_mcp.core.budget import Resource, Usage
from engine_mcp.core.summary import Summary

_ENDS = (ev.SummaryFinished, ev.AttemptSucceeded, ev.AttemptFailed, ev.AttemptInterrupted, ev.AttemptLost)


def told(event: ev.Event) -> str | None:
    """What is told of an event that has to do with a conversation's length; None of any other."""
    match event:
        case ev.SummaryStarted():
            return f"{event.step}: {doing(event)}"
        case ev.SummaryFinished(summary=Summary() as summary):
            return f"{event.step}: {_finished(summary)}"
        case ev.SummaryFinished():
            why = event.failure.message if event.failure is not None else "there is nothing to summarize"
            return f"{event.step}: not summarized: {why}"
        case ev.ResultsMasked():
            size = shrunk(event.tokens_before, event.tokens_after)
            return f"{event.step}: {event.results} results of tools became stubs: {size}"
        case ev.SummaryRequested():
            return f"to be summarized: {', '.join(event.steps)}"
        case _:
            return None


def doing(started: ev.SummaryStarted) -> str:
    """What is being done: `summarizing 212 messages of 161,000 tokens`."""
    return f"summarizing {started.last - started.first} messages of {started.tokens:,} tokens"


def shrunk(before: int, after: int) -> str:
    """How much shorter a conversation became: `161,000 → 68,000 tokens`."""
    return f"{before:,} → {after:,} tokens"


def paid(usage: Usage) -> str:
    """What a summary cost: `$0.004`; empty where nothing did."""
    if not usage.cost_micros:
        return ""
    return f"${usage.of(Resource.COST):.6f}".rstrip("0").rstrip(".")


def _finished(summary: Summary) -> str:
    size = shrunk(summary.tokens_before, summary.tokens_after)
    said = [f"summarized {summary.last - summary.first} messages: {size}", paid(summary.usage)]
    text = ", ".join(part for part in said if part)
    return f"{text}; by code: {summary.fallback}" if summary.fallback else text


class UnderWay:
    """The summaries that were begun in the events that came by and have not ended, by step, in `open`."""

    def __init__(self, events: Iterable[ev.Event] = ()) -> None:
        self.open: dict[str, ev.SummaryStarted] = {}
        for event in events:
            self.take(event)

    def take(self, event: ev.Event) -> None:
        """Note an event."""
        if isinstance(event, ev.SummaryStarted):
            self.open[event.step] = event
        elif isinstance(event, _ENDS):
            self.open.pop(event.step, None)
