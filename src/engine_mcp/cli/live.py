"""An execution on a terminal: a line for each step, redrawn while it runs."""

from collections.abc import Generator
from contextlib import contextmanager, suppress

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from engine_mcp.cli.words import asked_for, duration, failure, next_try, plain, progress, stopping, switch
from engine_mcp.core.event import Event, SummaryStarted
from engine_mcp.core.execution import Execution, Step, StepStatus
from engine_mcp.server.reductions import UnderWay, doing, told

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAMES_A_SECOND = 10
BAR = 16
ROOM_FOR_OTHERS = 6
MARKS = {
    StepStatus.PENDING: ("·", "dim"),
    StepStatus.COMPLETED: ("✓", "green"),
    StepStatus.FAILED: ("✗", "red"),
    StepStatus.SKIPPED: ("-", "dim"),
    StepStatus.INTERRUPTED: ("‖", "yellow"),
    StepStatus.AWAITING_APPROVAL: ("?", "yellow"),
}
# Where not every step has a line, these come first.
FIRST = (StepStatus.RUNNING, StepStatus.AWAITING_APPROVAL, StepStatus.FAILED, StepStatus.INTERRUPTED)


class LiveTable:
    """Fulfils `session.Watch` on a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=self._console, auto_refresh=False)
        self._note = ""
        self._summaries = UnderWay()

    def begin(self, execution: Execution, snapshot: str) -> None:
        """Say which execution it is, and begin to draw."""
        with _whatever_becomes_of_the_terminal():
            said = Text.assemble(("execution ", "bold"), execution.id, ("\nsnapshot  ", "bold"), snapshot)
            self._console.print(said, soft_wrap=True)
            self._live.start()

    def saw(self, event: Event, execution: Execution) -> None:
        """Tell what became of a conversation; the rest is drawn at the next tick as it is now."""
        del execution
        self._summaries.take(event)
        if not isinstance(event, SummaryStarted) and (text := told(event)) is not None:
            with _whatever_becomes_of_the_terminal():
                self._console.print(Text(plain(text), style="dim"))

    def tick(self, execution: Execution, now: float) -> None:
        """Draw the execution as it is."""
        with _whatever_becomes_of_the_terminal():
            self._live.update(self._drawn(execution, now), refresh=True)

    def stopping(self, reason: str, *, again: bool) -> None:
        """Say below the steps that it stops."""
        self._note = stopping(reason, again=again)

    def end(self) -> None:
        """Leave the last drawing where it is."""
        with _whatever_becomes_of_the_terminal():
            self._live.stop()

    def _drawn(self, execution: Execution, now: float) -> RenderableType:
        steps = list(execution.steps.values())
        shown = _most_telling(steps, max(1, self._console.height - ROOM_FOR_OTHERS))
        table = Table.grid(padding=(0, 1))
        for step in shown:
            table.add_row(*_row(step, execution, now, self._doing(step)))
        done = sum(step.status is StepStatus.COMPLETED for step in steps)
        hidden = f", {len(steps) - len(shown)} not shown" if len(shown) < len(steps) else ""
        active = duration(execution.active_seconds(now))
        foot = Text(f"{execution.status} · {done} of {len(steps)} steps · {active}{hidden}", style="dim")
        notes = [*execution.warnings[-1:], *([self._note] if self._note else [])]
        return Group(table, foot, *(Text(note, style="yellow") for note in notes))

    def _doing(self, step: Step) -> str:
        """What is being done to the conversation of a step."""
        started = self._summaries.open.get(step.spec.id)
        return doing(started) if started is not None else ""


@contextmanager
def _whatever_becomes_of_the_terminal() -> Generator[None]:
    """A terminal that is closed or reads no more is no reason to stop working."""
    with suppress(OSError):
        yield


def _most_telling(steps: list[Step], rows: int) -> list[Step]:
    if len(steps) <= rows:
        return steps
    rank = {status: index for index, status in enumerate(FIRST)}
    first = sorted(range(len(steps)), key=lambda index: (rank.get(steps[index].status, len(FIRST)), -index))
    return [steps[index] for index in sorted(first[:rows])]


def _row(step: Step, execution: Execution, now: float, doing: str) -> tuple[RenderableType, ...]:
    last = step.attempt
    until = now if last is None or last.ended_at is None else last.ended_at
    took = duration(max(0.0, until - last.started_at)) if last else ""
    if step.status is StepStatus.RUNNING:
        frame = FRAMES[int(now * FRAMES_A_SECOND) % len(FRAMES)]
        return Text(frame, style="cyan"), Text(step.spec.id), Text(took, style="dim"), _running(step, doing)
    mark, style = MARKS[step.status]
    return (
        Text(mark, style=style),
        Text(step.spec.id, style=style if style == "dim" else ""),
        Text(took, style="dim"),
        _rested(step, execution, now),
    )


def _running(step: Step, doing: str) -> RenderableType:
    told = step.progress
    if doing:
        return Text(doing, style="dim", no_wrap=True, overflow="ellipsis")
    if told is None:
        return Text(f"attempt {len(step.attempts)}" if len(step.attempts) > 1 else "", style="dim")
    words = Text(progress(told), style="dim", no_wrap=True, overflow="ellipsis")
    if not told.total:
        return words
    line = Table.grid(padding=(0, 1))
    line.add_row(ProgressBar(total=told.total, completed=told.done, width=BAR), words)
    return line


def _rested(step: Step, execution: Execution, now: float) -> Text:
    if step.failure is not None:
        text = failure(step.failure)
    elif step.status is StepStatus.AWAITING_APPROVAL:
        text = f"waits for approval{asked_for(step.asking, now)}"
    elif step.status is StepStatus.PENDING:
        text = _to_come(step, execution, now)
    else:
        text = plain(step.output.value) if step.output and isinstance(step.output.value, str) else ""
    style = "red" if step.status is StepStatus.FAILED else "dim"
    return Text(text.partition("\n")[0], style=style, no_wrap=True, overflow="ellipsis")


def _to_come(step: Step, execution: Execution, now: float) -> str:
    """Where a step goes that has been tried, and when."""
    return next_try(step, execution, now) or (switch(step.switches[-1]) if step.switches else "")
