"""What `run` and `resume` have in common: carry on, report, and ask whoever sits there to go on."""

import sys

from engine_mcp.cli.asking import Next, asked
from engine_mcp.cli.exits import Exit, of_status
from engine_mcp.cli.resuming import resume_command
from engine_mcp.cli.session import Begin, Rest, carried
from engine_mcp.cli.shown import shown
from engine_mcp.cli.summary import summary
from engine_mcp.cli.voice import document, note, say
from engine_mcp.cli.waiting import waits
from engine_mcp.cli.watching import watch
from engine_mcp.core.execution import Execution
from engine_mcp.engine.driver import ACTIVE
from engine_mcp.settings import Settings


def carry(settings: Settings, begin: Begin, *, as_json: bool, answers: bool = False) -> Exit:
    """Carry an execution as far as it goes; returns the exit code that tells how far that was.

    `answers`: to begin is only to answer or to ask for what whoever drives the execution goes on with.
    """
    carrier = _Carrier(settings, as_json=as_json, answers=answers)
    following = Next(begin)
    while True:
        rest = carrier.carried(following)
        further = asked(rest, settings) if carrier.asks and not rest.stopped else None
        if further is None:
            return carrier.exit(rest)
        following = further


class _Carrier:
    """Carries one execution, and tells it as it was asked to."""

    def __init__(self, settings: Settings, *, as_json: bool, answers: bool) -> None:
        self._settings, self._as_json, self._answers = settings, as_json, answers
        self.asks = not as_json and sys.stdin.isatty() and sys.stderr.isatty()

    def carried(self, following: Next) -> Rest:
        def stays(execution: Execution) -> bool:
            # An approval is somebody's to give: its time limit is nothing to go on at.
            return following.stay or (execution.plan.auto_resume and execution.reason != "approval")

        return carried(self._settings, following.begin, watch(), self._report, stays)

    def exit(self, rest: Rest) -> Exit:
        if rest.execution.status in ACTIVE and not rest.stopped:
            return Exit.COMPLETED if self._answers else Exit.OWNED
        return of_status(rest.execution.status)

    def _report(self, rest: Rest) -> None:
        if self._as_json:
            document(shown(rest, self._settings))
        else:
            say(summary(rest, self._settings))
        if self._answers and rest.execution.status in ACTIVE:
            note("It is passed on; the process that drives the execution goes on with it.")
        elif not self.asks:
            self._how_to_go_on(rest)

    def _how_to_go_on(self, rest: Rest) -> None:
        """Where nobody can be asked: what it waits for, and exactly what to type, beside the result."""
        found = waits(rest, self._settings)
        if found is None:
            return
        note(f"Paused ({rest.execution.reason}): {' '.join(found.told)}\n{found.hint}".rstrip())
        note(f"To go on: {resume_command(rest, self._settings)}")
