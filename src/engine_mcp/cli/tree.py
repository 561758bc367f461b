"""An execution as a tree on standard output."""

import sys
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from engine_mcp.cli.session import Rest
from engine_mcp.cli.summaries import one_line
from engine_mcp.cli.voice import whole
from engine_mcp.cli.words import (
    SHARE,
    amount,
    asked_for,
    duration,
    excerpt,
    failure,
    next_try,
    number,
    plain,
    progress,
    switch,
    typed,
    until,
)
from engine_mcp.core.budget import MICROS, Resource
from engine_mcp.core.charge import Charge
from engine_mcp.core.execution import Artifact, Attempt, AttemptStatus, Execution, Step, StepStatus
from engine_mcp.core.window import Window
from engine_mcp.server.entries import uncharged
from engine_mcp.server.reductions import doing

OUTPUT_CHARACTERS = 500
LOG_LINES = 5
UNWRAPPED = 10_000
STYLES = {
    "completed": "green",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "red",
    "interrupted": "yellow",
    "paused": "yellow",
    "awaiting_approval": "yellow",
    "lost": "yellow",
    "running": "cyan",
}


def print_tree(rest: Rest) -> None:
    """Print the execution, its steps with their attempts, and its artifacts."""
    execution = rest.execution
    root = Tree(_head(execution, rest.now))
    for step in execution.steps.values():
        branch = root.add(_step(step))
        lines = (
            *_choice(step),
            *_context(step, rest),
            *_attempts(step, rest.now),
            *_switches(step),
            *_to_come(step, rest),
            *_rest_of(step),
        )
        for line in lines:
            branch.add(line)
    if execution.artifacts:
        artifacts = root.add("artifacts")
        for artifact in execution.artifacts:
            artifacts.add(_artifact(artifact))
    for warning in execution.warnings:
        root.add(Text(plain(f"warning: {warning}"), style="yellow"))
    root.add(Text(f"snapshot {rest.snapshot}"))
    width = None if sys.stdout.isatty() else UNWRAPPED
    console = Console(highlight=False, width=width)
    with console.capture() as drawn:
        console.print(root)
    whole(drawn.get())


def _head(execution: Execution, now: float) -> Text:
    why = f" ({execution.reason})" if execution.reason else ""
    why += f", {until(execution.until, now)}" if execution.until is not None else ""
    took = duration(execution.active_seconds(now))
    return Text.assemble(
        (execution.id, "bold"),
        "  ",
        _status(execution.status),
        f"{why}, {execution.plan.strategy}, {took}",
        f"\n{plain(execution.plan.task)}" if execution.plan.task else "",
    )


def _step(step: Step) -> Text:
    after = f"  after {', '.join(step.spec.depends_on)}" if step.spec.depends_on else ""
    return Text.assemble((step.spec.id, "bold"), "  ", _status(step.status), (after, "dim"))


def _choice(step: Step) -> Iterator[Text]:
    if (choice := step.choice) is None:
        return
    told = [choice.role, choice.runtime, choice.model or "its own model", *choice.skills]
    yield Text(plain(" · ".join(told)))
    for reason in choice.why:
        yield Text(plain(reason), style="dim")


def _context(step: Step, rest: Rest) -> Iterator[Text]:
    """The conversation that the engine holds of a step, and the summaries that stand for parts of it."""
    if told := [*_held(step, rest.contexts.windows.get(step.spec.id))]:
        yield Text(plain(f"context  {', '.join(told)}"))
    if (started := rest.contexts.under_way.get(step.spec.id)) is not None:
        yield Text(plain(doing(started)), style="cyan")
    elif step.summarize:
        yield Text("to be summarized at its next turn", style="cyan")
    for summary in step.summaries:
        yield Text(plain(f"summary  {one_line(summary)}"), style="dim")


def _held(step: Step, window: Window | None) -> Iterator[str]:
    if step.messages:
        yield f"{len(step.messages)} messages"
    if window is not None:
        yield f"window of {window.tokens:,} tokens ({window.source})"
    if step.shape.masked:
        yield f"results before m{step.shape.masked} are stubs"


def _attempts(step: Step, now: float) -> Iterator[Text]:
    for attempt in step.attempts:
        yield Text.assemble(f"attempt {attempt.number}  ", _ended(attempt), f"  {_details(attempt, now)}")
        if attempt.failure is not None:
            yield Text(failure(attempt.failure), style=_ended(attempt)[1])
        for charge in attempt.charges:
            yield Text(_charge(charge), style="dim")
        if told := _uncharged(attempt):
            yield Text(told, style="dim")
        if attempt.report is not None:
            for line in attempt.report.logs[-LOG_LINES:]:
                yield Text(plain(f"{line.level}: {line.text}"), style="dim")


def _ended(attempt: Attempt) -> tuple[str, str]:
    """How an attempt stands; one that was stopped at its share has not failed."""
    at_share = attempt.failure is not None and attempt.failure.code == SHARE
    return ("stopped", STYLES["interrupted"]) if at_share else _status(attempt.status)


def _details(attempt: Attempt, now: float) -> str:
    until = now if attempt.status is AttemptStatus.RUNNING else attempt.ended_at or now
    parts = [duration(max(0.0, until - attempt.started_at))]
    if attempt.runtime is not None:
        parts.append(" ".join(name for name in (attempt.runtime, attempt.model) if name))
    if attempt.report is not None:
        parts += [f"{attempt.report.calls} calls", f"{attempt.report.cpu_ms:.0f} ms CPU"]
    if attempt.usage.requests:
        parts.append(f"{attempt.usage.requests} requests")
    if tokens := round(attempt.usage.of(Resource.TOKENS)):
        parts.append(f"{tokens} tokens")
    if attempt.usage.cost_micros:
        parts.append(f"${number(attempt.usage.of(Resource.COST))}")
    if attempt.session is not None:
        parts.append(f"session {attempt.session}")
    return ", ".join(parts)


def _charge(charge: Charge) -> str:
    usage = charge.usage
    told = [
        f"{usage.amount(Resource.TOKENS)} tokens",
        f"${number(usage.of(Resource.COST))} {usage.cost_basis}",
    ]
    for word, micros in (("reported", charge.reported_micros), ("computed", charge.computed_micros)):
        if micros is not None:
            told.append(f"{word} ${number(micros / MICROS)}")
    if charge.price:
        told.append(charge.price)
    return plain(f"charge  {charge.model or 'no model'}: {', '.join(told)}")


def _uncharged(attempt: Attempt) -> str:
    """What an attempt is taken to have used beside its charges; empty where that is nothing."""
    tokens, rest = uncharged(attempt, attempt.usage)
    if not attempt.charges or (tokens <= 0 and rest.cost_micros <= 0):
        return ""
    return f"charge  {tokens} tokens, ${number(rest.of(Resource.COST))} {rest.cost_basis}"


def _switches(step: Step) -> Iterator[Text]:
    for change in step.switches:
        yield Text(switch(change), style="yellow")


def _to_come(step: Step, rest: Rest) -> Iterator[Text]:
    """What the step waits for: an approval, or the time of its next try."""
    if step.status is StepStatus.AWAITING_APPROVAL:
        yield Text(f"waits for approval{asked_for(step.asking, rest.now)}", style="yellow")
    if step.status is StepStatus.PENDING and (
        again := next_try(step, rest.execution, rest.now, rest.outlook)
    ):
        yield Text(again, style="yellow")


def _rest_of(step: Step) -> Iterator[Text]:
    if step.status is StepStatus.RUNNING and step.progress is not None:
        yield Text(f"progress  {progress(step.progress)}")
    if step.failure is not None:
        yield Text(f"{failure(step.failure)}\n{typed(step.failure.hint)}".rstrip(), style="red")
    if step.output is not None:
        yield Text(f"output  {excerpt(step.output, OUTPUT_CHARACTERS)}")


def _artifact(artifact: Artifact) -> Text:
    return Text(f"{artifact.name or artifact.digest}  {amount(artifact.size)}  {artifact.media_type}")


def _status(status: str) -> tuple[str, str]:
    return str(status), STYLES.get(status, "")
