"""An execution told line by line, for logs and pipes."""

from engine_mcp.cli.voice import note
from engine_mcp.cli.words import progress, stopping, told
from engine_mcp.core.event import Event, ProgressReported
from engine_mcp.core.execution import Execution

PROGRESS_EVERY_S = 5.0


class Lines:
    """Fulfils `session.Watch` with a line for each thing that happens; of progress, now and then one."""

    def __init__(self) -> None:
        self._told_at: dict[str, float] = {}

    def begin(self, execution: Execution, snapshot: str) -> None:
        """Say which execution it is and where its state is kept."""
        note(f"execution {execution.id}\nsnapshot  {snapshot}")

    def saw(self, event: Event, execution: Execution) -> None:
        """Tell an event."""
        if isinstance(event, ProgressReported):
            last = self._told_at.setdefault(event.step, event.at)
            if event.at - last >= PROGRESS_EVERY_S:
                self._told_at[event.step] = event.at
                note(f"{event.step}: {progress(event.progress)}")
        elif text := told(event, execution):
            note(text)

    def tick(self, execution: Execution, now: float) -> None:
        """Nothing: a line says what happened, not that time passes."""

    def stopping(self, reason: str, *, again: bool) -> None:
        """Say that it stops."""
        note(stopping(reason, again=again))

    def end(self) -> None:
        """Nothing more to tell."""
